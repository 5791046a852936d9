//! The management API of a server that runs elsewhere, as commands ask it; and the logins by which they do.
//!
//! One connection, one request after the other: a command asks a handful of things and ends. Rejected was a client with a pool
//! and redirects: nothing here is asked twice, and a login is shown to nobody but the address it was made for.

pub(crate) mod client;
mod connection;
pub mod logins;

pub use client::Client;
pub use connection::Server;
use keyward_api::{ErrorCode, Problem};

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address cannot be used.
    #[error("`{address}` cannot be asked: {remedy}")]
    Address {
        /// As it was given.
        address: String,
        /// What would be right.
        remedy: String,
    },
    /// No connection, or none that lasted long enough for an answer.
    #[error("{server} gives no answer: {cause}; check the address, and that the server runs")]
    Unreachable {
        /// Which.
        server: String,
        /// What happened.
        cause: String,
    },
    /// The login is not good any more.
    #[error("{server} no longer takes this login: log in again with `keyward login {server}`")]
    LoggedOut {
        /// Which.
        server: String,
    },
    /// The server said why not.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// Something answers there that is no management API.
    #[error(
        "{server} answers {status}, but not as Keyward's management API does: check the address"
    )]
    Foreign {
        /// Which.
        server: String,
        /// The answer's status.
        status: u16,
    },
}

impl RemoteError {
    /// Its kind.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Address { .. } => ErrorCode::Invalid,
            Self::Unreachable { .. } | Self::Foreign { .. } => ErrorCode::Unavailable,
            Self::LoggedOut { .. } => ErrorCode::Unauthenticated,
            Self::Refused(problem) => problem.code,
        }
    }
}
