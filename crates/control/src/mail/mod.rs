//! Mail: what people are told outside of the management API.
//!
//! A request never waits for the mail server: a mail is taken in, and sent on a thread of its own, with retries. At most
//! [`post::MOST_WAITING`] wait; one that must not be lost (an invitation, whose token stands nowhere else) is reserved a place
//! before the change is made, so that there is no change without its mail. What could not be sent in the end is logged, never
//! with its text, which may hold a token.
//!
//! Where no mail is configured, a line in the log says to whom which mail would have gone.
//!
//! Rejected: a queue in the database. Mails would outlast a restart, but an invitation's token would stand there in the clear;
//! what was lost can be sent again by who sees it in the log.

mod letter;
mod post;
mod text;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use keyward_core::{
    id::{KeyId, KeyRequestId, WebhookId},
    key::Plaintext,
    member::{Email, Role},
    time::Timestamp,
};
use keyward_store::KeyTerms;
use lettre::message::Mailbox;

use self::post::{Place, Post};
use crate::error::ControlError;

/// What a mail says.
pub enum Mail {
    /// Somebody is invited.
    Invitation {
        /// Where and as what; `None` to run this Keyward.
        to: Option<(String, Role)>,
        /// By whom; `None` from the machine itself.
        by: Option<String>,
        /// What opens it.
        token: Plaintext,
        /// From when on it opens nothing.
        expires_at: Timestamp,
    },
    /// A member asks for a key: to those who may decide.
    KeyRequested {
        /// Who asks: name and address.
        by: String,
        /// Why.
        reason: String,
        /// What for.
        key: RequestedKey,
        /// From when on it can no longer be approved.
        decide_until: Timestamp,
    },
    /// A request was approved: to whoever asked.
    KeyApproved {
        /// What was granted.
        key: RequestedKey,
        /// What whoever decided said.
        note: Option<String>,
        /// From when on the key can no longer be claimed.
        claim_until: Timestamp,
    },
    /// A request was denied: to whoever asked.
    KeyDenied {
        /// What was asked for.
        key: RequestedKey,
        /// Why.
        reason: String,
    },
    /// A key will be refused soon: to its owner.
    KeyExpires {
        /// Which.
        id: KeyId,
        /// What people call it.
        name: String,
        /// Which API it opens.
        api: String,
        /// The name of the organization it belongs to.
        organization: String,
        /// From when on it is refused.
        expires_at: Timestamp,
    },
    /// A key needs another secret: to its owner.
    RotationDue {
        /// Which.
        id: KeyId,
        /// What people call it.
        name: String,
        /// Which API it opens.
        api: String,
        /// The name of the organization it belongs to.
        organization: String,
        /// By when its secret is to be replaced.
        at: Timestamp,
        /// Whether the secret is refused from then on.
        ends: bool,
    },
    /// Alert rules hold, or no longer: to those they name.
    Alerts {
        /// Of what; one at least.
        told: Vec<AlertTold>,
        /// Of how much more, which the mail has no room for.
        more: usize,
    },
    /// Nothing is sent to a webhook any more: to the owners of its organization.
    WebhookDisabled {
        /// Which.
        id: WebhookId,
        /// The host it is at.
        host: String,
        /// The name of the organization it belongs to.
        organization: String,
        /// What happened.
        why: String,
    },
}

/// That an alert rule holds of something, or no longer.
pub struct AlertTold {
    /// What people call the rule.
    pub rule: String,
    /// The name of the organization it is about.
    pub organization: String,
    /// What there is, or was.
    pub message: String,
    /// Whether it is over.
    pub over: bool,
}

/// A key that somebody asked for.
pub struct RequestedKey {
    /// The request.
    pub request: KeyRequestId,
    /// The name of the organization it is asked in.
    pub organization: String,
    /// Which API it opens.
    pub api: String,
    /// What people will call it.
    pub name: String,
    /// What it is used for.
    pub environment: String,
    /// As asked, or as granted.
    pub terms: KeyTerms,
}

