//! Plans of profiles and plans that are made; who sees and changes them; limits of keys that others gave out.

use keyward_api::ErrorCode;
use keyward_core::{limit::Limit, member::Role};
use keyward_store::{Interface, KeyUpdate, OrganizationUpdate, PlanChoice};
use serde_json::json;

use super::*;
use crate::{
    app::{
        keys::NewKey,
        people::tests::{join, logged_in, with_member},
    },
    fixture::{Fixture, NOW, at, new_key, organization},
};

fn limits(amount: u64) -> Vec<Limit> {
    let limit =
        json!([{ "name": "requests", "kind": "rate", "amount": amount, "window_seconds": 60 }]);
    serde_json::from_value(limit).unwrap()
}

fn named(name: &str) -> PlanName {
    name.parse().unwrap()
}

async fn put_on(control: &Control, name: Option<&str>) -> Result<(), ControlError> {
    let plan = Some(name.map(|name| PlanChoice::named(named(name))));
    let update = OrganizationUpdate { plan, ..OrganizationUpdate::default() };
    control.update_organization(&at(NOW), &organization("acme"), update, None).await.map(drop)
}

/// What of a list tells where each plan comes from.
fn told(views: &[PlanView]) -> Vec<(&str, Option<&str>, Vec<&str>, bool)> {
    views
        .iter()
        .map(|view| {
            (
                view.name.as_str(),
                view.profile.as_deref(),
                view.apis.iter().map(String::as_str).collect(),
                view.default,
            )
        })
        .collect()
}

#[tokio::test]
async fn plans_of_profiles_are_told_of_and_one_that_is_made_takes_their_place() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let all = control.list_plans(&at(NOW)).await.unwrap();
    assert_eq!(
        told(&all),
        [
            ("Standard", Some("staff"), vec!["staff"], true),
            ("Premium", Some("staff"), vec!["staff"], false),
        ]
    );
    let read_only = control.delete_plan(&at(NOW), named("premium"), None).await.unwrap_err();
    assert_eq!(
        read_only.to_string(),
        "plan `premium` is a profile's, and is not deleted: make a plan of this name to take its place, or change the profile"
    );
    let made = control.put_plan(&at(NOW), named("premium"), limits(7), None).await.unwrap();
    assert_eq!((made.profile.as_deref(), made.organizations), (None, Some(0)));
    put_on(&control, Some("PREMIUM")).await.unwrap();
    let shown = control.show_plan(&at(NOW), &named("Premium")).await.unwrap();
    assert_eq!((shown.name.as_str(), shown.organizations), ("premium", Some(1)));
    // The profile's is still there for who is on it.
    control.delete_plan(&at(NOW), named("premium"), None).await.unwrap();
    let own = control.list_organization_plans(&at(NOW), &organization("acme")).await.unwrap();
    assert_eq!(told(&own), [("Premium", Some("staff"), vec!["staff"], false)]);
}

#[tokio::test]
async fn an_organization_is_on_a_plan_that_there_is() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let unknown = put_on(&control, Some("Gold")).await.unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::NotFound);
    control.put_plan(&at(NOW), named("Gold"), limits(7), None).await.unwrap();
    put_on(&control, Some("gold")).await.unwrap();
    let view = control.show_organization(&at(NOW), &organization("acme")).await.unwrap();
    assert_eq!(view.plan.as_deref(), Some("gold"));
    let own = control.list_organization_plans(&at(NOW), &organization("acme")).await.unwrap();
    assert_eq!(told(&own), [("Gold", None, vec!["main", "staff", "asked"], false)]);
    assert_eq!(own[0].organizations, None, "how many others are on it is not told");
    let other = control.list_organization_plans(&at(NOW), &organization("other")).await.unwrap();
    assert_eq!(told(&other), [("Standard", Some("staff"), vec!["staff"], true)]);
    let in_use = control.delete_plan(&at(NOW), named("Gold"), None).await.unwrap_err();
    assert_eq!(in_use.code(), ErrorCode::Conflict);
    assert_eq!(
        in_use.to_string(),
        "1 organization(s) are on plan `Gold`: put them on another plan first"
    );
    put_on(&control, None).await.unwrap();
    control.delete_plan(&at(NOW), named("Gold"), None).await.unwrap();
}

