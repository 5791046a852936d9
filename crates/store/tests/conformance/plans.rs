//! What is promised of plans, prices, and limits where they stand.

use keyward_core::{
    id::UserId,
    key::Key,
    limit::{Limit, Plan, Price},
    member::{Right, Role, User},
    organization::Organization,
    snapshot::Revision,
};
use keyward_store::{
    Actor, AuditFilter, Change, ChangeEntry, Feed, Interface, KeyUpdate, Loaded,
    OrganizationUpdate, Page, PasswordHash, PeopleChange, PlanChange, PlanChoice, StoreError,
    Subject,
};
use serde_json::json;

use super::{
    Bed, NOW, commit, creation, key, key_id, organization, organization_id, secret, trace,
    with_organization,
};

fn limits(amount: u64) -> Vec<Limit> {
    serde_json::from_value(json!([
        { "name": "requests", "kind": "rate", "amount": amount, "window_seconds": 60 },
        { "name": "at-once", "kind": "concurrency", "amount": 4, "per": ["key"] },
        { "name": "tokens", "kind": "quota", "unit": "tokens", "amount": 9, "period": "day",
          "time_zone": "Europe/Berlin", "models": ["large*"] },
        { "name": "money", "kind": "budget", "amount": "12.5", "period": "month", "cut_streams": true },
        { "name": "gift", "kind": "credit", "amount": 7, "refill": { "amount": 2, "period": "week" } },
    ]))
    .unwrap()
}

fn plan(name: &str, amount: u64) -> Plan {
    Plan { name: name.parse().unwrap(), limits: limits(amount) }
}

fn put(plan: Plan) -> Change {
    Change::Plan(PlanChange::Put { plan, seen: None })
}

fn delete(name: &str, of_profile: bool) -> Change {
    let name = name.parse().unwrap();
    Change::Plan(PlanChange::Delete { name, seen: None, of_profile })
}

fn price(model: &str, input: &str) -> Price {
    serde_json::from_value(json!({ "model": model, "input": input, "reasoning": "7.5" })).unwrap()
}

fn put_price(price: Price) -> Change {
    Change::Plan(PlanChange::PutPrice { price, seen: None })
}

fn on_plan(name: Option<&str>, of_profile: bool) -> Change {
    let choice = name.map(|name| PlanChoice { name: name.parse().unwrap(), of_profile });
    let update = OrganizationUpdate { plan: Some(choice), ..OrganizationUpdate::default() };
    Change::UpdateOrganization { organization: organization_id("org"), update, seen: None }
}

async fn newest_entry(bed: &Bed) -> (String, Option<serde_json::Value>, Option<serde_json::Value>) {
    let entry = bed.store.audit(&AuditFilter::default(), Page::first(1)).await.unwrap().remove(0);
    (entry.action, entry.before, entry.after)
}

pub(crate) async fn a_plan_reads_back_and_is_one_in_any_case(bed: Bed) {
    let made = commit(&bed.store, put(plan("Premium", 10))).await.unwrap();
    let held = bed.second.plans().await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!((&held[0].plan, held[0].revision), (&plan("Premium", 10), made));
    let before = trace(&bed.store).await;
    assert_eq!(commit(&bed.store, put(plan("Premium", 10))).await, Ok(made), "it is so already");
    assert_eq!(trace(&bed.store).await, before);

    commit(&bed.store, put(plan("premium", 20))).await.unwrap();
    commit(&bed.store, put(Plan { limits: vec![], ..plan("Enterprise", 1) })).await.unwrap();
    let held = bed.second.plans().await.unwrap();
    let names: Vec<_> = held.iter().map(|one| one.plan.name.as_str()).collect();
    assert_eq!(names, ["Enterprise", "premium"], "by name, as it was written last");
    assert_eq!(held[1].plan, plan("premium", 20));
}

