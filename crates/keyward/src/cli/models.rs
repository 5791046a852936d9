//! `keyward models …`

use clap::Subcommand;
use keyward_api::{ModelIdView, Page};
use keyward_core::id::{ModelId, OrganizationId};
use keyward_store::OrganizationUpdate;

use crate::{
    backend::Place,
    output::{Output, table},
};

#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// Give an organization a model id, which its requests may then name
    Assign {
        /// To whom
        #[arg(long)]
        organization: OrganizationId,
        /// Which [default: a new one is made]
        #[arg(long)]
        id: Option<ModelId>,
    },
    /// Take a model id from an organization
    Withdraw {
        /// From whom
        #[arg(long)]
        organization: OrganizationId,
        /// Which
        #[arg(long)]
        id: ModelId,
    },
    /// List model ids and whose they are
    List {
        /// Only those of this organization
        #[arg(long)]
        organization: Option<OrganizationId>,
    },
    /// Say which models the keys of an organization may ask for
    Allow {
        /// Whose keys
        #[arg(long)]
        organization: OrganizationId,
        /// These models and no others
        #[arg(value_name = "MODEL", required_unless_present = "all", conflicts_with = "all")]
        models: Vec<String>,
        /// Every model
        #[arg(long)]
        all: bool,
    },
}

impl Models {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        match self {
            Self::Assign { organization, id } => {
                let view = backend.assign_model_id(&organization, id).await?;
                output.show(&view, |model| {
                    format!(
                        "Model id `{}` belongs to organization `{}`.",
                        model.id, model.organization_id
                    )
                })
            }
            Self::Withdraw { organization, id } => {
                let view = backend.withdraw_model_id(&organization, id).await?;
                output.show(&view, |model| {
                    format!(
                        "Model id `{}` no longer belongs to organization `{}`.",
                        model.id, model.organization_id
                    )
                })
            }
            Self::List { organization } => {
                let all = Page::whole(backend.list_model_ids(organization.as_ref()).await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::Allow { organization, models, all } => {
                let models = (!all).then_some(models);
                let update = OrganizationUpdate {
                    allowed_models: Some(models),
                    ..OrganizationUpdate::default()
                };
                let view = backend.update_organization(&organization, update, None).await?;
                output.show(&view, |org| match &org.allowed_models {
                    None => format!("Keys of organization `{}` may ask for every model.", org.id),
                    Some(models) => {
                        format!(
                            "Keys of organization `{}` may ask for {}.",
                            org.id,
                            models.join(", ")
                        )
                    }
                })
            }
        }
    }
}

fn listed(models: &[ModelIdView]) -> String {
    let row = |model: &ModelIdView| vec![model.id.clone(), model.organization_id.clone()];
    table(
        &["model id", "organization"],
        models.iter().map(row).collect(),
        "No model ids. Assign one with `keyward models assign`.",
    )
}
