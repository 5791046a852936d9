//! Alerts: rules are looked at every minute, and who is to be told is told by mail and webhooks.
//!
//! A thread of its own holds the rules against keys and figures ([`figures`]), organization by organization: a rule reads what is its
//! organization's, once for all rules that ask the same, and one that cannot be looked at keeps no other from it. What holds is raised: the
//! store tells webhooks in the same transaction, and whoever is told by mail hears of all of a look in one ([`letters`]). What
//! held and does no longer is resolved. What only changes by the day (keys that rest, end, or have an old secret in use) is looked at every
//! hour, since that reads keys one by one.
//!
//! Each minute is in some window that a rule over minutes is held against, however late a look comes, up to [`LATEST`]. Of several servers
//! on one data folder one looks, who has the turn; how far limits are used it sees as it counts them itself.
//!
//! Rejected: alerts raised by the data plane as requests come. A rule over a window has to be asked again when nothing comes.

pub mod figures;
mod holds;
mod letters;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
    time::Duration,
};

use keyward_core::{
    alert::AlertRule,
    id::{AlertId, AlertRuleId, KeyId, OrganizationId},
    time::Timestamp,
};
use keyward_store::{Alert, Store, StoreError};

use self::{
    figures::Figures,
    holds::{Look, Shared},
    letters::Letters,
};
use crate::{
    Clock, ControlError,
    mail::Mailer,
    mint,
    thread::{Stopping, Thread},
};

/// After the start: what listens comes first.
const FIRST: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(60);
/// What is read key by key is looked at so often.
const SCAN_EVERY: Duration = Duration::from_secs(3600);
/// Who looks has the turn for so long: longer than a look takes and the next one waits for.
const TURN: Duration = Duration::from_secs(180);
/// What came before is not looked at any more, however late a look comes; and where none came before, as after a start.
const LATEST: Duration = Duration::from_secs(3600);
const LATEST_AT_FIRST: Duration = Duration::from_secs(600);
/// What a look tells may be recorded so late.
const RECORDED_WITHIN: Duration = Duration::from_secs(60);
/// What a rule raises at once, and how far keys are read for it.
const MOST_FOUND: usize = 1_000;

/// That a rule holds of something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    organization: OrganizationId,
    subject: String,
    key: Option<KeyId>,
    message: String,
    /// Whether it still holds, and did not only since the last look.
    still: bool,
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
        let mut looker = Looker::new(store, figures, mailer)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let look = async move |mut stopping: Stopping| {
            let mut pause = FIRST;
            while !stopping.asked_within(pause).await {
                if let Err(error) = looker.look(clock()).await {
                    tracing::warn!(%error, "alert rules cannot be looked at now: this is tried again in a minute");
                }
                pause = EVERY;
            }
            looker.give_back_the_turn(clock()).await;
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
    /// By which the store knows who has the turn.
    holder: [u8; 16],
    looked_at: Option<Timestamp>,
    scanned_at: Option<Timestamp>,
}

impl Looker {
    fn new(
        store: Arc<dyn Store>,
        figures: Arc<dyn Figures>,
        mailer: Mailer,
    ) -> Result<Self, ControlError> {
        let holder = mint::random()?;
        Ok(Self { store, figures, mailer, holder, looked_at: None, scanned_at: None })
    }

    /// Looks at every rule, if it is this server's turn. Answers how many alerts were raised.
    async fn look(&mut self, now: Timestamp) -> Result<usize, ControlError> {
        if !self.store.take_turn(self.holder, now, now.plus(TURN)).await? {
            return Ok(0);
        }
        let scans = self.scanned_at.is_none_or(|last| now.since(last) >= SCAN_EVERY);
        let mut letters = Letters::default();
        let looked = self.look_at_all(now, scans, &mut letters).await;
        // What was raised is told, whatever else could not be looked at.
        letters.send(&self.mailer, now);
        let raised = looked?;
        self.looked_at = Some(now);
        if scans {
            self.scanned_at = Some(now);
        }
        Ok(raised)
    }