pub(crate) async fn what_changes_in_a_plan_is_told(bed: Bed) {
    commit(&bed.store, put(plan("Premium", 10))).await.unwrap();
    let (action, before, after) = newest_entry(&bed).await;
    assert_eq!((action.as_str(), before), ("plan.create", None));
    assert_eq!(after.unwrap()["limits"][0]["window_seconds"], 60);
    commit(&bed.store, put(plan("Premium", 20))).await.unwrap();
    let (action, before, after) = newest_entry(&bed).await;
    assert_eq!(action, "plan.update");
    assert_eq!(before.unwrap()["limits"][0]["amount"], 10);
    assert_eq!(after.unwrap()["limits"][0]["amount"], 20);
    let revision = commit(&bed.store, delete("PREMIUM", false)).await.unwrap();
    let (action, before, after) = newest_entry(&bed).await;
    assert_eq!((action.as_str(), after), ("plan.delete", None));
    assert_eq!(before.unwrap()["name"], "Premium");
    let told = ChangeEntry { revision, subject: Subject::Plan("Premium".parse().unwrap()) };
    let feed = bed.store.changes_since(Revision::new(revision.get() - 1), 9).await.unwrap();
    assert_eq!(feed, Feed::Entries(vec![told]));
}

pub(crate) async fn a_plan_that_organizations_are_on_stays(bed: Bed) {
    with_organization(&bed.store).await;
    let unknown = commit(&bed.store, on_plan(Some("Premium"), false)).await;
    assert_eq!(unknown, Err(StoreError::NoSuchPlan("Premium".parse().unwrap())));
    commit(&bed.store, put(plan("Premium", 10))).await.unwrap();
    commit(&bed.store, on_plan(Some("Premium"), false)).await.unwrap();
    let on = bed.store.organization(&organization_id("org")).await.unwrap().unwrap().plan;
    assert_eq!(on, Some("Premium".parse().unwrap()));
    assert_eq!(bed.store.plans().await.unwrap()[0].organizations, 1);
    let before = trace(&bed.store).await;
    let name = "Premium".parse().unwrap();
    let refused = commit(&bed.store, delete("premium", false)).await;
    assert_eq!(refused, Err(StoreError::PlanInUse { plan: name, organizations: 1 }));
    assert_eq!(trace(&bed.store).await, before);
    commit(&bed.store, on_plan(None, false)).await.unwrap();
    commit(&bed.store, delete("premium", false)).await.unwrap();
    let gone = commit(&bed.store, delete("premium", false)).await;
    assert_eq!(gone, Err(StoreError::NoSuchPlan("premium".parse().unwrap())));
}

pub(crate) async fn nobody_comes_onto_a_plan_that_goes_meanwhile(bed: Bed) {
    with_organization(&bed.store).await;
    for _ in 0..10 {
        commit(&bed.store, put(plan("Premium", 10))).await.unwrap();
        commit(&bed.store, on_plan(None, false)).await.unwrap();
        let (come, go) = tokio::join!(
            commit(&bed.store, on_plan(Some("Premium"), false)),
            commit(&bed.second, delete("Premium", false)),
        );
        assert!(come.is_ok() != go.is_ok(), "{come:?} {go:?}");
    }
}

pub(crate) async fn a_profiles_plan_need_not_stand_in_the_store(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, on_plan(Some("Standard"), true)).await.unwrap();
    // One of the same name takes its place, and may go again: the profile's is still there.
    commit(&bed.store, put(plan("standard", 5))).await.unwrap();
    assert_eq!(bed.store.plans().await.unwrap()[0].organizations, 1);
    commit(&bed.store, delete("Standard", true)).await.unwrap();
    let on = bed.store.organization(&organization_id("org")).await.unwrap().unwrap().plan;
    assert_eq!(on, Some("Standard".parse().unwrap()));
}

