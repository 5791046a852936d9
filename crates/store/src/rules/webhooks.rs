//! What a change to a webhook means, and which changes are told of.

use keyward_core::{event::EventKind, time::Timestamp};
use serde_json::{Value, json};

use super::Entry;
use crate::{
    change::{Actor, Revision, Subject},
    error::StoreError,
    webhooks::{Webhook, WebhookRecord, WebhookSecret, WebhookUpdate},
};

/// An organization has at most so many: each is told of everything.
pub(crate) const MOST: u32 = 20;
/// So many secrets are good at a time: each is a signature on all that is sent.
const MOST_SECRETS: usize = 10;
const LONGEST_URL: usize = 2048;
const LONGEST_DESCRIPTION: usize = 200;

/// An address without what may be secret in it: paths and queries of webhooks often are.
fn shown_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let more = if host.len() < rest.len() { "/…" } else { "" };
    format!("{scheme}://{host}{more}")
}

fn shown(webhook: &Webhook) -> Value {
    json!({
        "url": shown_url(&webhook.url),
        "description": webhook.description,
        "events": webhook.events,
        "enabled": webhook.enabled,
    })
}

fn entry(
    action: &'static str,
    webhook: &Webhook,
    before: Option<Value>,
    after: Option<Value>,
) -> Entry {
    Entry { action, subject: Subject::Webhook(webhook.id), before, after }
}

fn fits(webhook: &Webhook) -> Result<(), StoreError> {
    let url = &webhook.url;
    let is_address = ["http://", "https://"]
        .iter()
        .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if !is_address || url.len() > LONGEST_URL || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(StoreError::invalid(
            "the address of the webhook is none",
            format!(
                "write one like https://acme.example/hook, at most {LONGEST_URL} ASCII characters"
            ),
        ));
    }
    let chars = webhook.description.chars().count();
    if chars > LONGEST_DESCRIPTION || webhook.description.chars().any(char::is_control) {
        return Err(StoreError::invalid(
            format!("the description has {chars} characters, or a control character"),
            format!("write at most {LONGEST_DESCRIPTION} printable ones"),
        ));
    }
    if webhook.events.as_ref().is_some_and(Vec::is_empty) {
        return Err(StoreError::invalid(
            "the webhook would hear of no event",
            "name some, or leave them out for all; to tell it nothing, disable it",
        ));
    }
    Ok(())
}

/// May this webhook be made beside `others`?
pub(crate) fn creation(new: &Webhook, others: u32) -> Result<Entry, StoreError> {
    fits(new)?;
    if others >= MOST {
        return Err(StoreError::TooManyWebhooks { most: MOST });
    }
    Ok(entry("webhook.create", new, None, Some(shown(new))))
}

/// The webhook as it shall be; `None` where it is so already.
pub(crate) fn update(
    before: &Webhook,
    update: WebhookUpdate,
) -> Result<Option<(Webhook, Entry)>, StoreError> {
    let was = before.clone();
    let enabled = update.enabled.unwrap_or(was.enabled);
    let after = Webhook {
        url: update.url.unwrap_or(was.url),
        description: update.description.unwrap_or(was.description),
        events: update.events.unwrap_or(was.events),
        enabled,
        disabled_because: was.disabled_because.filter(|_| !enabled),
        ..was
    };
    fits(&after)?;
    if after == *before {
        return Ok(None);
    }
    let changed = (shown(before), shown(&after));
    // Where only what is not shown of the address differs, that it does is said.
    let told = if changed.0 == changed.1 { json!({ "url": "another path" }) } else { changed.1 };
    let entry = entry("webhook.update", before, Some(changed.0), Some(told));
    Ok(Some((after, entry)))
}

/// It is removed.
pub(crate) fn removal(webhook: &Webhook) -> Entry {
    entry("webhook.delete", webhook, Some(shown(webhook)), None)
}

