//! Secrets that must be read back (an upstream's credential), sealed so that the database alone does not give them away.
//!
//! AES-256-GCM-SIV (RFC 8452) with a random nonce: where a nonce should ever repeat, it leaks only that two equal
//! plaintexts are equal. The place of a value (table, organization, id) is authenticated with it, so a value moved to
//! another row does not open: somebody who can write the database cannot make one upstream's credential
//! another's. Rejected: a data key per record (envelope), which buys nothing until a KMS holds the key above it; the
//! format's first byte leaves room for it.

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use keyward_core::id::OrganizationId;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    error::StoreError,
    store::{MaterialCheck, MaterialKind},
};

/// Layout 1: this byte, the key's version (4 bytes, big endian), nonce (12), ciphertext with tag.
const LAYOUT: u8 = 1;
const NONCE_BYTES: usize = 12;
const HEAD_BYTES: usize = 1 + 4;

/// A sealed value: ciphertext, safe to store.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBytes(Box<[u8]>);

impl SealedBytes {
    /// From stored bytes.
    pub fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SealedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedBytes({} bytes)", self.0.len())
    }
}

/// The place a sealed value belongs to; it opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealContext<'a> {
    /// What kind of thing holds it.
    pub table: &'a str,
    /// Whose it is; `None` where it belongs to the operator.
    pub organization: Option<&'a OrganizationId>,
    /// Which of these things.
    pub id: &'a str,
}

impl<'a> SealContext<'a> {
    /// The credential of an upstream, by its name in the configuration.
    pub const fn upstream_credential(upstream: &'a str) -> Self {
        Self { table: "upstream_credentials", organization: None, id: upstream }
    }

    /// The bcrypt hash of a secret that came from another system, by the secret's id.
    pub const fn bcrypt(organization: &'a OrganizationId, secret: &'a str) -> Self {
        Self { table: "bcrypt_secrets", organization: Some(organization), id: secret }
    }

    /// A secret that what is sent to a webhook is signed with, by the secret's id.
    pub const fn webhook_secret(organization: Option<&'a OrganizationId>, secret: &'a str) -> Self {
        Self { table: "webhook_secrets", organization, id: secret }
    }

    /// The answer to a request that is done once; `id` names the caller and the key they chose.
    pub const fn answer(id: &'a str) -> Self {
        Self { table: "answers", organization: None, id }
    }

    /// Every part with its length before it, so that no two places have the same bytes.
    fn bytes(&self, head: &[u8]) -> Vec<u8> {
        let organization = self.organization.map_or("", OrganizationId::as_str);
        let mut bytes = head.to_vec();
        for part in [self.table, organization, self.id] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }

    fn refused(&self, why: &'static str) -> StoreError {
        StoreError::Sealed { of: format!("`{}` in {}", self.id, self.table), why }
    }
}

struct SealingKey {
    version: u32,
    cipher: Aes256GcmSiv,
    check: [u8; 16],
}

/// Seals with the newest encryption key, opens what any of them sealed.
pub struct Sealer {
    newest: SealingKey,
    older: Vec<SealingKey>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({}, …)", self.newest.version)
    }
}

/// HMAC-SHA-256 under this key.
pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC pads a short key with zeros to its block (RFC 2104, section 2); padded here, no length can be wrong.
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    <Hmac<Sha256> as KeyInit>::new((&*block).into())
}