pub(crate) async fn prices_are_kept_replaced_and_forgotten(bed: Bed) {
    let first = commit(&bed.store, put_price(price("large*", "2.50"))).await.unwrap();
    commit(&bed.store, put_price(price("org/small", "0.1"))).await.unwrap();
    assert_eq!(commit(&bed.store, put_price(price("org/small", "0.1"))).await.unwrap().get(), 2);
    let changed = commit(&bed.store, put_price(price("large*", "3"))).await.unwrap();
    let held = bed.second.prices().await.unwrap();
    let told: Vec<_> = held.iter().map(|one| (one.price.clone(), one.revision)).collect();
    let second = Revision::new(first.get() + 1);
    assert_eq!(told, [(price("large*", "3"), changed), (price("org/small", "0.1"), second)]);
    let (action, before, after) = newest_entry(&bed).await;
    assert_eq!(action, "price.update");
    assert_eq!(
        (before.unwrap()["input"].clone(), after.unwrap()["input"].clone()),
        (json!("2.50"), json!("3.00"))
    );
    let forget = |model: &str| {
        Change::Plan(PlanChange::DeletePrice { model: model.parse().unwrap(), seen: None })
    };
    commit(&bed.store, forget("large*")).await.unwrap();
    let gone = commit(&bed.store, forget("large*")).await;
    assert_eq!(gone, Err(StoreError::NoSuchPrice("large*".parse().unwrap())));
    assert_eq!(bed.store.prices().await.unwrap().len(), 1);
}

pub(crate) async fn an_outdated_look_changes_no_plan_and_no_price(bed: Bed) {
    let seen = commit(&bed.store, put(plan("Premium", 1))).await.unwrap();
    let is = commit(&bed.store, put(plan("Premium", 2))).await.unwrap();
    let outdated = Err(StoreError::Outdated { seen, is });
    let change = |change| commit(&bed.store, Change::Plan(change));
    let premium = || plan("Premium", 3);
    let put = |plan, seen| change(PlanChange::Put { plan, seen });
    assert_eq!(put(premium(), Some(seen)).await, outdated);
    let name = premium().name;
    let delete = |name, seen| change(PlanChange::Delete { name, seen, of_profile: false });
    assert_eq!(delete(name.clone(), Some(seen)).await, outdated);
    let now = put(premium(), Some(is)).await.unwrap();
    delete(name.clone(), Some(now)).await.unwrap();
    assert_eq!(put(premium(), Some(now)).await, Err(StoreError::NoSuchPlan(name)), "it is gone");

    let seen = commit(&bed.store, put_price(price("m", "1"))).await.unwrap();
    let is = commit(&bed.store, put_price(price("m", "2"))).await.unwrap();
    let outdated = Err(StoreError::Outdated { seen, is });
    let put = |price, seen| change(PlanChange::PutPrice { price, seen });
    assert_eq!(put(price("m", "3"), Some(seen)).await, outdated);
    let model = price("m", "3").model;
    let delete = |seen| change(PlanChange::DeletePrice { model: model.clone(), seen });
    assert_eq!(delete(Some(seen)).await, outdated);
    delete(Some(is)).await.unwrap();
    assert_eq!(put(price("m", "3"), Some(is)).await, Err(StoreError::NoSuchPrice(model.clone())));
}

