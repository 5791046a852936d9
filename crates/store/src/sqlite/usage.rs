//! The table of usage: added to as the data plane tells, asked by range and group, cleared by age.

pub(super) mod adding;
pub(super) mod waiting;

use std::collections::{BTreeMap, HashMap};

use keyward_core::{
    id::KeyId,
    money::Money,
    time::Timestamp,
    usage::{Latencies, Tokens, UsageRow, UsageScope, UsageSums},
    verdict::Reason,
};
use rusqlite::{
    Connection, Row, ToSql,
    functions::{Context, FunctionFlags},
    params,
    types::ValueRef,
};

use super::{
    faults::fault,
    reads,
    rows::{Cells, count},
};
use crate::{
    error::StoreError,
    turns::in_turns,
    usage::{UsageBy, UsageFilter, UsageGrain, UsageGroup, UsageTotal, Walk},
};

/// Adds to what is there. Each figure stays at its maximum rather than wrap: SQLite would turn it into a fraction.
const ADD: &str = "
INSERT INTO usage_sums (grain, organization, start, key, api, route, model, status, reason, requests, latency_micros, bytes_in,
    bytes_out, tokens_input, tokens_cached, tokens_cache_written, tokens_output, tokens_reasoning, estimated, cost_billionths,
    first_minute, last_minute, latencies)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
ON CONFLICT DO UPDATE SET
    requests = iif(requests > 9223372036854775807 - ?10, 9223372036854775807, requests + ?10),
    latency_micros = iif(latency_micros > 9223372036854775807 - ?11, 9223372036854775807, latency_micros + ?11),
    bytes_in = iif(bytes_in > 9223372036854775807 - ?12, 9223372036854775807, bytes_in + ?12),
    bytes_out = iif(bytes_out > 9223372036854775807 - ?13, 9223372036854775807, bytes_out + ?13),
    tokens_input = iif(tokens_input > 9223372036854775807 - ?14, 9223372036854775807, tokens_input + ?14),
    tokens_cached = iif(tokens_cached > 9223372036854775807 - ?15, 9223372036854775807, tokens_cached + ?15),
    tokens_cache_written = iif(tokens_cache_written > 9223372036854775807 - ?16, 9223372036854775807,
        tokens_cache_written + ?16),
    tokens_output = iif(tokens_output > 9223372036854775807 - ?17, 9223372036854775807, tokens_output + ?17),
    tokens_reasoning = iif(tokens_reasoning > 9223372036854775807 - ?18, 9223372036854775807, tokens_reasoning + ?18),
    estimated = iif(estimated > 9223372036854775807 - ?19, 9223372036854775807, estimated + ?19),
    cost_billionths = iif(cost_billionths > 9223372036854775807 - ?20, 9223372036854775807, cost_billionths + ?20),
    first_minute = min(first_minute, ?21),
    last_minute = max(last_minute, ?22),
    latencies = add_latencies(latencies, ?23)";

/// The cells that [`Read`] reads.
const CELLS: &str = "organization, start, key, api, route, model, status, reason, requests, latency_micros, bytes_in, bytes_out, \
    tokens_input, tokens_cached, tokens_cache_written, tokens_output, tokens_reasoning, estimated, cost_billionths, \
    first_minute, last_minute, latencies";

/// Rows that are added before others get a chance: some hundred microseconds.
const ADDED_AT_ONCE: usize = 32;
/// What is removed in one transaction: some milliseconds in which no change gets in.
const ROWS_AT_ONCE: u64 = 1000;
const ORGANIZATIONS_AT_ONCE: u32 = 200;

/// The functions that statements on this table use.
pub(super) fn functions(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("add_latencies", 2, flags, add_latencies).map_err(fault)
}

/// What is damaged counts nothing, and the row goes on with what is told: an error would keep all usage from being recorded.
fn add_latencies(arguments: &Context<'_>) -> rusqlite::Result<Vec<u8>> {
    let mut sum = Latencies::default();
    for at in 0..2 {
        match arguments.get_raw(at).as_blob().ok().and_then(Latencies::from_bytes) {
            Some(latencies) => sum.merge(&latencies),
            None => tracing::error!(
                "how long requests took is damaged in a row of usage: it is counted anew from here"
            ),
        }
    }
    Ok(sum.to_bytes())
}

