//! A mail as it is sent. Whatever stands in a subject or a name, there is one header of each, and no other: a line break
//! becomes a space before it is encoded.

use std::time::{Duration, SystemTime};

use keyward_core::{member::Email, time::Timestamp};
use lettre::{
    Address, Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};

use super::{Mail, MailSettings, text};
use crate::{error::ControlError, mint};

/// A mail with all that is needed to send it.
pub(super) struct Letter {
    pub(super) to: Email,
    pub(super) kind: &'static str,
    pub(super) message: Message,
}

/// The address, if mail can be sent to it.
pub(super) fn address(to: &Email) -> Result<Address, ControlError> {
    to.as_str().parse().map_err(|error| {
        ControlError::invalid(
            format!("no mail can be sent to {to} ({error})"),
            "use another address",
        )
    })
}

/// Writes a mail.
pub(super) fn write(
    settings: &MailSettings,
    to: &Email,
    mail: &Mail,
    now: Timestamp,
) -> Result<Letter, ControlError> {
    let from = &settings.from.0;
    let (subject, body) = text::of(mail, settings.link.as_deref());
    let subject: String = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let number = u128::from_be_bytes(mint::random()?);
    let message_id = format!("<{number:032x}@{}>", from.email.domain());
    // So that nobody's absence answers it (RFC 3834, section 5).
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, address(to)?))
        .subject(subject)
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()))
        .message_id(Some(message_id))
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(body)
        .map_err(|error| {
            ControlError::invalid(
                format!("the mail cannot be written ({error})"),
                "change what it is about",
            )
        })?;
    Ok(Letter { to: to.clone(), kind: mail.kind(), message })
}
