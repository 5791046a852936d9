//! Usage, and what was sent to webhooks, are kept for as long as the operator chose, and alerts that are over for ninety days: what is
//! older goes, off everybody's way. Of each webhook and of each alert rule the newest ten thousand are kept; what waits to be sent, and what is
//! raised, always is.
//!
//! A thread of its own looks soon after the start and then every ten minutes. It removes a thousand rows at a time, and rests ten
//! times as long as that took: no change and no request waits for it. Of several servers on one data folder each does it; what is gone
//! is gone. What cannot be removed of one kind keeps no other from going.

use std::{io, sync::Arc, time::Duration};

use keyward_core::time::Timestamp;
use keyward_store::{Forget, ForgetAlerts, Store, StoreError, UsageGrain};
use tokio::{sync::watch, time::Instant};

use crate::{
    Clock,
    app::usage::Keep,
    thread::{Stopping, Thread},
};

/// After the start: what serves requests comes first.
const FIRST: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(600);
/// Rows that are removed at once.
const PIECE: u32 = 1_000;
/// Deliveries that are kept of each webhook.
const MOST_DELIVERIES: u32 = 10_000;
/// Alerts that are kept of each rule.
const MOST_ALERTS: u32 = 10_000;
/// For how long alerts are kept that are over.
const ALERTS: Duration = Duration::from_secs(90 * 24 * 3600);
/// How often as long as a piece took the store is left alone.
const REST: u32 = 10;

/// Removes what has grown too old. See the module.
pub struct Retention {
    keep: watch::Sender<Keep>,
    thread: Thread,
}

impl Retention {
    /// Begins to look. What was sent to webhooks is kept for as long as `deliveries` says.
    pub fn start(
        store: Arc<dyn Store>,
        keep: Keep,
        deliveries: Duration,
        clock: Clock,
    ) -> io::Result<Self> {
        let (keep, kept) = watch::channel(keep);
        let look = async move |mut stopping: Stopping| {
            let mut pause = FIRST;
            while !stopping.asked_within(pause).await {
                let keep = *kept.borrow();
                let mut clearing = Clearing { store: &*store, now: clock(), stopping };
                clearing.all(&keep, deliveries).await;
                stopping = clearing.stopping;
                pause = EVERY;
            }
        };
        let thread = Thread::start("retention", "removing what is old", look)?;
        Ok(Self { keep, thread })
    }

    /// The configuration was read again.
    pub fn replace(&self, keep: Keep) {
        self.keep.send_replace(keep);
    }

    /// Looks no more. Blocking, for as long as one piece takes.
    pub fn finish(self) {
        self.thread.finish();
    }
}

/// Of so many rows, what is removed at once.
fn piece(most: u64) -> u32 {
    u32::try_from(most).unwrap_or(u32::MAX).min(PIECE)
}

/// One time that what is old is removed.
struct Clearing<'s> {
    store: &'s dyn Store,
    now: Timestamp,
    stopping: Stopping,
}

