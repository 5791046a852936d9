//! Alerts: rules are looked at every minute, and who is to be told is told by mail and webhooks.
//!
//! A thread of its own holds every rule against keys and figures ([`figures`]), and raises what holds: the store tells webhooks in the
//! same transaction, and says whether it is told for the first time, so that of several servers one sends the mails. What
//! held and does no longer is resolved. What only changes by the day (keys that rest, end, or have an old secret in use) is looked at every
//! hour, since that reads keys one by one.
//!
//! Rejected: alerts raised by the data plane as requests come. A rule over a window has to be asked again when nothing comes.

pub mod figures;
mod holds;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
    time::Duration,
};

use keyward_core::{
    alert::{AlertRule, MailTo},
    id::{AlertId, KeyId, OrganizationId},
    member::{Email, Right},
    time::Timestamp,
};
use keyward_store::{Alert, AlertFilter, Page, Store};

use self::{figures::Figures, holds::Known};
use crate::{
    Clock, ControlError,
    mail::{Mail, Mailer},
    mint,
    thread::{Stopping, Thread},
};

/// After the start: what listens comes first.
const FIRST: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(60);
/// What is read key by key is looked at so often.
const SCAN_EVERY: Duration = Duration::from_secs(3600);
/// What a rule raises at once, and how far keys are read for it.
const MOST_FOUND: usize = 1_000;
/// Of one rule and thing, so many people are told.
const MOST_TOLD: usize = 20;
/// Alerts that are read at once.
const PAGE: u32 = 1_000;

/// That a rule holds of something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    organization: OrganizationId,
    subject: String,
    key: Option<KeyId>,
    message: String,
}

/// Looks at the rules. See the module.
pub struct Alerts {
    thread: Thread,
}

impl Alerts {
    /// Begins to look, every minute.
    pub fn start(
        store: Arc<dyn Store>,
        figures: Arc<dyn Figures>,
        mailer: Mailer,
        clock: Clock,
    ) -> io::Result<Self> {
        let mut looker = Looker::new(store, figures, mailer);
        let look = async move |mut stopping: Stopping| {
            let mut pause = FIRST;
            while !stopping.asked_within(pause).await {
                if let Err(error) = looker.look(clock()).await {
                    tracing::warn!(%error, "alert rules cannot be looked at now: this is tried again in a minute");
                }
                pause = EVERY;
            }
        };
        let thread = Thread::start("alerts", "looking at alert rules", look)?;
        Ok(Self { thread })
    }

    /// Looks no more. Blocking, for as long as one look takes.
    pub fn finish(self) {
        self.thread.finish();
    }
}

struct Looker {
    store: Arc<dyn Store>,
    figures: Arc<dyn Figures>,
    mailer: Mailer,
    known: HashMap<KeyId, Known>,
    scanned_at: Option<Timestamp>,
}

impl Looker {
    fn new(store: Arc<dyn Store>, figures: Arc<dyn Figures>, mailer: Mailer) -> Self {
        Self { store, figures, mailer, known: HashMap::new(), scanned_at: None }
    }

    /// Looks at every rule. Answers how many alerts were raised.
    async fn look(&mut self, now: Timestamp) -> Result<usize, ControlError> {
        let scans = self.scanned_at.is_none_or(|last| now.since(last) >= SCAN_EVERY);
        let mut counted = HashMap::new();
        let mut raised = 0;
        for rule in self.store.every_alert_rule().await? {
            if holds::is_scan(&rule.condition) && !scans {
                continue;
            }
            let found = self.findings(&rule, now, &mut counted).await?;
            let open = self.resolve(&rule, &found, now).await?;
            for finding in found.into_iter().take(MOST_FOUND) {
                if !open.contains(&finding.subject) && self.raise(&rule, finding, now).await? {
                    raised += 1;
                }
            }
        }
        if scans {
            self.scanned_at = Some(now);
        }
        Ok(raised)
    }

    /// Resolves what does not hold any more. Answers what is raised still.
    async fn resolve(
        &self,
        rule: &AlertRule,
        found: &[Finding],
        now: Timestamp,
    ) -> Result<HashSet<String>, ControlError> {
        let holding: HashSet<&str> = found.iter().map(|one| one.subject.as_str()).collect();
        let filter = AlertFilter { rule: Some(rule.id), raised: Some(true), organization: None };
        let mut open = HashSet::new();
        for alert in self.store.alerts(&filter, Page::first(PAGE)).await? {
            if holding.contains(alert.subject.as_str()) {
                open.insert(alert.subject);
            } else if self.store.resolve_alert(alert.id, now).await? {
                let message = alert.message.clone();
                self.mail(rule, alert.organization.as_ref(), message, true, now).await?;
            }
        }
        Ok(open)
    }

    async fn raise(
        &self,
        rule: &AlertRule,
        finding: Finding,
        now: Timestamp,
    ) -> Result<bool, ControlError> {
        let Finding { organization, subject, key, message } = finding;
        let alert = Alert {
            id: AlertId::from_bits(mint::random()?),
            rule: rule.id,
            organization: Some(organization.clone()),
            subject,
            key,
            message: message.clone(),
            raised_at: now,
            resolved_at: None,
        };
        let raised = self.store.raise_alert(alert).await?;
        if raised {
            self.mail(rule, Some(&organization), message, false, now).await?;
        }
        Ok(raised)
    }

    /// Tells people of it.
    async fn mail(
        &self,
        rule: &AlertRule,
        organization: Option<&OrganizationId>,
        message: String,
        over: bool,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        // Those of who runs this Keyward are told by webhooks.
        let Some(organization) = organization.filter(|_| rule.organization.is_some()) else {
            return Ok(());
        };
        if rule.channel.mail == MailTo::Nobody {
            return Ok(());
        }
        let members = self.store.members(organization).await?;
        let told = members.into_iter().filter(|(user, place)| match &rule.channel.mail {
            MailTo::Nobody => false,
            MailTo::Administrators => place.role.has(Right::WriteAlerts),
            MailTo::Members(named) => named.contains(&user.id),
        });
        let told: Vec<Email> = told.map(|(user, _)| user.email).take(MOST_TOLD).collect();
        let name = self.store.organization(organization).await?.map(|one| one.name);
        let mail = Mail::Alert {
            rule: rule.name.clone(),
            organization: name.unwrap_or_default(),
            message,
            over,
        };
        told.iter().for_each(|to| self.mailer.send(to, &mail, now));
        Ok(())
    }
}
