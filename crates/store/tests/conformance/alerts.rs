//! What is promised of alerts: who sees to rules, that a thing is told once, and which networks a key is known by.

use keyward_core::{
    alert::{AlertRule, Channel, Condition, MailTo, Scope},
    event::EventKind,
    id::{AlertId, AlertRuleId},
    member::Right,
    time::Timestamp,
    usage::{LastUse, UsageBatch},
};
use keyward_store::{
    Alert, AlertFilter, AlertRuleChange, AlertRuleUpdate, Change, DeliveryFilter, ForgetAlerts,
    Page, StoreError, WebhookChange,
};

use super::{
    Bed, NOW, commit, creation, key_id, later, organization, organization_id, requests, secret_id,
    trace,
    webhooks::{self, by_person},
    with_organization,
};

fn id(number: u8) -> AlertRuleId {
    AlertRuleId::from_bits([number; 16])
}

fn rule(number: u8) -> AlertRule {
    AlertRule {
        id: id(number),
        organization: Some(organization_id("org")),
        name: format!("rule {number}"),
        condition: Condition::ManyRefusals { count: 10, window_minutes: 5 },
        scope: Scope::EachKey,
        channel: Channel { mail: MailTo::Nobody, webhooks: true },
        quiet_seconds: 600,
        enabled: true,
        created_at: NOW,
    }
}

fn make(rule: AlertRule) -> Change {
    Change::AlertRule(AlertRuleChange::Create(rule))
}

fn update(number: u8, update: AlertRuleUpdate) -> Change {
    let update = Box::new(update);
    Change::AlertRule(AlertRuleChange::Update { rule: id(number), update, seen: None })
}

fn alert(number: u8, subject: &str, at: Timestamp) -> Alert {
    Alert {
        id: AlertId::from_bits([number; 16]),
        rule: id(1),
        organization: Some(organization_id("org")),
        subject: subject.to_owned(),
        key: None,
        message: "many".to_owned(),
        raised_at: at,
        resolved_at: None,
    }
}

pub(crate) async fn a_rule_reads_back_and_is_changed_and_removed(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, make(rule(1))).await.unwrap();
    let record = bed.second.alert_rule(id(1)).await.unwrap().unwrap();
    assert_eq!(record.rule, rule(1));
    let before = trace(&bed.store).await;
    let same = AlertRuleUpdate { enabled: Some(true), ..AlertRuleUpdate::default() };
    commit(&bed.store, update(1, same)).await.unwrap();
    assert_eq!(trace(&bed.store).await, before, "it is so already");
    let other = AlertRuleUpdate {
        condition: Some(Condition::RevokedKeyUsed),
        scope: Some(Scope::Key { key: key_id(1) }),
        enabled: Some(false),
        ..AlertRuleUpdate::default()
    };
    commit(&bed.store, update(1, other)).await.unwrap();
    let changed = bed.second.alert_rule(id(1)).await.unwrap().unwrap().rule;
    assert_eq!((changed.condition, changed.enabled), (Condition::RevokedKeyUsed, false));
    assert!(!bed.second.every_alert_rule().await.unwrap().iter().any(|one| one.id == id(1)));
    let delete = || Change::AlertRule(AlertRuleChange::Delete(id(1)));
    commit(&bed.store, delete()).await.unwrap();
    assert_eq!(commit(&bed.store, delete()).await, Err(StoreError::NoSuchAlertRule(id(1))));
    let (.., audit) = trace(&bed.store).await;
    let of_rule: Vec<_> =
        audit.iter().filter(|one| one.action.starts_with("alert_rule.")).collect();
    assert_eq!(of_rule.len(), 3);
    assert!(of_rule.iter().all(|one| one.organization == Some(organization_id("org"))));
    for wrong in [
        AlertRule { name: String::new(), ..rule(2) },
        AlertRule { condition: Condition::KeyUnused { days: 0 }, ..rule(2) },
        AlertRule { quiet_seconds: 367 * 24 * 3600, ..rule(2) },
    ] {
        let refused = commit(&bed.store, make(wrong.clone())).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{wrong:?}: {refused:?}");
    }
}