impl Clearing<'_> {
    async fn all(&mut self, keep: &Keep, deliveries: Duration) {
        let usage = self.usage(keep).await;
        let sent = self.deliveries(deliveries).await;
        let alerts = self.alerts().await;
        for (what, cleared) in [("usage", usage), ("deliveries", sent), ("alerts", alerts)] {
            if let Err(error) = cleared {
                tracing::warn!(%error, "old {what} could not be removed: this is tried again in ten minutes");
            }
        }
    }

    /// Rests after a piece that began then. Answers whether to go on.
    async fn rests(&mut self, began: Instant) -> bool {
        !self.stopping.asked_within(began.elapsed() * REST).await
    }

    async fn usage(&mut self, keep: &Keep) -> Result<(), StoreError> {
        for grain in UsageGrain::ALL {
            let before = keep.begin(grain, self.now);
            let mut next = Some(String::new());
            while let Some(from) = next {
                let began = Instant::now();
                (_, next) = self.store.clear_usage(grain, before, &from).await?;
                if !self.rests(began).await {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn deliveries(&mut self, keep: Duration) -> Result<(), StoreError> {
        for which in [Forget::ToNobody, Forget::Before(self.now.minus(keep))] {
            self.forget(which, u64::MAX).await?;
        }
        for (webhook, more) in self.store.crowded_webhooks(MOST_DELIVERIES).await? {
            self.forget(Forget::To(webhook), more).await?;
        }
        Ok(())
    }

    /// Forgets deliveries, so many at most.
    async fn forget(&mut self, which: Forget, mut most: u64) -> Result<(), StoreError> {
        loop {
            let began = Instant::now();
            let gone = self.store.forget_deliveries(which, piece(most)).await?;
            most = most.saturating_sub(gone);
            if gone == 0 || most == 0 || !self.rests(began).await {
                return Ok(());
            }
        }
    }

    async fn alerts(&mut self) -> Result<(), StoreError> {
        let before = ForgetAlerts::Before(self.now.minus(ALERTS));
        self.forget_alerts(before, u64::MAX).await?;
        for (rule, more) in self.store.crowded_rules(MOST_ALERTS).await? {
            self.forget_alerts(ForgetAlerts::Of(rule), more).await?;
        }
        Ok(())
    }

    /// Forgets alerts, so many at most.
    async fn forget_alerts(
        &mut self,
        which: ForgetAlerts,
        mut most: u64,
    ) -> Result<(), StoreError> {
        loop {
            let began = Instant::now();
            let gone = self.store.forget_alerts(self.now, which, piece(most)).await?;
            most = most.saturating_sub(gone);
            if gone == 0 || most == 0 || !self.rests(began).await {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use keyward_core::{
        event::EventKind,
        id::AlertId,
        usage::{UsageBatch, UsageRow, UsageScope, UsageSums},
    };
    use keyward_store::{AfterAttempt, Alert, AlertFilter, Attempt, Page, UsageFilter};

    use super::*;
    use crate::{
        app::webhooks::{DeliveryQuery, NewWebhook},
        fixture::{Fixture, NOW, at, new_key, organization},
    };

    const DAY: Duration = Duration::from_secs(24 * 3600);

    async fn clear(store: &dyn Store, now: Timestamp, keep: &Keep) {
        let (_stop, stopping) = watch::channel(false);
        Clearing { store, now, stopping: Stopping::of(stopping) }.all(keep, DAY * 30).await;
    }

    #[tokio::test]
    async fn what_was_sent_goes_by_age_and_alerts_that_are_over() {
        let fixture = Fixture::with_organizations().await;
        let (control, store) = (fixture.control(), fixture.folder.store());
        let acme = organization("acme");
        let new = NewWebhook {
            organization: Some(acme.clone()),
            url: "https://hooks.example.com/".to_owned(),
            description: String::new(),
            events: Some(vec![EventKind::KeyCreated]),
        };
        let webhook =
            control.create_webhook(&at(NOW), new).await.unwrap().webhook.id.parse().unwrap();
        let sent = async || {
            let query = DeliveryQuery::default();
            control.list_deliveries(&at(NOW), webhook, &query, 1000).await.unwrap().items
        };
        for name in ["a", "b"] {
            control.create_key(&at(NOW), new_key(name)).await.unwrap();
        }
        let over = sent().await[0].id.parse().unwrap();
        let attempt = Attempt { at: NOW, status: Some(204), problem: None };
        store.note_attempt(over, attempt, AfterAttempt::Done).await.unwrap();
        let rules = store.alert_rules(Some(&acme)).await.unwrap();
        for number in 0..2 {
            let alert = Alert {
                id: AlertId::from_bits([number; 16]),
                rule: rules[0].rule.id,
                organization: Some(acme.clone()),
                subject: number.to_string(),
                key: None,
                message: "it was".to_owned(),
                raised_at: NOW,
                resolved_at: None,
            };
            store.raise_alert(alert).await.unwrap();
        }
        store.resolve_alert(AlertId::from_bits([0; 16]), NOW).await.unwrap();
        let alerts = async || {
            let all = store.alerts(&AlertFilter::default(), Page::first(10)).await.unwrap();
            all.len()
        };
        let keep = Keep::default();
        clear(&*store, NOW.plus(DAY * 29), &keep).await;
        assert_eq!((sent().await.len(), alerts().await), (2, 2));
        clear(&*store, NOW.plus(DAY * 31), &keep).await;
        assert_eq!((sent().await.len(), alerts().await), (1, 2));
        clear(&*store, NOW.plus(DAY * 91), &keep).await;
        assert_eq!((sent().await.len(), alerts().await), (1, 1), "what waits or is raised stays");
    }

    #[tokio::test]
    async fn each_grain_is_kept_for_its_time() {
        let fixture = Fixture::with_organizations().await;
        let store = fixture.folder.store();
        let day = DAY;
        let row = |days: u32| UsageRow {
            scope: UsageScope {
                minute: NOW.minus(day * days).as_minutes(),
                organization: "acme".into(),
                ..UsageScope::default()
            },
            sums: UsageSums { requests: 1, ..UsageSums::default() },
            ..UsageRow::default()
        };
        let rows = [0, 1, 5, 50, 500].map(row).to_vec();
        store.record(&UsageBatch { rows, ..UsageBatch::default() }).await.unwrap();
        let keep = Keep { minutes: day * 2, hours: day * 10, days: day * 100 };
        clear(&*store, NOW, &keep).await;
        for (grain, left) in [(UsageGrain::Minute, 2), (UsageGrain::Hour, 3), (UsageGrain::Day, 4)]
        {
            let all = UsageFilter::minutes(0, NOW.as_minutes() + 1);
            let totals = store.usage(&UsageFilter { grain: Some(grain), ..all }).await.unwrap();
            assert_eq!(totals.len(), left, "{grain:?}");
        }
    }
}
