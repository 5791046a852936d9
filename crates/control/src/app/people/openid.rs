//! Who somebody is here whom an issuer knows.
//!
//! By the issuer's name for them, once that is known; their address may change there, and changes nothing here. Who comes the first time is found by
//! their address, if the issuer says that it is verified: somebody known here, or somebody invited into an organization. Where a person
//! is linked to an account of the same issuer already, another account of it with their address is refused: addresses are given
//! to somebody else, issuers' names for people are not. Nobody comes to run this Keyward by an issuer's word alone: an invitation to it
//! takes its token, and an operator links an account while they are logged in.

use keyward_core::{
    id::{SessionId, UserId},
    member::{Email, User},
};
use keyward_store::{Change, Identity, InvitedAs, PeopleChange, StoreError, UserRecord};

use super::{
    super::Control,
    session::{Device, Started},
};
use crate::{
    context::Context,
    error::ControlError,
    mint,
    openid::{Newcomers, Proven},
};

const LONGEST_NAME: usize = 100;

impl Control {
    /// Begins a session for whoever an issuer proved it to be; it takes the place of `replacing`.
    pub async fn log_in_by_identity(
        &self,
        context: &Context,
        proven: Proven,
        newcomers: Option<&Newcomers>,
        device: Device,
        replacing: Option<SessionId>,
    ) -> Result<Started, ControlError> {
        let record = match self.store.user_by_identity(&proven.identity).await? {
            Some(record) => record,
            None => self.first_login(context, &proven, newcomers).await?,
        };
        self.begin_session(context, record, None, device, replacing).await
    }

    async fn first_login(
        &self,
        context: &Context,
        proven: &Proven,
        newcomers: Option<&Newcomers>,
    ) -> Result<UserRecord, ControlError> {
        let Some(email) = &proven.email else {
            return Err(ControlError::LoginRefused(
                "your account there has no address that its provider has verified",
            ));
        };
        let identity = proven.identity.clone();
        let changes = match self.store.user_by_email(email).await? {
            Some(known) if known.user.operator && context.user() != Some(known.user.id) => {
                return Err(ControlError::LoginRefused(
                    "who runs this Keyward logs in with their password once, and with the account there in the same browser after it",
                ));
            }
            Some(known) => vec![PeopleChange::LinkIdentity { user: known.user.id, identity }],
            None => self.coming(context, proven, email, newcomers).await?,
        };
        for change in changes {
            match self.store.commit(&context.actor, context.now, Change::People(change)).await {
                // By somebody who could not invite them now: another invitation may stand.
                Err(StoreError::UnknownToken) => {}
                done => {
                    done?;
                    break;
                }
            }
        }
        let record = self.store.user_by_identity(&proven.identity).await?;
        record.ok_or(NOBODY_INVITED)
    }

    /// How somebody who is not known may come: the first that is possible.
    async fn coming(
        &self,
        context: &Context,
        proven: &Proven,
        email: &Email,
        newcomers: Option<&Newcomers>,
    ) -> Result<Vec<PeopleChange>, ControlError> {
        let identity: Identity = proven.identity.clone();
        let newcomer = User {
            id: UserId::from_bits(mint::random()?),
            email: email.clone(),
            name: name(proven, email),
            operator: false,
            created_at: context.now,
        };
        let invitations = self.store.invitations_for(email).await?;
        let open = invitations.into_iter().filter(|one| {
            context.now < one.expires_at && matches!(one.to, InvitedAs::Member { .. })
        });
        let mut ways: Vec<_> = open
            .map(|open| PeopleChange::AcceptByIdentity {
                invitation: open.id,
                newcomer: newcomer.clone(),
                identity: identity.clone(),
            })
            .collect();
        let domain = email.as_str().rsplit_once('@').map_or("", |(_, domain)| domain);
        if let Some(Newcomers { organization, role, .. }) =
            newcomers.filter(|terms| terms.domains.iter().any(|one| one == domain))
        {
            let (organization, role) = (organization.clone(), *role);
            ways.push(PeopleChange::Enrol { newcomer, identity, organization, role });
        }
        match ways.is_empty() {
            true => Err(NOBODY_INVITED),
            false => Ok(ways),
        }
    }
}

const NOBODY_INVITED: ControlError = ControlError::LoginRefused("nobody invited your address here");

impl From<crate::openid::OpenIdError> for ControlError {
    fn from(error: crate::openid::OpenIdError) -> Self {
        Self::OpenId(error)
    }
}

/// What the issuer calls them, as far as it is a name here; else their address.
fn name(proven: &Proven, email: &Email) -> String {
    let told = proven.name.as_deref().unwrap_or_default().chars();
    let told: String = told.filter(|char| !char.is_control()).take(LONGEST_NAME).collect();
    match told.trim() {
        "" => email.as_str().chars().take(LONGEST_NAME).collect(),
        name => name.to_owned(),
    }
}
