//! `keyward orgs …`

use clap::{Args, Subcommand};
use keyward_api::{OrganizationView, Page};
use keyward_core::id::OrganizationId;

use crate::{
    backend::Place,
    output::{Output, facts, table},
    site::{Site, operator},
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

impl Orgs {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Create(Create { id, name }) => {
                let made = place.open().await?.create_organization(id, name).await?;
                output.show(&made, |org| {
                    format!("Organization `{}` (\"{}\") is made.", org.id, org.name)
                })
            }
            Self::List => {
                let all = Page::whole(place.open().await?.list_organizations().await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::Show { id } => {
                output.show(&place.open().await?.show_organization(&id).await?, shown)
            }
            Self::Suspend { id } => {
                let control = Site::open(place.local()?).await?.control();
                let view = control.suspend_organization(&operator(), &id).await?;
                output.show(&view, |org| {
                    format!("Organization `{}` is suspended: none of its keys works until it is resumed.", org.id)
                })
            }
            Self::Resume { id } => {
                let control = Site::open(place.local()?).await?.control();
                let view = control.resume_organization(&operator(), &id).await?;
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
        ("created", organization.created_at.clone()),
    ])
}
