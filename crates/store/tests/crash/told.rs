//! What the victim does with webhooks and alert rules.

use keyward_core::{
    alert::{AlertRule, Channel, Condition, MailTo, Scope},
    event::EventKind,
    id::{AlertRuleId, DeliveryId, EventId, WebhookId, WebhookSecretId},
};
use keyward_store::{
    AlertRuleChange, AlertRuleUpdate, Change, SealedBytes, Subject, Webhook, WebhookChange,
    WebhookSecret, WebhookUpdate,
};

use crate::{
    deeds::{HOUR, NOW, hex},
    lane::{Lane, operator},
};

impl Lane {
    fn webhook_secret(&mut self) -> WebhookSecret {
        WebhookSecret {
            id: WebhookSecretId::from_bits(self.random.bytes()),
            sealed: SealedBytes::from_bytes(self.random.bytes::<40>()),
            created_at: NOW,
            expires_at: None,
        }
    }

    /// One that hears of what does not happen here, so that what is on its way to it is known.
    pub(crate) fn a_webhook(&mut self) {
        let id = WebhookId::from_bits(self.random.bytes());
        let webhook = Webhook {
            id,
            organization: Some(self.home.clone()),
            url: "https://hooks.acme.example/".to_owned(),
            description: String::new(),
            events: Some(vec![EventKind::OrganizationSuspended]),
            enabled: true,
            disabled_because: None,
            created_at: NOW,
        };
        let (first, second) = (self.webhook_secret(), self.webhook_secret());
        let event = EventId::from_bits(self.random.bytes());
        let delivery = DeliveryId::from_bits(self.random.bytes());
        let description = Some(format!("hook {}", self.random.below(9)));
        let told = description.clone().unwrap();
        let update = WebhookUpdate { description, ..WebhookUpdate::default() };
        let (thing, old_expires_at) = (format!("webhook {}", hex(&id.bits())), NOW.plus(HOUR));
        let stands = |text: &str| Some(format!("{told} {text}"));
        for (change, action, fact) in [
            (WebhookChange::Create { webhook, secret: first }, "webhook.create", None),
            (WebhookChange::Update { webhook: id, update, seen: None }, "webhook.update", None),
            (
                WebhookChange::Test { webhook: id, event, delivery },
                "webhook.test",
                stands("enabled 1 1 waiting"),
            ),
            (
                WebhookChange::Rotate { webhook: id, secret: second, old_expires_at },
                "webhook.rotate",
                stands("enabled 1 2 waiting"),
            ),
            (
                WebhookChange::RetireSecrets(id),
                "webhook.retire_secrets",
                stands("enabled 1 2 waiting"),
            ),
            (WebhookChange::Resend(delivery), "webhook.resend", stands("enabled 1 2 waiting")),
            (
                WebhookChange::GiveUp { webhook: id, why: "it is gone".to_owned() },
                "webhook.give_up",
                stands("disabled 1 2 failed"),
            ),
            (WebhookChange::Delete(id), "webhook.delete", None),
        ] {
            let facts = vec![(thing.clone(), fact)];
            self.push(operator(), Change::Webhook(change), action, Subject::Webhook(id), facts);
        }
    }

    pub(crate) fn an_alert_rule(&mut self) {
        let id = AlertRuleId::from_bits(self.random.bytes());
        let rule = AlertRule {
            id,
            organization: Some(self.home.clone()),
            name: "watch one".to_owned(),
            condition: Condition::KeyUnused { days: 90 },
            scope: Scope::EachKey,
            channel: Channel { mail: MailTo::Nobody, webhooks: true },
            quiet_seconds: 60,
            enabled: true,
            created_at: NOW,
        };
        let update = AlertRuleUpdate {
            name: Some("watch another".to_owned()),
            ..AlertRuleUpdate::default()
        };
        let update = AlertRuleChange::Update { rule: id, update: Box::new(update), seen: None };
        let thing = format!("alert rule {}", hex(&id.bits()));
        for (change, action, name) in [
            (AlertRuleChange::Create(rule), "alert_rule.create", Some("watch one")),
            (update, "alert_rule.update", Some("watch another")),
            (AlertRuleChange::Delete(id), "alert_rule.delete", None),
        ] {
            let facts = vec![(thing.clone(), name.map(str::to_owned))];
            self.push(operator(), Change::AlertRule(change), action, Subject::AlertRule(id), facts);
        }
    }
}
