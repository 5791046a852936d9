//! Deliveries, to a receiver that answers as it is told. Time is what the test says it is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use keyward_api::{ChangeEventData, DeliveryView, EventView, TestEventData};
use keyward_core::{event::EventKind, id::WebhookId, time::Timestamp};
use keyward_store::{DeliveryState, WebhookUpdate};

use super::*;
use crate::{
    Control, ControlError,
    app::{
        keys::NewKey,
        webhooks::{DeliveryQuery, IssuedWebhook, NewWebhook},
    },
    fixture::{
        Fixture, NOW, at, new_key, organization,
        receiver::{Receiver, verified},
    },
};

pub(crate) struct World {
    pub(crate) fixture: Fixture,
    pub(crate) control: Control,
    now: Arc<AtomicU64>,
    deliverer: Deliverer,
}

fn here() -> Guard {
    Guard::with(vec!["127.0.0.0/8".parse().unwrap()])
}

impl World {
    pub(crate) async fn new() -> Self {
        let fixture = Fixture::with_organizations().await;
        let now = Arc::new(AtomicU64::new(NOW.as_millis()));
        let control = fixture.control().with_guard(here());
        let deliverer = deliverer(&fixture, &now, here());
        Self { fixture, control, now, deliverer }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.now.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn webhook(&self, url: &str) -> IssuedWebhook {
        let new = NewWebhook {
            organization: Some(organization("acme")),
            url: url.to_owned(),
            description: String::new(),
            events: Some(vec![EventKind::KeyCreated]),
        };
        self.control.create_webhook(&at(self.now()), new).await.unwrap()
    }

    async fn key(&self, name: &str) {
        self.control.create_key(&at(self.now()), new_key(name)).await.unwrap();
    }

    /// Delivers what is due now, to the end. Answers how much that was.
    pub(crate) async fn deliver(&mut self) -> usize {
        let mut count = 0;
        loop {
            count += self.deliverer.begin().await.unwrap();
            match self.deliverer.running.join_next().await {
                Some(done) => self.deliverer.free(Some(done.unwrap())),
                None => return count,
            }
        }
    }

    async fn deliveries(&self, webhook: &IssuedWebhook) -> Vec<DeliveryView> {
        let (context, id) = (at(self.now()), id(webhook));
        let query = DeliveryQuery::default();
        self.control.list_deliveries(&context, id, &query, 100).await.unwrap().items
    }
}

fn deliverer(fixture: &Fixture, now: &Arc<AtomicU64>, guard: Guard) -> Deliverer {
    let now = now.clone();
    let clock: Clock = Arc::new(move || Timestamp::from_millis(now.load(Ordering::SeqCst)));
    let settings = WebhookSettings { guard, ..WebhookSettings::default() };
    let (store, sealer) = (fixture.folder.store(), fixture.folder.sealer());
    Deliverer::new(store, sealer, Mailer::none(), settings, clock)
}

fn id(webhook: &IssuedWebhook) -> WebhookId {
    webhook.webhook.id.parse().unwrap()
}

#[tokio::test]
async fn what_fails_twice_is_taken_at_the_third_try_under_the_same_id_and_verifies() {
    let mut world = World::new().await;
    let receiver = Receiver::start().await;
    let webhook = world.webhook(&receiver.url).await;
    receiver.answer(&[500, 302]);
    world.key("ci").await;
    assert_eq!(world.deliver().await, 1);
    assert_eq!(world.deliver().await, 0, "not before its time");
    world.wait(Duration::from_secs(6));
    assert_eq!(world.deliver().await, 1);
    world.wait(Duration::from_secs(331));
    assert_eq!(world.deliver().await, 1);
    world.wait(Duration::from_secs(100_000));
    assert_eq!(world.deliver().await, 0, "it was taken");

    let received = receiver.received();
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|one| one.path == "/hook"), "no redirect is followed");
    let ids: Vec<_> = received.iter().map(|one| one.header("webhook-id").to_owned()).collect();
    let [one] = world.deliveries(&webhook).await.try_into().unwrap();
    assert_eq!(ids, vec![one.event_id.clone(); 3]);
    assert_eq!((one.attempts, one.last_status, one.last_problem), (3, Some(204), None));
    let bodies = verified(webhook.secret.expose(), &received).unwrap();
    assert_eq!(bodies[0]["type"], "key.created");
    assert_eq!(bodies[0]["data"]["after"]["name"], "ci");
    let told: EventView<ChangeEventData> = serde_json::from_value(bodies[0].clone()).unwrap();
    assert_eq!(serde_json::to_value(told).unwrap(), bodies[0], "it is as it is described");
    let other = signature::mint_secret().unwrap();
    assert_eq!(verified(other.expose(), &received), None, "under another secret it is forged");
}

