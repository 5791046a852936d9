//! What is promised of webhooks: who sees to them, what is told when, and that each delivery is one sender's.

use keyward_core::{
    event::EventKind,
    id::{DeliveryId, EventId, WebhookId, WebhookSecretId},
    key::KeyState,
    member::{Right, User},
    time::Timestamp,
};
use keyward_store::{
    Actor, AfterAttempt, Attempt, Change, Delivery, DeliveryFilter, DeliveryState, DueFilter,
    Failing, Forget, Interface, Page, SealedBytes, Store, StoreError, Webhook, WebhookChange,
    WebhookSecret, WebhookUpdate,
};

use super::{
    Bed, NOW, actor, commit, creation, later, organization, organization_id, requests, state,
    trace, with_organization,
};

pub(crate) fn id(number: u8) -> WebhookId {
    WebhookId::from_bits([number; 16])
}

fn secret(number: u8) -> WebhookSecret {
    WebhookSecret {
        id: WebhookSecretId::from_bits([number; 16]),
        sealed: SealedBytes::from_bytes(*b"sealed secret"),
        created_at: NOW,
        expires_at: None,
    }
}

/// Webhook `number` of organization `org`, which hears of everything.
pub(crate) fn webhook(number: u8) -> Webhook {
    Webhook {
        id: id(number),
        organization: Some(organization_id("org")),
        url: "https://hooks.example.com/T0/path-that-is-secret".to_owned(),
        description: format!("hook {number}"),
        events: None,
        enabled: true,
        disabled_because: None,
        created_at: NOW,
    }
}

pub(crate) fn make(webhook: Webhook) -> Change {
    let number = webhook.id.bits()[0];
    Change::Webhook(WebhookChange::Create { webhook, secret: secret(number) })
}

fn update(number: u8, update: WebhookUpdate) -> Change {
    Change::Webhook(WebhookChange::Update { webhook: id(number), update, seen: None })
}

async fn all(bed: &Bed, number: u8) -> Vec<Delivery> {
    let filter = DeliveryFilter { webhook: Some(id(number)), state: None };
    bed.second.deliveries(&filter, Page::first(100)).await.unwrap()
}

async fn kinds(bed: &Bed, number: u8) -> Vec<&'static str> {
    all(bed, number).await.iter().rev().map(|one| one.kind.as_str()).collect()
}

fn failed(at: Timestamp) -> Attempt {
    Attempt { at, status: Some(500), problem: Some("answered 500".to_owned()) }
}

pub(crate) async fn a_webhook_reads_back_and_is_changed_and_removed(bed: Bed) {
    with_organization(&bed.store).await;
    let narrow = Webhook { events: Some(vec![EventKind::KeyRevoked]), ..webhook(1) };
    commit(&bed.store, make(narrow.clone())).await.unwrap();
    let record = bed.second.webhook(id(1)).await.unwrap().unwrap();
    assert_eq!((&record.webhook, record.secrets.as_slice()), (&narrow, &[secret(1)][..]));
    let same = WebhookUpdate { url: Some(narrow.url.clone()), ..WebhookUpdate::default() };
    let before = trace(&bed.store).await;
    commit(&bed.store, update(1, same)).await.unwrap();
    assert_eq!(trace(&bed.store).await, before, "it is so already");

    let other =
        WebhookUpdate { events: Some(None), enabled: Some(false), ..WebhookUpdate::default() };
    commit(&bed.store, update(1, other.clone())).await.unwrap();
    let changed = bed.second.webhook(id(1)).await.unwrap().unwrap();
    assert_eq!(changed.webhook, Webhook { events: None, enabled: false, ..narrow });
    let outdated =
        WebhookChange::Update { webhook: id(1), update: other, seen: Some(record.revision) };
    let outdated = commit(&bed.store, Change::Webhook(outdated)).await;
    assert!(matches!(outdated, Err(StoreError::Outdated { .. })), "{outdated:?}");

    let remove = || Change::Webhook(WebhookChange::Delete(id(1)));
    commit(&bed.store, remove()).await.unwrap();
    assert_eq!(bed.second.webhook(id(1)).await, Ok(None));
    assert_eq!(bed.second.webhooks(Some(&organization_id("org"))).await, Ok(vec![]));
    assert_eq!(commit(&bed.store, remove()).await, Err(StoreError::NoSuchWebhook(id(1))));
    let (.., audit) = trace(&bed.store).await;
    let of_webhook: Vec<_> =
        audit.iter().filter(|one| one.action.starts_with("webhook.")).collect();
    assert_eq!(of_webhook.len(), 3);
    assert!(of_webhook.iter().all(|one| one.organization == Some(organization_id("org"))));
    assert!(!format!("{audit:?}").contains("path-that-is-secret"), "{audit:?}");
}

