//! `keyward requests …`: key requests, seen and decided on by who may, over a login or on a data folder. Asking, withdrawing and
//! claiming are a person's alone: they need a login.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use keyward_api::{CreateKeyRequestInput, KeyRequestStateView, KeyRequestView, KeyTermsView, Page};
use keyward_control::{
    app::key_requests::{Grant, KeyRequestQuery},
    limits,
};
use keyward_core::{
    id::{KeyRequestId, OrganizationId},
    network::Network,
};

use super::{
    keys,
    limits::{self as typed, LimitArguments},
    values,
    wanted::Wanted,
};
use crate::{
    backend::{Backend, Place},
    output::{Output, facts, table},
};

/// Whoever asked is told before the command ends, if the mail server answers in this time.
const MAIL: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(super) enum Requests {
    /// List requests, newest first
    List(List),
    /// Show a request
    Show {
        /// The request's id
        id: KeyRequestId,
    },
    /// Ask for a key, at an API whose keys are approved
    Ask(Ask),
    /// Take back what one asked for
    Withdraw {
        /// The request's id
        id: KeyRequestId,
    },
    /// Claim the key that was granted. It is printed once
    Claim {
        /// The request's id
        id: KeyRequestId,
    },
    /// Approve a request: for all that was asked, or less
    Approve(Approve),
    /// Deny a request, or take back an approval that was not claimed
    Deny {
        /// The request's id
        id: KeyRequestId,
        /// Why, for whoever asked
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only requests in this organization
    #[arg(long)]
    organization: Option<OrganizationId>,
    /// Only requests in this state
    #[arg(long)]
    state: Option<State>,
}

#[derive(Debug, Args)]
pub(super) struct Ask {
    #[command(flatten)]
    wanted: Wanted,
    /// Why it is needed, for those who decide
    #[arg(long)]
    reason: String,
    /// How long it shall be good from its claim on [default: without an end]
    #[arg(long, value_parser = values::duration, value_name = "DURATION")]
    lifetime: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The request's id
    id: KeyRequestId,
    /// A permission of those asked for; may be given several times [default: all asked for]
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// How long the key is good from its claim on [default: as asked]
    #[arg(long, value_parser = values::duration, value_name = "DURATION")]
    lifetime: Option<Duration>,
    /// A network it may be used from; may be given several times [default: as asked]
    #[arg(long = "allow-network", value_name = "CIDR")]
    allowed_networks: Vec<Network>,
    /// A model it may ask for; may be given several times [default: as asked]
    #[arg(long = "allow-model", value_name = "MODEL")]
    allowed_models: Vec<String>,
    #[command(flatten)]
    limits: LimitArguments,
    /// A word to whoever asked
    #[arg(long)]
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Open,
    Expired,
    Approved,
    Lapsed,
    Denied,
    Withdrawn,
    Claimed,
}

impl From<State> for KeyRequestStateView {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Expired => Self::Expired,
            State::Approved => Self::Approved,
            State::Lapsed => Self::Lapsed,
            State::Denied => Self::Denied,
            State::Withdrawn => Self::Withdrawn,
            State::Claimed => Self::Claimed,
        }
    }
}

impl Requests {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(&place.open().await?, output).await,
            Self::Show { id } => {
                output.show(&place.open().await?.show_key_request(id).await?, shown)
            }
            Self::Ask(ask) => ask.run(place, output).await,
            Self::Withdraw { id } => {
                let view = place.server().await?.withdraw_key_request(id).await?;
                output.show(&view, |request| format!("{id} `{}` is taken back.", request.name))
            }
            Self::Claim { id } => {
                let created = place.server().await?.claim_key(id).await?;
                output.show(&created, |created| keys::made(created, None))
            }
            Self::Approve(approve) => {
                let mut backend = place.open().await?;
                let decision = Decision::Approve(approve.id, approve.grant()?);
                decided(&mut backend, decision, output).await
            }
            Self::Deny { id, reason } => {
                decided(&mut place.open().await?, Decision::Deny(id, reason), output).await
            }
        }
    }
}

enum Decision {
    Approve(KeyRequestId, Grant),
    Deny(KeyRequestId, String),
}