pub(crate) async fn a_thing_is_raised_once_and_quiet_after(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, webhooks::make(webhooks::webhook(1))).await.unwrap();
    commit(&bed.store, make(rule(1))).await.unwrap();
    assert_eq!(bed.store.raise_alert(alert(1, "one", NOW)).await, Ok(true));
    assert_eq!(
        bed.second.raise_alert(alert(2, "one", later(700))).await,
        Ok(false),
        "it is raised"
    );
    assert_eq!(bed.store.raise_alert(alert(3, "other", NOW)).await, Ok(true));
    assert_eq!(bed.second.resolve_alert(AlertId::from_bits([1; 16]), later(100)).await, Ok(true));
    assert_eq!(bed.store.resolve_alert(AlertId::from_bits([1; 16]), later(100)).await, Ok(false));
    assert_eq!(bed.store.raise_alert(alert(4, "one", later(599))).await, Ok(false), "it is quiet");
    assert_eq!(bed.store.raise_alert(alert(5, "one", later(600))).await, Ok(true));
    let list = async |raised| -> Vec<u8> {
        let organization = Some(organization_id("org"));
        let filter = AlertFilter { organization, raised, ..AlertFilter::default() };
        let alerts = bed.second.alerts(&filter, Page::first(10)).await.unwrap();
        alerts.iter().map(|one| one.id.bits()[0]).collect()
    };
    assert_eq!(list(None).await, [5, 3, 1]);
    assert_eq!(list(Some(true)).await, [5, 3]);
    assert_eq!(list(Some(false)).await, [1]);
    let told = bed.store.deliveries(&DeliveryFilter::default(), Page::first(10)).await.unwrap();
    let kinds: Vec<_> = told.iter().rev().map(|one| one.kind).collect();
    use EventKind::{AlertRaised, AlertResolved};
    assert_eq!(kinds, [AlertRaised, AlertRaised, AlertResolved, AlertRaised]);
    commit(&bed.store, Change::AlertRule(AlertRuleChange::Delete(id(1)))).await.unwrap();
    assert_eq!(list(Some(true)).await, [0; 0], "what it raised is over");
    assert_eq!(bed.store.raise_alert(alert(6, "one", later(9000))).await, Ok(false));
    commit(&bed.store, Change::Webhook(WebhookChange::Delete(webhooks::id(1)))).await.unwrap();
}

pub(crate) async fn who_may_see_to_alert_rules(bed: Bed) {
    let store = &*bed.store;
    let people = requests::people(store).await;
    let refused = by_person(store, &people.dev, make(rule(1))).await;
    assert_eq!(refused, Err(StoreError::NotAllowed(Some(Right::WriteAlerts))));
    let refused = by_person(store, &people.stranger, make(rule(1))).await;
    assert_eq!(refused, Err(StoreError::NoSuchOrganization(organization_id("org"))));
    let everywhere = make(AlertRule { organization: None, ..rule(2) });
    let refused = by_person(store, &people.owner, everywhere.clone()).await;
    assert_eq!(refused, Err(StoreError::NotAllowed(None)));
    by_person(store, &people.operator, everywhere).await.unwrap();
    by_person(store, &people.admin, make(rule(1))).await.unwrap();
    let delete = |number| Change::AlertRule(AlertRuleChange::Delete(id(number)));
    let refused = by_person(store, &people.stranger, delete(1)).await;
    assert_eq!(refused, Err(StoreError::NoSuchAlertRule(id(1))));
    let refused = by_person(store, &people.owner, delete(2)).await;
    assert_eq!(refused, Err(StoreError::NoSuchAlertRule(id(2))));
    by_person(store, &people.owner, delete(1)).await.unwrap();
}

pub(crate) async fn a_key_is_known_by_its_newest_networks(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let used = async |from: String, at| {
        let from = from.parse().unwrap();
        let last = LastUse { secret: secret_id(1), at, from, requests: 1 };
        let batch = UsageBatch { last_uses: vec![last], ..UsageBatch::default() };
        bed.second.record(&batch).await.unwrap();
    };
    used("192.0.2.1".to_owned(), NOW).await;
    used("::ffff:192.0.2.77".to_owned(), later(5)).await;
    used("2001:db8:1:2::3".to_owned(), later(10)).await;
    let since = async |at| bed.store.new_key_networks(at).await.unwrap();
    let found = since(NOW).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].network.as_str(), found[0].first_at), ("2001:db8:1::/48", later(10)));
    assert_eq!((found[0].key, found[0].key_first_at), (key_id(1), NOW));
    for number in 0..100 {
        used(format!("10.0.{number}.1"), later(100 + number)).await;
        let known = since(Timestamp::from_millis(0)).await;
        assert!(known.iter().all(|one| one.key_first_at == NOW && one.name == "key 1"));
        // With as many as are remembered, one that was forgotten would be taken for new.
        let expected = if number < 61 { usize::try_from(number).unwrap() + 3 } else { 0 };
        assert_eq!(known.len(), expected, "{number}");
    }
}

pub(crate) async fn a_rule_that_is_not_looked_at_has_raised_nothing(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, make(rule(1))).await.unwrap();
    commit(&bed.store, make(AlertRule { organization: None, ..rule(2) })).await.unwrap();
    let raised = async |organization: Option<&str>| -> Vec<u8> {
        let organization = organization.map(organization_id);
        let found = bed.second.raised_alerts(organization.as_ref()).await.unwrap();
        found.iter().map(|one| one.id.bits()[0]).collect()
    };
    bed.store.raise_alert(alert(1, "one", NOW)).await.unwrap();
    bed.store.raise_alert(Alert { rule: id(2), ..alert(2, "one", NOW) }).await.unwrap();
    assert_eq!(raised(Some("org")).await, [1]);
    assert_eq!(raised(None).await, [2]);
    let disabled = AlertRuleUpdate { enabled: Some(false), ..AlertRuleUpdate::default() };
    commit(&bed.store, update(1, disabled)).await.unwrap();
    assert_eq!(raised(Some("org")).await, [0; 0]);
    assert_eq!(bed.store.raise_alert(alert(3, "two", NOW)).await, Ok(false));
    assert_eq!(raised(None).await, [2]);
}