pub(crate) async fn a_webhook_that_contradicts_itself_is_refused(bed: Bed) {
    with_organization(&bed.store).await;
    for wrong in [
        Webhook { url: "ftp://a.example/".to_owned(), ..webhook(1) },
        Webhook { url: "https://".to_owned(), ..webhook(1) },
        Webhook { url: "https://a.example/ b".to_owned(), ..webhook(1) },
        Webhook { url: format!("https://{}", "a".repeat(2048)), ..webhook(1) },
        Webhook { description: "x".repeat(201), ..webhook(1) },
        Webhook { description: "a\nb".to_owned(), ..webhook(1) },
        Webhook { events: Some(vec![]), ..webhook(1) },
    ] {
        let refused = commit(&bed.store, make(wrong.clone())).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{wrong:?}: {refused:?}");
    }
    let nowhere = Webhook { organization: Some(organization_id("nowhere")), ..webhook(1) };
    let refused = commit(&bed.store, make(nowhere)).await;
    assert_eq!(refused, Err(StoreError::NoSuchOrganization(organization_id("nowhere"))));
    for number in 1..=20 {
        commit(&bed.store, make(webhook(number))).await.unwrap();
    }
    let full = commit(&bed.store, make(webhook(21))).await;
    assert_eq!(full, Err(StoreError::TooManyWebhooks { most: 20 }));
}

pub(crate) async fn a_change_is_told_to_who_wants_to_hear_of_it(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, Change::CreateOrganization(organization("other"))).await.unwrap();
    let revocations = Webhook { events: Some(vec![EventKind::KeyRevoked]), ..webhook(2) };
    let elsewhere = Webhook { organization: Some(organization_id("other")), ..webhook(3) };
    let operators = Webhook { organization: None, ..webhook(4) };
    let resting = Webhook { enabled: false, ..webhook(5) };
    for one in [webhook(1), revocations, elsewhere, operators, resting] {
        commit(&bed.store, make(one)).await.unwrap();
    }
    commit(&bed.store, creation(1)).await.unwrap();
    commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    commit(&bed.store, creation(1)).await.unwrap_err();
    assert_eq!(kinds(&bed, 1).await, ["key.created", "key.revoked"]);
    assert_eq!(kinds(&bed, 2).await, ["key.revoked"]);
    assert_eq!(kinds(&bed, 3).await, [""; 0]);
    assert_eq!(kinds(&bed, 4).await, ["key.created", "key.revoked"]);
    assert_eq!(kinds(&bed, 5).await, [""; 0]);
    let (one, other) = (all(&bed, 1).await, all(&bed, 4).await);
    assert_eq!(one[0].event, other[0].event, "one event, told to both");
    assert_ne!(one[0].id, other[0].id);
    let payload: serde_json::Value = serde_json::from_str(&one[0].payload).unwrap();
    assert_eq!(
        (&payload["type"], &payload["data"]["after"]["state"]),
        (&"key.revoked".into(), &"revoked".into())
    );
    assert_eq!(payload["data"]["organization_id"], "org");
    assert!(!format!("{one:?}{other:?}").contains("kw_aaa"), "no hint of a secret");
    let rehearsed = vec![state(1, KeyState::Disabled), creation(2)];
    bed.store.rehearse(&actor(), NOW, rehearsed).await.unwrap();
    assert_eq!(all(&bed, 1).await.len(), 2, "nobody hears of what was only rehearsed");
}

