//! `keyward keys …`

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use keyward_api::{
    BulkAction, CreatedKey, KeyDetailsView, KeyStateView, KeyView, Page, RotationView,
};
use keyward_control::{
    Control,
    app::keys::{KeyQuery, NewKey},
};
use keyward_core::{
    id::{ApiName, KeyId, OrganizationId, SecretId, UserId},
    key::{Environment, Labels, Rotation},
};
use tokio::task::JoinSet;

use super::{
    key_changes, limits, transfer,
    values::{self, Moment},
    wanted::Wanted,
};
use crate::{
    backend::{Backend, Place},
    output::{Output, facts, table},
    site::operator,
};

/// Keys of a load test that are made at once: the store makes them durable together.
const AT_ONCE: usize = 256;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key. It is printed once, with how to use it
    Create(Box<Create>),
    /// List keys, in the order they were made
    List(List),
    /// Take over keys of another system, in the clear or by their digests
    Import(transfer::ImportKeys),
    /// Write all keys with what is known of them, for other programs; never a secret
    Export(transfer::ExportKeys),
    /// Show a key: its secrets, their last uses, its requests
    Show {
        /// The key's id
        id: KeyId,
    },
    /// Let keys rest until they are enabled
    Disable(key_changes::Many),
    /// Let disabled keys be used again
    Enable(key_changes::Many),
    /// Change a key's name, what it may and what is written on it. Its secrets stay
    Update(Box<key_changes::Update>),
    /// Show how the limits stand that hold for a key
    Limits {
        /// The key's id
        id: KeyId,
    },
    /// Tell which gateways have applied the last change to a key
    Receipt {
        /// The key's id
        id: KeyId,
    },
    /// Give a key a new secret. The old one is good for a while
    Rotate {
        /// The key's id
        id: KeyId,
        /// How long the old secret is good beside the new one
        #[arg(long, default_value = "24h", value_parser = values::duration, value_name = "DURATION")]
        overlap: Duration,
    },
    /// End an old secret of a key now
    Retire {
        /// The key's id
        id: KeyId,
        /// The secret's id, as `keys show` lists it
        secret: SecretId,
        /// Also where somebody used it after it was replaced, and is cut off
        #[arg(long)]
        force: bool,
    },
    /// End keys for good
    Revoke(key_changes::Many),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    wanted: Wanted,
    /// From when on it is refused: 90d, or 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_parser = values::moment, value_name = "WHEN")]
    expires: Option<Moment>,
    /// The member who answers for it [default: oneself; nobody on a data folder]
    #[arg(long, value_name = "USER")]
    owner: Option<UserId>,
    /// A tag to sort it by; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A name with a value, like team=billing; may be given several times
    #[arg(long, value_parser = values::entry, value_name = "NAME=VALUE")]
    metadata: Vec<(String, String)>,
    /// After how many days its secret should be replaced [default: as the API's profile says]
    #[arg(long, value_name = "DAYS")]
    rotate_after_days: Option<u32>,
    /// Refuse a secret that was not replaced in time
    #[arg(long, requires = "rotate_after_days")]
    require_rotation: bool,
    /// Make so many, called NAME-1, NAME-2, …, as JSON lines
    #[arg(long, hide = true, value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only keys of this API
    #[arg(long)]
    api: Option<ApiName>,
    /// Only keys of this organization
    #[arg(long)]
    organization: Option<OrganizationId>,
    /// Only keys in this state
    #[arg(long)]
    state: Option<State>,
    /// Only keys of this environment
    #[arg(long)]
    environment: Option<Environment>,
    /// Only keys with these words, or beginnings of words, on them
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// Only keys with exactly this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only keys that nobody used for so many days
    #[arg(long, value_name = "DAYS")]
    unused: Option<u32>,
    /// Only keys that end within so many days, or have
    #[arg(long, value_name = "DAYS")]
    ending: Option<u32>,
    /// Only keys of this member
    #[arg(long, value_name = "USER")]
    owner: Option<UserId>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Active,
    Disabled,
    Expired,
    Revoked,
}

impl Keys {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        match self {
            Self::Create(create) => create.run(&backend, output).await,
            Self::List(list) => list.run(&backend, output).await,
            Self::Import(import) => import.run(&backend, output).await,
            Self::Export(export) => export.run(&backend).await,
            Self::Show { id } => output.show(&backend.show_key(id).await?, shown),
            Self::Update(update) => {
                output.show(&update.run(&backend).await?, |key| facts(&on(key)))
            }
            Self::Limits { id } => {
                output.show(&backend.key_limits(id).await?, |page| limits::states(&page.items))
            }
            Self::Receipt { id } => {
                output.show(&backend.key_receipt(id).await?, key_changes::receipt)
            }
            Self::Disable(many) => many.run(&backend, BulkAction::Disable, output).await,
            Self::Enable(many) => many.run(&backend, BulkAction::Enable, output).await,
            Self::Revoke(many) => many.run(&backend, BulkAction::Revoke, output).await,
            Self::Rotate { id, overlap } => {
                let made = backend.rotate_key(id, overlap).await?;
                let keyward = backend.command_line();
                output.show(&made.created, |created| {
                    rotated(created, made.example.as_deref(), &keyward)
                })
            }
            Self::Retire { id, secret, force } => {
                let view = backend.retire_secret(id, secret, force).await?;
                output.show(&view, |key| {
                    format!("{secret} no longer opens {} `{}`.", key.id, key.name)
                })
            }
        }
    }
}

