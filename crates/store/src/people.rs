//! People: who may log in, where they belong, and the tokens that open a door once or for a while.
//!
//! Tokens (sessions, invitations, the setup token) are kept as digests, like keys: whoever reads the database can open nothing
//! with what stands there. Passwords are kept as the PHC strings of a slow hash, which is made and checked elsewhere.

use std::{fmt, net::IpAddr};

use keyward_core::{
    id::{InvitationId, OrganizationId, SessionId, UserId},
    member::{Email, Membership, Role, User},
    organization::Organization,
    time::Timestamp,
};

/// The SHA-256 of a token of at least 128 random bits: no pepper is needed against guessing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// From the 32 bytes of the digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// A password's PHC string (`$argon2id$…`).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a PHC string.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// A person, and what they log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The person.
    pub user: User,
    /// Their password; `None` for who logs in elsewhere.
    pub password: Option<PasswordHash>,
    /// Where they belong, in the order they came there.
    pub memberships: Vec<Membership>,
}

/// An account elsewhere (OpenID Connect): who somebody is to its issuer, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The issuer, as it names itself.
    pub issuer: String,
    /// Its name for the person: at most 255 characters, never given to another.
    pub subject: String,
}

/// A login from one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Public id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// What is kept of its token.
    pub token: TokenDigest,
    /// What the device called itself, cut to 200 characters.
    pub device: String,
    /// The address it was begun from.
    pub from: IpAddr,
    /// When it was begun.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Timestamp,
    /// When it was last used, some minutes late.
    pub last_used_at: Option<Timestamp>,
}

/// What an invitation is to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvitedAs {
    /// A member of an organization.
    Member {
        /// Where.
        organization: OrganizationId,
        /// As what.
        role: Role,
    },
    /// One of those who run this Keyward.
    Operator,
}

/// What became of an invitation. That it has expired follows from the time and is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationState {
    /// It can be accepted.
    Open,
    /// It was.
    Accepted,
    /// It was taken back.
    Withdrawn,
}

impl InvitationState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Accepted, Self::Withdrawn];

    /// The word it is stored and shown by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An invitation, sent by mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Public id.
    pub id: InvitationId,
    /// Whom it was sent to. Only this person can accept it.
    pub email: Email,
    /// To what.
    pub to: InvitedAs,
    /// What is kept of its token.
    pub token: TokenDigest,
    /// By whom; `None` from the machine itself.
    pub invited_by: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Timestamp,
    /// What became of it.
    pub state: InvitationState,
}

/// What can be done to people. Like every change: one transaction, one audit entry, one revision.
#[derive(Clone, Debug)]
pub enum PeopleChange {
    /// A new setup token takes the place of any other; it opens nothing once there is an operator.
    OfferSetup {
        /// What is kept of it.
        token: TokenDigest,
        /// From when on it is refused.
        expires_at: Timestamp,
    },
    /// The first operator, by the setup token, which is used up.
    SetUp {
        /// What was shown for it.
        token: TokenDigest,
        /// Who.
        user: User,
        /// With what they log in.
        password: PasswordHash,
    },
    /// A person with an organization of their own.
    SignUp {
        /// Who.
        user: User,
        /// With what they log in.
        password: PasswordHash,
        /// What they own.
        organization: Organization,
    },
    /// A password, new or changed. Other sessions than `keeping` end.
    SetPassword {
        /// Whose.
        user: UserId,
        /// The new one.
        password: PasswordHash,
        /// The session in which it was changed.
        keeping: Option<SessionId>,
    },
    /// [`PeopleChange::SetPassword`] by who showed the old one: it must be theirs still.
    ChangePassword {
        /// Whose.
        user: UserId,
        /// What the old one was checked against.
        checked: PasswordHash,
        /// The new one.
        password: PasswordHash,
        /// The session in which it was changed.
        keeping: Option<SessionId>,
    },
    /// A login.
    StartSession(Session),
    /// [`PeopleChange::StartSession`] by who showed a password: it must be theirs still, or a login that waited its turn would outlast
    /// the change that was to end it.
    LogIn {
        /// The session.
        session: Session,
        /// What the password was checked against.
        checked: PasswordHash,
    },
    /// A logout, there or from afar.
    EndSession {
        /// Whose.
        user: UserId,
        /// Which; `None` for all.
        session: Option<SessionId>,
    },
    /// An invitation.
    Invite(Invitation),
    /// Takes an invitation back.
    WithdrawInvitation(InvitationId),
    /// Accepts one, as somebody who is known here already or comes with it.
    AcceptInvitation {
        /// What was shown for it.
        token: TokenDigest,
        /// The newcomer with a password; nobody, where the invited address is known here.
        newcomer: Option<(User, PasswordHash)>,
    },
    /// An account elsewhere becomes one by which a person who is known here logs in. Their address was shown by its issuer's word: where
    /// nobody had ever shown it before, whoever chose the password may be somebody else, so it goes, and all sessions end.
    LinkIdentity {
        /// Whose.
        user: UserId,
        /// The account elsewhere.
        identity: Identity,
    },
    /// Accepts an invitation into an organization as a newcomer who has no password, by their issuer's word for the invited address.
    AcceptByIdentity {
        /// Which.
        invitation: InvitationId,
        /// Who. Their address is the invited one.
        newcomer: User,
        /// With what they log in.
        identity: Identity,
    },
    /// A newcomer without an invitation becomes a member, where the operator has said that the issuer's people may.
    Enrol {
        /// Who.
        newcomer: User,
        /// With what they log in.
        identity: Identity,
        /// Where.
        organization: OrganizationId,
        /// As what.
        role: Role,
    },
    /// Another role for a member.
    SetRole {
        /// Where.
        organization: OrganizationId,
        /// Who.
        user: UserId,
        /// The role.
        role: Role,
    },
    /// A member leaves, or is made to.
    RemoveMember {
        /// Where.
        organization: OrganizationId,
        /// Who.
        user: UserId,
    },
}