pub(crate) async fn a_delivery_is_one_senders_until_its_lease_is_over(bed: Bed) {
    with_organization(&bed.store).await;
    for number in [1, 2] {
        commit(&bed.store, make(webhook(number))).await.unwrap();
    }
    commit(&bed.store, creation(1)).await.unwrap();
    let due = async |at, busy: &[WebhookId]| -> Vec<DeliveryId> {
        let busy = busy.to_vec();
        let filter = DueFilter { at, busy, each: 10, limit: 10, ..DueFilter::default() };
        let due = bed.store.due_deliveries(&filter).await.unwrap();
        assert_eq!(due.next, None);
        due.deliveries.into_iter().map(|one| one.id).collect()
    };
    assert_eq!(due(NOW.minus(std::time::Duration::from_secs(1)), &[]).await, []);
    assert_eq!(due(NOW, &[]).await.len(), 2);
    let first = all(&bed, 1).await[0].id;
    assert_eq!(due(NOW, &[id(2)]).await, [first], "to who is busy nothing is due");
    assert!(bed.store.lease_delivery(first, NOW, later(60)).await.unwrap());
    assert!(!bed.second.lease_delivery(first, NOW, later(60)).await.unwrap());
    assert_eq!(due(later(59), &[id(2)]).await, []);
    assert_eq!(due(later(60), &[id(2)]).await, [first], "whoever had it was killed");
    // Two that fail, one that is taken.
    let note = async |at, after| {
        let attempt = match after {
            AfterAttempt::Done => Attempt { at, status: Some(204), problem: None },
            _ => failed(at),
        };
        bed.second.note_attempt(first, attempt, after).await.unwrap()
    };
    let since = |tries| Some(Failing { since: later(61), tries });
    assert_eq!(note(later(61), AfterAttempt::TryAt(later(66))).await, since(1));
    assert_eq!(note(later(66), AfterAttempt::TryAt(later(90))).await, since(2));
    assert_eq!(bed.store.webhook(id(1)).await.unwrap().unwrap().failing, since(2));
    let held = bed.store.delivery(first).await.unwrap().unwrap();
    assert_eq!(
        (held.attempts, held.next_at, held.last),
        (2, Some(later(90)), Some(failed(later(66))))
    );
    assert_eq!(note(later(90), AfterAttempt::Done).await, None);
    let held = bed.store.delivery(first).await.unwrap().unwrap();
    assert_eq!((held.state, held.attempts, held.next_at), (DeliveryState::Delivered, 3, None));
    assert_eq!(bed.store.webhook(id(1)).await.unwrap().unwrap().failing, None);
    assert_eq!(due(later(1000), &[id(2)]).await, []);
    let again = Change::Webhook(WebhookChange::Resend(first));
    bed.store.commit(&actor(), later(1000), again).await.unwrap();
    assert_eq!(due(later(1000), &[id(2)]).await, [first]);
}

pub(crate) async fn what_is_given_up_on_hears_nothing_more(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, make(webhook(1))).await.unwrap();
    commit(&bed.store, creation(1)).await.unwrap();
    let give_up = Change::Webhook(WebhookChange::GiveUp { webhook: id(1), why: "410".to_owned() });
    commit(&bed.store, give_up.clone()).await.unwrap();
    let before = trace(&bed.store).await;
    commit(&bed.store, give_up).await.unwrap();
    assert_eq!(trace(&bed.store).await, before);
    let held = bed.store.webhook(id(1)).await.unwrap().unwrap().webhook;
    assert_eq!((held.enabled, held.disabled_because.as_deref()), (false, Some("410")));
    assert_eq!(all(&bed, 1).await[0].state, DeliveryState::Failed);
    commit(&bed.store, creation(2)).await.unwrap();
    assert_eq!(all(&bed, 1).await.len(), 1);
    let test = Change::Webhook(WebhookChange::Test {
        webhook: id(1),
        event: EventId::from_bits([1; 16]),
        delivery: DeliveryId::from_bits([1; 16]),
    });
    let disabled = Err(StoreError::WebhookDisabled(id(1)));
    assert_eq!(commit(&bed.store, test.clone()).await, disabled);
    let resend = WebhookChange::Resend(all(&bed, 1).await[0].id);
    assert_eq!(commit(&bed.store, Change::Webhook(resend)).await, disabled);
    let enable = WebhookUpdate { enabled: Some(true), ..WebhookUpdate::default() };
    commit(&bed.store, update(1, enable)).await.unwrap();
    assert_eq!(bed.store.webhook(id(1)).await.unwrap().unwrap().webhook.disabled_because, None);
    commit(&bed.store, test).await.unwrap();
    assert_eq!(kinds(&bed, 1).await, ["key.created", "webhook.test"]);
}