impl Create {
    fn new_key(&self, name: String) -> anyhow::Result<NewKey> {
        let wanted = &self.wanted;
        Ok(NewKey {
            api: wanted.api.clone(),
            organization: wanted.organization.clone(),
            name,
            environment: wanted.environment.clone(),
            permissions: wanted.permissions.clone(),
            preset: wanted.preset.clone(),
            expires_at: self.expires.map(|moment| moment.after(operator().now)),
            allowed_networks: wanted.allowed_networks.clone(),
            allowed_models: wanted.allowed_models(),
            labels: Labels::new(self.tags.clone(), self.metadata.iter().cloned().collect())?,
            rotation: self
                .rotate_after_days
                .map(|after_days| Rotation { after_days, required: self.require_rotation }),
            owner: self.owner,
            limits: self.wanted.limits.read()?.unwrap_or_default(),
        })
    }

    async fn run(self, backend: &Backend, output: Output) -> anyhow::Result<()> {
        match (self.count, backend) {
            (Some(count), Backend::Local(site)) => self.many(site.control(), count).await,
            (Some(_), Backend::Remote(_)) => {
                bail!("many keys at once are made on a data folder only: leave out `--count`")
            }
            (None, backend) => {
                let new = backend.create_key(self.new_key(self.wanted.name.clone())?).await?;
                output.show(&new.created, |created| made(created, new.example.as_deref()))
            }
        }
    }

    async fn many(self, control: Control, count: u32) -> anyhow::Result<()> {
        let control = Arc::new(control);
        let (mut next, mut making) = (1, JoinSet::new());
        while next <= count || !making.is_empty() {
            while next <= count && making.len() < AT_ONCE {
                let new = self.new_key(format!("{}-{next}", self.wanted.name))?;
                let control = control.clone();
                making.spawn(async move { control.create_key(&operator(), new).await });
                next += 1;
            }
            if let Some(made) = making.join_next().await {
                Output::json(&made??.view(operator().now))?;
            }
        }
        Ok(())
    }
}

impl List {
    async fn run(self, backend: &Backend, output: Output) -> anyhow::Result<()> {
        let query = KeyQuery {
            api: self.api,
            organization: self.organization,
            state: self.state.map(|state| match state {
                State::Active => KeyStateView::Active,
                State::Disabled => KeyStateView::Disabled,
                State::Expired => KeyStateView::Expired,
                State::Revoked => KeyStateView::Revoked,
            }),
            owner: self.owner,
            environment: self.environment,
            search: self.search,
            tag: self.tag,
            unused_days: self.unused,
            ending_days: self.ending,
            after: None,
        };
        output.show(&Page::whole(backend.list_keys(query).await?), |page| listed(&page.items))
    }
}

fn once(created: &CreatedKey, example: Option<&str>) -> String {
    let mut text = format!(
        "\n    {}\n\nThis is the only time it is shown. Keep it like a password.",
        created.secret.expose()
    );
    if let Some(example) = example {
        text.push_str(&format!(" Use it like this:\n\n    {example}\n"));
    }
    text
}

pub(super) fn made(created: &CreatedKey, example: Option<&str>) -> String {
    let key = &created.key;
    let until = key.expires_at.as_ref().map_or(String::new(), |at| format!(" until {at}"));
    format!(
        "{} `{}` opens API `{}` for organization `{}`, with {}{until}:\n{}",
        key.id,
        key.name,
        key.api,
        key.organization_id,
        or_none(&key.permissions, "no permission"),
        once(created, example)
    )
}

fn rotated(created: &CreatedKey, example: Option<&str>, keyward: &str) -> String {
    let key = &created.key;
    let old: Vec<String> = key
        .secrets
        .iter()
        .filter(|secret| secret.state == keyward_api::SecretStateView::Retiring)
        .map(|secret| {
            format!(
                "\nThe old secret {} ({}) is good until {}; end it earlier with\n\n    {keyward} keys retire {} {}",
                secret.id,
                secret.hint,
                secret.expires_at.as_deref().unwrap_or("the key's own end"),
                key.id,
                secret.id
            )
        })
        .collect();
    format!(
        "{} `{}` has a new secret:\n{}{}",
        key.id,
        key.name,
        once(created, example),
        old.join("\n")
    )
}