#[tokio::test]
async fn while_a_secret_rotates_both_verify_and_then_the_new_one_alone() {
    let mut world = World::new().await;
    let receiver = Receiver::start().await;
    let first = world.webhook(&receiver.url).await;
    let hour = Duration::from_secs(3600);
    let second = world.control.rotate_webhook(&at(NOW), id(&first), hour).await.unwrap();
    assert_eq!(second.webhook.secrets.len(), 2);
    world.key("one").await;
    world.deliver().await;
    let both = receiver.received();
    assert!(verified(first.secret.expose(), &both).is_some());
    assert!(verified(second.secret.expose(), &both).is_some());
    world.wait(hour);
    world.key("two").await;
    world.deliver().await;
    let last = &receiver.received()[1..];
    assert_eq!(verified(first.secret.expose(), last), None);
    assert!(verified(second.secret.expose(), last).is_some());
    let now = at(world.now());
    let third = world.control.rotate_webhook(&now, id(&first), hour).await.unwrap();
    let retired = world.control.retire_webhook_secrets(&now, id(&first)).await.unwrap();
    assert_eq!(retired.secrets.len(), 1);
    world.key("three").await;
    world.deliver().await;
    let last = &receiver.received()[2..];
    assert_eq!(verified(second.secret.expose(), last), None, "retired at once");
    assert!(verified(third.secret.expose(), last).is_some());
}

#[tokio::test]
async fn after_the_last_try_it_is_given_up_and_can_be_sent_again() {
    let mut world = World::new().await;
    let receiver = Receiver::start().await;
    let webhook = world.webhook(&receiver.url).await;
    receiver.answer(&[503; 8]);
    world.key("ci").await;
    let mut tries = 0;
    for _ in 0..12 {
        tries += world.deliver().await;
        world.wait(Duration::from_secs(11 * 3600 + 60));
    }
    assert_eq!(tries, 8);
    let [failed] = world.deliveries(&webhook).await.try_into().unwrap();
    assert_eq!(
        (failed.state.as_str(), failed.last_problem.as_deref()),
        ("failed", Some("it answered 503"))
    );
    let again = failed.id.parse().unwrap();
    world.control.resend_delivery(&at(world.now()), again).await.unwrap();
    assert_eq!(world.deliver().await, 1);
    let received = receiver.received();
    assert_eq!(received[8].header("webhook-id"), received[0].header("webhook-id"));
    assert!(verified(webhook.secret.expose(), &received[8..]).is_some());
    assert_eq!(world.deliveries(&webhook).await[0].state.as_str(), "delivered");
}

