//! The proof that a browser logged in to an account before, which strangers' guesses cannot make wait.
//!
//! A random name, and its HMAC for the account under the pepper: nothing is kept of it, and it opens nothing. What it buys is a count of
//! guesses of its own (see `throttle`).

use std::time::Duration;

use crate::{Control, ControlError, mint, throttle::Account};

/// How long a browser keeps it.
pub(super) const KEPT: Duration = Duration::from_secs(180 * 24 * 3600);
const NAME: usize = 26;

/// A proof for the account.
pub(super) fn make(control: &Control, account: Account) -> Result<String, ControlError> {
    let random: [u8; NAME] = mint::random()?;
    let name: String = mint::digits(&random).collect();
    let proof = control.proofs(&text(account, &name)).next().unwrap_or_default();
    Ok(format!("{name}.{proof}"))
}

/// What names the browser, if it shows a proof for this account.
pub(super) fn check(control: &Control, account: Account, shown: &str) -> Option<[u8; 16]> {
    let (name, proof) = shown.split_once('.')?;
    if name.len() != NAME {
        return None;
    }
    let is_ours = control.proofs(&text(account, name)).any(|ours| same(&ours, proof));
    is_ours.then(|| *Account::named(name).bytes())
}

fn same(ours: &str, shown: &str) -> bool {
    subtle::ConstantTimeEq::ct_eq(ours.as_bytes(), shown.as_bytes()).into()
}

fn text(account: Account, name: &str) -> Vec<u8> {
    // No key of any profile begins like this.
    [b"keyward known browser\0".as_slice(), account.bytes(), name.as_bytes()].concat()
}
