//! People: [`setup`] (the first operator, and who signs up), [`session`] (logging in and out), [`openid`] (by an account elsewhere), [`invitation`], [`member`].

pub mod invitation;
pub mod member;
pub mod openid;
pub mod session;
pub mod setup;

#[cfg(test)]
pub(crate) mod tests;

use keyward_core::{
    id::UserId,
    key::Plaintext,
    member::{Email, User},
    time::Timestamp,
};
use keyward_store::PasswordHash;

use crate::{error::ControlError, mint, password};

/// Somebody who comes, with what they will log in with.
pub struct Newcomer {
    /// Where they are reached.
    pub email: Email,
    /// What people call them.
    pub name: String,
    /// The password they chose.
    pub password: Plaintext,
}

impl Newcomer {
    /// The person, and what is kept of their password.
    async fn prepare(
        self,
        operator: bool,
        now: Timestamp,
    ) -> Result<(User, PasswordHash), ControlError> {
        let password = password::hash(self.password).await?;
        let id = UserId::from_bits(mint::random()?);
        let user = User { id, email: self.email, name: self.name, operator, created_at: now };
        Ok((user, password))
    }
}