/// One key from the file, one derived for each use: what the check value is made of is never a cipher key.
pub(crate) fn derived(key: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac = keyed(key);
    mac.update(purpose);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

impl Sealer {
    /// From keys of 32 bytes by their versions. `None` where there are none.
    pub fn new(mut keys: Vec<(u32, Zeroizing<[u8; 32]>)>) -> Option<Self> {
        keys.sort_by_key(|(version, _)| *version);
        let mut keys: Vec<SealingKey> = keys
            .into_iter()
            .map(|(version, key)| SealingKey {
                version,
                cipher: Aes256GcmSiv::new((&*derived(&key, b"keyward sealing")).into()),
                check: truncated(&derived(&key, b"keyward encryption key check")),
            })
            .collect();
        let newest = keys.pop()?;
        Some(Self { newest, older: keys })
    }

    /// Seals `plaintext` for one place.
    pub fn seal(
        &self,
        context: &SealContext<'_>,
        plaintext: &[u8],
    ) -> Result<SealedBytes, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| {
            StoreError::unavailable(
                format!("the operating system gave no randomness ({error})"),
                "nothing was sealed; try again",
            )
        })?;
        let [a, b, c, d] = self.newest.version.to_be_bytes();
        let head: [u8; HEAD_BYTES] = [LAYOUT, a, b, c, d];
        let payload = Payload { msg: plaintext, aad: &context.bytes(&head) };
        let ciphertext = self
            .newest
            .cipher
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| StoreError::invalid("the value is too long to seal", "shorten it"))?;
        Ok(SealedBytes::from_bytes([&head[..], &nonce, &ciphertext].concat()))
    }

    /// Opens what was sealed for this place. The plaintext is overwritten when dropped.
    pub fn open(
        &self,
        context: &SealContext<'_>,
        sealed: &SealedBytes,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (head, rest) = sealed
            .0
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or_else(|| context.refused("it is cut short"))?;
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(|| context.refused("it is cut short"))?;
        let [layout, version @ ..] = *head;
        if layout != LAYOUT {
            return Err(context.refused("a newer Keyward sealed it"));
        }
        let version = u32::from_be_bytes(version);
        let key = self
            .keys()
            .find(|key| key.version == version)
            .ok_or_else(|| context.refused("the encryption key of its version is missing"))?;
        let payload = Payload { msg: ciphertext, aad: &context.bytes(head) };
        key.cipher
            .decrypt(Nonce::from_slice(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| context.refused("it was changed, moved, or sealed under another key"))
    }

    fn keys(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// By what a store will recognize these keys.
    pub fn checks(&self) -> Vec<MaterialCheck> {
        self.keys()
            .map(|key| MaterialCheck {
                kind: MaterialKind::EncryptionKey,
                version: key.version,
                value: key.check,
            })
            .collect()
    }
}

/// The first 16 of 32 bytes.
pub(crate) fn truncated(bytes: &[u8; 32]) -> [u8; 16] {
    let mut short = [0; 16];
    short.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(keys: &[(u32, u8)]) -> Sealer {
        Sealer::new(keys.iter().map(|(v, byte)| (*v, Zeroizing::new([*byte; 32]))).collect())
            .unwrap()
    }

    #[test]
    fn a_sealed_value_opens_in_its_place_and_nowhere_else() {
        let sealer = sealer(&[(1, 7)]);
        let place = SealContext::upstream_credential("openai");
        let sealed = sealer.seal(&place, b"sk-upstream").unwrap();
        assert_eq!(sealer.open(&place, &sealed).unwrap().as_slice(), b"sk-upstream");
        let organization = "org".parse().unwrap();
        for elsewhere in [
            SealContext::upstream_credential("openai2"),
            SealContext { table: "webhooks", ..place },
            SealContext { organization: Some(&organization), ..place },
            SealContext { table: "upstream_credentialsopenai", id: "", ..place },
        ] {
            assert!(sealer.open(&elsewhere, &sealed).is_err(), "{elsewhere:?}");
        }
    }

    #[test]
    fn any_changed_byte_and_any_cut_is_noticed() {
        let sealer = sealer(&[(1, 7)]);
        let place = SealContext::upstream_credential("u");
        let sealed = sealer.seal(&place, b"value").unwrap();
        for at in 0..sealed.as_bytes().len() {
            let mut changed = sealed.as_bytes().to_vec();
            changed[at] ^= 1;
            assert!(sealer.open(&place, &SealedBytes::from_bytes(changed)).is_err(), "byte {at}");
            let cut = SealedBytes::from_bytes(&sealed.as_bytes()[..at]);
            assert!(sealer.open(&place, &cut).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn older_keys_open_what_they_sealed_and_the_newest_seals() {
        let place = SealContext::upstream_credential("u");
        let old = sealer(&[(1, 7)]).seal(&place, b"value").unwrap();
        let both = sealer(&[(2, 8), (1, 7)]);
        assert_eq!(both.open(&place, &old).unwrap().as_slice(), b"value");
        let new = both.seal(&place, b"value").unwrap();
        assert!(sealer(&[(1, 7)]).open(&place, &new).unwrap_err().to_string().contains("missing"));
        assert!(sealer(&[(2, 9)]).open(&place, &new).is_err(), "same version, other key");
    }

    #[test]
    fn equal_values_seal_differently() {
        let sealer = sealer(&[(1, 7)]);
        let place = SealContext::upstream_credential("u");
        assert_ne!(sealer.seal(&place, b"v").unwrap(), sealer.seal(&place, b"v").unwrap());
    }
}
