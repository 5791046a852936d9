//! Plans and prices, as rows. What a change to one means is decided in `rules::plans`.

use keyward_core::limit::{Limit, ModelPattern, Plan, PlanName, Price};
use rusqlite::{Connection, Row, params};

use super::{
    apply::write,
    faults::fault,
    reads::{all, first},
    rows::{self, Cells},
};
use crate::{
    change::Revision,
    error::StoreError,
    plans::{PlanChange, PlanChoice, PlanRecord, PriceRecord},
    rules::{Entry, plans as rules},
};

const PLAN: &str =
    "name, limits, revision, (SELECT count(*) FROM organizations WHERE plan = plans.name)";
const PRICE: &str = "model, price, revision";

fn plan(row: &Row<'_>) -> Result<PlanRecord, StoreError> {
    let cells = Cells::of("plans", row);
    Ok(PlanRecord {
        plan: Plan { name: cells.parsed(0, "name")?, limits: cells.json_of(1, "limits")? },
        revision: Revision::new(cells.number(2, "revision")?),
        organizations: cells.number(3, "organizations")?,
    })
}

fn price(row: &Row<'_>) -> Result<PriceRecord, StoreError> {
    let cells = Cells::of("prices", row);
    Ok(PriceRecord {
        price: cells.json_of(1, "price")?,
        revision: Revision::new(cells.number(2, "revision")?),
    })
}

/// All plans, by name.
pub(super) fn plans(connection: &Connection) -> Result<Vec<PlanRecord>, StoreError> {
    all(connection, &format!("SELECT {PLAN} FROM plans ORDER BY name"), [], plan)
}

/// All prices, by model.
pub(super) fn prices(connection: &Connection) -> Result<Vec<PriceRecord>, StoreError> {
    all(connection, &format!("SELECT {PRICE} FROM prices ORDER BY model"), [], price)
}

fn plan_by_name(
    connection: &Connection,
    name: &PlanName,
) -> Result<Option<PlanRecord>, StoreError> {
    let sql = format!("SELECT {PLAN} FROM plans WHERE name = ?1");
    first(connection, &sql, [name.as_str()], plan)
}

fn price_of(
    connection: &Connection,
    model: &ModelPattern,
) -> Result<Option<PriceRecord>, StoreError> {
    let sql = format!("SELECT {PRICE} FROM prices WHERE model = ?1");
    first(connection, &sql, [model.as_str()], price)
}

fn count(connection: &Connection, sql: &str) -> Result<usize, StoreError> {
    let found = first(connection, sql, [], |row| Cells::of("plans", row).number(1, "count"))?;
    Ok(found.unwrap_or_default())
}

/// Whether an organization can be on it: it stands here, or a profile brings it.
pub(super) fn plan_stands(connection: &Connection, choice: &PlanChoice) -> Result<(), StoreError> {
    match choice.of_profile || plan_by_name(connection, &choice.name)?.is_some() {
        true => Ok(()),
        false => Err(StoreError::NoSuchPlan(choice.name.clone())),
    }
}

/// Limits as they stand in a column: nothing where there are none, as with most.
pub(super) fn limits(limits: &[Limit]) -> Result<Option<String>, StoreError> {
    (!limits.is_empty()).then(|| rows::json(&limits)).transpose()
}

/// Does a change to a plan or a price.
pub(super) fn apply(
    connection: &Connection,
    change: PlanChange,
) -> Result<Option<Entry>, StoreError> {
    match change {
        PlanChange::Put { plan, seen } => put(connection, &plan, seen),
        PlanChange::Delete { name, seen, of_profile } => {
            let held = plan_by_name(connection, &name)?;
            let entry = rules::plan_deletion(held.as_ref(), &name, seen, of_profile)?;
            let sql = "DELETE FROM plans WHERE name = ?1";
            write(connection, sql, [name.as_str()]).map_err(fault)?;
            Ok(Some(entry))
        }
        PlanChange::PutPrice { price, seen } => put_price(connection, &price, seen),
        PlanChange::DeletePrice { model, seen } => {
            let held = price_of(connection, &model)?;
            let entry = rules::price_deletion(held.as_ref(), &model, seen)?;
            let sql = "DELETE FROM prices WHERE model = ?1";
            write(connection, sql, [model.as_str()]).map_err(fault)?;
            Ok(Some(entry))
        }
    }
}

fn put(
    connection: &Connection,
    plan: &Plan,
    seen: Option<Revision>,
) -> Result<Option<Entry>, StoreError> {
    let held = plan_by_name(connection, &plan.name)?;
    let others = count(connection, "SELECT 'all', count(*) FROM plans")?;
    let entry = rules::plan(held.as_ref(), others, plan, seen)?;
    if entry.is_some() {
        write(
            connection,
            "INSERT INTO plans (name, limits) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET name = excluded.name, limits = excluded.limits",
            params![plan.name.as_str(), rows::json(&plan.limits)?],
        )
        .map_err(fault)?;
    }
    Ok(entry)
}

fn put_price(
    connection: &Connection,
    price: &Price,
    seen: Option<Revision>,
) -> Result<Option<Entry>, StoreError> {
    let held = price_of(connection, &price.model)?;
    let others = count(connection, "SELECT 'all', count(*) FROM prices")?;
    let entry = rules::price(held.as_ref(), others, price, seen)?;
    if entry.is_some() {
        write(
            connection,
            "INSERT INTO prices (model, price) VALUES (?1, ?2) \
             ON CONFLICT (model) DO UPDATE SET price = excluded.price",
            params![price.model.as_str(), rows::json(price)?],
        )
        .map_err(fault)?;
    }
    Ok(entry)
}
