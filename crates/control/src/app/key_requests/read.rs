//! Listing requests, and showing one.

use keyward_api::{KeyRequestStateView, KeyRequestView, Page};
use keyward_core::{
    id::{KeyRequestId, OrganizationId},
    member::Right,
};
use keyward_store::{KeyRequestFilter, KeyRequestState, Page as StorePage};

use super::super::Control;
use crate::{context::Context, error::ControlError, views};

/// Requests that are read at once.
const MOST_READ: u32 = 1000;

/// Which requests to list; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct KeyRequestQuery {
    /// In this organization.
    pub organization: Option<OrganizationId>,
    /// In this state; what is too old is expired or lapsed.
    pub state: Option<KeyRequestStateView>,
    /// Behind this one.
    pub after: Option<KeyRequestId>,
}

impl Control {
    /// Requests, newest first, `limit` (1 to 1,000) at most: all where the caller decides, otherwise their own.
    pub async fn list_key_requests(
        &self,
        context: &Context,
        query: &KeyRequestQuery,
        limit: u32,
    ) -> Result<Page<KeyRequestView>, ControlError> {
        let sees_all = match &query.organization {
            Some(organization) => {
                context.require(Right::ReadKeys, organization)?;
                self.existing_organization(organization).await?;
                context.require(Right::DecideRequests, organization).is_ok()
            }
            None => context.require_operator().map(|()| true)?,
        };
        let requester = match (sees_all, context.answerable()) {
            (true, _) => None,
            (false, Some(user)) => Some(user),
            // Nobody has requests of their own.
            (false, None) => return Ok(Page::whole(vec![])),
        };
        let limit = limit.clamp(1, 1000);
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let filter = KeyRequestFilter {
            organization: query.organization.clone(),
            requester,
            state: query.state.map(stored_state),
        };
        if let Some(after) = query.after {
            // Where a list goes on is told to nobody who could not have seen it.
            self.seen_request(context, after).await?;
        }
        let (mut found, mut after, mut limit) = (Vec::new(), query.after, limit);
        let next = 'all: loop {
            let requests = self.store.key_requests(&filter, StorePage { after, limit }).await?;
            let is_last = requests.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            // What is not shown is passed over in long strides.
            limit = MOST_READ;
            for request in requests {
                after = Some(request.id);
                let state = views::key_request_state(&request, context.now);
                if query.state.is_some_and(|wanted| wanted != state) {
                    continue;
                }
                found.push(request);
                if found.len() == most {
                    break 'all after;
                }
            }
            if is_last {
                break None;
            }
        };
        let items = self.shown_requests(&found, context.now).await?;
        Ok(Page { items, next: next.map(|id| id.to_string()) })
    }

    /// One request.
    pub async fn show_key_request(
        &self,
        context: &Context,
        id: KeyRequestId,
    ) -> Result<KeyRequestView, ControlError> {
        self.seen_request(context, id).await?;
        self.shown_request(id, context.now).await
    }
}

const fn stored_state(state: KeyRequestStateView) -> KeyRequestState {
    match state {
        // That one has grown too old follows from the time.
        KeyRequestStateView::Open | KeyRequestStateView::Expired => KeyRequestState::Open,
        KeyRequestStateView::Approved | KeyRequestStateView::Lapsed => KeyRequestState::Approved,
        KeyRequestStateView::Denied => KeyRequestState::Denied,
        KeyRequestStateView::Withdrawn => KeyRequestState::Withdrawn,
        KeyRequestStateView::Claimed => KeyRequestState::Claimed,
    }
}
