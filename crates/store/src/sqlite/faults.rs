//! SQLite's errors in the operator's words.

use rusqlite::{Error, ErrorCode};

use crate::error::StoreError;

/// What went wrong below, and what to do about it.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn fault(error: Error) -> StoreError {
    let code = error.sqlite_error_code();
    let (what, remedy) = match code {
        Some(ErrorCode::DiskFull) => (
            "nothing was stored: the disk that holds the data folder is full",
            "free some space; changes work again at once",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            "nothing was stored: the disk that holds the data folder failed to read or write",
            "look at the system's log (`dmesg`) and the disk; changes work again once it does",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            "another process held the database's write lock for more than 10 seconds",
            "find it with `fuser` on the data folder's keyward.db and end it, then try again",
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            "the database file is damaged",
            "stop every Keyward on this data folder and restore its backup",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => (
            "the database cannot be opened or written",
            "give the data folder and its files to the user Keyward runs as",
        ),
        _ => (
            "the database did not do what it was asked",
            "try again; if it stays, this is a defect of Keyward to report",
        ),
    };
    StoreError::unavailable(format!("{what} (SQLite: {error})"), remedy)
}

/// Whether a row stands in the way of another: an id or digest that must be unique.
pub(super) fn is_collision(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