#[tokio::test]
async fn who_answers_gone_or_takes_nothing_for_days_is_told_nothing_more() {
    let mut world = World::new().await;
    let (gone, silent) = (Receiver::start().await, Receiver::start().await);
    let (first, second) = (world.webhook(&gone.url).await, world.webhook(&silent.url).await);
    gone.answer(&[410]);
    silent.answer(&[500; 100]);
    world.key("ci").await;
    for day in 0..7 {
        world.deliver().await;
        world.key(&format!("{day}")).await;
        world.wait(Duration::from_secs(24 * 3600));
    }
    world.deliver().await;
    assert_eq!(gone.received().len(), 1);
    let show = async |webhook| world.control.show_webhook(&at(world.now()), id(webhook)).await;
    let why = |view: Result<keyward_api::WebhookView, ControlError>| {
        let view = view.unwrap();
        assert!(!view.enabled);
        view.disabled_because.unwrap()
    };
    assert_eq!(why(show(&first).await), "it answered 410 Gone");
    assert_eq!(why(show(&second).await), "it took nothing for five days");
    assert!(world.deliveries(&second).await.iter().all(|one| one.state.as_str() == "failed"));
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_holds_up_nobody_else() {
    let mut world = World::new().await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.hold();
    world.webhook(&slow.url).await;
    let second = world.webhook(&quick.url).await;
    for number in 0..50 {
        world.key(&format!("{number}")).await;
    }
    let waiting = DeliveryQuery { state: Some(DeliveryState::Waiting), after: None };
    loop {
        world.deliverer.begin().await.unwrap();
        let context = at(world.now());
        let left = world.control.list_deliveries(&context, id(&second), &waiting, 100).await;
        if left.unwrap().items.is_empty() {
            break;
        }
        let done = world.deliverer.running.join_next().await.unwrap().unwrap();
        assert_eq!(done.webhook, id(&second));
        world.deliverer.free(Some(done));
    }
    assert_eq!(quick.received().len(), 50);
    assert!(slow.received().len() <= AT_ONCE_EACH);
}

#[tokio::test]
async fn an_organization_of_many_that_do_not_answer_holds_up_no_other() {
    let mut world = World::new().await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.hold();
    for _ in 0..20 {
        world.webhook(&slow.url).await;
    }
    let theirs = NewWebhook {
        organization: Some(organization("other")),
        url: quick.url.clone(),
        description: String::new(),
        events: None,
    };
    world.control.create_webhook(&at(NOW), theirs).await.unwrap();
    for number in 0..10 {
        world.key(&format!("{number}")).await;
    }
    for _ in 0..3 {
        world.deliverer.begin().await.unwrap();
    }
    assert_eq!(world.deliverer.running.len(), AT_ONCE_OWNER);
    let new = NewKey { organization: organization("other"), ..new_key("theirs") };
    world.control.create_key(&at(NOW), new).await.unwrap();
    assert_eq!(world.deliverer.begin().await.unwrap(), 1);
    let done = world.deliverer.running.join_next().await.unwrap().unwrap();
    assert_eq!(done.owner, Some(organization("other")));
    assert_eq!(quick.received().len(), 1);
}

#[tokio::test]
async fn whichever_webhook_is_the_first_to_it_is_sent() {
    let mut world = World::new().await;
    let receiver = Receiver::start().await;
    let mut webhooks = Vec::new();
    for _ in 0..8 {
        webhooks.push(id(&world.webhook(&receiver.url).await));
    }
    webhooks.sort_unstable();
    for number in 0..8 {
        world.key(&format!("{number}")).await;
    }
    let reached = async |world: &mut World, first| {
        assert_eq!(world.deliverer.begin_behind(first).await.unwrap(), AT_ONCE_OWNER);
        let mut reached = std::collections::BTreeSet::new();
        while let Some(done) = world.deliverer.running.join_next().await {
            let done = done.unwrap();
            reached.insert(done.webhook);
            world.deliverer.free(Some(done));
        }
        reached.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(reached(&mut world, Some(webhooks[1])).await, webhooks[2..6]);
    let round = reached(&mut world, Some(webhooks[5])).await;
    assert_eq!(round, [&webhooks[..2], &webhooks[6..]].concat(), "behind the last comes the first");
}

#[tokio::test]
async fn one_that_is_rarely_told_anything_is_not_given_up_on_for_one_delivery() {
    let mut world = World::new().await;
    let receiver = Receiver::start().await;
    let webhook = world.webhook(&receiver.url).await;
    receiver.answer(&[500; 9]);
    world.key("first").await;
    for _ in 0..8 {
        assert_eq!(world.deliver().await, 1);
        world.wait(Duration::from_secs(12 * 3600));
    }
    world.wait(PATIENCE_WITH_ONE);
    world.key("second").await;
    assert_eq!(world.deliver().await, 1);
    let shown = world.control.show_webhook(&at(world.now()), id(&webhook)).await.unwrap();
    assert!(shown.enabled && shown.failing_since.is_some());
    world.wait(Duration::from_secs(6));
    assert_eq!(world.deliver().await, 1, "it is tried again");
    assert_eq!(world.deliveries(&webhook).await[0].state.as_str(), "delivered");
}

#[tokio::test]
async fn after_a_kill_what_was_under_way_is_sent_again() {
    let mut world = World::new().await;
    let receiver = Receiver::start().await;
    receiver.hold();
    world.webhook(&receiver.url).await;
    world.key("ci").await;
    assert_eq!(world.deliverer.begin().await.unwrap(), 1);
    // The sender is gone, with all it knew.
    world.deliverer = deliverer(&world.fixture, &world.now, here());
    assert_eq!(world.deliverer.begin().await.unwrap(), 0, "it may still be under way");
    world.wait(LEASE);
    assert_eq!(world.deliverer.begin().await.unwrap(), 1);
}

#[tokio::test]
async fn where_the_guard_does_not_let_through_nothing_is_sent() {
    let mut world = World::new().await;
    let receiver = Receiver::start().await;
    let webhook = world.webhook(&receiver.url).await;
    // What was allowed when it was written down is not any more.
    world.deliverer = deliverer(&world.fixture, &world.now, Guard::strict());
    world.key("ci").await;
    assert_eq!(world.deliver().await, 1);
    let [failed] = world.deliveries(&webhook).await.try_into().unwrap();
    assert_eq!(failed.last_problem.as_deref(), Some("its address is not https"));
    assert!(receiver.received().is_empty());
    let strict = world.fixture.control();
    let update = WebhookUpdate { url: Some(receiver.url.clone()), ..WebhookUpdate::default() };
    let refused = strict.update_webhook(&at(NOW), id(&webhook), update, None).await;
    assert!(matches!(refused, Err(ControlError::Invalid { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_test_reaches_who_wants_to_hear_of_nothing_like_it() {
    let mut world = World::new().await;
    let receiver = Receiver::start().await;
    let webhook = world.webhook(&receiver.url).await;
    let sent = world.control.test_webhook(&at(NOW), id(&webhook)).await.unwrap();
    assert_eq!(world.deliver().await, 1);
    let bodies = verified(webhook.secret.expose(), &receiver.received()).unwrap();
    assert_eq!(bodies[0]["type"], "webhook.test");
    let told: EventView<TestEventData> = serde_json::from_value(bodies[0].clone()).unwrap();
    assert_eq!(serde_json::to_value(told).unwrap(), bodies[0], "it is as it is described");
    let delivery = sent.id.parse().unwrap();
    let shown = world.control.show_delivery(&at(NOW), delivery).await.unwrap();
    assert_eq!(shown.payload, bodies[0]);
}
