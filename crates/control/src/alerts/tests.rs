//! Each kind of rule, provoked; what receivers get of it is verified with the published library. Time is what the test says it is.

use keyward_api::{AlertConditionView, AlertRuleInput, AlertRuleView};
use keyward_core::{
    event::EventKind,
    id::SecretId,
    money::Money,
    usage::{LastUse, UsageBatch, UsageRow, UsageScope, UsageSums},
    verdict::Reason,
};
use serde_json::json;

use super::{
    figures::{Counts, LimitShare, StoredFigures},
    *,
};
use crate::{
    app::webhooks::NewWebhook,
    fixture::{
        NOW, at, new_key, organization,
        receiver::{Receiver, verified},
    },
    webhooks::tests::World as Delivering,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The store's figures, with limits and spending that it does not know yet.
struct Told {
    stored: StoredFigures,
    key: KeyId,
}

#[async_trait::async_trait]
impl Figures for Told {
    async fn counts(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<HashMap<KeyId, Counts>, keyward_store::StoreError> {
        self.stored.counts(from, until).await
    }

    async fn limit_shares(
        &self,
        percent: u8,
        _: Timestamp,
    ) -> Result<Vec<LimitShare>, keyward_store::StoreError> {
        let share = LimitShare {
            organization: organization("acme"),
            key: Some(self.key),
            limit: "monthly".to_owned(),
            percent: 85,
        };
        Ok(if share.percent >= percent { vec![share] } else { vec![] })
    }
}

/// One key of `acme`, one rule, and a receiver that hears of alerts.
struct World {
    delivering: Delivering,
    receiver: Receiver,
    signed_with: String,
    key: KeyId,
    secret: SecretId,
    rule: AlertRuleView,
    looker: Looker,
}

impl World {
    async fn new(condition: serde_json::Value) -> Self {
        let delivering = Delivering::new().await;
        let (control, context) = (&delivering.control, at(NOW));
        let acme = organization("acme");
        for rule in control.list_alert_rules(&context, Some(&acme)).await.unwrap() {
            control.delete_alert_rule(&context, rule.id.parse().unwrap()).await.unwrap();
        }
        let receiver = Receiver::start().await;
        let webhook = NewWebhook {
            organization: Some(acme.clone()),
            url: receiver.url.clone(),
            description: String::new(),
            events: Some(vec![EventKind::AlertRaised, EventKind::AlertResolved]),
        };
        let webhook = control.create_webhook(&context, webhook).await.unwrap();
        let made = control.create_key(&context, new_key("ci")).await.unwrap();
        let condition: AlertConditionView = serde_json::from_value(condition).unwrap();
        let input = AlertRuleInput {
            name: "watch".to_owned(),
            condition,
            scope: None,
            channel: None,
            quiet_seconds: Some(600),
        };
        let rule = control.create_alert_rule(&context, Some(acme), input).await.unwrap();
        let store = delivering.fixture.folder.store();
        let key = made.record.key.id;
        let figures = Arc::new(Told { stored: StoredFigures(store.clone()), key });
        let looker = Looker::new(store, figures, Mailer::none());
        let signed_with = webhook.secret.expose().to_owned();
        Self { looker, receiver, signed_with, key, secret: made.secret, rule, delivering }
    }

    /// Requests of the key that end with a status now.
    async fn requests(&self, status: u16, requests: u64) {
        let scope = UsageScope {
            minute: self.delivering.now().as_minutes(),
            api: "main".into(),
            route: "/".into(),
            key: Some(self.key),
            status,
            reason: matches!(status, 401 | 403 | 429).then_some(Reason::RateLimited),
            ..UsageScope::default()
        };
        let cost = Money::from_billionths(7_500_000_000);
        let sums = UsageSums { requests, cost, ..UsageSums::default() };
        let rows = vec![UsageRow { scope, sums, ..UsageRow::default() }];
        self.record(UsageBatch { rows, ..UsageBatch::default() }).await;
    }

    /// Its first secret is used from an address now.
    async fn used_from(&self, address: &str) {
        let last = LastUse {
            secret: self.secret,
            at: self.delivering.now(),
            from: address.parse().unwrap(),
            requests: 1,
        };
        self.record(UsageBatch { last_uses: vec![last], ..UsageBatch::default() }).await;
    }

    async fn record(&self, batch: UsageBatch) {
        self.delivering.fixture.folder.store().record(batch).await.unwrap();
    }

    async fn look(&mut self) -> usize {
        self.looker.look(self.delivering.now()).await.unwrap()
    }

    fn wait(&self, time: Duration) {
        self.delivering.wait(time);
    }

    /// Does what the rule is there for.
    async fn provoke(&self) {
        let (control, now) = (&self.delivering.control, at(NOW));
        match &self.rule.condition {
            AlertConditionView::LimitShare { .. } => {}
            AlertConditionView::Spend { .. } => self.requests(200, 1).await,
            AlertConditionView::ErrorRate { .. } => self.requests(500, 30).await,
            AlertConditionView::RefusalRate { .. } => self.requests(403, 30).await,
            AlertConditionView::ManyRefusals { .. } => self.requests(429, 120).await,
            AlertConditionView::KeyUnused { .. } => self.wait(DAY * 31),
            AlertConditionView::KeyExpiring { .. } => {
                let expires_at = Some(Some(NOW.plus(DAY * 3)));
                let update = keyward_store::KeyUpdate { expires_at, ..Default::default() };
                control.update_key(&now, self.key, update, None).await.unwrap();
            }
            AlertConditionView::OldSecretInUse { .. } => {
                control.rotate_key(&now, self.key, DAY * 5).await.unwrap();
                self.wait(HOUR * 25);
                self.used_from("192.0.2.1").await;
            }
            AlertConditionView::NewNetwork { .. } => {
                self.used_from("192.0.2.1").await;
                self.wait(DAY * 15);
                self.used_from("192.0.2.200").await;
                self.used_from("2001:db8:1:2::3").await;
            }
            AlertConditionView::Jump { .. } => {
                for _ in 0..30 {
                    self.requests(200, 10).await;
                    self.wait(HOUR);
                }
                self.requests(200, 500).await;
            }
            AlertConditionView::RevokedKeyUsed => {
                control.revoke_key(&now, self.key).await.unwrap();
                self.requests(401, 2).await;
            }
        }
    }
}

/// Every kind, with what a receiver is told of it.
fn kinds() -> Vec<(serde_json::Value, &'static str)> {
    vec![
        (json!({ "kind": "limit_share", "percent": 80 }), "85% of the limit `monthly` is used"),
        (
            json!({ "kind": "spend", "amount": "5", "days": 30 }),
            "of the key \"ci\", 7.50 was spent in 30 days, more than 5.00",
        ),
        (
            json!({ "kind": "error_rate", "percent": 50, "window_minutes": 10, "least_requests": 10 }),
            "of the key \"ci\", 100% of 30 requests in 10 minutes ended in errors",
        ),
        (
            json!({ "kind": "refusal_rate", "percent": 50, "window_minutes": 10, "least_requests": 10 }),
            "of the key \"ci\", 100% of 30 requests in 10 minutes were refused",
        ),
        (json!({ "kind": "key_unused", "days": 30 }), "the key \"ci\" was not used for 30 days"),
        (
            json!({ "kind": "key_expiring", "days": 7 }),
            "the key \"ci\" ends at 2027-01-18T08:00:00Z",
        ),
        (json!({ "kind": "old_secret_in_use", "hours": 24 }), "is still used"),
        (
            json!({ "kind": "new_network", "learning_days": 14 }),
            "the key \"ci\" is used from 2001:db8:1::/48, where it never was",
        ),
        (
            json!({ "kind": "jump", "factor": 10, "least_requests": 100 }),
            "the key \"ci\" made 500 requests in an hour, usually some 11",
        ),
        (
            json!({ "kind": "many_refusals", "count": 100, "window_minutes": 10 }),
            "of the key \"ci\", 120 requests in 10 minutes were refused",
        ),
        (
            json!({ "kind": "revoked_key_used" }),
            "the revoked key \"ci\" was shown 2 times in an hour",
        ),
    ]
}

#[tokio::test]
async fn each_kind_is_raised_once_and_its_webhook_verifies_after_two_failures() {
    for (condition, told) in kinds() {
        let mut world = World::new(condition.clone()).await;
        let quiet = ["limit_share", "spend"].iter().any(|kind| condition["kind"] == *kind);
        if !quiet {
            assert_eq!(world.look().await, 0, "{condition}");
            // What is read key by key is looked at every hour.
            world.looker.scanned_at = None;
        }
        world.provoke().await;
        assert_eq!(world.look().await, 1, "{condition}");
        assert_eq!(world.look().await, 0, "{condition} is told once");

        world.receiver.answer(&[500, 503]);
        for wait in [Duration::ZERO, Duration::from_secs(6), Duration::from_secs(331)] {
            world.wait(wait);
            assert_eq!(world.delivering.deliver().await, 1, "{condition}");
        }
        let received = world.receiver.received();
        assert_eq!(received.len(), 3);
        let bodies = verified(&world.signed_with, &received).unwrap();
        let [first, .., last] = bodies.as_slice() else { panic!("three bodies") };
        assert_eq!(first, last);
        assert_eq!(last["type"], "alert.raised");
        assert_eq!(last["data"]["rule"]["id"], world.rule.id);
        assert_eq!(last["data"]["rule"]["condition"]["kind"], condition["kind"]);
        assert_eq!(last["data"]["key_id"], world.key.to_string());
        let message = last["data"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{condition}: {message}");

        let acme = organization("acme");
        let (control, now) = (&world.delivering.control, at(world.delivering.now()));
        let raised = control.list_alerts(&now, Some(&acme), Some(true), None, 10).await.unwrap();
        let ids: Vec<_> = raised.items.iter().map(|one| one.rule_id.clone()).collect();
        assert_eq!(ids, std::slice::from_ref(&world.rule.id));
    }
}

#[tokio::test]
async fn what_is_over_is_resolved_and_within_the_quiet_time_not_told_again() {
    let condition = json!({ "kind": "many_refusals", "count": 100, "window_minutes": 2 });
    let mut world = World::new(condition).await;
    world.provoke().await;
    assert_eq!(world.look().await, 1);
    world.wait(MINUTE * 3);
    assert_eq!(world.look().await, 0);
    world.delivering.deliver().await;
    let bodies = verified(&world.signed_with, &world.receiver.received()).unwrap();
    let kinds: Vec<_> = bodies.iter().map(|body| body["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"alert.raised") && kinds.contains(&"alert.resolved"), "{kinds:?}");
    world.provoke().await;
    assert_eq!(world.look().await, 0, "three minutes after it was told");
    world.wait(MINUTE * 8);
    world.provoke().await;
    assert_eq!(world.look().await, 1, "eleven minutes after it was told");
}

#[tokio::test]
async fn nothing_is_raised_by_what_is_usual() {
    for (condition, _) in kinds() {
        if ["limit_share", "spend", "key_unused"].iter().any(|kind| condition["kind"] == *kind) {
            continue;
        }
        let mut world = World::new(condition.clone()).await;
        for _ in 0..30 {
            world.requests(200, 100).await;
            world.requests(500, 1).await;
            world.used_from("192.0.2.7").await;
            world.wait(HOUR);
        }
        world.requests(200, 120).await;
        world.requests(429, 1).await;
        assert_eq!(world.look().await, 0, "{condition}");
    }
}

#[tokio::test]
async fn a_new_organization_is_told_of_suspicious_use() {
    let delivering = Delivering::new().await;
    let acme = organization("acme");
    let rules = delivering.control.list_alert_rules(&at(NOW), Some(&acme)).await.unwrap();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let expected = [
        "Use of a revoked key",
        "A network never seen",
        "Ten times the usual hour",
        "Many refusals",
    ];
    assert_eq!(names, expected);
    assert!(rules.iter().all(|rule| rule.enabled && rule.channel.webhooks));
}
