//! What the victim does: every kind of change there is, each with what must be true once it is done.
//!
//! A fact is a thing and how it stands, both in words: the same words are made of what is read back (`truth`), so that all of
//! a store can be held against all that was done to it, and a change that is half there shows.

use std::{collections::BTreeMap, time::Duration};

use keyward_core::{
    id::{KeyId, SecretId, SessionId},
    key::{Digest, Key, KeyState, Secret, SecretForm},
    organization::{Organization, OrganizationState},
    time::Timestamp,
    usage::UsageBatch,
};
use keyward_store::{
    Actor, AlertRuleChange, Change, Invitation, InvitedAs, KeyRequestChange, Once, PasswordHash,
    PeopleChange, PlanChange, RequestKey, Revision, SealedBytes, Session, Store, StoreError,
    Subject, WebhookChange,
};

/// When everything happens: the store asks no clock, so neither must this.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// For as long as things are good: longer than a trial takes.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// One thing that is done to a store.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are some dozens at a time")]
pub(crate) enum Deed {
    /// A change.
    Commit(Change),
    /// A change that is done once, and what it makes, which is also its answer and the request's own key.
    CommitOnce(Change, SecretId),
    /// Changes that are only tried.
    Rehearse(Vec<Change>),
    /// What the data plane tells.
    Record(UsageBatch),
    /// A session was used.
    Touch(SessionId, Timestamp),
}

/// A deed, by whom, and what is true after it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) actor: Actor,
    pub(crate) deed: Deed,
    /// Its action and subject in the audit log and the feed; `None` for what makes no revision.
    pub(crate) trace: Option<(&'static str, Subject)>,
    /// Things, and how each stands; `None` where it is gone.
    pub(crate) facts: Vec<(String, Option<String>)>,
}

/// Names each kind of deed in a list and in a match: what has no name here does not compile.
macro_rules! kinds {
    ($($name:literal: $deed:pat,)+) => {
        pub(crate) const KINDS: &[&str] = &[$($name),+];
        pub(crate) fn kind(deed: &Deed) -> &'static str {
            match deed { $($deed => $name,)+ }
        }
    };
}

use AlertRuleChange as A;
use Change as C;
use Deed::Commit;
use KeyRequestChange as R;
use PeopleChange as P;
use WebhookChange as W;

kinds! {
    "commit once": Deed::CommitOnce(..),
    "rehearse": Deed::Rehearse(_),
    "record": Deed::Record(_),
    "touch": Deed::Touch(..),
    "create organization": Commit(C::CreateOrganization(_)),
    "suspend": Commit(C::SetOrganizationState { state: OrganizationState::Suspended, .. }),
    "resume": Commit(C::SetOrganizationState { state: OrganizationState::Active, .. }),
    "update organization": Commit(C::UpdateOrganization { .. }),
    "assign model": Commit(C::AssignModelId { .. }),
    "withdraw model": Commit(C::WithdrawModelId { .. }),
    "create key": Commit(C::CreateKey { secret: Secret { form: SecretForm::Minted, .. }, .. }),
    "import in the clear": Commit(C::CreateKey { secret: Secret { form: SecretForm::Imported, .. }, .. }),
    "import sha256": Commit(C::CreateKey { secret: Secret { form: SecretForm::Sha256, .. }, .. }),
    "import sha512": Commit(C::CreateKey { secret: Secret { form: SecretForm::Sha512, .. }, .. }),
    "import bcrypt": Commit(C::CreateKey { secret: Secret { form: SecretForm::Bcrypt(_), .. }, .. }),
    "update key": Commit(C::UpdateKey { .. }),
    "enable": Commit(C::SetKeyState { state: KeyState::Active, .. }),
    "disable": Commit(C::SetKeyState { state: KeyState::Disabled, .. }),
    "revoke": Commit(C::SetKeyState { state: KeyState::Revoked, .. }),
    "rotate": Commit(C::RotateKey { .. }),
    "upgrade": Commit(C::UpgradeSecret { .. }),
    "retire": Commit(C::RetireSecret { force: false, .. }),
    "retire by force": Commit(C::RetireSecret { force: true, .. }),
    "set credential": Commit(C::SetUpstreamCredential { .. }),
    "remove credential": Commit(C::RemoveUpstreamCredential { .. }),
    "expose": Commit(C::MarkKeyExposed { disable: false, .. }),
    "expose and disable": Commit(C::MarkKeyExposed { disable: true, .. }),
    "offer setup": Commit(C::People(P::OfferSetup { .. })),
    "set up": Commit(C::People(P::SetUp { .. })),
    "sign up": Commit(C::People(P::SignUp { .. })),
    "set password": Commit(C::People(P::SetPassword { .. })),
    "change password": Commit(C::People(P::ChangePassword { .. })),
    "start session": Commit(C::People(P::StartSession(_))),
    "log in": Commit(C::People(P::LogIn { .. })),
    "end session": Commit(C::People(P::EndSession { session: Some(_), .. })),
    "end sessions": Commit(C::People(P::EndSession { session: None, .. })),
    "invite": Commit(C::People(P::Invite(Invitation { to: InvitedAs::Member { .. }, .. }))),
    "invite operator": Commit(C::People(P::Invite(Invitation { to: InvitedAs::Operator, .. }))),
    "withdraw invitation": Commit(C::People(P::WithdrawInvitation(_))),
    "accept": Commit(C::People(P::AcceptInvitation { newcomer: None, .. })),
    "accept as newcomer": Commit(C::People(P::AcceptInvitation { newcomer: Some(_), .. })),
    "link identity": Commit(C::People(P::LinkIdentity { .. })),
    "accept by identity": Commit(C::People(P::AcceptByIdentity { .. })),
    "enrol": Commit(C::People(P::Enrol { .. })),
    "set role": Commit(C::People(P::SetRole { .. })),
    "remove member": Commit(C::People(P::RemoveMember { .. })),
    "ask": Commit(C::KeyRequest(R::Ask(_))),
    "withdraw request": Commit(C::KeyRequest(R::Withdraw(_))),
    "approve": Commit(C::KeyRequest(R::Approve { .. })),
    "deny": Commit(C::KeyRequest(R::Deny { .. })),
    "claim": Commit(C::KeyRequest(R::Claim { .. })),
    "put plan": Commit(C::Plan(PlanChange::Put { .. })),
    "delete plan": Commit(C::Plan(PlanChange::Delete { .. })),
    "put price": Commit(C::Plan(PlanChange::PutPrice { .. })),
    "delete price": Commit(C::Plan(PlanChange::DeletePrice { .. })),
    "create webhook": Commit(C::Webhook(W::Create { .. })),
    "update webhook": Commit(C::Webhook(W::Update { .. })),
    "rotate webhook": Commit(C::Webhook(W::Rotate { .. })),
    "retire webhook secrets": Commit(C::Webhook(W::RetireSecrets(_))),
    "test webhook": Commit(C::Webhook(W::Test { .. })),
    "resend": Commit(C::Webhook(W::Resend(_))),
    "give up webhook": Commit(C::Webhook(W::GiveUp { .. })),
    "delete webhook": Commit(C::Webhook(W::Delete(_))),
    "create alert rule": Commit(C::AlertRule(A::Create(_))),
    "update alert rule": Commit(C::AlertRule(A::Update { .. })),
    "delete alert rule": Commit(C::AlertRule(A::Delete(_))),
}

