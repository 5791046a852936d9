//! `keyward keys update`, `disable`, `enable`, `revoke` and `receipt`: changes to keys that exist, and whether gateways know of them.

use clap::{ArgGroup, Args};
use keyward_api::{BulkAction, BulkItem, BulkView, KeyView, NodeView, ReceiptView};
use keyward_core::{
    id::{KeyId, UserId},
    key::{Environment, Labels, Rotation},
    network::Network,
};
use keyward_store::KeyUpdate;

use super::{
    limits::LimitArguments,
    values::{self, Moment},
};
use crate::{
    backend::Backend,
    output::{Output, table},
    site::operator,
};

/// What can be said of a key.
const CHANGES: [&str; 20] = [
    "name",
    "environment",
    "permissions",
    "allowed_networks",
    "from_everywhere",
    "allowed_models",
    "every_model",
    "expires",
    "never_expires",
    "tags",
    "no_tags",
    "metadata",
    "no_metadata",
    "rotate_after_days",
    "rotate_as_profile",
    "owner",
    "no_owner",
    "limits",
    "limits_file",
    "no_limits",
];

/// What is not said stays. What is said several times takes the place of all that was there.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(CHANGES)))]
pub(super) struct Update {
    /// The key's id
    id: KeyId,
    /// Only if nobody changed it since it had this revision, as `keys show` tells it
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// What people will call it
    #[arg(long)]
    name: Option<String>,
    /// What it is used for
    #[arg(long)]
    environment: Option<Environment>,
    /// A permission, in the place of those until now; may be given several times
    #[arg(long = "permission", id = "permissions", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// A network it may be used from, in the place of those until now; may be given several times
    #[arg(long = "allow-network", id = "allowed_networks", value_name = "CIDR")]
    allowed_networks: Vec<Network>,
    /// Let it be used from everywhere
    #[arg(long, conflicts_with = "allowed_networks")]
    from_everywhere: bool,
    /// A model it may ask for, in the place of those until now; may be given several times
    #[arg(long = "allow-model", id = "allowed_models", value_name = "MODEL")]
    allowed_models: Vec<String>,
    /// Let it ask for every model
    #[arg(long, conflicts_with = "allowed_models")]
    every_model: bool,
    /// From when on it is refused: 90d, or 2027-01-31T00:00:00Z
    #[arg(long, value_parser = values::moment, value_name = "WHEN")]
    expires: Option<Moment>,
    /// Let it have no end
    #[arg(long, conflicts_with = "expires")]
    never_expires: bool,
    /// A tag, in the place of those until now; may be given several times
    #[arg(long = "tag", id = "tags", value_name = "TAG")]
    tags: Vec<String>,
    /// Take all tags away
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// A name with a value, in the place of those until now; may be given several times
    #[arg(long, value_parser = values::entry, value_name = "NAME=VALUE")]
    metadata: Vec<(String, String)>,
    /// Take all metadata away
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    /// After how many days secrets that are made from now on should be replaced
    #[arg(long, value_name = "DAYS")]
    rotate_after_days: Option<u32>,
    /// Refuse a secret that was not replaced in time
    #[arg(long, requires = "rotate_after_days")]
    require_rotation: bool,
    /// Let the API's profile say when secrets should be replaced
    #[arg(long, conflicts_with = "rotate_after_days")]
    rotate_as_profile: bool,
    /// The member who answers for it
    #[arg(long, value_name = "USER")]
    owner: Option<UserId>,
    /// Let nobody answer for it
    #[arg(long, conflicts_with = "owner")]
    no_owner: bool,
    #[command(flatten)]
    limits: LimitArguments,
    /// Let it have no limits of its own
    #[arg(long, conflicts_with_all = ["limits", "limits_file"])]
    no_limits: bool,
}

impl Update {
    pub(super) async fn run(self, backend: &Backend) -> anyhow::Result<KeyView> {
        let (id, seen) = (self.id, self.if_revision);
        backend.update_key(id, self.update()?, seen).await
    }

