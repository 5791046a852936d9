//! Key requests: [`ask`] (and withdraw), [`read`], [`decide`], [`claim`]. For APIs whose profile has keys asked for and approved.
//!
//! Whoever decides never sees the key: it is made when whoever asked claims it, and stands in that one answer.

pub mod ask;
pub mod claim;
pub mod decide;
pub mod read;

#[cfg(test)]
mod tests;

pub use ask::NewKeyRequest;
pub use decide::Grant;
pub use read::KeyRequestQuery;

use std::collections::{HashMap, hash_map::Entry};

use keyward_api::{KeyRequestDecisionView, KeyRequestView, PersonView};
use keyward_core::{
    id::{KeyRequestId, UserId},
    member::{Right, User},
    time::Timestamp,
};
use keyward_store::{KeyRequest, KeyTerms, StoreError};

use super::Control;
use crate::{context::Context, error::ControlError, mail::RequestedKey, views};

impl Control {
    async fn existing_request(&self, id: KeyRequestId) -> Result<KeyRequest, ControlError> {
        Ok(self.store.key_request(id).await?.ok_or(StoreError::NoSuchKeyRequest(id))?)
    }

    /// A request that the caller may see: their own, or any where they decide. To others it does not exist.
    async fn seen_request(
        &self,
        context: &Context,
        id: KeyRequestId,
    ) -> Result<KeyRequest, ControlError> {
        let request = self.existing_request(id).await?;
        let decides = context.require(Right::DecideRequests, &request.organization).is_ok();
        // Who left the organization has nothing more to see there.
        let belongs = context.require(Right::ReadKeys, &request.organization).is_ok();
        let own = context.answerable() == Some(request.requester) && belongs;
        match decides || own {
            true => Ok(request),
            false => Err(StoreError::NoSuchKeyRequest(id).into()),
        }
    }

    /// Requests as they are shown, with the people in them.
    async fn shown_requests(
        &self,
        requests: &[KeyRequest],
        now: Timestamp,
    ) -> Result<Vec<KeyRequestView>, ControlError> {
        let mut people: HashMap<UserId, PersonView> = HashMap::new();
        for request in requests {
            let decider = request.decision.as_ref().and_then(|decision| decision.by);
            for id in [Some(request.requester), decider].into_iter().flatten() {
                if let Entry::Vacant(place) = people.entry(id) {
                    let record = self.store.user(id).await?.ok_or(StoreError::NoSuchUser(id))?;
                    place.insert(person(&record.user));
                }
            }
        }
        requests.iter().map(|request| shown(request, &people, now)).collect()
    }

    async fn shown_request(
        &self,
        id: KeyRequestId,
        now: Timestamp,
    ) -> Result<KeyRequestView, ControlError> {
        let request = self.existing_request(id).await?;
        self.shown_as_made(&request, now).await
    }

    async fn shown_as_made(
        &self,
        request: &KeyRequest,
        now: Timestamp,
    ) -> Result<KeyRequestView, ControlError> {
        let shown = self.shown_requests(std::slice::from_ref(request), now).await?;
        shown.into_iter().next().ok_or(ControlError::Interrupted)
    }

    /// What mails say of the key of a request.
    async fn requested_key(
        &self,
        request: &KeyRequest,
        terms: &KeyTerms,
    ) -> Result<RequestedKey, ControlError> {
        Ok(RequestedKey {
            request: request.id,
            organization: self.existing_organization(&request.organization).await?.name,
            api: request.api.to_string(),
            name: request.name.clone(),
            environment: request.environment.to_string(),
            terms: terms.clone(),
        })
    }
}

fn person(user: &User) -> PersonView {
    PersonView { id: user.id.to_string(), email: user.email.to_string(), name: user.name.clone() }
}

fn shown(
    request: &KeyRequest,
    people: &HashMap<UserId, PersonView>,
    now: Timestamp,
) -> Result<KeyRequestView, ControlError> {
    let find = |id: UserId| people.get(&id).cloned().ok_or(StoreError::NoSuchUser(id));
    let decision = match &request.decision {
        Some(decision) => Some(KeyRequestDecisionView {
            by: decision.by.map(find).transpose()?,
            at: decision.at.to_string(),
            note: decision.note.clone(),
        }),
        None => None,
    };
    Ok(views::key_request(request, find(request.requester)?, decision, now))
}
