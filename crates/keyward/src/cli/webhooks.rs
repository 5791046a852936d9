//! `keyward webhooks …`: addresses that are told what happens, and what was sent to them. On a data folder, a running server delivers.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use keyward_api::{
    CreatedWebhook, DeliveryDetailsView, DeliveryStateView, DeliveryView, Page, WebhookView,
};
use keyward_control::app::webhooks::NewWebhook;
use keyward_core::{
    event::EventKind,
    id::{DeliveryId, OrganizationId, WebhookId},
};
use keyward_store::WebhookUpdate;

use super::values;
use crate::{
    backend::Place,
    output::{Output, facts, table},
};

#[derive(Debug, Subcommand)]
pub(super) enum Webhooks {
    /// Make a webhook. The secret that what is sent is signed with is printed once
    Create {
        /// Whose events it is told of [default: every organization's, for operators]
        #[arg(long)]
        organization: Option<OrganizationId>,
        /// Where: an https address
        #[arg(long)]
        url: String,
        /// What people say of it
        #[arg(long, default_value = "")]
        description: String,
        /// What it wants to hear of; may be given several times [default: everything]
        #[arg(long = "event", value_name = "EVENT")]
        events: Vec<EventKind>,
    },
    /// List webhooks
    List {
        /// Of which organization [default: those that hear of every organization]
        #[arg(long)]
        organization: Option<OrganizationId>,
    },
    /// Show a webhook
    Show {
        /// The webhook's id
        id: WebhookId,
    },
    /// Change a webhook; what is not named stays
    Update(Update),
    /// Remove a webhook, with all that is on its way to it
    Delete {
        /// The webhook's id
        id: WebhookId,
    },
    /// Give a webhook a new secret. It is printed once
    Rotate {
        /// The webhook's id
        id: WebhookId,
        /// How long what is sent is signed with the old secrets too
        #[arg(long, value_parser = values::duration, value_name = "DURATION", default_value = "1d")]
        overlap: Duration,
    },
    /// End a webhook's old secrets now
    Retire {
        /// The webhook's id
        id: WebhookId,
    },
    /// Send a webhook a test
    Test {
        /// The webhook's id
        id: WebhookId,
    },
    /// List what was sent to a webhook, newest first
    Deliveries {
        /// The webhook's id
        id: WebhookId,
        /// Only those in this state
        #[arg(long)]
        state: Option<State>,
    },
    /// Show a delivery, with what is told
    Delivery {
        /// The delivery's id
        id: DeliveryId,
    },
    /// Send a delivery again
    Resend {
        /// The delivery's id
        id: DeliveryId,
    },
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// The webhook's id
    id: WebhookId,
    /// Another address
    #[arg(long)]
    url: Option<String>,
    /// Other words on it
    #[arg(long)]
    description: Option<String>,
    /// What it wants to hear of; may be given several times
    #[arg(long = "event", value_name = "EVENT", conflicts_with = "all_events")]
    events: Vec<EventKind>,
    /// It wants to hear of everything
    #[arg(long)]
    all_events: bool,
    /// Send there
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Send nothing there; what is on its way is given up
    #[arg(long)]
    disable: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum State {
    Waiting,
    Delivered,
    Failed,
}

impl From<State> for DeliveryStateView {
    fn from(state: State) -> Self {
        match state {
            State::Waiting => Self::Waiting,
            State::Delivered => Self::Delivered,
            State::Failed => Self::Failed,
        }
    }
}

impl Update {
    fn update(self) -> (WebhookId, WebhookUpdate) {
        let events = match (self.all_events, self.events.is_empty()) {
            (true, _) => Some(None),
            (false, false) => Some(Some(self.events)),
            (false, true) => None,
        };
        let enabled = match (self.enable, self.disable) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        let (url, description) = (self.url, self.description);
        (self.id, WebhookUpdate { url, description, events, enabled })
    }
}

impl Webhooks {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        match self {
            Self::Create { organization, url, description, events } => {
                let events = (!events.is_empty()).then_some(events);
                let new = NewWebhook { organization, url, description, events };
                output.show(&backend.create_webhook(new).await?, made)
            }
            Self::List { organization } => {
                let all = Page::whole(backend.list_webhooks(organization.as_ref()).await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::Show { id } => output.show(&backend.show_webhook(id).await?, shown),
            Self::Update(update) => {
                let (id, update) = update.update();
                output.show(&backend.update_webhook(id, update).await?, shown)
            }
            Self::Delete { id } => {
                backend.delete_webhook(id).await?;
                output.done(&format!("{id} is removed."))
            }
            Self::Rotate { id, overlap } => {
                output.show(&backend.rotate_webhook(id, overlap).await?, made)
            }
            Self::Retire { id } => output.show(&backend.retire_webhook_secrets(id).await?, shown),
            Self::Test { id } => output.show(&backend.test_webhook(id).await?, |sent| {
                format!("{} is on its way to {id}.", sent.id)
            }),
            Self::Deliveries { id, state } => {
                let all = backend.list_deliveries(id, state.map(Into::into)).await?;
                output.show(&Page::whole(all), |page| deliveries(&page.items))
            }
            Self::Delivery { id } => output.show(&backend.show_delivery(id).await?, delivery),
            Self::Resend { id } => output.show(&backend.resend_delivery(id).await?, |sent| {
                format!("{} is on its way to {} again.", sent.id, sent.webhook_id)
            }),
        }
    }
}

fn made(made: &CreatedWebhook) -> String {
    format!(
        "{} is signed for with this secret:\n\n    {}\n\nThis is the only time it is shown. Receivers check with it what they get (standardwebhooks.com).",
        made.webhook.id,
        made.secret.expose()
    )
}

fn events(webhook: &WebhookView) -> String {
    webhook.events.as_ref().map_or_else(|| "all".to_owned(), |events| events.join(", "))
}

fn state(webhook: &WebhookView) -> String {
    match (webhook.enabled, &webhook.disabled_because, &webhook.failing_since) {
        (false, Some(why), _) => format!("disabled: {why}"),
        (false, None, _) => "disabled".to_owned(),
        (true, _, Some(since)) => format!("failing since {since}"),
        (true, _, None) => "enabled".to_owned(),
    }
}

fn listed(webhooks: &[WebhookView]) -> String {
    let row = |one: &WebhookView| {
        vec![one.id.clone(), one.url.clone(), events(one), state(one), one.description.clone()]
    };
    table(
        &["id", "url", "events", "state", "description"],
        webhooks.iter().map(row).collect(),
        "No webhooks. Make one with `keyward webhooks create`.",
    )
}

fn shown(webhook: &WebhookView) -> String {
    let organization = webhook.organization_id.clone();
    let secrets = webhook.secrets.iter().map(|one| match &one.expires_at {
        Some(end) => format!("{} until {end}", one.id),
        None => one.id.clone(),
    });
    facts(&[
        ("webhook", webhook.id.clone()),
        ("organization", organization.unwrap_or_else(|| "every".to_owned())),
        ("url", webhook.url.clone()),
        ("description", webhook.description.clone()),
        ("events", events(webhook)),
        ("state", state(webhook)),
        ("secrets", secrets.collect::<Vec<_>>().join(", ")),
        ("created", webhook.created_at.clone()),
    ])
}

fn last(delivery: &DeliveryView) -> String {
    let status = delivery.last_status.map(|status| status.to_string());
    delivery.last_problem.clone().or(status).unwrap_or_else(|| "-".to_owned())
}

fn deliveries(deliveries: &[DeliveryView]) -> String {
    let row = |one: &DeliveryView| {
        let next = one.next_at.clone().unwrap_or_else(|| "-".to_owned());
        let state = one.state.as_str().to_owned();
        let (id, event) = (one.id.clone(), one.event.clone());
        vec![id, event, one.at.clone(), state, one.attempts.to_string(), last(one), next]
    };
    table(
        &["id", "event", "at", "state", "tries", "last", "next"],
        deliveries.iter().map(row).collect(),
        "Nothing was sent yet. `keyward webhooks test` sends a test.",
    )
}

fn delivery(details: &DeliveryDetailsView) -> String {
    let delivery = &details.delivery;
    let lines = facts(&[
        ("delivery", delivery.id.clone()),
        ("webhook", delivery.webhook_id.clone()),
        ("event", format!("{} {}", delivery.event, delivery.event_id)),
        ("at", delivery.at.clone()),
        ("state", delivery.state.as_str().to_owned()),
        ("tries", delivery.attempts.to_string()),
        ("last", last(delivery)),
        ("next", delivery.next_at.clone().unwrap_or_else(|| "-".to_owned())),
    ]);
    format!("{lines}\n\n{:#}", details.payload)
}