    fn update(self) -> anyhow::Result<KeyUpdate> {
        let tags = said(!self.tags.is_empty() || self.no_tags, &self.tags);
        let metadata = said(!self.metadata.is_empty() || self.no_metadata, &self.metadata);
        let labels = Labels::new(self.tags, self.metadata.into_iter().collect())?;
        let networks = self.allowed_networks;
        let rule = |after_days| Rotation { after_days, required: self.require_rotation };
        let models = self.allowed_models;
        let limits = self.limits.read()?;
        Ok(KeyUpdate {
            name: self.name,
            environment: self.environment,
            permissions: said(!self.permissions.is_empty(), &self.permissions),
            allowed_networks: said(!networks.is_empty() || self.from_everywhere, &networks),
            allowed_models: or_none(said(!models.is_empty(), &models), self.every_model),
            expires_at: or_none(
                self.expires.map(|expires| expires.after(operator().now)),
                self.never_expires,
            ),
            tags: tags.map(|_| labels.tags),
            metadata: metadata.map(|_| labels.metadata),
            rotation: or_none(self.rotate_after_days.map(rule), self.rotate_as_profile),
            owner: or_none(self.owner, self.no_owner),
            limits: if self.no_limits { Some(vec![]) } else { limits },
        })
    }
}

fn said<T: Clone>(is_said: bool, values: &[T]) -> Option<Vec<T>> {
    is_said.then(|| values.to_vec())
}

/// Another value, or that there is none any more; `None` where it stays.
fn or_none<T>(value: Option<T>, is_taken_away: bool) -> Option<Option<T>> {
    if is_taken_away { Some(None) } else { value.map(Some) }
}

#[derive(Debug, Args)]
pub(super) struct Many {
    /// The keys' ids: one, or many
    #[arg(required = true, value_name = "ID")]
    ids: Vec<KeyId>,
}

/// Some keys were not changed: the others were.
#[derive(Debug, thiserror::Error)]
#[error("{0} of {1} keys were refused; the others are changed")]
pub(super) struct KeysRefused(usize, usize);

impl Many {
    pub(super) async fn run(
        self,
        backend: &Backend,
        action: BulkAction,
        output: Output,
    ) -> anyhow::Result<()> {
        if let [id] = self.ids.as_slice() {
            return one(backend, action, *id, output).await;
        }
        let done = backend.change_keys(action, &self.ids).await;
        output.show(&done, changed)?;
        match done.items.iter().filter(|item| item.error.is_some()).count() {
            0 => Ok(()),
            refused => Err(KeysRefused(refused, done.items.len()).into()),
        }
    }
}

async fn one(
    backend: &Backend,
    action: BulkAction,
    id: KeyId,
    output: Output,
) -> anyhow::Result<()> {
    let (view, what) = match action {
        BulkAction::Disable => {
            (backend.disable_key(id).await?, "is disabled; `keys enable` lets it be used again")
        }
        BulkAction::Enable => (backend.enable_key(id).await?, "is enabled"),
        BulkAction::Revoke => (backend.revoke_key(id).await?, "is revoked, for good"),
    };
    output.show(&view, |key| format!("{} `{}` {what}.", key.id, key.name))
}

fn changed(done: &BulkView) -> String {
    let row = |item: &BulkItem| {
        vec![
            item.id.clone(),
            item.state.map_or("-", |state| state.as_str()).to_owned(),
            item.error.as_ref().map_or_else(|| "-".to_owned(), |error| error.message.clone()),
        ]
    };
    table(&["id", "state", "refused, because"], done.items.iter().map(row).collect(), "No keys.")
}

pub(super) fn receipt(receipt: &ReceiptView) -> String {
    let row = |node: &NodeView| {
        vec![
            node.name.clone(),
            if node.following { "yes" } else { "no" }.to_owned(),
            node.applied_at.clone().unwrap_or_else(|| "not that it said".to_owned()),
            node.last_seen_at.clone(),
        ]
    };
    let heading = ["gateway", "follows", "applied", "last seen"];
    let nodes = table(&heading, receipt.nodes.iter().map(row).collect(), "No gateway runs.");
    let revision = receipt.revision;
    let told = if receipt.everywhere {
        format!(
            "Every gateway that follows has applied the last change to it (revision {revision})."
        )
    } else {
        format!("Not every gateway has applied the last change to it yet (revision {revision}).")
    };
    format!("{told}\n\n{nodes}")
}