impl Step {
    /// Does it; gives the revision it made.
    pub(crate) async fn run(self, store: &dyn Store) -> Result<Revision, StoreError> {
        match self.deed {
            Deed::Commit(change) => store.commit(&self.actor, NOW, change).await,
            Deed::CommitOnce(change, made) => {
                store.commit_once(&self.actor, NOW, change, once(made)).await
            }
            Deed::Rehearse(changes) => {
                for done in store.rehearse(&self.actor, NOW, changes).await? {
                    done?;
                }
                Ok(Revision::ZERO)
            }
            Deed::Record(batch) => store.record(&batch).await.map(|()| Revision::ZERO),
            Deed::Touch(session, at) => {
                store.touch_sessions(vec![(session, at)]).await.map(|()| Revision::ZERO)
            }
        }
    }
}

/// By what a repeat of the request for this secret would be known.
pub(crate) fn request_for(made: SecretId) -> RequestKey {
    let mut chosen = [0; 32];
    chosen[..16].copy_from_slice(&made.bits());
    RequestKey { caller: "victim".to_owned(), key: chosen }
}

fn once(made: SecretId) -> Once {
    Once {
        request: request_for(made),
        asked: Digest::from_bytes([0; 32]),
        made: made.to_string(),
        answer: Box::new(move |_| Ok(SealedBytes::from_bytes(made.bits().to_vec()))),
        answered_until: NOW.plus(HOUR),
        kept_until: NOW.plus(HOUR),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key with its secrets, as a fact.
pub(crate) fn of_key(key: &Key, secrets: &[Secret]) -> String {
    let mut told = serde_json::to_string(key).unwrap();
    for secret in secrets {
        let (digest, secret) = (hex(secret.digest.as_bytes()), secret);
        let (id, end, last) = (secret.id, secret.expires_at, secret.last_used_at);
        told += &format!(" | {id} {digest} {} {end:?} {last:?} {:?}", secret.hint, secret.form);
    }
    told
}

/// The words that a key is found by, as another would gather them: names here are in small letters.
pub(crate) fn words_of(key: &Key) -> String {
    let labels = &key.labels;
    let metadata: BTreeMap<_, _> = labels.metadata.iter().collect();
    let texts = metadata.into_iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    let texts = texts.chain(labels.tags.iter().map(String::as_str));
    let texts = texts.chain([key.name.as_str(), key.environment.as_str()]);
    let mut words: Vec<String> = texts
        .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .chain(labels.tags.iter().map(|tag| format!("#{tag}")))
        .collect();
    words.sort();
    words.dedup();
    words.join(" ")
}

/// An organization, as a fact.
pub(crate) fn of_organization(organization: &Organization) -> String {
    let mut sorted = organization.clone();
    sorted.model_ids.sort();
    serde_json::to_string(&sorted).unwrap()
}

/// A person's password, as a fact.
pub(crate) fn of_password(password: Option<&PasswordHash>) -> Option<String> {
    password.map(|hash| hash.as_str().to_owned())
}

/// A session, as a fact.
pub(crate) fn of_session(session: &Session) -> String {
    format!("{session:?} {}", hex(session.token.as_bytes()))
}

/// An invitation, as a fact.
pub(crate) fn of_invitation(invitation: &Invitation) -> String {
    format!("{invitation:?} {}", hex(invitation.token.as_bytes()))
}

/// When a key was last said to have been seen in the clear, as a thing.
pub(crate) fn exposure_of(key: KeyId) -> String {
    format!("exposure {key}")
}
