//! The configuration: `keyward.toml`, read, held against itself and against what it names, and made into what the parts of
//! Keyward are started with.
//!
//! Everything is checked before anything is started: a mistake is told with file, line, what is wrong and what would be
//! right, and whatever ran before keeps running. Paths are relative to the file's folder, so that it can be moved with
//! what it names. Secrets do not stand in it: it says where they come from, and they are fetched by [`Config::plan`] only.

mod apis;
mod gateway;
mod mail;
mod management;
mod openid;
mod source;
pub mod units;
mod upstreams;
mod usage;
mod webhooks;

#[cfg(test)]
mod tests;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keyward_control::{Plan, WebhookSettings, app::usage::UsageTerms};
use keyward_core::{
    path::PathFault,
    policy::{Api, Policy},
    profile::{File, Profile, ProfileError},
};
use keyward_gateway::GatewayConfig;
use toml::Spanned;

use self::source::Source;
use crate::profiles::{Profiles, Unreadable};

pub use mail::{MailConfig, NoMailPassword};
pub use management::ManagementConfig;
pub use openid::ConfiguredProvider;
pub use upstreams::{ConfiguredUpstream, CredentialOrigin, Unfetched};

/// Where the configuration is looked for.
pub const FILE: &str = "keyward.toml";
/// The data folder, unless another is named.
pub const DATA_DIR: &str = "keyward-data";
/// What is younger is fresh: a few looks at the store may fail.
const SHORTEST_STALENESS: Duration = Duration::from_secs(10);
/// The word for "none of it" where a setting may be switched off.
const OFF: &str = "off";
/// The profile of an API that names none, and the words for requests that reach no API.
const DEFAULT_PROFILE: &str = "default";

