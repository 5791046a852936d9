//! A running Keyward: the parts in the order in which they may start and must end.
//!
//! Nothing listens before all keys are loaded, and nothing that was counted is dropped at the end: the gateway drains first,
//! then what it told is written, then the store is let go.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use keyward_control::{
    Alerts, BcryptCheck, Counting, Deliveries, Keeper, Propagation, Recorder, Reminders, Retention,
    http::Server, propagation::Timing,
};
use keyward_core::key::Plaintext;
use keyward_gateway::{Gateway, Handed, Ports};

use super::handed;
use crate::{
    clock,
    config::{Config, MailConfig},
    site::Site,
};

/// For mails that are being sent when it is asked to stop.
const MAIL: Duration = Duration::from_secs(5);

/// See the module.
pub struct Running {
    gateway: Gateway,
    management: Option<Server>,
    /// For the console, once: how the first operator comes.
    setup: Option<Plaintext>,
    reminders: Option<Reminders>,
    retention: Retention,
    webhooks: Deliveries,
    alerts: Alerts,
    recorder: Recorder,
    keeper: Keeper,
    propagation: Propagation,
    site: Site,
}

impl Running {
    /// Opens the data folder, loads all keys, and listens.
    pub async fn start(config: Config, handed: Handed) -> anyhow::Result<Self> {
        // Before anything is made: a credential that is not there is a mistake in the configuration.
        config.plan()?;
        config.mail.as_ref().map(MailConfig::fetch).transpose()?;
        Self::on(Site::of(config).await?, handed).await
    }

    /// Loads all keys of an open data folder, and listens.
    pub async fn on(mut site: Site, mut handed: Handed) -> anyhow::Result<Self> {
        let plan = site.config.plan()?;
        handed::check(&handed, &site.config)?;
        site.start_mail()?;
        let propagation = Propagation::start(site.source(), plan, Timing::default()).await?;
        let recorder = Recorder::start(site.folder.store(), Arc::new(clock::now))
            .context("usage cannot be recorded")?;
        site.progress = Some(recorder.progress());
        let counting = Counting::new(Arc::new(clock::now));
        site.counting = Some(counting.clone());
        let (keeper, _) = Keeper::start(site.folder.store(), counting.clone()).await?;
        let ports = Ports {
            snapshot: propagation.snapshot().clone(),
            counters: counting.counters.clone(),
            began: counting.began,
            usage: recorder.sink(),
            slow: Arc::new(BcryptCheck::new(site.folder.sealer())),
        };
        let gateway = Gateway::start(site.config.gateway.clone(), ports, &mut handed)?;
        let (management, setup) = match site.config.management.listener() {
            Some(listener) => {
                let (control, address) = (site.control(), listener.address);
                let setup = control.offer_setup(clock::now()).await?;
                let management =
                    site.config.management.management(control, Arc::new(clock::now))?;
                let socket = handed.take(address).pop();
                let server = Server::start(listener, socket, management)
                    .with_context(|| format!("the management API cannot listen at {address}"))?;
                (Some(server), setup)
            }
            None => (None, None),
        };
        let reminders = site.start_reminders()?;
        let retention = site.start_retention()?;
        let webhooks = site.start_webhooks()?;
        let alerts = site.start_alerts(counting, propagation.snapshot().clone())?;
        Ok(Self {
            gateway,
            management,
            setup,
            reminders,
            retention,
            webhooks,
            alerts,
            recorder,
            keeper,
            propagation,
            site,
        })
    }

    /// Where the management API listens.
    pub fn management(&self) -> Option<SocketAddr> {
        self.management.as_ref().map(Server::address)
    }

    /// The token by which the first operator comes, where there is none yet. Given once.
    pub const fn take_setup(&mut self) -> Option<Plaintext> {
        self.setup.take()
    }

    /// The configuration and the data folder.
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Where it listens, with real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.gateway.addresses()
    }

    /// Takes another configuration, all of it or nothing. Answers what of it needs a restart.
    pub async fn reload(&mut self, config: Config) -> anyhow::Result<Vec<&'static str>> {
        let plan = config.plan()?;
        let policy = Arc::new(config.policy_without_credentials()?);
        let (config, needs_restart) = config.with_fixed_of(&self.site.config);
        // The gateway checks its settings before it takes them, and can take the old ones back.
        self.gateway.reload(config.gateway.settings.clone())?;
        if let Err(error) = self.propagation.republish(plan).await {
            self.gateway.reload(self.site.config.gateway.settings.clone())?;
            return Err(error.into());
        }
        (self.site.policy, self.site.config) = (policy, config);
        if let Some(server) = &self.management {
            server.management().replace(self.site.control());
        }
        if let Some(reminders) = &self.reminders {
            reminders.replace(self.site.policy.clone());
        }
        self.retention.replace(self.site.config.usage.keep);
        Ok(needs_restart)
    }

    /// Takes no more requests, lets those in flight end, writes what was counted. Blocking.
    pub fn stop(self) {
        let Self {
            gateway,
            management,
            reminders,
            retention,
            webhooks,
            alerts,
            recorder,
            keeper,
            propagation,
            site,
            ..
        } = self;
        if let Some(server) = management {
            server.stop();
        }
        gateway.drain();
        if let Some(reminders) = reminders {
            reminders.finish();
        }
        retention.finish();
        alerts.finish();
        webhooks.finish();
        recorder.finish();
        keeper.finish();
        propagation.stop();
        site.mailer.finish(MAIL);
        drop(site);
    }
}