const fn number(grain: UsageGrain) -> u8 {
    match grain {
        UsageGrain::Minute => 0,
        UsageGrain::Hour => 1,
        UsageGrain::Day => 2,
    }
}

/// Sums on their way into a row.
#[derive(Default)]
struct Added {
    sums: UsageSums,
    latencies: Latencies,
    first_minute: u64,
    last_minute: u64,
}

/// Adds requests to the minute, the hour and the day that they belong to.
pub(super) fn add(connection: &Connection, rows: &[UsageRow]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(ADD).map_err(fault)?;
    for grain in UsageGrain::ALL {
        let mut folded: HashMap<UsageScope, Added> = HashMap::with_capacity(rows.len());
        for UsageRow { scope, sums, latencies } in rows {
            let minute = scope.minute;
            let scope = UsageScope { minute: grain.floor(minute), ..scope.clone() };
            let added = folded.entry(scope).or_insert_with(|| Added {
                first_minute: minute,
                last_minute: minute,
                ..Added::default()
            });
            added.sums.add(sums);
            added.latencies.merge(latencies);
            added.first_minute = added.first_minute.min(minute);
            added.last_minute = added.last_minute.max(minute);
        }
        let mut folded: Vec<_> = folded.into_iter().collect();
        // In the table's order: neighbours share pages.
        folded.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (scope, added) in in_turns(ADDED_AT_ONCE, &folded) {
            add_one(&mut statement, grain, scope, added).map_err(fault)?;
        }
    }
    Ok(())
}

fn add_one(
    statement: &mut rusqlite::Statement<'_>,
    grain: UsageGrain,
    scope: &UsageScope,
    added: &Added,
) -> rusqlite::Result<usize> {
    let (bits, sums) = (scope.key.map(KeyId::bits), &added.sums);
    let key: &[u8] = bits.as_ref().map_or(&[], |bits| bits);
    statement.execute(params![
        number(grain),
        scope.organization,
        count(scope.minute),
        key,
        scope.api,
        scope.route,
        scope.model,
        scope.status,
        scope.reason.map_or("", Reason::name),
        count(sums.requests),
        count(sums.latency_micros),
        count(sums.bytes_in),
        count(sums.bytes_out),
        count(sums.tokens.input),
        count(sums.tokens.cached),
        count(sums.tokens.cache_written),
        count(sums.tokens.output),
        count(sums.tokens.reasoning),
        count(sums.estimated),
        count(sums.cost.billionths()),
        count(added.first_minute),
        count(added.last_minute),
        added.latencies.to_bytes(),
    ])
}

/// One row, as far as a question needs it.
struct Read<'r> {
    row: &'r Row<'r>,
    cells: Cells<'r>,
}

impl<'r> Read<'r> {
    fn of(row: &'r Row<'r>) -> Self {
        Self { row, cells: Cells::of("usage_sums", row) }
    }

    fn key(&self) -> Result<Option<KeyId>, StoreError> {
        match self.row.get_ref(2).map_err(fault)? {
            ValueRef::Blob([]) => Ok(None),
            _ => Ok(Some(KeyId::from_bits(self.cells.bits(2, "key")?))),
        }
    }

    fn status(&self) -> Result<u16, StoreError> {
        self.cells.number(6, "status")
    }

    fn reason(&self) -> Result<Option<Reason>, StoreError> {
        match self.cells.text(7, "reason")? {
            "" => Ok(None),
            _ => self.cells.word(7, "reason", Reason::named).map(Some),
        }
    }

    fn is_asked_for(&self, filter: &UsageFilter) -> Result<bool, StoreError> {
        let cells = &self.cells;
        let text = |at, what, asked: &Option<String>| match asked {
            Some(asked) => cells.text(at, what).map(|text| text == asked),
            None => Ok(true),
        };
        Ok(text(3, "api", &filter.api)?
            && text(4, "route", &filter.route)?
            && text(5, "model", &filter.model)?
            && filter.status.map_or(Ok(true), |asked| self.status().map(|it| it == asked))?
            && filter.reason.map_or(Ok(true), |asked| self.reason().map(|it| it == Some(asked)))?)
    }

