//! Deciding: all that was asked for is granted, or less, or nothing.

use std::time::Duration;

use keyward_api::KeyRequestView;
use keyward_core::{id::KeyRequestId, limit::Limit, member::Right, network::Network, policy::Api};
use keyward_store::{Change, KeyGrant, KeyRequest, KeyRequestChange, KeyTerms, StoreError};

use super::{
    super::{
        Control,
        keys::create::{check_models, permissions},
    },
    ask::check_lifetime,
};
use crate::{
    context::{Caller, Context},
    error::ControlError,
    limits::check_of_key,
    mail::Mail,
};

/// How long an approved key waits to be claimed.
const TO_CLAIM: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is granted; what is `None` is granted as asked.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Of what was asked for, or of what that implies.
    pub permissions: Option<Vec<String>>,
    /// At most what was asked for.
    pub lifetime_seconds: Option<u64>,
    /// Inside of what was asked for.
    pub allowed_networks: Option<Vec<Network>>,
    /// Of what was asked for.
    pub allowed_models: Option<Vec<String>>,
    /// Those that were asked for, no higher, and others beside them.
    pub limits: Option<Vec<Limit>>,
    /// A word to whoever asked.
    pub note: Option<String>,
}

impl Control {
    /// Approves a request; whoever asked is told by mail, and can claim the key for a week.
    pub async fn approve_key_request(
        &self,
        context: &Context,
        id: KeyRequestId,
        grant: Grant,
    ) -> Result<KeyRequestView, ControlError> {
        let request = self.decidable_request(context, id).await?;
        let api = self.api(&request.api)?;
        let Grant { permissions, lifetime_seconds, allowed_networks, allowed_models, limits, note } =
            grant;
        check_lifetime(lifetime_seconds)?;
        check_models(allowed_models.as_deref())?;
        check_of_key(api, limits.as_deref().unwrap_or_default())?;
        let asked = &request.asked;
        let terms = KeyTerms {
            permissions: granted_permissions(api, asked, permissions)?,
            lifetime_seconds: lifetime_seconds.or(asked.lifetime_seconds),
            allowed_networks: allowed_networks.unwrap_or_else(|| asked.allowed_networks.clone()),
            allowed_models: allowed_models.or_else(|| asked.allowed_models.clone()),
            limits: limits.unwrap_or_else(|| asked.limits.clone()),
        };
        let requester = Some(request.requester);
        let organization = &request.organization;
        self.check_ceilings(context, api, organization, requester, &terms.permissions).await?;
        let claim_until = context.now.plus(TO_CLAIM);
        let granted = KeyGrant { terms, claim_until };
        let change =
            KeyRequestChange::Approve { request: id, granted: granted.clone(), note: note.clone() };
        self.store.commit(&context.actor, context.now, Change::KeyRequest(change)).await?;
        let told = self.tell_requester(context, &request, &granted.terms, |key| {
            Mail::KeyApproved { key, note, claim_until }
        });
        told.await;
        self.shown_request(id, context.now).await
    }

    /// Denies a request, or takes back an approval that was not claimed; whoever asked is told by mail.
    pub async fn deny_key_request(
        &self,
        context: &Context,
        id: KeyRequestId,
        reason: String,
    ) -> Result<KeyRequestView, ControlError> {
        let request = self.decidable_request(context, id).await?;
        let change = KeyRequestChange::Deny { request: id, note: reason.clone() };
        self.store.commit(&context.actor, context.now, Change::KeyRequest(change)).await?;
        let told = self.tell_requester(context, &request, &request.asked, |key| Mail::KeyDenied {
            key,
            reason,
        });
        told.await;
        self.shown_request(id, context.now).await
    }

    /// A request that the caller may decide on: where they may in its organization, and not on their own, but for owners.
    async fn decidable_request(
        &self,
        context: &Context,
        id: KeyRequestId,
    ) -> Result<KeyRequest, ControlError> {
        let request = self.seen_request(context, id).await?;
        context.require(Right::DecideRequests, &request.organization)?;
        let own = context.answerable() == Some(request.requester);
        // Owners answer to nobody in the organization.
        let answers = matches!(context.caller, Caller::Person(..) | Caller::Key(..))
            && context.require(Right::WriteOrganization, &request.organization).is_err();
        match own && answers {
            true => Err(StoreError::OwnKeyRequest(id).into()),
            false => Ok(request),
        }
    }

    async fn tell_requester(
        &self,
        context: &Context,
        request: &KeyRequest,
        terms: &KeyTerms,
        mail: impl FnOnce(crate::mail::RequestedKey) -> Mail,
    ) {
        let told = async {
            let who = self.store.user(request.requester).await?;
            let who = who.ok_or(StoreError::NoSuchUser(request.requester))?;
            let mail = mail(self.requested_key(request, terms).await?);
            self.mailer.send(&who.user.email, &mail, context.now);
            Ok::<_, ControlError>(())
        };
        if let Err(error) = told.await {
            tracing::error!(%error, key_request = %request.id, "whoever asked for a key is not told by mail how it was decided");
        }
    }
}

/// What is granted, held against what was asked for with all that it implies: who asked for `admin` can be granted what
/// `admin` implies.
fn granted_permissions(
    api: &Api,
    asked: &KeyTerms,
    granted: Option<Vec<String>>,
) -> Result<Vec<String>, ControlError> {
    let Some(granted) = granted else { return permissions(api, &asked.permissions, None) };
    let granted = permissions(api, &granted, None)?;
    let vocabulary = &api.profile.vocabulary;
    let asked = vocabulary.grant(asked.permissions.iter().map(String::as_str));
    let within = |name: &&String| vocabulary.get(name).is_some_and(|one| asked.covers(one));
    match granted.iter().find(|name| !within(name)) {
        Some(more) => Err(ControlError::invalid(
            format!("`{more}` was not asked for"),
            format!("grant some of {}", vocabulary.names(asked).collect::<Vec<_>>().join(", ")),
        )),
        None => Ok(granted),
    }
}
