//! Each kind of rule, provoked; what receivers get of it is verified with the published library. Time is what the test says it is.

use std::sync::Mutex;

use keyward_api::{AlertConditionView, AlertEventData, AlertRuleInput, AlertRuleView, EventView};
use keyward_core::{
    event::EventKind,
    id::{InvitationId, SecretId, UserId},
    limit::applied::CounterId,
    member::{Email, Role, User},
    money::Money,
    usage::{LastUse, UsageBatch, UsageRow, UsageScope, UsageSums},
    verdict::Reason,
};
use keyward_store::{
    Actor, Change, Interface, Invitation, InvitationState, InvitedAs, PasswordHash, PeopleChange,
    TokenDigest,
};
use serde_json::json;

use super::{
    figures::{LimitShare, OfKeys, StoredFigures},
    *,
};
use crate::{
    app::webhooks::NewWebhook,
    fixture::{
        NOW, at, new_key, organization,
        receiver::{Receiver, verified},
    },
    mail::{MailSettings, MailWay},
    webhooks::tests::World as Delivering,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The store's figures, with limits and spending that it does not know yet.
struct Told {
    stored: StoredFigures,
    key: KeyId,
    /// Of whom figures were asked.
    asked: Arc<Mutex<Vec<String>>>,
}

#[async_trait::async_trait]
impl Figures for Told {
    async fn counts(
        &self,
        organization: Option<&OrganizationId>,
        from: u64,
        until: u64,
    ) -> Result<OfKeys, StoreError> {
        if let Some(organization) = organization {
            self.asked.lock().unwrap().push(organization.to_string());
            if organization.as_str() == "damaged" {
                let (table, what) = ("usage_sums".to_owned(), "status".to_owned());
                return Err(StoreError::Corrupt { table, id: "1".to_owned(), what });
            }
        }
        self.stored.counts(organization, from, until).await
    }

    fn limit_shares(&self) -> Vec<LimitShare> {
        let share = |counter, percent| LimitShare {
            organization: organization("acme"),
            key: Some(self.key),
            limit: "monthly".to_owned(),
            counter: CounterId::from_bytes([counter; 16]),
            allows: "10 requests in a month".to_owned(),
            percent,
        };
        vec![share(1, 85), share(2, 79)]
    }
}

fn input() -> AlertRuleInput {
    AlertRuleInput {
        name: "watch".to_owned(),
        condition: AlertConditionView::RevokedKeyUsed,
        scope: None,
        channel: None,
        quiet_seconds: Some(600),
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
    asked: Arc<Mutex<Vec<String>>>,
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
        let input = AlertRuleInput { condition, ..input() };
        let rule = control.create_alert_rule(&context, Some(acme), input).await.unwrap();
        let store = delivering.fixture.folder.store();
        let key = made.record.key.id;
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (stored, asking) = (StoredFigures(store.clone()), asked.clone());
        let figures = Arc::new(Told { stored, key, asked: asking });
        let looker = Looker::new(store, figures, Mailer::none()).unwrap();
        let signed_with = webhook.secret.expose().to_owned();
        Self { looker, receiver, signed_with, key, secret: made.secret, rule, asked, delivering }
    }

    /// Requests of the key that end with a status now.
    async fn requests(&self, status: u16, requests: u64) {
        let reason = matches!(status, 401 | 403 | 429).then_some(Reason::RateLimited);
        self.requests_for(status, reason, requests).await;
    }

    async fn requests_for(&self, status: u16, reason: Option<Reason>, requests: u64) {
        let scope = UsageScope {
            minute: self.delivering.now().as_minutes(),
            api: "main".into(),
            route: "/".into(),
            key: Some(self.key),
            status,
            reason,
            organization: "acme".into(),
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
        self.delivering.fixture.folder.store().record(&batch).await.unwrap();
    }

    /// The ids of rules that are raised now.
    async fn raised(&self) -> Vec<String> {
        let (acme, now) = (organization("acme"), at(self.delivering.now()));
        let control = &self.delivering.control;
        let raised = control.list_alerts(&now, Some(&acme), Some(true), None, 10).await.unwrap();
        raised.items.into_iter().map(|one| one.rule_id).collect()
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
                // What was refused for another reason, in the same minute, is no use of a revoked key.
                self.requests(401, 5).await;
                control.revoke_key(&now, self.key).await.unwrap();
                self.requests_for(401, Some(Reason::RevokedKey), 2).await;
            }
        }
    }
}