/// Why there is no configuration to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error(
        "there is no configuration at {}: write one (keyward.example.toml shows every setting), name another with \
         --config, or run `keyward demo`, which needs none", .0.display()
    )]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("{}: {cause}; {}", path.display(), crate::profiles::remedy(cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// It, or a profile it uses, does not say what it should.
    #[error(transparent)]
    Wrong(#[from] ProfileError),
    /// A profile cannot be read.
    #[error(transparent)]
    Profiles(#[from] Unreadable),
    /// Keyward's own API has no name: a defect of this binary.
    #[error(transparent)]
    Management(#[from] keyward_core::id::NotAnId),
}

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// Its file.
    pub file: PathBuf,
    /// Where the store is.
    pub data_dir: PathBuf,
    /// What the gateway is started with.
    pub gateway: GatewayConfig,
    /// Where the management API is, if anywhere.
    pub management: ManagementConfig,
    /// How mails are sent, if they are.
    pub mail: Option<MailConfig>,
    /// For how long usage is kept, and what costs are in.
    pub usage: UsageTerms,
    /// Where webhooks may lead.
    pub webhooks: WebhookSettings,
    /// All profiles there are, used or not.
    pub profiles: Profiles,
    /// What is protected.
    pub apis: Vec<Api>,
    /// Where it is forwarded to.
    pub upstreams: Vec<ConfiguredUpstream>,
    /// Keyward's own, which nobody configures.
    management_api: Api,
    fallback: Arc<Profile>,
    stale_after: Option<Duration>,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
            _ => ConfigError::Unreadable { path: path.to_owned(), cause },
        })?;
        Self::read(path, &text)
    }

    /// Checks what stands, or would stand, in a file.
    pub fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let reader = Reader::new(path, text);
        let source: Source = reader.file.parse()?;
        let data_dir = match &source.data_dir {
            Some(dir) if dir.get_ref().is_empty() => {
                return Err(reader.wrong(dir, "`data_dir` is empty", "name a folder").into());
            }
            Some(dir) => reader.path(dir.get_ref()),
            None => reader.path(DATA_DIR),
        };
        let profiles = match &source.profiles_dir {
            Some(dir) if dir.get_ref() == OFF => Profiles::built_in(),
            Some(dir) => {
                let folder = reader.path(dir.get_ref());
                if !folder.is_dir() {
                    let problem = format!("there is no folder {}", folder.display());
                    let remedy = "make it and put profiles into it, or leave `profiles_dir` out";
                    return Err(reader.wrong(dir, problem, remedy).into());
                }
                Profiles::built_in().with_folder(&folder)?
            }
            None => Profiles::built_in(),
        };
        let stale_after = match &source.stale_after {
            Some(text) if text.get_ref() == OFF => None,
            Some(text) => match reader.duration(text)? {
                short if short < SHORTEST_STALENESS => {
                    let problem = format!("{} is too short", text.get_ref());
                    let remedy = "write 10s or more: the store is asked every 2s, and a pause of it must not refuse requests";
                    return Err(reader.wrong(text, problem, remedy).into());
                }
                long => Some(long),
            },
            None => None,
        };
        let gateway = gateway::compile(&reader, source.gateway, source.listeners)?;
        let management = management::compile(&reader, source.management)?;
        let mail = mail::compile(&reader, &source.mail)?;
        let usage = usage::compile(&reader, &source.usage)?;
        let webhooks = webhooks::compile(&reader, source.webhooks)?;
        let upstreams = upstreams::compile(&reader, source.upstreams, &gateway.settings.identity)?;
        let apis = apis::Apis {
            reader: &reader,
            profiles: &profiles,
            upstreams: &upstreams,
            gateway: &gateway,
        };
        let (apis, fallback) = apis.compile(&source.apis)?;
        let config = Self {
            file: path.to_owned(),
            data_dir,
            gateway,
            management,
            mail,
            usage,
            webhooks,
            profiles,
            apis,
            upstreams,
            management_api: management::api()?,
            fallback,
            stale_after,
        };
        apis::check_together(&reader, &source.apis, config.policy_without_credentials())?;
        Ok(config)
    }

    /// What is served, with the credentials that environment and files hold. Those in the store come later.
    pub fn plan(&self) -> Result<Plan, Unfetched> {
        let upstreams =
            self.upstreams.iter().map(ConfiguredUpstream::fetch).collect::<Result<_, _>>()?;
        // Fetched where they are used; one that is not there is told of before anything is made.
        self.management.openid.iter().try_for_each(|provider| provider.fetch().map(drop))?;
        Ok(Plan { upstreams, ..self.plan_without_credentials() })
    }

    /// What is served, for looking at it: no upstream has a credential.
    pub fn plan_without_credentials(&self) -> Plan {
        let stored = self.upstreams.iter().filter_map(ConfiguredUpstream::stored);
        Plan {
            apis: self.apis.iter().chain([&self.management_api]).cloned().collect(),
            upstreams: self.upstreams.iter().map(|one| one.upstream.clone()).collect(),
            stored: stored.collect(),
            fallback: self.fallback.clone(),
            stale_after: self.stale_after,
        }
    }

    /// This configuration, but with what cannot change while it runs as it was `before`; and the names of what would have
    /// changed, which needs a restart.
    #[must_use]
    pub fn with_fixed_of(mut self, before: &Self) -> (Self, Vec<&'static str>) {
        let mut changed = vec![];
        if self.data_dir != before.data_dir {
            changed.push("data_dir");
            self.data_dir.clone_from(&before.data_dir);
        }
        if self.gateway.listeners != before.gateway.listeners {
            changed.push("listeners");
            self.gateway.listeners.clone_from(&before.gateway.listeners);
        }
        if self.gateway.workers != before.gateway.workers {
            changed.push("gateway.workers");
            self.gateway.workers = before.gateway.workers;
        }
        if self.management != before.management {
            changed.push("management");
            self.management.clone_from(&before.management);
        }
        if self.webhooks != before.webhooks {
            changed.push("webhooks");
            self.webhooks.clone_from(&before.webhooks);
        }
        if self.mail != before.mail {
            changed.push("mail");
            self.mail.clone_from(&before.mail);
        }
        (self, changed)
    }

    /// The policy, for looking at it.
    pub fn policy_without_credentials(&self) -> Result<Policy, keyward_core::policy::PolicyError> {
        self.plan_without_credentials().policy(&keyward_control::plan::Credentials::new())
    }
}

/// The file that is read: what mistakes point into and paths are relative to.
struct Reader {
    file: File,
    folder: PathBuf,
}

impl Reader {
    fn new(path: &Path, text: &str) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self { file: File::new(&path.display().to_string(), text), folder }
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    fn wrong_at(
        &self,
        span: Range<usize>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ProfileError {
        self.file.error(span, problem.into(), remedy.into())
    }

    fn wrong<T>(
        &self,
        at: &Spanned<T>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ProfileError {
        self.wrong_at(at.span(), problem, remedy)
    }

    fn duration(&self, text: &Spanned<String>) -> Result<Duration, ProfileError> {
        units::duration(text.get_ref()).ok_or_else(|| {
            let problem = format!("`{}` is not a duration", text.get_ref());
            self.wrong(text, problem, units::DURATION_REMEDY)
        })
    }

    /// Where a path that could be read in more than one way stands. The core's sentence says what is wrong and what to do.
    fn wrong_path(&self, at: &Spanned<String>, place: &str, fault: PathFault) -> ProfileError {
        let sentence = fault.to_string();
        let (problem, remedy) =
            sentence.trim_end_matches('.').split_once("; ").unwrap_or((&sentence, "mend it"));
        self.wrong(at, format!("{place}: {problem}"), remedy)
    }

    /// A file that must be there.
    fn existing_file(&self, text: &Spanned<String>, what: &str) -> Result<PathBuf, ProfileError> {
        let path = self.path(text.get_ref());
        if path.is_file() {
            return Ok(path);
        }
        let problem = format!("there is no file {}", path.display());
        Err(self.wrong(text, problem, format!("put {what} there, or name where it is")))
    }
}