    fn group(&self, filter: &UsageFilter) -> Result<UsageGroup, StoreError> {
        let start: u64 = self.cells.number(1, "start")?;
        let mut group = UsageGroup { start: filter.grain.map(|_| start), ..UsageGroup::default() };
        let text = |at, what| self.cells.text(at, what).map(|text| Some(text.to_owned()));
        for by in &filter.by {
            match by {
                UsageBy::Organization => group.organization = text(0, "organization")?,
                UsageBy::Key => group.key = Some(self.key()?),
                UsageBy::Api => group.api = text(3, "api")?,
                UsageBy::Route => group.route = text(4, "route")?,
                UsageBy::Model => group.model = text(5, "model")?,
                UsageBy::Status => group.status = Some(self.status()?),
                UsageBy::Reason => group.reason = Some(self.reason()?),
            }
        }
        Ok(group)
    }

    fn sums(&self) -> Result<UsageSums, StoreError> {
        let cells = &self.cells;
        Ok(UsageSums {
            requests: cells.number(8, "requests")?,
            latency_micros: cells.number(9, "latency_micros")?,
            bytes_in: cells.number(10, "bytes_in")?,
            bytes_out: cells.number(11, "bytes_out")?,
            tokens: Tokens {
                input: cells.number(12, "tokens_input")?,
                cached: cells.number(13, "tokens_cached")?,
                cache_written: cells.number(14, "tokens_cache_written")?,
                output: cells.number(15, "tokens_output")?,
                reasoning: cells.number(16, "tokens_reasoning")?,
            },
            estimated: cells.number(17, "estimated")?,
            cost: Money::from_billionths(cells.number(18, "cost_billionths")?),
        })
    }

    fn total(&self, group: UsageGroup) -> Result<UsageTotal, StoreError> {
        let sums = self.sums()?;
        Ok(UsageTotal {
            group,
            first_minute: self.cells.number(19, "first_minute")?,
            last_minute: self.cells.number(20, "last_minute")?,
            errors: if self.status()? >= 400 { sums.requests } else { 0 },
            refusals: if self.reason()?.is_some() { sums.requests } else { 0 },
            sums,
            latencies: Latencies::default(),
        })
    }

    fn latencies(&self) -> Result<Latencies, StoreError> {
        let bytes = self.row.get_ref(21).map_err(fault)?.as_blob().ok();
        bytes.and_then(Latencies::from_bytes).ok_or_else(|| self.cells.corrupt("latencies"))
    }
}

fn add_to(total: &mut UsageTotal, other: &UsageTotal) {
    total.sums.add(&other.sums);
    total.errors = total.errors.saturating_add(other.errors);
    total.refusals = total.refusals.saturating_add(other.refusals);
    total.first_minute = total.first_minute.min(other.first_minute);
    total.last_minute = total.last_minute.max(other.last_minute);
    total.latencies.merge(&other.latencies);
}

/// The totals of a page. What lies behind the page is left out as soon as it is full.
struct Totals<'f> {
    filter: &'f UsageFilter,
    most: usize,
    found: BTreeMap<UsageGroup, UsageTotal>,
    /// Rows that were read.
    read: u64,
    /// Rows that are damaged, and what is wrong with the first.
    damaged: u64,
    damage: Option<StoreError>,
}

impl<'f> Totals<'f> {
    fn new(filter: &'f UsageFilter) -> Self {
        let most = usize::try_from(filter.limit.clamp(1, 100_000)).unwrap_or(usize::MAX);
        Self { filter, most, found: BTreeMap::new(), read: 0, damaged: 0, damage: None }
    }

    /// Takes a row in. Answers whether rows of later times are wanted. A damaged row is left out, as far as it is damaged: an error
    /// would hide all others for as long as it stands there.
    fn take(&mut self, row: &Row<'_>) -> Result<bool, StoreError> {
        self.read += 1;
        if self.read > self.filter.most_read {
            let reached = Cells::of("usage_sums", row).number(1, "start").ok();
            return Err(too_much(self.filter, reached));
        }
        match self.take_in(&Read::of(row)) {
            Err(damage @ StoreError::Corrupt { .. }) => {
                self.note(damage);
                Ok(true)
            }
            taken => taken,
        }
    }

    fn note(&mut self, damage: StoreError) {
        self.damaged += 1;
        self.damage.get_or_insert(damage);
    }