#[tokio::test]
async fn a_limit_is_confined_to_what_there_is() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let confined = |field: &str, value: &str| -> Vec<Limit> {
        let limit = json!([{ "name": "a", "kind": "concurrency", "amount": 1, field: [value] }]);
        serde_json::from_value(limit).unwrap()
    };
    for (limits, wrong) in [
        (confined("apis", "main"), None),
        (confined("apis", "none"), Some("use some of main, staff, asked")),
        (confined("apis", "keyward"), Some("use some of main, staff, asked")),
        (confined("routes", "/v1/speak"), None),
        (confined("routes", "/v9/nothing"), Some("there is none")),
        (confined("models", "whatever*"), None),
    ] {
        let put = control.put_plan(&at(NOW), named("Gold"), limits.clone(), None).await;
        let update = OrganizationUpdate { limits: Some(limits), ..OrganizationUpdate::default() };
        let own = control.update_organization(&at(NOW), &organization("acme"), update, None).await;
        match wrong {
            None => assert!(put.is_ok() && own.is_ok(), "{put:?} {own:?}"),
            Some(wrong) => {
                let (put, own) = (put.unwrap_err(), own.unwrap_err());
                assert!(put.to_string().contains(wrong), "{put}");
                assert_eq!(put, own);
            }
        }
    }
    for (api, limits, wrong) in [
        ("main", confined("apis", "main"), Some("a key opens one")),
        ("main", confined("routes", "/v9/nothing"), Some("there is none")),
        ("main", confined("routes", "/v1/speak"), Some("there is none")),
        ("staff", confined("routes", "/v1/speak"), None),
        ("keyward", limits(1), Some("a management key has no limits")),
    ] {
        let permissions = match api {
            "main" => "read",
            "staff" => "speak",
            _ => "keys:read",
        };
        let new = NewKey {
            api: api.parse().unwrap(),
            permissions: vec![permissions.to_owned()],
            limits,
            ..new_key("a")
        };
        let made = control.create_key(&at(NOW), new).await.map(drop);
        match wrong {
            None => made.unwrap(),
            Some(wrong) => {
                let error = made.unwrap_err().to_string();
                assert!(error.contains(wrong), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn members_see_their_plan_and_change_neither_it_nor_their_limits() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let (id, ada, _) = with_member(&control, Role::Developer).await;
    join(&control, &ada, &id, "vic", Role::Viewer).await;
    let vic = logged_in(&control, "vic").await;
    control.put_plan(&at(NOW), named("Gold"), limits(7), None).await.unwrap();
    let own = control.list_organization_plans(&vic, &id).await.unwrap();
    assert_eq!(told(&own), [("Standard", Some("staff"), vec!["staff"], true)]);
    let refused = [
        control.list_plans(&ada).await.map(drop),
        control.put_plan(&ada, named("Gold"), vec![], None).await.map(drop),
        control.delete_plan(&ada, named("Gold"), None).await,
        control.list_prices(&ada).await.map(drop),
        control.delete_price(&ada, "m", None).await,
    ];
    assert!(refused.iter().all(|one| *one == Err(ControlError::Forbidden(Right::Operate))));
    let on_gold = OrganizationUpdate {
        plan: Some(Some(PlanChoice::named(named("Gold")))),
        ..OrganizationUpdate::default()
    };
    let narrower = OrganizationUpdate { limits: Some(limits(1)), ..OrganizationUpdate::default() };
    for update in [on_gold, narrower] {
        let refused = control.update_organization(&ada, &id, update, None).await.map(drop);
        assert_eq!(refused, Err(ControlError::Forbidden(Right::Operate)));
    }
    let missing = control.list_organization_plans(&vic, &organization("other")).await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn limits_of_keys_that_staff_gave_out_are_narrowed_by_members_and_not_widened() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let (id, ada, _) = with_member(&control, Role::Developer).await;
    let new = NewKey {
        api: "staff".parse().unwrap(),
        organization: id.clone(),
        permissions: vec!["speak".to_owned()],
        limits: limits(10),
        ..new_key("given")
    };
    let given = control.create_key(&at(NOW), new).await.unwrap().key().id;
    let set = async |by: &Context, key, limits| {
        let update = KeyUpdate { limits: Some(limits), ..KeyUpdate::default() };
        control.update_key(by, key, update, None).await.map(|view| view.limits.len())
    };
    let by_staff = Err(ControlError::ByStaff("staff".parse().unwrap()));
    assert_eq!(set(&ada, given, vec![]).await, by_staff);
    assert_eq!(set(&ada, given, limits(11)).await, by_staff);
    assert_eq!(set(&ada, given, limits(9)).await, Ok(1));
    assert_eq!(set(&ada, given, limits(10)).await, by_staff, "what was narrowed stays so");
    assert_eq!(set(&at(NOW), given, vec![]).await, Ok(0));

    // Where members make keys themselves, they set and take away what they like.
    let mine = NewKey { organization: id, limits: limits(1), ..new_key("mine") };
    let mine = control.create_key(&ada, mine).await.unwrap().key().id;
    assert_eq!(set(&ada, mine, limits(500)).await, Ok(1));
    assert_eq!(set(&ada, mine, vec![]).await, Ok(0));
    let visitor = Context::visitor("somebody", Interface::ManagementApi, NOW);
    assert!(set(&visitor, mine, vec![]).await.is_err());
}
