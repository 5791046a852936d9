//! Asking for a key, and taking that back.

use std::time::Duration;

use keyward_api::KeyRequestView;
use keyward_core::{
    id::{ApiName, KeyRequestId, OrganizationId},
    key::Environment,
    limit::Limit,
    member::Right,
    network::Network,
    policy::Api,
    profile::IssuanceMode,
};
use keyward_store::{Change, KeyRequest, KeyRequestChange, KeyRequestState, KeyTerms, StoreError};

use super::super::{
    Control,
    keys::create::{LONGEST_LIFE, check_models, permissions, preset, preset_environment},
};
use crate::{context::Context, error::ControlError, limits::check_of_key, mail::Mail, mint};

/// How long somebody may decide.
const TO_DECIDE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Of those who may decide, so many are told: one request must not fill the mail that waits.
const MOST_TOLD: usize = 20;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct NewKeyRequest {
    /// Which API the key shall open.
    pub api: ApiName,
    /// Whose it will be.
    pub organization: OrganizationId,
    /// What people will call it.
    pub name: String,
    /// What it is used for; the preset's where left out, else `production`.
    pub environment: Option<Environment>,
    /// Names from the vocabulary. Either these or a preset.
    pub permissions: Vec<String>,
    /// A named bundle of the profile, in any case.
    pub preset: Option<String>,
    /// Why it is needed.
    pub reason: String,
    /// How long it shall be good from its claim on, in seconds; `None` means without an end.
    pub lifetime_seconds: Option<u64>,
    /// Networks it will be used from; empty means from everywhere.
    pub allowed_networks: Vec<Network>,
    /// Models it will ask for; `None` means every model.
    pub allowed_models: Option<Vec<String>>,
    /// How much it will use at most, besides what its organization may.
    pub limits: Vec<Limit>,
}

impl Control {
    /// Asks for a key; those who may decide are told by mail.
    pub async fn request_key(
        &self,
        context: &Context,
        new: NewKeyRequest,
    ) -> Result<KeyRequestView, ControlError> {
        context.require(Right::WriteOwnKeys, &new.organization)?;
        let requester = context.user().ok_or(StoreError::NotAllowed(None))?;
        self.repeat(context)?;
        let api = self.api(&new.api)?;
        check_mode(api)?;
        let preset = new.preset.as_deref().map(|name| preset(api, name)).transpose()?;
        let permissions = permissions(api, &new.permissions, preset)?;
        self.check_ceilings(context, api, &new.organization, Some(requester), &permissions).await?;
        check_lifetime(new.lifetime_seconds)?;
        check_models(new.allowed_models.as_deref())?;
        check_of_key(api, &new.limits)?;
        let environment = match new.environment {
            Some(environment) => environment,
            None => preset_environment(preset)?,
        };
        let request = KeyRequest {
            id: KeyRequestId::from_bits(mint::random()?),
            organization: new.organization,
            requester,
            api: new.api,
            name: new.name,
            environment,
            reason: new.reason,
            asked: KeyTerms {
                permissions,
                lifetime_seconds: new.lifetime_seconds,
                allowed_networks: new.allowed_networks,
                allowed_models: new.allowed_models,
                limits: new.limits,
            },
            created_at: context.now,
            decide_until: context.now.plus(TO_DECIDE),
            state: KeyRequestState::Open,
            decision: None,
            granted: None,
            key: None,
        };
        let shown = self.shown_as_made(&request, context.now).await?;
        let change = Change::KeyRequest(KeyRequestChange::Ask(request.clone()));
        let answer = shown.clone();
        self.commit_answering(context, change, request.id, move |_| answer).await?;
        if let Err(error) = self.tell_deciders(context, &request).await {
            tracing::error!(%error, key_request = %request.id, "nobody is told by mail of a key request");
        }
        Ok(shown)
    }

    async fn tell_deciders(
        &self,
        context: &Context,
        request: &KeyRequest,
    ) -> Result<(), ControlError> {
        let members = self.store.members(&request.organization).await?;
        let who = members.iter().find(|(user, _)| user.id == request.requester);
        let by = who.map_or_else(
            || request.requester.to_string(),
            |(user, _)| format!("{} ({})", user.name, user.email),
        );
        let mail = Mail::KeyRequested {
            by,
            reason: request.reason.clone(),
            key: self.requested_key(request, &request.asked).await?,
            decide_until: request.decide_until,
        };
        let deciders = members.iter().filter(|(user, place)| {
            place.role.has(Right::DecideRequests) && user.id != request.requester
        });
        for (user, _) in deciders.take(MOST_TOLD) {
            self.mailer.send(&user.email, &mail, context.now);
        }
        Ok(())
    }

    /// Takes one's own request back, decided or not, as long as there is no key.
    pub async fn withdraw_key_request(
        &self,
        context: &Context,
        id: KeyRequestId,
    ) -> Result<KeyRequestView, ControlError> {
        self.seen_request(context, id).await?;
        let change = Change::KeyRequest(KeyRequestChange::Withdraw(id));
        self.store.commit(&context.actor, context.now, change).await?;
        self.shown_request(id, context.now).await
    }
}

/// Requests are for APIs whose profile wants them; elsewhere is another way to a key.
fn check_mode(api: &Api) -> Result<(), ControlError> {
    match api.profile.issuance.mode {
        IssuanceMode::Request => Ok(()),
        IssuanceMode::SelfService => Err(ControlError::invalid(
            format!("keys for API `{}` need no request", api.name),
            "make one, or ask an administrator for a role that may",
        )),
        IssuanceMode::Staff => Err(ControlError::ByStaff(api.name.clone())),
    }
}

pub(super) fn check_lifetime(seconds: Option<u64>) -> Result<(), ControlError> {
    match seconds {
        Some(0) => Err(ControlError::invalid(
            "the key would be good for no time at all",
            "write how many seconds, or leave it out for a key without an end",
        )),
        Some(seconds) if seconds > LONGEST_LIFE.as_secs() => Err(ControlError::invalid(
            "the key would be good for more than 1,000 years",
            "write fewer seconds, or leave it out for a key without an end",
        )),
        _ => Ok(()),
    }
}
