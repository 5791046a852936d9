//! The first operator, by a token that only the console shows; and organizations that come by themselves.

use std::time::Duration;

use keyward_api::{OrganizationView, UserView};
use keyward_core::{
    id::mint_organization_id,
    key::Plaintext,
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use keyward_store::{Actor, Change, Interface, PeopleChange};

use super::{super::Control, Newcomer};
use crate::{
    context::Context,
    error::ControlError,
    mint,
    token::{self, TokenKind},
    views,
};

/// How long a setup token is good for: long enough to read it off a console, too short to be forgotten there.
const SETUP_TOKEN: Duration = Duration::from_secs(3600);

impl Control {
    /// A new setup token, where nobody runs this Keyward yet; it takes the place of earlier ones. To be shown on the console and
    /// nowhere else.
    pub async fn offer_setup(&self, now: Timestamp) -> Result<Option<Plaintext>, ControlError> {
        if self.store.has_operator().await? {
            return Ok(None);
        }
        let (plaintext, token) = token::mint(TokenKind::Setup)?;
        let expires_at = now.plus(SETUP_TOKEN);
        let change = Change::People(PeopleChange::OfferSetup { token, expires_at });
        let actor = Actor::system("setup", Interface::ManagementApi);
        self.store.commit(&actor, now, change).await?;
        Ok(Some(plaintext))
    }

    /// Makes the first operator.
    pub async fn set_up(
        &self,
        context: &Context,
        token: &Plaintext,
        newcomer: Newcomer,
    ) -> Result<UserView, ControlError> {
        let (user, password) = newcomer.prepare(true, context.now).await?;
        let view = views::user(&user);
        let token = token::digest(token.expose());
        let change = Change::People(PeopleChange::SetUp { token, user, password });
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(view)
    }

    /// Makes a person and an organization that they own.
    pub async fn sign_up(
        &self,
        context: &Context,
        newcomer: Newcomer,
        organization: String,
    ) -> Result<(UserView, OrganizationView), ControlError> {
        let organization = Organization {
            id: mint_organization_id(mint::random()?),
            name: organization,
            state: OrganizationState::Active,
            model_ids: vec![],
            allowed_models: None,
            created_at: context.now,
            limits: vec![],
            plan: None,
        };
        let (user, password) = newcomer.prepare(false, context.now).await?;
        let answer = (views::user(&user), views::organization(&organization));
        let change = Change::People(PeopleChange::SignUp { user, password, organization });
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(answer)
    }
}
