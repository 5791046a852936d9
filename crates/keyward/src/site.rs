//! A configuration with its data folder open: what nearly every command works on.
//!
//! Commands open the folder itself, whether a server runs on it or not: the store takes several processes, and the server
//! learns of a change within a millisecond or two.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use keyward_control::{
    Alerts, Context, Control, Counting, Deliveries, Reminders, Retention,
    alerts::figures::{LiveFigures, StoredFigures},
    mail::Mailer,
    propagation::Source,
    recorder::Progress,
};
use keyward_core::{key::Peppers, policy::Policy, snapshot::Snapshot};
use keyward_store::{DataFolder, Interface};
use nix::unistd::{Uid, User};

use crate::{
    clock,
    config::{self, Config, MailConfig},
    curl,
};

/// See the module.
pub struct Site {
    /// The configuration.
    pub config: Config,
    /// Its APIs.
    pub policy: Arc<Policy>,
    /// The data folder.
    pub folder: DataFolder,
    /// How people are told what happens: not at all, until [`Self::start_mail`].
    pub mailer: Mailer,
    /// How far usage is recorded, where a gateway runs here.
    pub progress: Option<Arc<Progress>>,
    /// What limits count, where a gateway runs here.
    pub counting: Option<Counting>,
}

impl Site {
    /// Reads the configuration and opens its data folder, which is made where it is missing.
    pub async fn open(file: &Path) -> anyhow::Result<Self> {
        Self::of(Config::load(file)?).await
    }

    /// Opens a configuration's data folder.
    pub async fn of(config: Config) -> anyhow::Result<Self> {
        let policy = Arc::new(config.policy_without_credentials()?);
        let folder = DataFolder::open(&config.data_dir)
            .await
            .with_context(|| format!("the data folder {}", config.data_dir.display()))?;
        Ok(Self { config, policy, folder, mailer: Mailer::none(), progress: None, counting: None })
    }

    /// From now on, mails are sent as configured.
    pub fn start_mail(&mut self) -> anyhow::Result<()> {
        if let Some(mail) = &self.config.mail {
            self.mailer = Mailer::start(mail.fetch()?).context("mails cannot be sent")?;
        }
        Ok(())
    }

    /// From now on, people are reminded of their keys, where mails are sent and that was not turned off.
    pub fn start_reminders(&self) -> anyhow::Result<Option<Reminders>> {
        if !self.config.mail.as_ref().is_some_and(MailConfig::reminders) {
            return Ok(None);
        }
        let (store, mailer) = (self.folder.store(), self.mailer.clone());
        let started = Reminders::start(store, mailer, self.policy.clone(), Arc::new(clock::now));
        Ok(Some(started.context("people cannot be reminded of their keys")?))
    }

    /// From now on, what is kept for too long is removed: usage, what was sent to webhooks, alerts.
    pub fn start_retention(&self) -> anyhow::Result<Retention> {
        let (store, keep) = (self.folder.store(), self.config.usage.keep);
        let deliveries = self.config.webhooks.keep;
        Retention::start(store, keep, deliveries, Arc::new(clock::now))
            .context("what is old cannot be removed")
    }

    /// From now on, what is told to webhooks is delivered.
    pub fn start_webhooks(&self) -> anyhow::Result<Deliveries> {
        let (store, sealer) = (self.folder.store(), self.folder.sealer());
        let (mailer, settings) = (self.mailer.clone(), self.config.webhooks.clone());
        Deliveries::start(store, sealer, mailer, settings, Arc::new(clock::now))
            .context("webhooks cannot be delivered to")
    }

    /// From now on, alert rules are looked at.
    pub fn start_alerts(
        &self,
        counting: Counting,
        snapshot: Arc<ArcSwap<Snapshot>>,
    ) -> anyhow::Result<Alerts> {
        let (store, mailer) = (self.folder.store(), self.mailer.clone());
        let stored = StoredFigures(store.clone());
        let figures = Arc::new(LiveFigures { stored, counting, snapshot });
        Alerts::start(store, figures, mailer, Arc::new(clock::now))
            .context("alert rules cannot be looked at")
    }

    /// How a command on this configuration begins, for hints to paste.
    pub fn command_line(&self) -> String {
        match self.config.file.to_str() {
            Some(config::FILE) | None => "keyward".to_owned(),
            Some(file) => format!("keyward --config {}", curl::quoted(file)),
        }
    }

    /// What may be asked for.
    pub fn control(&self) -> Control {
        Control::new(
            self.folder.store(),
            self.policy.clone(),
            Arc::new(self.folder.peppers().clone()),
            self.folder.sealer(),
        )
        .with_mailer(self.mailer.clone())
        .with_usage(self.config.usage.clone(), self.progress.clone())
        .with_counting(self.counting.clone())
        .with_guard(self.config.webhooks.guard.clone())
    }

    /// What the data plane follows.
    pub fn source(&self) -> Source {
        Source {
            store: self.folder.store(),
            peppers: Arc::<Peppers>::new(self.folder.peppers().clone()),
            sealer: self.folder.sealer(),
            clock: Arc::new(clock::now),
            node: node(),
        }
    }
}

/// The machine and process, as receipts list it.
fn node() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}:{}", host.as_deref().unwrap_or("localhost"), std::process::id())
}

/// Who sits at the command line, now.
pub fn operator() -> Context {
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let name = user.map_or_else(|| format!("uid {}", Uid::effective()), |user| user.name);
    Context::machine(name, Interface::CommandLine, clock::now())
}