impl Mail {
    /// What kind of mail it is, for the log.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Invitation { .. } => "invitation",
            Self::KeyRequested { .. } => "key request",
            Self::KeyApproved { .. } => "key approved",
            Self::KeyDenied { .. } => "key denied",
            Self::KeyExpires { .. } => "key expires",
            Self::RotationDue { .. } => "rotation due",
            Self::Alerts { .. } => "alerts",
            Self::WebhookDisabled { .. } => "webhook disabled",
        }
    }
}

/// Whom mails are from: `keyward@example.com` or `Keyward <keyward@example.com>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSender(Mailbox);

/// The text is no sender.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no sender: write it like keyward@example.com or Keyward <keyward@example.com>")]
pub struct NotASender(String);

impl FromStr for MailSender {
    type Err = NotASender;

    fn from_str(text: &str) -> Result<Self, NotASender> {
        let printable = !text.chars().any(char::is_control);
        let mailbox = printable.then(|| text.parse().ok()).flatten();
        mailbox.map(Self).ok_or_else(|| NotASender(text.escape_default().to_string()))
    }
}

/// How a connection to the mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte on.
    Tls,
    /// TLS after `STARTTLS`, without which nothing is sent.
    StartTls,
    /// None: only for a server on this machine.
    Clear,
}

/// A mail server.
#[derive(Clone)]
pub struct MailServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub security: MailSecurity,
    /// With what to log in there, if at all: a name and a password.
    pub login: Option<(String, Plaintext)>,
}

/// Where mails go.
#[derive(Clone)]
pub enum MailWay {
    /// To a server.
    Server(MailServer),
    /// Into a folder, one `.eml` file each, for others to send or for tests to read.
    Folder(PathBuf),
}

/// How mails are sent.
#[derive(Clone)]
pub struct MailSettings {
    /// Where to.
    pub way: MailWay,
    /// Whom they are from.
    pub from: MailSender,
    /// The address that people reach the management API at, without a slash at its end.
    pub link: Option<String>,
}

/// Sends mails, or says that it would.
#[derive(Clone, Default)]
pub struct Mailer(Option<Arc<Post>>);

/// A place for one mail that must not be lost.
pub(crate) struct Reserved<'m> {
    mailer: &'m Mailer,
    to: Email,
    place: Option<Place>,
}

impl Mailer {
    /// Sends nothing: the log says what would have been sent.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Begins to send as configured.
    pub fn start(settings: MailSettings) -> io::Result<Self> {
        Post::start(settings).map(|post| Self(Some(Arc::new(post))))
    }

    /// Whether mails are sent at all.
    pub const fn delivers(&self) -> bool {
        self.0.is_some()
    }

    /// Sends a mail, later. One too many is logged and lost.
    pub fn send(&self, to: &Email, mail: &Mail, now: Timestamp) {
        match self.reserve(to) {
            Ok(reserved) => reserved.send(mail, now),
            Err(error) => {
                tracing::error!(%to, mail = mail.kind(), %error, "a mail is not sent");
            }
        }
    }

    /// Makes sure that a mail to this address will be taken in.
    pub(crate) fn reserve(&self, to: &Email) -> Result<Reserved<'_>, ControlError> {
        let place = match &self.0 {
            Some(post) => {
                letter::address(to)?;
                Some(post.place().ok_or(ControlError::MailFull)?)
            }
            None => None,
        };
        Ok(Reserved { mailer: self, to: to.clone(), place })
    }

    /// Waits until what was taken in is sent, but not longer than `limit`; what is not by then will be logged as such when the
    /// last mailer is dropped. Blocking.
    pub fn finish(&self, limit: Duration) {
        if let Some(post) = &self.0 {
            post.finish(limit);
        }
    }
}

impl Reserved<'_> {
    /// Sends the mail, later.
    pub(crate) fn send(self, mail: &Mail, now: Timestamp) {
        let (to, kind) = (&self.to, mail.kind());
        let (Some(post), Some(place)) = (&self.mailer.0, self.place) else {
            tracing::info!(%to, mail = kind, "no mail is configured: this one would have been sent");
            return;
        };
        match letter::write(post.settings(), to, mail, now) {
            Ok(letter) => post.take(place, letter),
            Err(error) => tracing::error!(%to, mail = kind, %error, "a mail is not sent"),
        }
    }
}