/// Decides. On a data folder, whoever asked is told from here; a decision matters more than its mail.
async fn decided(backend: &mut Backend, decision: Decision, output: Output) -> anyhow::Result<()> {
    if let Backend::Local(site) = backend
        && let Err(error) = site.start_mail()
    {
        Output::note(&format!("warning: nobody is told by mail: {error:#}"));
    }
    let done = match decision {
        Decision::Approve(id, grant) => approved(backend, id, grant, output).await,
        Decision::Deny(id, reason) => denied(backend, id, reason, output).await,
    };
    if let Backend::Local(site) = backend {
        site.mailer.finish(MAIL);
    }
    done
}

async fn approved(
    backend: &Backend,
    id: KeyRequestId,
    grant: Grant,
    output: Output,
) -> anyhow::Result<()> {
    let view = backend.approve_key_request(id, grant).await?;
    output.show(&view, |request| {
        let until = request.claim_until.as_deref().unwrap_or_default();
        format!(
            "{id} is approved: {} can claim `{}` until {until}.\n\n{}",
            request.requester.email,
            request.name,
            shown(request)
        )
    })
}

async fn denied(
    backend: &Backend,
    id: KeyRequestId,
    reason: String,
    output: Output,
) -> anyhow::Result<()> {
    let view = backend.deny_key_request(id, reason).await?;
    output.show(&view, |request| {
        format!("{id} `{}` of {} is denied.", request.name, request.requester.email)
    })
}

impl Ask {
    async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let wanted = self.wanted;
        let input = CreateKeyRequestInput {
            api: wanted.api.to_string(),
            allowed_networks: wanted.allowed_networks.iter().map(ToString::to_string).collect(),
            allowed_models: wanted.allowed_models(),
            name: wanted.name,
            environment: wanted.environment.map(|environment| environment.to_string()),
            permissions: wanted.permissions,
            preset: wanted.preset,
            reason: self.reason,
            lifetime_seconds: self.lifetime.map(|lifetime| lifetime.as_secs()),
            limits: limits::views(&wanted.limits.read()?.unwrap_or_default()),
        };
        let server = place.server().await?;
        let view = server.ask_for_key(&wanted.organization, &input).await?;
        let keyward = server.command_line();
        output.show(&view, |request| {
            format!(
                "{}\n\nWhen it is approved, `{keyward} requests claim {}` makes the key.",
                shown(request),
                request.id
            )
        })
    }
}

impl Approve {
    fn grant(self) -> anyhow::Result<Grant> {
        let Self { permissions, lifetime, allowed_networks, allowed_models, limits, note, .. } =
            self;
        Ok(Grant {
            permissions: (!permissions.is_empty()).then_some(permissions),
            lifetime_seconds: lifetime.map(|lifetime| lifetime.as_secs()),
            allowed_networks: (!allowed_networks.is_empty()).then_some(allowed_networks),
            allowed_models: (!allowed_models.is_empty()).then_some(allowed_models),
            limits: limits.read()?,
            note,
        })
    }
}

impl List {
    async fn run(self, backend: &Backend, output: Output) -> anyhow::Result<()> {
        let query = KeyRequestQuery {
            organization: self.organization,
            state: self.state.map(Into::into),
            after: None,
        };
        let requests = backend.list_key_requests(query).await?;
        output.show(&Page::whole(requests), |page| listed(&page.items))
    }
}

fn or_none(items: &[String], none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { items.join(", ") }
}

fn lifetime(terms: &KeyTermsView) -> String {
    match terms.lifetime_seconds {
        None => "without an end".to_owned(),
        Some(seconds) if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        Some(seconds) => format!("{seconds}s"),
    }
}

fn listed(requests: &[KeyRequestView]) -> String {
    let row = |request: &KeyRequestView| {
        let terms = request.granted.as_ref().unwrap_or(&request.asked);
        vec![
            request.id.clone(),
            request.requester.email.clone(),
            request.name.clone(),
            request.api.clone(),
            request.organization_id.clone(),
            or_none(&terms.permissions, "-"),
            lifetime(terms),
            request.state.as_str().to_owned(),
            request.created_at.clone(),
        ]
    };
    let heading =
        ["id", "who", "name", "api", "organization", "permissions", "lifetime", "state", "asked"];
    table(&heading, requests.iter().map(row).collect(), "No key requests.")
}

