//! `keyward plans …`

use clap::{ArgGroup, Args, Subcommand};
use keyward_api::{Page, PlanView};
use keyward_core::{
    id::OrganizationId,
    limit::{Limit, PlanName},
};

use super::limits::{self, LimitArguments};
use crate::{
    backend::Place,
    output::{Output, facts, table},
};

#[derive(Debug, Subcommand)]
pub(super) enum Plans {
    /// List plans: those that were made here, then those that profiles bring
    List {
        /// Only those that hold for this organization, with the APIs at which they do
        #[arg(long)]
        organization: Option<OrganizationId>,
    },
    /// Show a plan
    Show {
        /// The plan's name, in any case
        name: PlanName,
    },
    /// Make a plan, or give it other limits in the place of all it has
    Set(Set),
    /// Forget a plan that no organization is on
    Delete {
        /// The plan's name, in any case
        name: PlanName,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true)
    .args(["limits", "limits_file", "requests_per_minute", "without_limits"])))]
pub(super) struct Set {
    /// The plan's name
    name: PlanName,
    /// The same as `--limit requests=N/60s`
    #[arg(long, value_name = "N", conflicts_with = "limits_file")]
    requests_per_minute: Option<u64>,
    #[command(flatten)]
    limits: LimitArguments,
    /// Let it have no limits: organizations on it have their own
    #[arg(long, conflicts_with_all = ["limits", "limits_file", "requests_per_minute"])]
    without_limits: bool,
}

impl Set {
    fn limits(&self) -> anyhow::Result<Vec<Limit>> {
        let mut all = self.limits.read()?.unwrap_or_default();
        if let Some(amount) = self.requests_per_minute {
            let simple = limits::limit(&format!("requests={amount}/60s"));
            all.insert(0, simple.map_err(anyhow::Error::msg)?);
        }
        Ok(all)
    }
}

impl Plans {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        match self {
            Self::List { organization } => {
                let all = Page::whole(backend.list_plans(organization.as_ref()).await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::Show { name } => output.show(&backend.show_plan(&name).await?, shown),
            Self::Set(set) => {
                let view = backend.put_plan(&set.name, set.limits()?).await?;
                output.show(&view, shown)
            }
            Self::Delete { name } => {
                backend.delete_plan(&name).await?;
                output.done(&format!("Plan `{name}` is gone."))
            }
        }
    }
}

fn origin(plan: &PlanView) -> String {
    plan.profile.as_ref().map_or_else(|| "here".to_owned(), |profile| format!("profile {profile}"))
}

fn count(plan: &PlanView) -> String {
    plan.organizations.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn listed(plans: &[PlanView]) -> String {
    let row = |plan: &PlanView| {
        vec![
            plan.name.clone(),
            limits::told(&plan.limits),
            origin(plan),
            if plan.apis.is_empty() { "-".to_owned() } else { plan.apis.join(", ") },
            if plan.default { "yes" } else { "no" }.to_owned(),
            count(plan),
        ]
    };
    table(
        &["plan", "limits", "from", "apis", "default", "organizations"],
        plans.iter().map(row).collect(),
        "No plans. Make one with `keyward plans set`.",
    )
}

fn shown(plan: &PlanView) -> String {
    let mut all = vec![("plan", plan.name.clone()), ("from", origin(plan))];
    if plan.limits.is_empty() {
        all.push(("limits", "none".to_owned()));
    }
    all.extend(
        plan.limits.iter().map(|limit| ("limit", limits::told(std::slice::from_ref(limit)))),
    );
    all.push(("default", if plan.default { "yes" } else { "no" }.to_owned()));
    all.push(("organizations", count(plan)));
    facts(&all)
}
