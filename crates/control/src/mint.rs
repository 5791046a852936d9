//! Making what must not be guessed: secrets and ids, from the operating system's randomness.
//!
//! When it fails, nothing is made: there is no other source to fall back to.

use keyward_core::{
    id::{KeyId, SecretId},
    key::{KeyFormat, Peppers, Plaintext, Secret},
    time::Timestamp,
};

use crate::error::ControlError;

fn fill(bytes: &mut [u8]) -> Result<(), ControlError> {
    getrandom::fill(bytes).map_err(|error| ControlError::Randomness(error.to_string()))
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ControlError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Five bits of each byte as a digit that survives being read aloud.
pub(crate) fn digits(random: &[u8]) -> impl Iterator<Item = char> {
    random
        .iter()
        .filter_map(|byte| DIGITS.get(usize::from(byte & 31)))
        .map(|digit| char::from(*digit))
}

/// A secret in the clear, and all that is kept of it.
pub(crate) struct Minted {
    pub(crate) plaintext: Plaintext,
    pub(crate) secret: Secret,
}

/// A new secret for a key, in the format of its API, with its digest under the newest pepper.
pub(crate) fn secret(
    key: KeyId,
    format: &KeyFormat,
    peppers: &Peppers,
    now: Timestamp,
) -> Result<Minted, ControlError> {
    let plaintext = format.mint(fill)?;
    let pepper = peppers.current();
    let secret = Secret {
        id: SecretId::from_bits(random()?),
        key,
        digest: pepper.digest(plaintext.expose().as_bytes()),
        pepper: pepper.version(),
        hint: format.hint(&plaintext),
        created_at: now,
        expires_at: None,
        last_used_at: None,
        form: Default::default(),
    };
    Ok(Minted { plaintext, secret })
}