/// Every kind, with what a receiver is told of it.
fn kinds() -> Vec<(serde_json::Value, &'static str)> {
    vec![
        (
            json!({ "kind": "limit_share", "percent": 80 }),
            "85% of the limit `monthly` (10 requests in a month) is used",
        ),
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
        let event: EventView<AlertEventData> = serde_json::from_value(last.clone()).unwrap();
        assert_eq!(serde_json::to_value(event).unwrap(), *last, "it is as it is described");
        assert_eq!(last["data"]["rule"]["id"], world.rule.id);
        assert_eq!(last["data"]["rule"]["condition"]["kind"], condition["kind"]);
        assert_eq!(last["data"]["key_id"], world.key.to_string());
        let message = last["data"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{condition}: {message}");

        assert_eq!(world.raised().await, std::slice::from_ref(&world.rule.id));
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

#[tokio::test]
async fn what_came_between_two_looks_is_seen_however_late_the_second_is() {
    for late in [1, 2, 7, 30] {
        let condition = json!({ "kind": "many_refusals", "count": 100, "window_minutes": 1 });
        let mut world = World::new(condition).await;
        world.look().await;
        // In the same minute, behind the look.
        world.provoke().await;
        world.wait(MINUTE * late);
        assert_eq!(world.look().await, 1, "{late} minutes late");
        world.wait(MINUTE * 3);
        assert_eq!(world.look().await, 0);
        assert!(world.raised().await.is_empty(), "it is over");
    }
}

#[tokio::test]
async fn a_rule_reads_figures_of_its_organization_alone_and_each_once() {
    let mut world = World::new(json!({ "kind": "revoked_key_used" })).await;
    let control = &world.delivering.control;
    let jump = json!({ "kind": "jump", "factor": 2, "least_requests": 1 });
    let input = AlertRuleInput { condition: serde_json::from_value(jump).unwrap(), ..input() };
    control.create_alert_rule(&at(NOW), Some(organization("acme")), input).await.unwrap();
    world.look().await;
    let asked = world.asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|of| *of == "acme").count(), 1, "two rules over one window");
    assert!(asked.iter().any(|of| of == "other"), "of each organization by itself: {asked:?}");
}

#[tokio::test]
async fn a_rule_that_cannot_be_looked_at_keeps_no_other_from_it() {
    let condition = json!({ "kind": "many_refusals", "count": 100, "window_minutes": 10 });
    let mut world = World::new(condition).await;
    for id in 0..5 {
        // Looked at in no order: some before, some behind.
        let id = Some(organization(&format!("org{id}")));
        world.delivering.control.create_organization(&at(NOW), id, None).await.unwrap();
    }
    let damaged = Some(organization("damaged"));
    world.delivering.control.create_organization(&at(NOW), damaged, None).await.unwrap();
    world.provoke().await;
    assert_eq!(world.look().await, 1);
    let asked = world.asked.lock().unwrap();
    assert!(asked.iter().filter(|of| *of == "damaged").count() > 1, "each of its rules: {asked:?}");
    assert!((0..5).all(|id| asked.contains(&format!("org{id}"))), "{asked:?}");
}

#[tokio::test]
async fn of_two_servers_one_looks() {
    let condition = json!({ "kind": "many_refusals", "count": 100, "window_minutes": 10 });
    let mut world = World::new(condition).await;
    let (store, figures) = (world.looker.store.clone(), world.looker.figures.clone());
    let mut other = Looker::new(store, figures, Mailer::none()).unwrap();
    assert_eq!(world.look().await, 0);
    world.provoke().await;
    let now = world.delivering.now();
    assert_eq!(other.look(now).await.unwrap(), 0);
    assert_eq!(other.looked_at, None, "it was not its turn");
    world.looker.give_back_the_turn(now).await;
    assert_eq!(other.look(now).await.unwrap(), 1);
}

#[tokio::test]
async fn two_limits_of_one_name_are_two_things() {
    let mut world = World::new(json!({ "kind": "limit_share", "percent": 75 })).await;
    assert_eq!(world.look().await, 2);
    assert_eq!(world.raised().await.len(), 2);
}

/// Somebody who was invited, and came.
async fn joined(store: &dyn Store, number: u8, to: InvitedAs) -> Email {
    let email: Email = format!("person{number}@example.com").parse().unwrap();
    let token = TokenDigest::from_bytes([number; 32]);
    let invitation = Invitation {
        id: InvitationId::from_bits([number; 16]),
        email: email.clone(),
        to,
        token,
        invited_by: None,
        created_at: NOW,
        expires_at: NOW.plus(HOUR),
        state: InvitationState::Open,
    };
    let user = User {
        id: UserId::from_bits([number; 16]),
        email: email.clone(),
        name: format!("Person {number}"),
        operator: false,
        created_at: NOW,
    };
    let newcomer = Some((user, PasswordHash::new("hash".to_owned())));
    let accept = PeopleChange::AcceptInvitation { token, newcomer };
    let actor = Actor::operator("ada", Interface::CommandLine);
    for change in [PeopleChange::Invite(invitation), accept] {
        store.commit(&actor, NOW, Change::People(change)).await.unwrap();
    }
    email
}

#[tokio::test]
async fn each_who_is_told_gets_one_mail_of_a_look() {
    let condition = json!({ "kind": "limit_share", "percent": 75 });
    let mut world = World::new(condition.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let mailer = Mailer::start(MailSettings {
        way: MailWay::Folder(folder.path().to_owned()),
        from: "keyward@example.com".parse().unwrap(),
        link: None,
    });
    world.looker.mailer = mailer.unwrap();
    let store = world.delivering.fixture.folder.store();
    let owner = joined(
        &*store,
        1,
        InvitedAs::Member { organization: organization("acme"), role: Role::Owner },
    )
    .await;
    joined(
        &*store,
        2,
        InvitedAs::Member { organization: organization("acme"), role: Role::Developer },
    )
    .await;
    let operator = joined(&*store, 3, InvitedAs::Operator).await;
    let everywhere =
        AlertRuleInput { condition: serde_json::from_value(condition).unwrap(), ..input() };
    world.delivering.control.create_alert_rule(&at(NOW), None, everywhere).await.unwrap();
    assert_eq!(world.look().await, 4, "two limits, of two rules");
    let mailer = world.looker.mailer.clone();
    std::thread::spawn(move || mailer.finish(DAY)).join().unwrap();
    let mails = std::fs::read_dir(folder.path()).unwrap();
    let texts = mails.map(|mail| std::fs::read_to_string(mail.unwrap().path()).unwrap());
    // Without the breaks that mail puts into long lines.
    let texts: Vec<_> = texts.map(|text| text.replace("=\r\n", "")).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    for who in [owner, operator] {
        let mail = texts.iter().find(|text| text.contains(&format!("To: {who}"))).unwrap();
        assert_eq!(mail.matches("of the limit").count(), 2, "{mail}");
        assert!(mail.contains("Subject: Alerts: 2 new, 0 over"), "{mail}");
    }
}