fn or_none(items: &[String], none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { items.join(", ") }
}

/// The first few, so that a line of the list stays a line; `keys show` tells all.
fn in_short(items: &[String]) -> String {
    match items {
        [] => "-".to_owned(),
        [first, second, third, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        few => few.join(", "),
    }
}

fn newest_use(key: &KeyView) -> Option<&String> {
    key.secrets.iter().filter_map(|secret| secret.last_used_at.as_ref()).max()
}

fn listed(keys: &[KeyView]) -> String {
    let row = |key: &KeyView| {
        vec![
            key.id.clone(),
            key.name.clone(),
            key.api.clone(),
            key.organization_id.clone(),
            key.environment.clone(),
            in_short(&key.permissions),
            key.state.as_str().to_owned(),
            key.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            newest_use(key).cloned().unwrap_or_else(|| "never".to_owned()),
            key.secrets.last().map(|secret| secret.hint.clone()).unwrap_or_default(),
        ]
    };
    table(
        &[
            "id",
            "name",
            "api",
            "organization",
            "environment",
            "permissions",
            "state",
            "expires",
            "last used",
            "secret",
        ],
        keys.iter().map(row).collect(),
        "No keys. Make one with `keyward keys create`.",
    )
}

fn written(metadata: &BTreeMap<String, String>) -> String {
    let entries: Vec<_> = metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
    or_none(&entries, "none")
}

fn rotation(rotation: RotationView) -> String {
    let what = if rotation.required { "required" } else { "reminded of" };
    format!("{what} after {} days", rotation.after_days)
}

/// How often a secret was accepted, and how often still after it was replaced.
fn requests(secret: &keyward_api::SecretView) -> String {
    let all = secret.requests.unwrap_or_default();
    match secret.requests_since_replaced {
        Some(since) if since > 0 => format!("{all}, {since} since it was replaced"),
        _ => all.to_string(),
    }
}

/// What stands on a key.
fn on(key: &KeyView) -> Vec<(&'static str, String)> {
    vec![
        ("key", key.id.clone()),
        ("name", key.name.clone()),
        ("api", key.api.clone()),
        ("organization", key.organization_id.clone()),
        ("environment", key.environment.clone()),
        ("permissions", or_none(&key.permissions, "none")),
        ("networks", or_none(&key.allowed_networks, "everywhere")),
        (
            "models",
            key.allowed_models
                .as_ref()
                .map_or("every".to_owned(), |models| or_none(models, "none")),
        ),
        ("limits", limits::told(&key.limits)),
        ("owner", key.owner_id.clone().unwrap_or_else(|| "nobody".to_owned())),
        ("tags", or_none(&key.tags, "none")),
        ("metadata", written(&key.metadata)),
        ("rotation", key.rotation.map_or("as the profile says".to_owned(), rotation)),
        ("state", key.state.as_str().to_owned()),
        ("created", key.created_at.clone()),
        ("expires", key.expires_at.clone().unwrap_or_else(|| "never".to_owned())),
        ("revision", key.revision.to_string()),
    ]
}

fn shown(details: &KeyDetailsView) -> String {
    let key = &details.key;
    let mut text = facts(&on(key));
    let secret = |secret: &keyward_api::SecretView| {
        vec![
            secret.id.clone(),
            secret.hint.clone(),
            secret.state.as_str().to_owned(),
            secret.created_at.clone(),
            secret.expires_at.clone().unwrap_or_else(|| "with the key".to_owned()),
            secret.last_used_at.clone().unwrap_or_else(|| "never".to_owned()),
            secret.last_used_from.clone().unwrap_or_else(|| "-".to_owned()),
            requests(secret),
        ]
    };
    let heading =
        ["secret", "hint", "state", "created", "expires", "last used", "from", "requests"];
    let secrets = table(&heading, key.secrets.iter().map(secret).collect(), "No secrets.");
    let used = |usage: &keyward_api::UsageView| {
        vec![
            if usage.route.is_empty() { "-".to_owned() } else { usage.route.clone() },
            usage.status.to_string(),
            usage.requests.to_string(),
            format!("{:.1} ms", usage.mean_latency_micros as f64 / 1000.0),
            usage.last_at.clone(),
        ]
    };
    let heading = ["route", "status", "requests", "mean time", "last minute"];
    let usage = table(&heading, details.usage.iter().map(used).collect(), "No requests yet.");
    text.push_str(&format!("\n\n{secrets}\n\n{usage}"));
    for note in &details.notes {
        text.push_str(&format!("\n\nNote: {note}."));
    }
    text
}