    fn take_in(&mut self, read: &Read<'_>) -> Result<bool, StoreError> {
        if !read.is_asked_for(self.filter)? {
            return Ok(true);
        }
        let group = read.group(self.filter)?;
        if self.filter.after.as_ref().is_some_and(|after| group <= *after) {
            return Ok(true);
        }
        let is_full = self.found.len() >= self.most && !self.found.contains_key(&group);
        if is_full && self.found.last_key_value().is_none_or(|(last, _)| group > *last) {
            let last = self.found.last_key_value().and_then(|(last, _)| last.start);
            return Ok(group.start.is_none() || group.start == last);
        }
        let mut of_row = read.total(group)?;
        match read.latencies() {
            Ok(latencies) => of_row.latencies = latencies,
            Err(damage @ StoreError::Corrupt { .. }) => self.note(damage),
            Err(error) => return Err(error),
        }
        if is_full {
            self.found.pop_last();
        }
        match self.found.get_mut(&of_row.group) {
            Some(total) => add_to(total, &of_row),
            None => {
                self.found.insert(of_row.group.clone(), of_row);
            }
        }
        Ok(true)
    }

    fn finish(self) -> Vec<UsageTotal> {
        if let Some(damage) = self.damage {
            let rows = self.damaged;
            tracing::error!(rows, %damage, "rows of usage are damaged: what was asked of usage is told without them");
        }
        self.found.into_values().collect()
    }
}

/// The refusal of a question that would keep others waiting. `reached` is the minute that is too much.
fn too_much(filter: &UsageFilter, reached: Option<u64>) -> StoreError {
    // Of one organization it is read in the order of time.
    let reached =
        reached.filter(|minute| filter.organization.is_some() && *minute > filter.covered().0);
    let shorter = reached.map_or_else(
        || "a shorter range".to_owned(),
        |minute| {
            let until = Timestamp::from_secs(minute.saturating_mul(60));
            format!("a range that ends at {until} or before")
        },
    );
    let narrower = match (filter.key, &filter.organization) {
        (Some(_), _) => "",
        (None, Some(_)) => ", or of one key",
        (None, None) => ", or of one organization or key",
    };
    StoreError::invalid(
        format!(
            "what is asked of usage is made of more than {} sums, which is too much at once",
            filter.most_read
        ),
        format!("ask for {shorter}{narrower}"),
    )
}

/// The organizations that have rows of a grain, the one that stands for "none" among them, as far as the page is not behind them.
fn organizations(
    connection: &Connection,
    filter: &UsageFilter,
    grain: UsageGrain,
) -> Result<Vec<String>, StoreError> {
    let behind = filter.after.as_ref().filter(|after| after.start.is_none());
    let mut all = vec![behind.and_then(|after| after.organization.clone()).unwrap_or_default()];
    while let Some(one) =
        next_organization(connection, grain, all.last().map_or("", String::as_str))?
    {
        all.push(one);
    }
    Ok(all)
}

fn next_organization(
    connection: &Connection,
    grain: UsageGrain,
    after: &str,
) -> Result<Option<String>, StoreError> {
    let sql =
        "SELECT 'usage', min(organization) FROM usage_sums WHERE grain = ?1 AND organization > ?2";
    let params: [&dyn ToSql; 2] = [&number(grain), &after];
    let found = reads::first(connection, sql, params, |row| {
        let cells = Cells::of("usage_sums", row);
        cells.optional_text(1, "organization").map(|text| text.map(str::to_owned))
    });
    found.map(Option::flatten)
}

/// The first and the last time that an organization has rows of.
fn extent(
    connection: &Connection,
    grain: UsageGrain,
    organization: &str,
) -> Result<Option<(u64, u64)>, StoreError> {
    let sql = "SELECT start FROM usage_sums WHERE grain = ?1 AND organization = ?2 AND start >= 0 \
        ORDER BY start";
    let params: [&dyn ToSql; 2] = [&number(grain), &organization];
    let read = |row: &Row<'_>| Cells::of("usage_sums", row).number(0, "start");
    let first = reads::first(connection, sql, params, read)?;
    let last = reads::first(connection, &format!("{sql} DESC"), params, read)?;
    Ok(first.zip(last))
}

