//! `keyward keys …`

use std::{path::Path, sync::Arc, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use keyward_api::{CreatedKey, KeyDetailsView, KeyStateView, KeyView, Page};
use keyward_control::{
    Control,
    app::keys::{Issued, KeyQuery, NewKey},
};
use keyward_core::{
    id::{ApiName, KeyId, OrganizationId, SecretId},
    key::{Environment, Labels},
    network::Network,
};
use tokio::task::JoinSet;

use super::values::{self, Moment};
use crate::{
    curl::{self, Owner, Target},
    output::{Output, facts, table},
    site::{Site, operator},
};

/// Keys of a load test that are made at once: the store makes them durable together.
const AT_ONCE: usize = 256;
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key. It is printed once, with how to use it
    Create(Box<Create>),
    /// List keys, in the order they were made
    List(List),
    /// Show a key: its secrets, their last uses, its requests
    Show {
        /// The key's id
        id: KeyId,
    },
    /// Let a key rest until it is enabled
    Disable {
        /// The key's id
        id: KeyId,
    },
    /// Let a disabled key be used again
    Enable {
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
    /// End a key for good
    Revoke {
        /// The key's id
        id: KeyId,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Which API it opens
    #[arg(long)]
    api: ApiName,
    /// Whose it is
    #[arg(long)]
    organization: OrganizationId,
    /// What people will call it
    #[arg(long)]
    name: String,
    /// What it is used for [default: the preset's, else production]
    #[arg(long)]
    environment: Option<Environment>,
    /// A permission of the API's profile; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// A named bundle of permissions of the API's profile
    #[arg(long)]
    preset: Option<String>,
    /// From when on it is refused: 90d, or 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_parser = values::moment, value_name = "WHEN")]
    expires: Option<Moment>,
    /// A network it may be used from; may be given several times [default: everywhere]
    #[arg(long = "allow-network", value_name = "CIDR")]
    allowed_networks: Vec<Network>,
    /// A model it may ask for; may be given several times [default: every model]
    #[arg(long = "allow-model", value_name = "MODEL")]
    allowed_models: Vec<String>,
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Active,
    Disabled,
    Expired,
    Revoked,
}

impl Keys {
    pub(super) async fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let site = Site::open(config).await?;
        let (control, context) = (site.control(), operator());
        let said = |view: KeyView, what: &str| {
            output.show(&view, |key| format!("{} `{}` {what}.", key.id, key.name))
        };
        match self {
            Self::Create(create) => create.run(&site, output).await,
            Self::List(list) => list.run(&control, output).await,
            Self::Show { id } => {
                let details = control.show_key(&context, id).await?;
                output.show(&details, shown)
            }
            Self::Disable { id } => said(
                control.disable_key(&context, id).await?,
                "is disabled; `keys enable` lets it be used again",
            ),
            Self::Enable { id } => said(control.enable_key(&context, id).await?, "is enabled"),
            Self::Revoke { id } => {
                said(control.revoke_key(&context, id).await?, "is revoked, for good")
            }
            Self::Rotate { id, overlap } => {
                let issued = control.rotate_key(&context, id, overlap).await?;
                let example = example(&site, &control, &issued).await?;
                let keyward = site.command_line();
                output.show(&issued.view(context.now), |created| {
                    rotated(created, example.as_deref(), &keyward)
                })
            }
            Self::Retire { id, secret, force } => {
                let view = control.retire_secret(&context, id, secret, force).await?;
                output.show(&view, |key| {
                    format!("{secret} no longer opens {} `{}`.", key.id, key.name)
                })
            }
        }
    }
}

impl Create {
    fn new_key(&self, name: String) -> NewKey {
        let models = &self.allowed_models;
        NewKey {
            api: self.api.clone(),
            organization: self.organization.clone(),
            name,
            environment: self.environment.clone(),
            permissions: self.permissions.clone(),
            preset: self.preset.clone(),
            expires_at: self.expires.map(|moment| moment.after(operator().now)),
            allowed_networks: self.allowed_networks.clone(),
            allowed_models: (!models.is_empty()).then(|| models.clone()),
            labels: Labels::default(),
            rotation: None,
            owner: None,
        }
    }

    async fn run(self, site: &Site, output: Output) -> anyhow::Result<()> {
        let (control, context) = (site.control(), operator());
        if let Some(count) = self.count {
            return self.many(control, count).await;
        }
        let issued = control.create_key(&context, self.new_key(self.name.clone())).await?;
        let example = example(site, &control, &issued).await?;
        output.show(&issued.view(context.now), |created| made(created, example.as_deref()))
    }

    async fn many(self, control: Control, count: u32) -> anyhow::Result<()> {
        let control = Arc::new(control);
        let (mut next, mut making) = (1, JoinSet::new());
        while next <= count || !making.is_empty() {
            while next <= count && making.len() < AT_ONCE {
                let new = self.new_key(format!("{}-{next}", self.name));
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
    async fn run(self, control: &Control, output: Output) -> anyhow::Result<()> {
        let mut query = KeyQuery {
            api: self.api,
            organization: self.organization,
            state: self.state.map(|state| match state {
                State::Active => KeyStateView::Active,
                State::Disabled => KeyStateView::Disabled,
                State::Expired => KeyStateView::Expired,
                State::Revoked => KeyStateView::Revoked,
            }),
            ..KeyQuery::default()
        };
        let mut keys = Vec::new();
        loop {
            let page = control.list_keys(&operator(), &query, PAGE).await?;
            keys.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next.parse()?),
                None => break,
            }
        }
        output.show(&Page::whole(keys), |page| listed(&page.items))
    }
}

/// A curl line for a key that was just made: the one place where its plaintext is put into a sentence.
async fn example(
    site: &Site,
    control: &Control,
    issued: &Issued,
) -> anyhow::Result<Option<String>> {
    let key = issued.key();
    let Some(api) = site.policy.api(key.api.as_str()) else { return Ok(None) };
    let organization = control.show_organization(&operator(), &key.organization).await?;
    let models = key.allowed_models.as_ref().or(organization.allowed_models.as_ref());
    let owner = Owner {
        organization: key.organization.as_str(),
        model_id: organization.model_ids.first().map(String::as_str),
        model: models.and_then(|models| models.first()).map(String::as_str),
        permissions: &key.permissions,
    };
    let Some(request) = curl::example(api, &owner) else { return Ok(None) };
    let target = Target::of(&site.config, api);
    let slot = api.profile.slots.first();
    Ok(Some(curl::line(&target, &request, slot, issued.plaintext.expose())))
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

fn made(created: &CreatedKey, example: Option<&str>) -> String {
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

/// How often a secret was accepted, and how often still after it was replaced.
fn requests(secret: &keyward_api::SecretView) -> String {
    let all = secret.requests.unwrap_or_default();
    match secret.requests_since_replaced {
        Some(since) if since > 0 => format!("{all}, {since} since it was replaced"),
        _ => all.to_string(),
    }
}

fn shown(details: &KeyDetailsView) -> String {
    let key = &details.key;
    let mut text = facts(&[
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
        ("state", key.state.as_str().to_owned()),
        ("created", key.created_at.clone()),
        ("expires", key.expires_at.clone().unwrap_or_else(|| "never".to_owned())),
    ]);
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
