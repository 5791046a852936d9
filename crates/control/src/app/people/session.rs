//! Logging in and out. A session's token is shown once; whoever shows it acts as its person until it ends.

use std::{net::IpAddr, time::Duration};

use keyward_api::{AccountView, SessionView, UserView};
use keyward_core::{id::SessionId, key::Plaintext, member::Email};
use keyward_store::{
    Change, Interface, PasswordHash, PeopleChange, Session, StoreError, UserRecord,
};

use super::super::Control;
use crate::{
    context::Context,
    error::ControlError,
    mint, password,
    token::{self, TokenKind},
    views,
};

/// How long a login lasts, used or not.
pub const SESSION_LASTS: Duration = Duration::from_secs(12 * 3600);
const LONGEST_DEVICE: usize = 200;
/// That a session is used is noted this often.
const USED_EVERY: Duration = Duration::from_secs(5 * 60);

/// A login. Here, and nowhere else, its token stands in the clear.
pub struct Started {
    /// What opens it.
    pub token: Plaintext,
    /// Whose it is.
    pub user: UserView,
    /// The session.
    pub session: SessionView,
}

/// From where somebody logs in.
pub struct Device {
    /// What it calls itself.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

impl Control {
    /// Begins a session for whoever knows the password; it takes the place of `replacing`, which `context` acts by. An answer takes as long for somebody who is not known here.
    pub async fn log_in(
        &self,
        context: &Context,
        email: &Email,
        password: Plaintext,
        device: Device,
        replacing: Option<SessionId>,
    ) -> Result<Started, ControlError> {
        let record = self.store.user_by_email(email).await?;
        let hashed = record.as_ref().and_then(|record| record.password.clone());
        let is_right = password::is_right(password, hashed.clone()).await?;
        let (Some(record), Some(checked)) = (record.filter(|_| is_right), hashed) else {
            return Err(ControlError::WrongPassword);
        };
        self.begin_session(context, record, Some(checked), device, replacing).await
    }

    /// Begins a session for whoever showed who they are: by the password that was `checked`, which must still be theirs, or elsewhere. The one that asks by `replacing` ends before: a token that somebody else may
    /// have put into this browser opens nothing after a login.
    pub(super) async fn begin_session(
        &self,
        context: &Context,
        record: UserRecord,
        checked: Option<PasswordHash>,
        device: Device,
        replacing: Option<SessionId>,
    ) -> Result<Started, ControlError> {
        if replacing.is_some() {
            self.end_session(context, replacing).await?;
        }
        let (plaintext, token) = token::mint(TokenKind::Session)?;
        let session = Session {
            id: SessionId::from_bits(mint::random()?),
            user: record.user.id,
            token,
            device: device.name.chars().filter(|c| !c.is_control()).take(LONGEST_DEVICE).collect(),
            from: device.address,
            created_at: context.now,
            expires_at: context.now.plus(SESSION_LASTS),
            last_used_at: None,
        };
        let (view, from) = (views::session(&session, true), session.from);
        let user = views::user(&record.user);
        let change = Change::People(match checked {
            Some(checked) => PeopleChange::LogIn { session, checked },
            None => PeopleChange::StartSession(session),
        });
        let actor = Context::person(record, context.actor.interface, context.now).actor;
        let actor = actor.from_address(from);
        self.store.commit(&actor, context.now, change).await?;
        Ok(Started { token: plaintext, user, session: view })
    }

    /// Who shows this session's token, if it is one and has not ended.
    pub async fn authenticate(
        &self,
        token: &str,
        interface: Interface,
        now: keyward_core::time::Timestamp,
    ) -> Result<Option<(SessionId, Context)>, ControlError> {
        if !token.starts_with(TokenKind::Session.prefix()) {
            return Ok(None);
        }
        let found = self.store.session(&token::digest(token)).await?;
        let Some((session, user)) = found.filter(|(session, _)| now < session.expires_at) else {
            return Ok(None);
        };
        if session.last_used_at.is_none_or(|last| now.since(last) >= USED_EVERY)
            && let Err(error) = self.store.touch_sessions(vec![(session.id, now)]).await
        {
            // Who may only look can still do that while nothing can be written.
            tracing::warn!(%error, session = %session.id, "that a session was used could not be noted");
        }
        Ok(Some((session.id, Context::person(user, interface, now))))
    }

    /// Who asks, and where they belong.
    pub async fn show_account(&self, context: &Context) -> Result<AccountView, ControlError> {
        let user = context.user().ok_or(StoreError::NotAllowed(None))?;
        let record = self.store.user(user).await?.ok_or(StoreError::NoSuchUser(user))?;
        Ok(views::account(&record))
    }

    /// The sessions of whoever asks, newest first; `current` is the one they ask by.
    pub async fn list_sessions(
        &self,
        context: &Context,
        current: Option<SessionId>,
    ) -> Result<Vec<SessionView>, ControlError> {
        let Some(user) = context.user() else { return Ok(vec![]) };
        let sessions = self.store.sessions(user).await?;
        let still = sessions.iter().filter(|session| context.now < session.expires_at);
        Ok(still.map(|session| views::session(session, current == Some(session.id))).collect())
    }

    /// Ends one of one's own sessions, or all.
    pub async fn end_session(
        &self,
        context: &Context,
        session: Option<SessionId>,
    ) -> Result<(), ControlError> {
        let user = context.user().ok_or(StoreError::NotAllowed(None))?;
        let change = Change::People(PeopleChange::EndSession { user, session });
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(())
    }

    /// Changes one's own password; the sessions other than `current` end.
    pub async fn change_password(
        &self,
        context: &Context,
        current: Option<SessionId>,
        old: Plaintext,
        new: Plaintext,
    ) -> Result<(), ControlError> {
        let user = context.user().ok_or(StoreError::NotAllowed(None))?;
        let record = self.store.user(user).await?.ok_or(StoreError::NoSuchUser(user))?;
        let Some(checked) = record.password else { return Err(ControlError::WrongPassword) };
        if !password::is_right(old, Some(checked.clone())).await? {
            return Err(ControlError::WrongPassword);
        }
        let password = password::hash(new).await?;
        let change = PeopleChange::ChangePassword { user, checked, password, keeping: current };
        let change = Change::People(change);
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(())
    }
}