pub(crate) async fn old_secrets_stay_good_until_they_are_retired(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, make(webhook(1))).await.unwrap();
    let rotate = |number, old_expires_at| {
        let webhook = id(1);
        Change::Webhook(WebhookChange::Rotate { webhook, secret: secret(number), old_expires_at })
    };
    commit(&bed.store, rotate(2, later(100))).await.unwrap();
    commit(&bed.store, rotate(3, later(200))).await.unwrap();
    let ends = async || -> Vec<_> {
        let secrets = bed.second.webhook(id(1)).await.unwrap().unwrap().secrets;
        secrets.into_iter().map(|one| (one.id.bits()[0], one.expires_at)).collect()
    };
    assert_eq!(ends().await, [(3, None), (2, Some(later(200))), (1, Some(later(100)))]);
    let retire = || Change::Webhook(WebhookChange::RetireSecrets(id(1)));
    bed.store.commit(&actor(), later(50), retire()).await.unwrap();
    assert_eq!(ends().await, [(3, None), (2, Some(later(50))), (1, Some(later(50)))]);
    let before = trace(&bed.store).await;
    bed.store.commit(&actor(), later(51), retire()).await.unwrap();
    assert_eq!(trace(&bed.store).await, before, "they are retired already");
}

pub(crate) async fn old_deliveries_are_forgotten_and_what_waits_is_not(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, make(webhook(1))).await.unwrap();
    commit(&bed.store, creation(1)).await.unwrap();
    let done = all(&bed, 1).await[0].id;
    bed.store.note_attempt(done, failed(NOW), AfterAttempt::GiveUp).await.unwrap();
    commit(&bed.store, creation(2)).await.unwrap();
    let waiting = all(&bed, 1).await[0].id;
    bed.store.commit(&actor(), later(10), creation(3)).await.unwrap();
    let forget =
        async |before, limit| bed.store.forget_deliveries(Forget::Before(before), limit).await;
    assert_eq!(forget(later(5), 100).await, Ok(2), "the delivery and its event");
    assert_eq!(forget(later(5), 100).await, Ok(0));
    assert_eq!(bed.store.delivery(done).await, Ok(None));
    assert!(bed.store.delivery(waiting).await.unwrap().is_some());
    assert_eq!(all(&bed, 1).await.len(), 2);
    let page = bed.store.deliveries(&DeliveryFilter::default(), Page::first(1)).await.unwrap();
    let next = Page::after(page[0].id, 1);
    let next = bed.store.deliveries(&DeliveryFilter::default(), next).await.unwrap();
    assert_eq!(next[0].id, waiting);
}

pub(crate) async fn of_many_that_are_over_the_oldest_are_forgotten_in_pieces(bed: Bed) {
    with_organization(&bed.store).await;
    for number in [1, 2] {
        commit(&bed.store, make(webhook(number))).await.unwrap();
    }
    for key in 1..=6 {
        commit(&bed.store, creation(key)).await.unwrap();
    }
    for one in all(&bed, 1).await.iter().skip(1) {
        bed.store.note_attempt(one.id, failed(NOW), AfterAttempt::GiveUp).await.unwrap();
    }
    assert_eq!(bed.second.crowded_webhooks(6).await, Ok(vec![]));
    assert_eq!(bed.second.crowded_webhooks(4).await, Ok(vec![(id(1), 2), (id(2), 2)]));
    let kept = all(&bed, 1).await;
    for (limit, gone) in [(2, 2), (2, 2), (2, 1), (2, 0)] {
        assert_eq!(bed.store.forget_deliveries(Forget::To(id(1)), limit).await, Ok(gone));
    }
    assert_eq!(all(&bed, 1).await, kept[..1], "what waits stays");
    assert_eq!(all(&bed, 2).await.len(), 6);
    for one in all(&bed, 2).await {
        bed.store.note_attempt(one.id, failed(NOW), AfterAttempt::GiveUp).await.unwrap();
    }
    // Of six events, one is told of still; and six deliveries.
    for gone in [2 + 2, 2 + 2, 2 + 1, 0] {
        assert_eq!(bed.store.forget_deliveries(Forget::Before(later(1)), 2).await, Ok(gone));
    }
}

