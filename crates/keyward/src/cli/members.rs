//! `keyward members …`

use clap::{Args, Subcommand};
use keyward_api::{MemberView, Page};
use keyward_core::{
    id::{OrganizationId, UserId},
    member::Role,
};

use crate::{
    backend::Place,
    output::{Output, table},
};

#[derive(Debug, Subcommand)]
pub(super) enum Members {
    /// List members, in the order they came
    List {
        /// Of which organization
        #[arg(long)]
        organization: OrganizationId,
    },
    /// Give a member another role
    Change {
        #[command(flatten)]
        member: Member,
        /// viewer, developer, administrator or owner
        #[arg(long)]
        role: Role,
    },
    /// Remove a member: keys they own are refused from then on
    Remove(Member),
}

#[derive(Debug, Args)]
pub(super) struct Member {
    /// Of which organization
    #[arg(long)]
    organization: OrganizationId,
    /// The person's id, as `members list` shows it
    user: UserId,
}

impl Members {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        match self {
            Self::List { organization } => {
                let all = Page::whole(backend.list_members(&organization).await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::Change { member: Member { organization, user }, role } => {
                let view = backend.change_member(&organization, user, role).await?;
                output.show(&view, |member| {
                    format!(
                        "{} is {} of organization `{organization}`.",
                        member.user.email, member.role
                    )
                })
            }
            Self::Remove(Member { organization, user }) => {
                backend.remove_member(&organization, user).await?;
                output.done(&format!("{user} no longer belongs to organization `{organization}`."))
            }
        }
    }
}

fn listed(members: &[MemberView]) -> String {
    let row = |member: &MemberView| {
        vec![
            member.user.id.clone(),
            member.user.email.clone(),
            member.user.name.clone(),
            member.role.clone(),
            member.member_since.clone(),
        ]
    };
    table(
        &["id", "email", "name", "role", "since"],
        members.iter().map(row).collect(),
        "No members. Invite somebody with `keyward invitations create`.",
    )
}
