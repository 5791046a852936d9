//! `keyward orgs …`

use clap::{ArgGroup, Args, Subcommand};
use keyward_api::{OrganizationView, Page};
use keyward_core::{id::OrganizationId, limit::PlanName};
use keyward_store::{OrganizationUpdate, PlanChoice};

use super::limits::{self, LimitArguments};
use crate::{
    backend::Place,
    output::{Output, facts, table},
};

#[derive(Debug, Subcommand)]
pub(super) enum Orgs {
    /// Make an organization
    Create(Create),
    /// List organizations, in the order they were made
    List,
    /// Show an organization
    Show {
        /// The organization's id
        id: OrganizationId,
    },
    /// Show how the limits stand that hold for all its keys together
    Limits {
        /// The organization's id
        id: OrganizationId,
    },
    /// Change an organization's name, the models its keys may ask for, its plan or its limits
    Update(Box<Update>),
    /// Let none of its keys work until it is resumed
    Suspend {
        /// The organization's id
        id: OrganizationId,
    },
    /// Let the keys of a suspended organization work again
    Resume {
        /// The organization's id
        id: OrganizationId,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Create {
    /// The id its requests carry [default: one is made]
    #[arg(long)]
    id: Option<OrganizationId>,
    /// What people call it [default: its id]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["name", "models", "every_model", "plan", "no_plan", "limits", "limits_file", "no_limits"])))]
pub(super) struct Update {
    /// The organization's id
    id: OrganizationId,
    /// What people will call it
    #[arg(long)]
    name: Option<String>,
    /// A model its keys may ask for, in the place of those until now; may be given several times
    #[arg(long = "allow-model", id = "models", value_name = "MODEL")]
    models: Vec<String>,
    /// Let its keys ask for every model
    #[arg(long, conflicts_with = "models")]
    every_model: bool,
    /// The plan it is on, one that was made here or that a profile brings
    #[arg(long)]
    plan: Option<PlanName>,
    /// Let it be on the default plan of each API's profile
    #[arg(long, conflicts_with = "plan")]
    no_plan: bool,
    #[command(flatten)]
    limits: LimitArguments,
    /// Let it have no limits of its own
    #[arg(long, conflicts_with_all = ["limits", "limits_file"])]
    no_limits: bool,
    /// Only if nobody changed it since it had this revision, as `--json orgs show` tells it
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
}

impl Update {
    fn update(&self) -> anyhow::Result<OrganizationUpdate> {
        let models = (!self.models.is_empty()).then(|| Some(self.models.clone()));
        let plan = self.plan.clone().map(|name| Some(PlanChoice::named(name)));
        let limits = self.limits.read()?;
        Ok(OrganizationUpdate {
            name: self.name.clone(),
            allowed_models: if self.every_model { Some(None) } else { models },
            plan: if self.no_plan { Some(None) } else { plan },
            limits: if self.no_limits { Some(vec![]) } else { limits },
        })
    }
}

impl Orgs {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        match self {
            Self::Create(Create { id, name }) => {
                let made = backend.create_organization(id, name).await?;
                output.show(&made, |org| {
                    format!("Organization `{}` (\"{}\") is made.", org.id, org.name)
                })
            }
            Self::List => {
                let all = Page::whole(backend.list_organizations().await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::Show { id } => output.show(&backend.show_organization(&id).await?, shown),
            Self::Limits { id } => {
                let page = backend.organization_limits(&id).await?;
                output.show(&page, |page| limits::states(&page.items))
            }
            Self::Update(update) => {
                let seen = update.if_revision;
                let view = backend.update_organization(&update.id, update.update()?, seen).await?;
                output.show(&view, shown)
            }
            Self::Suspend { id } => {
                let view = backend.suspend_organization(&id).await?;
                output.show(&view, |org| {
                    format!("Organization `{}` is suspended: none of its keys works until it is resumed.", org.id)
                })
            }
            Self::Resume { id } => {
                let view = backend.resume_organization(&id).await?;
                output.show(&view, |org| format!("Organization `{}` is active.", org.id))
            }
        }
    }
}

fn models(organization: &OrganizationView) -> String {
    match &organization.allowed_models {
        None => "every".to_owned(),
        Some(models) if models.is_empty() => "none".to_owned(),
        Some(models) => models.join(", "),
    }
}

fn listed(organizations: &[OrganizationView]) -> String {
    let row = |one: &OrganizationView| {
        vec![
            one.id.clone(),
            one.name.clone(),
            one.state.as_str().to_owned(),
            one.model_ids.len().to_string(),
            models(one),
            one.created_at.clone(),
        ]
    };
    table(
        &["id", "name", "state", "model ids", "models", "created"],
        organizations.iter().map(row).collect(),
        "No organizations. Make one with `keyward orgs create`.",
    )
}

fn shown(organization: &OrganizationView) -> String {
    let model_ids = match organization.model_ids.as_slice() {
        [] => "none".to_owned(),
        ids => ids.join(", "),
    };
    facts(&[
        ("organization", organization.id.clone()),
        ("name", organization.name.clone()),
        ("state", organization.state.as_str().to_owned()),
        ("model ids", model_ids),
        ("models", models(organization)),
        ("plan", organization.plan.clone().unwrap_or_else(|| "the default one".to_owned())),
        ("limits", limits::told(&organization.limits)),
        ("created", organization.created_at.clone()),
    ])
}