pub(crate) async fn an_organization_sees_what_its_own_rules_raised(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, Change::CreateOrganization(organization("other"))).await.unwrap();
    let other = || Some(organization_id("other"));
    for made in [
        rule(1),
        AlertRule { organization: None, ..rule(2) },
        AlertRule { organization: other(), ..rule(3) },
    ] {
        commit(&bed.store, make(made)).await.unwrap();
    }
    bed.store.raise_alert(alert(1, "one", NOW)).await.unwrap();
    bed.store.raise_alert(Alert { rule: id(2), ..alert(2, "one", NOW) }).await.unwrap();
    let foreign = Alert { rule: id(3), organization: other(), ..alert(3, "one", NOW) };
    bed.store.raise_alert(foreign).await.unwrap();
    bed.store.raise_alert(alert(4, "two", NOW)).await.unwrap();
    let list = async |organization: Option<&str>, after: Option<u8>| {
        let organization = organization.map(organization_id);
        let filter = AlertFilter { organization, ..AlertFilter::default() };
        let after = after.map(|number| AlertId::from_bits([number; 16]));
        let found = bed.second.alerts(&filter, Page { after, limit: 10 }).await;
        found.map(|all| all.iter().map(|one| one.id.bits()[0]).collect::<Vec<_>>())
    };
    assert_eq!(list(Some("org"), None).await.unwrap(), [4, 1]);
    assert_eq!(list(None, None).await.unwrap(), [4, 3, 2, 1]);
    assert_eq!(list(Some("org"), Some(4)).await.unwrap(), [1]);
    for not_listed in [2, 3, 9] {
        let missing = StoreError::NoSuchAlert(AlertId::from_bits([not_listed; 16]));
        assert_eq!(
            list(Some("org"), Some(not_listed)).await,
            Err(missing),
            "as a place in the list"
        );
    }
}

pub(crate) async fn one_at_a_time_has_the_turn_to_look(bed: Bed) {
    let (one, other) = ([1; 16], [2; 16]);
    assert_eq!(bed.store.take_turn(one, NOW, later(100)).await, Ok(true));
    assert_eq!(bed.second.take_turn(other, later(99), later(200)).await, Ok(false));
    assert_eq!(bed.store.take_turn(one, later(60), later(160)).await, Ok(true), "it is kept");
    assert_eq!(bed.second.take_turn(other, later(159), later(300)).await, Ok(false));
    assert_eq!(bed.second.take_turn(other, later(160), later(300)).await, Ok(true));
    assert_eq!(bed.second.take_turn(other, later(200), later(200)).await, Ok(true), "given back");
    assert_eq!(bed.store.take_turn(one, later(200), later(300)).await, Ok(true));
}

pub(crate) async fn what_is_long_over_is_forgotten_behind_its_quiet_time(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, make(AlertRule { quiet_seconds: 5000, ..rule(1) })).await.unwrap();
    for number in 1..=4 {
        let subject = number.to_string();
        bed.store.raise_alert(alert(number, &subject, later(u64::from(number)))).await.unwrap();
        if number < 4 {
            bed.store.resolve_alert(AlertId::from_bits([number; 16]), later(10)).await.unwrap();
        }
    }
    let forget = async |at, before, limit| {
        bed.second.forget_alerts(at, ForgetAlerts::Before(before), limit).await
    };
    assert_eq!(forget(later(9000), later(10), 10).await, Ok(0), "it was not over by then");
    assert_eq!(forget(later(5000), later(4000), 10).await, Ok(0), "it is quiet");
    assert_eq!(forget(later(5001), later(4000), 10).await, Ok(1));
    assert_eq!(forget(later(9000), later(4000), 1).await, Ok(1));
    assert_eq!(forget(later(9000), later(4000), 10).await, Ok(1));
    let left = bed.store.alerts(&AlertFilter::default(), Page::first(10)).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id.bits()[0]).collect::<Vec<_>>(), [4], "it is raised");
    for number in 5..=9 {
        let subject = number.to_string();
        bed.store.raise_alert(alert(number, &subject, later(u64::from(number)))).await.unwrap();
        bed.store.resolve_alert(AlertId::from_bits([number; 16]), later(20)).await.unwrap();
    }
    assert_eq!(bed.second.crowded_rules(6).await, Ok(vec![]));
    assert_eq!(bed.second.crowded_rules(4).await, Ok(vec![(id(1), 2)]));
    let of = async |at, limit| bed.second.forget_alerts(at, ForgetAlerts::Of(id(1)), limit).await;
    assert_eq!(of(later(5006), 9).await, Ok(2), "the others are quiet");
    assert_eq!(of(later(9000), 2).await, Ok(2));
    let left = bed.store.alerts(&AlertFilter::default(), Page::first(10)).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id.bits()[0]).collect::<Vec<_>>(), [9, 4]);
}