    /// Another server need not wait.
    async fn give_back_the_turn(&self, now: Timestamp) {
        if let Err(error) = self.store.take_turn(self.holder, now, now).await {
            tracing::warn!(%error, "others look at alert rules only in some minutes");
        }
    }

    async fn look_at_all(
        &self,
        now: Timestamp,
        scans: bool,
        letters: &mut Letters,
    ) -> Result<usize, ControlError> {
        let mut rules: HashMap<Option<OrganizationId>, Vec<AlertRule>> = HashMap::new();
        for rule in self.store.every_alert_rule().await? {
            if scans || !holds::is_scan(&rule.condition) {
                rules.entry(rule.organization.clone()).or_default().push(rule);
            }
        }
        let since = self.looked_at.unwrap_or_else(|| now.minus(LATEST_AT_FIRST));
        let since = since.max(now.minus(LATEST)).minus(RECORDED_WITHIN);
        let (mut shared, mut raised) = (Shared::default(), 0);
        for (owner, rules) in rules {
            let open = self.store.raised_alerts(owner.as_ref()).await?;
            let mut open_of: HashMap<AlertRuleId, Vec<Alert>> = HashMap::new();
            open.into_iter().for_each(|one| open_of.entry(one.rule).or_default().push(one));
            let (store, figures) = (&*self.store, &*self.figures);
            let mut look = Look::new(store, figures, owner.as_ref(), (since, now), &mut shared);
            for rule in &rules {
                let open = open_of.remove(&rule.id).unwrap_or_default();
                match self.look_at(rule, open, &mut look, letters).await {
                    Ok(more) => raised += more,
                    // With the store away, none can be looked at.
                    Err(ControlError::Store(error @ StoreError::Unavailable { .. })) => {
                        return Err(error.into());
                    }
                    Err(error) => {
                        tracing::error!(rule = %rule.id, %error, "an alert rule cannot be looked at");
                    }
                }
            }
        }
        Ok(raised)
    }

    /// Raises what holds, and resolves what is `open` and does not. Answers how many were raised.
    async fn look_at(
        &self,
        rule: &AlertRule,
        open: Vec<Alert>,
        look: &mut Look<'_>,
        letters: &mut Letters,
    ) -> Result<usize, ControlError> {
        let mut found = look.findings(rule).await?;
        found.truncate(MOST_FOUND);
        let still = found.iter().filter(|one| one.still);
        let still: HashSet<&str> = still.map(|one| one.subject.as_str()).collect();
        for alert in open.iter().filter(|alert| !still.contains(alert.subject.as_str())) {
            if self.store.resolve_alert(alert.id, look.now).await?
                && let Some(organization) = &alert.organization
            {
                let told = (alert.message.as_str(), true);
                letters.tell(&*self.store, rule, organization, told).await?;
            }
        }
        let told: HashSet<&str> = open.iter().map(|alert| alert.subject.as_str()).collect();
        let mut raised = 0;
        for finding in found.iter().filter(|finding| !told.contains(finding.subject.as_str())) {
            if self.raise(rule, finding, look.now).await? {
                raised += 1;
                let told = (finding.message.as_str(), false);
                letters.tell(&*self.store, rule, &finding.organization, told).await?;
            }
        }
        Ok(raised)
    }

    async fn raise(
        &self,
        rule: &AlertRule,
        finding: &Finding,
        now: Timestamp,
    ) -> Result<bool, ControlError> {
        let alert = Alert {
            id: AlertId::from_bits(mint::random()?),
            rule: rule.id,
            organization: Some(finding.organization.clone()),
            subject: finding.subject.clone(),
            key: finding.key,
            message: finding.message.clone(),
            raised_at: now,
            resolved_at: None,
        };
        Ok(self.store.raise_alert(alert).await?)
    }
}
