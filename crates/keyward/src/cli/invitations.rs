//! `keyward invitations …`

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use http::Method;
use keyward_api::{AcceptInvitationInput, AccountView, CreatedInvitation, InvitationView, Page};
use keyward_core::{
    id::{InvitationId, OrganizationId},
    member::{Email, Role},
};

use super::{account, secret_input};
use crate::{
    backend::Place,
    output::{Output, table},
    remote::{Client, Server},
};

#[derive(Debug, Subcommand)]
pub(super) enum Invitations {
    /// Invite somebody. What they accept it with is printed once
    Create {
        /// Into which organization
        #[arg(long)]
        organization: OrganizationId,
        /// Whom
        #[arg(long)]
        email: Email,
        /// As what: viewer, developer, administrator or owner
        #[arg(long)]
        role: Role,
    },
    /// List invitations, newest first
    List {
        /// Of which organization
        #[arg(long)]
        organization: OrganizationId,
    },
    /// Take an invitation back
    Withdraw {
        /// The invitation's id
        id: InvitationId,
    },
    /// Accept an invitation. Its token is asked for; a newcomer gives a name, and is asked for a password
    Accept(Accept),
}

#[derive(Debug, Args)]
pub(super) struct Accept {
    /// The server's address [default: the login's, and as whom it is]
    #[arg(long, value_name = "URL")]
    server: Option<Server>,
    /// The authority that the server's certificate is from
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// A newcomer's name
    #[arg(long, requires = "server")]
    name: Option<String>,
}

impl Invitations {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Create { organization, email, role } => {
                let backend = place.open().await?;
                let made = backend.create_invitation(organization, email, role).await?;
                output.show(&made, created)
            }
            Self::List { organization } => {
                let all = Page::whole(place.open().await?.list_invitations(&organization).await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::Withdraw { id } => {
                place.open().await?.withdraw_invitation(id).await?;
                output.done(&format!("{id} is withdrawn."))
            }
            Self::Accept(accept) => accept.run(place, output).await,
        }
    }
}

impl Accept {
    async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let client = match self.server {
            Some(_) if place.login.is_some() => {
                bail!("both `--login` and `--server` are given: give one of them")
            }
            Some(server) => Client::new(server, None, self.ca.as_deref())?,
            None => place.server().await?.client,
        };
        let token = secret_input::asked("invitation's token")?;
        let password = self.name.as_ref().map(|_| secret_input::new_password()).transpose()?;
        let input = AcceptInvitationInput {
            token: token.expose().to_owned(),
            name: self.name,
            password: password.map(|password| password.expose().to_owned()),
        };
        let path = "/v1/invitations/accept";
        let account: AccountView = client.send(Method::POST, path, &input).await?;
        output.show(&account, account::shown)
    }
}

fn created(made: &CreatedInvitation) -> String {
    let invitation = &made.invitation;
    let (id, email, until) = (&invitation.id, &invitation.email, &invitation.expires_at);
    match &made.token {
        Some(token) => format!(
            "{id} invites {email} until {until}, with this token:\n\n    {}\n\nThis is the only time it is shown. It is accepted with `keyward invitations accept`.",
            token.expose()
        ),
        None => {
            format!("{id} invites {email} until {until}. The token is on its way there by mail.")
        }
    }
}

fn listed(invitations: &[InvitationView]) -> String {
    let row = |one: &InvitationView| {
        vec![
            one.id.clone(),
            one.email.clone(),
            one.role.clone().unwrap_or_else(|| "operator".to_owned()),
            one.state.clone(),
            one.created_at.clone(),
            one.expires_at.clone(),
        ]
    };
    table(
        &["id", "email", "role", "state", "created", "expires"],
        invitations.iter().map(row).collect(),
        "No invitations. Invite somebody with `keyward invitations create`.",
    )
}