fn shown(request: &KeyRequestView) -> String {
    let who = &request.requester;
    let mut all = vec![
        ("request", request.id.clone()),
        ("who", format!("{} ({})", who.email, who.name)),
        ("organization", request.organization_id.clone()),
        ("api", request.api.clone()),
        ("name", request.name.clone()),
        ("environment", request.environment.clone()),
        ("reason", request.reason.replace('\n', " ")),
        ("state", request.state.as_str().to_owned()),
        ("asked", request.created_at.clone()),
        ("asked for", terms(&request.asked)),
    ];
    if let Some(granted) = &request.granted {
        all.push(("granted", terms(granted)));
    }
    if let Some(decision) = &request.decision {
        let by = decision.by.as_ref().map_or("an operator", |by| &by.email);
        all.push(("decided", format!("{} by {by}", decision.at)));
        all.push(("note", decision.note.as_deref().unwrap_or("-").replace('\n', " ")));
    }
    if let Some(key) = &request.key_id {
        all.push(("key", key.clone()));
    }
    facts(&all)
}

fn terms(terms: &KeyTermsView) -> String {
    let models =
        terms.allowed_models.as_ref().map_or("every".to_owned(), |models| or_none(models, "none"));
    format!(
        "{}; lifetime {}; networks {}; models {models}; limits {}",
        or_none(&terms.permissions, "no permission"),
        lifetime(terms),
        or_none(&terms.allowed_networks, "everywhere"),
        typed::told(&terms.limits),
    )
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use keyward_api::{KeyRequestDecisionView, PersonView};

    use super::*;

    fn person(name: &str) -> PersonView {
        let email = format!("{name}@example.com");
        PersonView { id: format!("usr_{name}"), email, name: name.to_owned() }
    }

    fn open() -> KeyRequestView {
        KeyRequestView {
            id: "krq_1".to_owned(),
            organization_id: "acme".to_owned(),
            requester: person("dev"),
            api: "main".to_owned(),
            name: "nightly".to_owned(),
            environment: "production".to_owned(),
            reason: "batch\nof summaries".to_owned(),
            asked: KeyTermsView {
                permissions: vec!["read".to_owned(), "write".to_owned()],
                lifetime_seconds: None,
                allowed_networks: vec![],
                allowed_models: None,
                limits: vec![],
            },
            state: KeyRequestStateView::Open,
            created_at: "2027-01-15T08:00:00Z".to_owned(),
            decide_until: "2027-02-14T08:00:00Z".to_owned(),
            decision: None,
            granted: None,
            claim_until: None,
            key_id: None,
        }
    }

    fn claimed() -> KeyRequestView {
        KeyRequestView {
            state: KeyRequestStateView::Claimed,
            decision: Some(KeyRequestDecisionView {
                by: Some(person("adm")),
                at: "2027-01-15T09:00:00Z".to_owned(),
                note: Some("writing is enough".to_owned()),
            }),
            granted: Some(KeyTermsView {
                permissions: vec!["write".to_owned()],
                lifetime_seconds: Some(7 * 86_400),
                allowed_networks: vec!["10.0.0.0/8".to_owned()],
                allowed_models: Some(vec!["small".to_owned()]),
                limits: vec![],
            }),
            claim_until: Some("2027-01-22T09:00:00Z".to_owned()),
            key_id: Some("key_1".to_owned()),
            ..open()
        }
    }

    #[test]
    fn requests_are_listed_and_shown() {
        assert_snapshot!(listed(&[]), @"No key requests.");
        assert_snapshot!(listed(&[claimed(), open()]), @r"
        ID     WHO              NAME     API   ORGANIZATION  PERMISSIONS  LIFETIME        STATE    ASKED
        krq_1  dev@example.com  nightly  main  acme          write        7d              claimed  2027-01-15T08:00:00Z
        krq_1  dev@example.com  nightly  main  acme          read, write  without an end  open     2027-01-15T08:00:00Z
        ");
        assert_snapshot!(shown(&open()), @r"
        request       krq_1
        who           dev@example.com (dev)
        organization  acme
        api           main
        name          nightly
        environment   production
        reason        batch of summaries
        state         open
        asked         2027-01-15T08:00:00Z
        asked for     read, write; lifetime without an end; networks everywhere; models every; limits none
        ");
        assert_snapshot!(shown(&claimed()), @r"
        request       krq_1
        who           dev@example.com (dev)
        organization  acme
        api           main
        name          nightly
        environment   production
        reason        batch of summaries
        state         claimed
        asked         2027-01-15T08:00:00Z
        asked for     read, write; lifetime without an end; networks everywhere; models every; limits none
        granted       write; lifetime 7d; networks 10.0.0.0/8; models small; limits none
        decided       2027-01-15T09:00:00Z by adm@example.com
        note          writing is enough
        key           key_1
        ");
    }
}