/// A new secret. What is told of is when the old ones end.
pub(crate) fn rotation(
    record: &WebhookRecord,
    new: &WebhookSecret,
    at: Timestamp,
    old_expires_at: Timestamp,
) -> Result<Entry, StoreError> {
    let good = record.secrets.iter().filter(|one| one.expires_at.is_none_or(|end| end > at));
    if good.count() >= MOST_SECRETS {
        return Err(StoreError::invalid(
            format!("{MOST_SECRETS} secrets of the webhook are good, and cannot be more"),
            "retire the old ones, or wait until they end",
        ));
    }
    let after = json!({ "secret": new.id, "old_expires_at": old_expires_at });
    Ok(entry("webhook.rotate", &record.webhook, None, Some(after)))
}

/// Its old secrets end; `None` where it has none that are good.
pub(crate) fn retirement(record: &WebhookRecord, at: Timestamp) -> Option<Entry> {
    let old = record.secrets.iter().filter(|one| one.expires_at.is_some_and(|end| end > at));
    let old: Vec<_> = old.map(|one| one.id).collect();
    let after = json!({ "secrets": old, "expires_at": at });
    (!old.is_empty()).then(|| entry("webhook.retire_secrets", &record.webhook, None, Some(after)))
}

/// It is sent something on somebody's wish.
pub(crate) fn sending(
    action: &'static str,
    webhook: &Webhook,
    after: Value,
) -> Result<Entry, StoreError> {
    match webhook.enabled {
        true => Ok(entry(action, webhook, None, Some(after))),
        false => Err(StoreError::WebhookDisabled(webhook.id)),
    }
}

/// Keyward gives up on it; `None` where nothing is sent there anyway.
pub(crate) fn giving_up(webhook: &Webhook, why: &str) -> Option<Entry> {
    let (before, after) = (json!({ "enabled": true }), json!({ "enabled": false, "because": why }));
    webhook.enabled.then(|| entry("webhook.give_up", webhook, Some(before), Some(after)))
}

/// As which event a change is told of, if it is.
pub(crate) fn event(action: &str) -> Option<EventKind> {
    Some(match action {
        "key.create" | "key_request.claim" => EventKind::KeyCreated,
        "key.import" => EventKind::KeyImported,
        "key.update" => EventKind::KeyUpdated,
        "key.disable" => EventKind::KeyDisabled,
        "key.enable" => EventKind::KeyEnabled,
        "key.revoke" => EventKind::KeyRevoked,
        "key.rotate" => EventKind::KeyRotated,
        "secret.retire" => EventKind::KeySecretRetired,
        "key.expose" => EventKind::KeyExposed,
        "key_request.create" => EventKind::KeyRequestCreated,
        "key_request.approve" => EventKind::KeyRequestApproved,
        "key_request.deny" => EventKind::KeyRequestDenied,
        "key_request.withdraw" => EventKind::KeyRequestWithdrawn,
        "invitation.accept" | "member.enrol" => EventKind::MemberJoined,
        "member.set_role" => EventKind::MemberChanged,
        "member.remove" => EventKind::MemberRemoved,
        "organization.update" => EventKind::OrganizationUpdated,
        "organization.suspend" => EventKind::OrganizationSuspended,
        "organization.resume" => EventKind::OrganizationResumed,
        _ => return None,
    })
}

/// What receivers are told of a change: what the audit log says of it, without from where it was done.
pub(crate) fn told(
    organization: Option<&str>,
    actor: &Actor,
    entry: &Entry,
    revision: Revision,
) -> Value {
    let (person, key) = (actor.person.map(|id| id.to_string()), actor.key.map(|id| id.to_string()));
    json!({
        "organization_id": organization,
        "subject": { "kind": entry.subject.kind(), "id": entry.subject.id() },
        "actor": { "kind": actor.kind.as_str(), "id": person.or(key) },
        "before": entry.before,
        "after": entry.after,
        "revision": revision.get(),
    })
}

/// The body that is signed and sent.
pub(crate) fn payload(kind: EventKind, at: Timestamp, data: &Value) -> String {
    json!({ "type": kind, "timestamp": at.to_precise_text(), "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret_in_it() {
        for (url, shown) in [
            ("https://a.example/T0/secret", "https://a.example/…"),
            ("https://a.example?token=x", "https://a.example/…"),
            ("https://a.example:8443", "https://a.example:8443"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