/// Totals by what the filter tells them apart by, in its order.
pub(super) fn totals(
    connection: &Connection,
    filter: &UsageFilter,
) -> Result<Vec<UsageTotal>, StoreError> {
    let mut totals = Totals::new(filter);
    for mut walk in filter.walks() {
        if let Some(start) = filter.after.as_ref().and_then(|after| after.start) {
            walk.from = walk.from.max(start);
        }
        let organizations = match &filter.organization {
            Some(organization) => vec![organization.clone()],
            None => organizations(connection, filter, walk.grain)?,
        };
        for organization in &organizations {
            match filter.key {
                Some(key) => walk_key(connection, walk, organization, key, &mut totals)?,
                None => walk_all(connection, walk, organization, &mut totals)?,
            }
        }
    }
    Ok(totals.finish())
}

fn walk_all(
    connection: &Connection,
    walk: Walk,
    organization: &str,
    totals: &mut Totals<'_>,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {CELLS} FROM usage_sums \
         WHERE grain = ?1 AND organization = ?2 AND start >= ?3 AND start < ?4 ORDER BY start"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(fault)?;
    let asked = params![number(walk.grain), organization, count(walk.from), count(walk.until)];
    let mut rows = statement.query(asked).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        if !totals.take(row)? {
            break;
        }
    }
    Ok(())
}

/// One look for each time: the rows of other keys are not read.
fn walk_key(
    connection: &Connection,
    walk: Walk,
    organization: &str,
    key: KeyId,
    totals: &mut Totals<'_>,
) -> Result<(), StoreError> {
    let Some((first, last)) = extent(connection, walk.grain, organization)? else { return Ok(()) };
    let sql = format!(
        "SELECT {CELLS} FROM usage_sums \
         WHERE grain = ?1 AND organization = ?2 AND start = ?3 AND key = ?4"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(fault)?;
    let until = walk.until.min(last.saturating_add(1));
    let mut at = walk.from.max(first);
    while at < until {
        let asked = params![number(walk.grain), organization, count(at), key.bits()];
        let mut rows = statement.query(asked).map_err(fault)?;
        while let Some(row) = rows.next().map_err(fault)? {
            if !totals.take(row)? {
                return Ok(());
            }
        }
        at = at.saturating_add(walk.grain.minutes());
    }
    Ok(())
}

/// Removes some of the oldest rows of a grain from before `before`, of organizations from `from` on. Answers how many went, and the
/// organization to go on with; `None` behind the last.
pub(super) fn clear_piece(
    connection: &Connection,
    grain: UsageGrain,
    before: u64,
    from: &str,
) -> Result<(u64, Option<String>), StoreError> {
    let (mut gone, mut at) = (0_u64, from.to_owned());
    for _ in 0..ORGANIZATIONS_AT_ONCE {
        gone += clear_of(connection, grain, before, &at, ROWS_AT_ONCE - gone)?;
        if gone >= ROWS_AT_ONCE {
            return Ok((gone, Some(at)));
        }
        match next_organization(connection, grain, &at)? {
            Some(next) => at = next,
            None => return Ok((gone, None)),
        }
    }
    Ok((gone, Some(at)))
}

/// Removes an organization's oldest rows, so many at most, whatever stands in them.
fn clear_of(
    connection: &Connection,
    grain: UsageGrain,
    before: u64,
    organization: &str,
    most: u64,
) -> Result<u64, StoreError> {
    // By a place in the table's order: rows of one time may be a million, and each would be compared with a list.
    let first = "DELETE FROM usage_sums WHERE grain = ?1 AND organization = ?2 \
        AND (start, key, api, route, model, status, reason) < \
        (SELECT start, key, api, route, model, status, reason FROM usage_sums \
         WHERE grain = ?1 AND organization = ?2 AND start < ?3 \
         ORDER BY start, key, api, route, model, status, reason LIMIT 1 OFFSET ?4)";
    // Where there is no such place, there are fewer.
    let last = "DELETE FROM usage_sums WHERE grain = ?1 AND organization = ?2 AND start < ?3";
    let of: [&dyn ToSql; 3] = [&number(grain), &organization, &count(before)];
    let [of_grain, of_organization, until] = of;
    let bounded: [&dyn ToSql; 4] = [of_grain, of_organization, until, &count(most)];
    let run = |sql, params: &[&dyn ToSql]| {
        connection.prepare_cached(sql).and_then(|mut one| one.execute(params)).map_err(fault)
    };
    let gone = match run(first, &bounded)? {
        0 => run(last, &of)?,
        gone => gone,
    };
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}
