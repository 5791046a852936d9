//! What a key shall be, as it is said in the same words by whoever makes it and by whoever asks for it.

use clap::Args;
use keyward_core::{
    id::{ApiName, OrganizationId},
    key::Environment,
    network::Network,
};

use super::limits::LimitArguments;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// Which API it opens
    #[arg(long)]
    pub(super) api: ApiName,
    /// Whose it is
    #[arg(long)]
    pub(super) organization: OrganizationId,
    /// What people will call it
    #[arg(long)]
    pub(super) name: String,
    /// What it is used for [default: the preset's, else production]
    #[arg(long)]
    pub(super) environment: Option<Environment>,
    /// A permission of the API's profile; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION")]
    pub(super) permissions: Vec<String>,
    /// A named bundle of permissions of the API's profile
    #[arg(long)]
    pub(super) preset: Option<String>,
    /// A network it may be used from; may be given several times [default: everywhere]
    #[arg(long = "allow-network", value_name = "CIDR")]
    pub(super) allowed_networks: Vec<Network>,
    /// A model it may ask for; may be given several times [default: every model]
    #[arg(long = "allow-model", value_name = "MODEL")]
    allowed_models: Vec<String>,
    #[command(flatten)]
    pub(super) limits: LimitArguments,
}

impl Wanted {
    /// The models it may ask for; `None` for every one.
    pub(super) fn allowed_models(&self) -> Option<Vec<String>> {
        (!self.allowed_models.is_empty()).then(|| self.allowed_models.clone())
    }
}