pub(crate) async fn limits_stand_at_organizations_and_keys(bed: Bed) {
    let whole = Organization { limits: limits(3), ..organization("org") };
    commit(&bed.store, Change::CreateOrganization(whole.clone())).await.unwrap();
    assert_eq!(bed.second.organization(&whole.id).await.unwrap(), Some(whole.clone()));
    let limited = Key { limits: limits(2), ..key(1) };
    let create = Change::CreateKey { key: limited.clone(), secret: secret(1), most_active: None };
    commit(&bed.store, create).await.unwrap();
    assert_eq!(bed.second.key(key_id(1)).await.unwrap().unwrap().key, limited);

    let of_organization = |limits| Change::UpdateOrganization {
        organization: organization_id("org"),
        update: OrganizationUpdate { limits: Some(limits), ..OrganizationUpdate::default() },
        seen: None,
    };
    let of_key = |limits| Change::UpdateKey {
        key: key_id(1),
        update: Box::new(KeyUpdate { limits: Some(limits), ..KeyUpdate::default() }),
        seen: None,
    };
    for change in [of_organization(limits(4)), of_key(limits(4))] {
        let first = commit(&bed.store, change.clone()).await.unwrap();
        let (_, before, after) = newest_entry(&bed).await;
        assert_ne!(before.unwrap()["limits"][0]["amount"], 4);
        assert_eq!(after.unwrap()["limits"][0]["amount"], 4);
        assert_eq!(commit(&bed.store, change).await, Ok(first), "again leaves no trace");
    }
    assert_eq!(bed.second.key(key_id(1)).await.unwrap().unwrap().key.limits, limits(4));
    let before = trace(&bed.store).await;
    for wrong in [[limits(4), limits(4)].concat(), (0..21).flat_map(|_| limits(1)).collect()] {
        let changes = [
            of_organization(wrong.clone()),
            of_key(wrong.clone()),
            put(Plan { limits: wrong.clone(), ..plan("Premium", 1) }),
            Change::CreateOrganization(Organization { limits: wrong, ..organization("other") }),
        ];
        for change in changes {
            let refused = commit(&bed.store, change).await;
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
        }
    }
    assert_eq!(trace(&bed.store).await, before);
    commit(&bed.store, of_key(vec![])).await.unwrap();
    assert!(bed.second.key(key_id(1)).await.unwrap().unwrap().key.limits.is_empty());
}

pub(crate) async fn plans_and_prices_are_loaded_before_all_else(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    commit(&bed.store, put(plan("Premium", 1))).await.unwrap();
    commit(&bed.store, put_price(price("m", "1"))).await.unwrap();
    let mut items = vec![];
    bed.store.load(&mut |item| items.push(item)).await.unwrap();
    assert_eq!(items[..2], [Loaded::Plan(plan("Premium", 1)), Loaded::Price(price("m", "1"))]);
}

pub(crate) async fn members_change_no_plan_and_no_limit_of_their_organization(bed: Bed) {
    let user = User {
        id: UserId::from_bits([1; 16]),
        email: "owner@example.com".parse().unwrap(),
        name: "Owner".to_owned(),
        operator: false,
        created_at: NOW,
    };
    let sign_up = PeopleChange::SignUp {
        user: user.clone(),
        password: PasswordHash::new("hash".to_owned()),
        organization: organization("org"),
    };
    commit(&bed.store, Change::People(sign_up)).await.unwrap();
    commit(&bed.store, put(plan("Premium", 1))).await.unwrap();
    let held = bed.store.members(&organization_id("org")).await.unwrap();
    assert_eq!(held[0].1.role, Role::Owner);
    let by = Actor::person(&user, Interface::ManagementApi);
    let narrow = OrganizationUpdate { limits: Some(limits(1)), ..OrganizationUpdate::default() };
    let narrow = Change::UpdateOrganization {
        organization: organization_id("org"),
        update: narrow,
        seen: None,
    };
    for change in [on_plan(Some("Premium"), false), on_plan(None, false), narrow] {
        let refused = bed.store.commit(&by, NOW, change).await;
        assert_eq!(refused, Err(StoreError::NotAllowed(Some(Right::Operate))));
    }
    let changes = [
        put(plan("Mine", 1)),
        delete("Premium", false),
        put_price(price("m", "0")),
        Change::Plan(PlanChange::DeletePrice { model: "m".parse().unwrap(), seen: None }),
    ];
    for change in changes {
        let refused = bed.store.commit(&by, NOW, change).await;
        assert_eq!(refused, Err(StoreError::NotAllowed(None)));
    }
}