pub(crate) async fn what_is_due_is_told_webhook_by_webhook(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, Change::CreateOrganization(organization("other"))).await.unwrap();
    let owners = [Some("org"), Some("org"), Some("other"), None];
    for (number, owner) in (1..).zip(owners) {
        let events = Some(vec![EventKind::WebhookTest]);
        let one = Webhook { organization: owner.map(organization_id), events, ..webhook(number) };
        commit(&bed.store, make(one)).await.unwrap();
        for delivery in 0..3 {
            let bits = [16 * number + delivery; 16];
            let test = WebhookChange::Test {
                webhook: id(number),
                event: EventId::from_bits(bits),
                delivery: DeliveryId::from_bits(bits),
            };
            let at = later(10 - u64::from(delivery));
            bed.store.commit(&actor(), at, Change::Webhook(test)).await.unwrap();
        }
    }
    let due = async |filter: DueFilter| {
        let due = bed.second.due_deliveries(&filter).await.unwrap();
        let ids: Vec<_> = due.deliveries.iter().map(|one| one.id.bits()[0]).collect();
        for one in due.deliveries {
            let expected = owners[usize::from(one.webhook.bits()[0]) - 1];
            assert_eq!(one.owner, expected.map(organization_id));
        }
        (ids, due.next.map(|next| next.bits()[0]))
    };
    let all = DueFilter { at: later(10), each: 2, limit: 100, ..DueFilter::default() };
    let every = vec![0x12, 0x11, 0x22, 0x21, 0x32, 0x31, 0x42, 0x41];
    assert_eq!(due(all.clone()).await, (every, None), "to each the longest due first");
    assert_eq!(due(DueFilter { at: later(8), ..all.clone() }).await.0, [0x12, 0x22, 0x32, 0x42]);
    let page = DueFilter { limit: 3, ..all.clone() };
    assert_eq!(due(page.clone()).await, (vec![0x12, 0x11, 0x22], Some(2)));
    let next = DueFilter { after: Some(id(2)), ..page };
    assert_eq!(due(next).await, (vec![0x32, 0x31, 0x42], Some(4)));
    let busy = DueFilter {
        busy: vec![id(3)],
        busy_owners: vec![Some(organization_id("org"))],
        ..all.clone()
    };
    assert_eq!(due(busy).await, (vec![0x42, 0x41], None));
    let operators = DueFilter { busy_owners: vec![None], ..all };
    assert_eq!(due(operators).await.0, [0x12, 0x11, 0x22, 0x21, 0x32, 0x31]);
}

pub(crate) async fn what_is_somewhere_else_has_not_failed(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, make(webhook(1))).await.unwrap();
    commit(&bed.store, creation(1)).await.unwrap();
    let one = all(&bed, 1).await[0].id;
    let failing = async || bed.second.webhook(id(1)).await.unwrap().unwrap().failing;
    let fail = async || {
        bed.store.note_attempt(one, failed(NOW), AfterAttempt::TryAt(later(1))).await.unwrap();
        assert_eq!(failing().await, Some(Failing { since: NOW, tries: 1 }));
    };
    fail().await;
    let words = WebhookUpdate { description: Some("chat".to_owned()), ..WebhookUpdate::default() };
    commit(&bed.store, update(1, words)).await.unwrap();
    assert!(failing().await.is_some());
    let moved = Some("https://other.example.com/".to_owned());
    commit(&bed.store, update(1, WebhookUpdate { url: moved, ..WebhookUpdate::default() }))
        .await
        .unwrap();
    assert_eq!(failing().await, None);
    fail().await;
    for enabled in [false, true] {
        let update_it = WebhookUpdate { enabled: Some(enabled), ..WebhookUpdate::default() };
        commit(&bed.store, update(1, update_it)).await.unwrap();
    }
    assert_eq!(failing().await, None);
}

