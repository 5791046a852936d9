//! Key requests, both ways; asking, withdrawing and claiming are a person's, who is logged in at a server.

use http::Method;
use keyward_api::{
    ApproveKeyRequestInput, CreateKeyRequestInput, CreatedKey, DenyKeyRequestInput, KeyRequestView,
    ListKeyRequestsQuery,
};
use keyward_control::{
    app::key_requests::{Grant, KeyRequestQuery},
    limits,
};
use keyward_core::id::{KeyRequestId, OrganizationId};

use super::{Backend, Remote};
use crate::site::operator;

const PAGE: u32 = 1000;

impl Backend {
    /// Requests, newest first: of the organization that the query names, or of all that the caller sees.
    pub async fn list_key_requests(
        &self,
        mut query: KeyRequestQuery,
    ) -> anyhow::Result<Vec<KeyRequestView>> {
        let mut requests = Vec::new();
        match self {
            Self::Local(site) => {
                let control = site.control();
                loop {
                    let page = control.list_key_requests(&operator(), &query, PAGE).await?;
                    requests.extend(page.items);
                    match page.next {
                        Some(next) => query.after = Some(next.parse()?),
                        None => return Ok(requests),
                    }
                }
            }
            Self::Remote(remote) => {
                for organization in self.seen_organizations(query.organization.as_ref()).await? {
                    let path = format!("/v1/organizations/{organization}/key-requests");
                    let of_page = |after| ListKeyRequestsQuery {
                        state: query.state,
                        after,
                        limit: Some(PAGE),
                    };
                    requests.extend(remote.client.all::<KeyRequestView, _>(&path, of_page).await?);
                }
                requests.sort_by(|one, other| other.created_at.cmp(&one.created_at));
                Ok(requests)
            }
        }
    }

    /// One of them.
    pub async fn show_key_request(&self, id: KeyRequestId) -> anyhow::Result<KeyRequestView> {
        match self {
            Self::Local(site) => Ok(site.control().show_key_request(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.get(&format!("/v1/key-requests/{id}"), &()).await?)
            }
        }
    }

    /// Approves it, for all that was asked or less.
    pub async fn approve_key_request(
        &self,
        id: KeyRequestId,
        grant: Grant,
    ) -> anyhow::Result<KeyRequestView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().approve_key_request(&operator(), id, grant).await?)
            }
            Self::Remote(remote) => {
                let networks = grant.allowed_networks.as_deref();
                let input = ApproveKeyRequestInput {
                    permissions: grant.permissions,
                    lifetime_seconds: grant.lifetime_seconds,
                    allowed_networks: networks
                        .map(|all| all.iter().map(ToString::to_string).collect()),
                    allowed_models: grant.allowed_models,
                    limits: grant.limits.as_deref().map(limits::views),
                    note: grant.note,
                };
                let path = format!("/v1/key-requests/{id}/approve");
                Ok(remote.client.send(Method::POST, &path, &input).await?)
            }
        }
    }

    /// Denies it.
    pub async fn deny_key_request(
        &self,
        id: KeyRequestId,
        reason: String,
    ) -> anyhow::Result<KeyRequestView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().deny_key_request(&operator(), id, reason).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/key-requests/{id}/deny");
                let input = DenyKeyRequestInput { reason };
                Ok(remote.client.send(Method::POST, &path, &input).await?)
            }
        }
    }
}

impl Remote {
    /// Asks for a key.
    pub async fn ask_for_key(
        &self,
        organization: &OrganizationId,
        input: &CreateKeyRequestInput,
    ) -> anyhow::Result<KeyRequestView> {
        let path = format!("/v1/organizations/{organization}/key-requests");
        Ok(self.client.send(Method::POST, &path, input).await?)
    }

    /// Takes back what one asked for.
    pub async fn withdraw_key_request(&self, id: KeyRequestId) -> anyhow::Result<KeyRequestView> {
        Ok(self.client.post(&format!("/v1/key-requests/{id}/withdraw")).await?)
    }

    /// Claims what was granted.
    pub async fn claim_key(&self, id: KeyRequestId) -> anyhow::Result<CreatedKey> {
        Ok(self.client.post(&format!("/v1/key-requests/{id}/claim")).await?)
    }
}
