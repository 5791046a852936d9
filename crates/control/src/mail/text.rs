//! What mails say: plain text, short. What people wrote themselves is quoted, so that it is not taken for ours.

use std::fmt::Write as _;

use super::{AlertTold, Mail, RequestedKey};

/// A mail's subject and text; `link` is where the management API is reached, if that is known.
pub(super) fn of(mail: &Mail, link: Option<&str>) -> (String, String) {
    let link = link.unwrap_or("…");
    match mail {
        Mail::Invitation { to, by, token, expires_at } => {
            let by = by.as_deref().unwrap_or("An operator");
            let (place, what) = match to {
                Some((organization, role)) => (
                    format!("Invitation to {organization}"),
                    format!("{by} invites you to {organization}, as {}.", role.as_str()),
                ),
                None => (
                    "Invitation to run Keyward".to_owned(),
                    format!("{by} invites you to run this Keyward, as an operator."),
                ),
            };
            let token = token.expose();
            let text = format!(
                "{what}\n\n\
                 This token accepts the invitation, once, before {expires_at}:\n\n    {token}\n\n\
                 If you are new here, choose a name and a password:\n\n    \
                 curl {link}/v1/invitations/accept --json '{{\"token\":\"{token}\",\"name\":\"…\",\"password\":\"…\"}}'\n\n\
                 If you are known here by this address, log in and send the token alone.\n\n\
                 If you did not expect this, do nothing. Nobody can accept the invitation without this mail.\n"
            );
            (place, text)
        }
        Mail::KeyRequested { by, reason, key, decide_until } => {
            let text = format!(
                "{by} asks for a key in {}.\n\n{}\nThe reason:\n\n{}\n\
                 Approve or deny it before {decide_until}:\n\n    {link}/v1/key-requests/{}\n",
                key.organization,
                facts(key),
                quoted(reason),
                key.request
            );
            (format!("Key request: {} ({})", key.name, key.api), text)
        }
        Mail::KeyApproved { key, note, claim_until } => {
            let note = note.as_deref().map_or_else(String::new, |note| {
                format!("What was said to it:\n\n{}\n", quoted(note))
            });
            let text = format!(
                "Your request for a key in {} is approved, with this:\n\n{}\n{note}\
                 Claim the key before {claim_until}. It is shown to you once, and to nobody else:\n\n    \
                 POST {link}/v1/key-requests/{}/claim\n",
                key.organization,
                facts(key),
                key.request
            );
            (format!("Key approved: {} ({})", key.name, key.api), text)
        }
        Mail::KeyDenied { key, reason } => {
            let text = format!(
                "Your request for the key \"{}\" ({}) in {} is denied. The reason:\n\n{}",
                key.name,
                key.api,
                key.organization,
                quoted(reason)
            );
            (format!("Key denied: {} ({})", key.name, key.api), text)
        }
        Mail::KeyExpires { id, name, api, organization, expires_at } => {
            let text = format!(
                "The key \"{name}\" of {organization} opens API {api} until {expires_at}, and is refused from then on.\n\n\
                 If it is still needed, make a new one in time and change to it:\n\n    {link}/v1/keys/{id}\n"
            );
            (format!("Key expires: {name} ({api})"), text)
        }
        Mail::RotationDue { id, name, api, organization, at, ends } => {
            let key = format!("The secret of the key \"{name}\" of {organization}");
            let what = match ends {
                true => format!("{key} opens API {api} until {at}, and is refused from then on."),
                false => {
                    format!("{key} opens API {api}, and should have been replaced by {at}.")
                }
            };
            let text = format!(
                "{what}\n\n\
                 Rotate the key: it gets a new secret, and the old one can stay good until everybody has changed to the new one.\n\n    \
                 POST {link}/v1/keys/{id}/rotate\n"
            );
            (format!("Rotation due: {name} ({api})"), text)
        }
        Mail::Alerts { told, more } => alerts(told, *more, link),
        Mail::WebhookDisabled { id, host, organization, why } => {
            let text = format!(
                "Nothing is sent any more to the webhook of {organization} at {host}: {why}.\n\n\
                 See to what receives it, then enable the webhook. What it was not told can be sent again, delivery by delivery:\n\n    \
                 {link}/v1/webhooks/{id}/deliveries\n"
            );
            (format!("Webhook disabled: {host}"), text)
        }
    }
}

fn alerts(told: &[AlertTold], more: usize, link: &str) -> (String, String) {
    let over = told.iter().filter(|one| one.over).count();
    let subject = match told {
        [AlertTold { rule, organization, over, .. }] if more == 0 => {
            format!("{}: {rule} ({organization})", if *over { "Over" } else { "Alert" })
        }
        _ => format!("Alerts: {} new, {over} over", told.len() - over),
    };
    let mut text = String::new();
    for AlertTold { rule, organization, message, over } in told {
        let what = if *over { "This holds no longer" } else { "This holds now" };
        let _ = writeln!(text, "{what} in {organization} (\"{rule}\"):\n\n{}", quoted(message));
    }
    if more > 0 {
        let _ = writeln!(text, "There are {more} more than this mail has room for.\n");
    }
    let _ = writeln!(
        text,
        "All alerts, and the rules they come from:\n\n    GET {link}/v1/organizations/…/alerts"
    );
    (subject, text)
}

fn facts(key: &RequestedKey) -> String {
    let terms = &key.terms;
    let networks: Vec<_> = terms.allowed_networks.iter().map(ToString::to_string).collect();
    let models =
        terms.allowed_models.as_ref().map_or("every".to_owned(), |all| listed(all, "none"));
    let facts = [
        ("name", key.name.clone()),
        ("API", key.api.clone()),
        ("environment", key.environment.clone()),
        ("permissions", listed(&terms.permissions, "none")),
        ("lifetime", terms.lifetime_seconds.map_or("without an end".to_owned(), lifetime)),
        ("networks", listed(&networks, "everywhere")),
        ("models", models),
    ];
    facts.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "    {name:<11}  {value}");
        text
    })
}

fn listed(items: &[String], none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { items.join(", ") }
}

/// In the largest unit that is whole.
fn lifetime(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let whole = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "second"));
    match seconds / unit {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    }
}

fn quoted(text: &str) -> String {
    text.lines().fold(String::new(), |mut quoted, line| {
        let _ = writeln!(quoted, "    > {line}");
        quoted
    })
}