pub(crate) async fn no_secret_that_is_good_is_dropped_by_rotations(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, make(webhook(1))).await.unwrap();
    let rotate = async |number: u8, at: Timestamp| {
        let old_expires_at = later(1000);
        let rotate =
            WebhookChange::Rotate { webhook: id(1), secret: secret(number), old_expires_at };
        bed.store.commit(&actor(), at, Change::Webhook(rotate)).await
    };
    for number in 2..=10 {
        rotate(number, NOW).await.unwrap();
    }
    let secrets = async || bed.second.webhook(id(1)).await.unwrap().unwrap().secrets;
    assert_eq!(secrets().await.len(), 10);
    let refused = rotate(11, later(999)).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    assert_eq!(secrets().await.len(), 10, "all are good still");
    rotate(11, later(1000)).await.unwrap();
    let left: Vec<_> = secrets().await.iter().map(|one| one.id.bits()[0]).collect();
    assert_eq!(left, [11, 10], "what had ended is gone");
}

/// As somebody who logged in.
pub(crate) async fn by_person(
    store: &dyn Store,
    who: &User,
    change: Change,
) -> Result<(), StoreError> {
    let actor = Actor::person(who, Interface::ManagementApi);
    store.commit(&actor, NOW, change).await.map(drop)
}

pub(crate) async fn who_may_see_to_webhooks(bed: Bed) {
    let store = &*bed.store;
    let people = requests::people(store).await;
    let ours = || make(webhook(1));
    let forbidden = Err(StoreError::NotAllowed(Some(Right::WriteWebhooks)));
    for who in [&people.viewer, &people.dev] {
        assert_eq!(by_person(store, who, ours()).await, forbidden);
    }
    let nowhere = Err(StoreError::NoSuchOrganization(organization_id("org")));
    assert_eq!(by_person(store, &people.stranger, ours()).await, nowhere);
    by_person(store, &people.admin, ours()).await.unwrap();
    let operators = make(Webhook { organization: None, ..webhook(2) });
    let refused = by_person(store, &people.owner, operators.clone()).await;
    assert_eq!(refused, Err(StoreError::NotAllowed(None)));
    by_person(store, &people.operator, operators).await.unwrap();
    commit(&bed.store, creation(1)).await.unwrap();
    let (ours, theirs) = (all(&bed, 1).await[0].id, all(&bed, 2).await[0].id);
    let rotate = |number| WebhookChange::Rotate {
        webhook: id(number),
        secret: secret(9),
        old_expires_at: NOW,
    };
    for change in [
        || WebhookChange::Delete(id(1)),
        || WebhookChange::RetireSecrets(id(1)),
        || WebhookChange::Update { webhook: id(1), update: WebhookUpdate::default(), seen: None },
    ] {
        let by = async |who| by_person(store, who, Change::Webhook(change())).await;
        assert_eq!(by(&people.dev).await, forbidden);
        assert_eq!(by(&people.stranger).await, Err(StoreError::NoSuchWebhook(id(1))));
    }
    let by = async |who, change| by_person(store, who, Change::Webhook(change)).await;
    assert_eq!(by(&people.owner, rotate(2)).await, Err(StoreError::NoSuchWebhook(id(2))));
    let resend = WebhookChange::Resend;
    assert_eq!(by(&people.dev, resend(ours)).await, forbidden);
    assert_eq!(by(&people.stranger, resend(ours)).await, Err(StoreError::NoSuchDelivery(ours)));
    assert_eq!(by(&people.owner, resend(theirs)).await, Err(StoreError::NoSuchDelivery(theirs)));
    by(&people.owner, resend(ours)).await.unwrap();
    let give_up = WebhookChange::GiveUp { webhook: id(1), why: "x".to_owned() };
    assert_eq!(by(&people.owner, give_up).await, Err(StoreError::NotAllowed(None)));
    by(&people.admin, rotate(1)).await.unwrap();
}
