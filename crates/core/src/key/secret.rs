//! Secrets in memory: the plaintext that must not leak, and the digest that may be kept.
//!
//! A digest is HMAC-SHA-256 (RFC 2104) of the *whole* key under a pepper that never stands in the database.
//! Rejected: a slow password hash (a key has 112 random bits or more, guessing is not the threat, and a check must cost
//! nanoseconds), a plain hash (a stolen database would confirm guesses of foreign low-entropy keys), and an index by
//! a prefix of the key (CVE-2026-35030: two keys with one prefix became one).

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::KeyId;

/// A key in the clear. It has neither `Debug`, `Display` nor `Serialize`, and is overwritten when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Plaintext(String);

impl Plaintext {
    /// Takes a key in the clear.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The key in the clear: for the one answer that shows it, and for its digest.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// All that is kept of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// From stored bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 evenly spread bits of it, by which a table finds it.
    pub fn spread(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// A digest that another system kept of a secret. It does not stand in our database: of a key that could be guessed it would confirm
/// the guess to whoever has the database.
#[derive(Clone, Copy)]
pub enum ForeignDigest<'d> {
    /// SHA-256.
    Sha256(&'d [u8; 32]),
    /// SHA-512.
    Sha512(&'d [u8; 64]),
    /// A bcrypt hash, as its text.
    Bcrypt(&'d str),
}

/// Which pepper a digest was made under. Peppers rotate; a record names its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PepperVersion(pub u32);

/// The bytes are not a usable pepper.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// Fewer than 32 bytes: guessing it would be too cheap.
    #[error(
        "pepper {0} has {1} bytes, at least 32 are needed: restore the pepper file from its backup"
    )]
    TooShort(u32, usize),
    /// There is none.
    #[error(
        "no pepper was given: restore the pepper file from its backup, keys cannot be checked without it"
    )]
    Missing,
    /// Two of one version.
    #[error("pepper {0} is given twice: keep one line a version")]
    Twice(u32),
}

/// A secret input of every digest, kept outside the database.
#[derive(Clone)]
pub struct Pepper {
    version: PepperVersion,
    digest: Hmac<Sha256>,
    fingerprint: Hmac<Sha256>,
}

impl Pepper {
    /// A pepper from at least 32 random bytes.
    pub fn new(version: PepperVersion, bytes: &[u8]) -> Result<Self, PepperError> {
        if bytes.len() < 32 {
            return Err(PepperError::TooShort(version.0, bytes.len()));
        }
        let keyed = |key: &[u8]| {
            // HMAC takes keys of any length (RFC 2104, section 2): this error does not occur.
            Hmac::<Sha256>::new_from_slice(key).map_err(|_| PepperError::Missing)
        };
        let digest = keyed(bytes)?;
        let mut derive = digest.clone();
        derive.update(b"keyward fingerprint of an unknown key");
        let fingerprint = keyed(&derive.finalize().into_bytes())?;
        Ok(Self { version, digest, fingerprint })
    }

    /// Which pepper this is.
    pub const fn version(&self) -> PepperVersion {
        self.version
    }

    /// The digest of a whole key, in some 150 ns: the keyed state is prepared once, not per key.
    pub fn digest(&self, key: &[u8]) -> Digest {
        let mut mac = self.digest.clone();
        mac.update(key);
        Digest(mac.finalize().into_bytes().into())
    }

    /// The digest of another system's digest. No key has a space in it, so this is no key's digest, nor one of another kind.
    pub fn digest_of(&self, foreign: ForeignDigest<'_>) -> Digest {
        let (kind, bytes) = match foreign {
            ForeignDigest::Sha256(bytes) => (&b"keyward imported sha256 "[..], &bytes[..]),
            ForeignDigest::Sha512(bytes) => (&b"keyward imported sha512 "[..], &bytes[..]),
            ForeignDigest::Bcrypt(text) => (&b"keyward imported bcrypt "[..], text.as_bytes()),
        };
        let mut mac = self.digest.clone();
        mac.update(kind);
        mac.update(bytes);
        Digest(mac.finalize().into_bytes().into())
    }

    /// A stable stand-in for the id of a key nobody knows, in the shape of a real one, so that a support
    /// desk can tell two wrong keys apart and an answer never says whether a key exists.
    pub fn fingerprint(&self, presented: &[u8]) -> KeyId {
        let mut mac = self.fingerprint.clone();
        mac.update(presented);
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let mut bits = [0; 16];
        bits.iter_mut().zip(bytes).for_each(|(bit, byte)| *bit = byte);
        KeyId::from_bits(bits)
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pepper({}, …)", self.version.0)
    }
}

/// Every pepper that some stored digest may have been made under. Never empty.
#[derive(Clone, Debug)]
pub struct Peppers {
    current: Pepper,
    older: Vec<Pepper>,
}

impl Peppers {
    /// The newest version makes new digests; the others still check old ones.
    pub fn new(mut peppers: Vec<Pepper>) -> Result<Self, PepperError> {
        peppers.sort_by_key(Pepper::version);
        if let Some([one, _]) = peppers.array_windows().find(|[a, b]| a.version == b.version) {
            return Err(PepperError::Twice(one.version.0));
        }
        let current = peppers.pop().ok_or(PepperError::Missing)?;
        Ok(Self { current, older: peppers })
    }

    /// The one that new digests are made under.
    pub const fn current(&self) -> &Pepper {
        &self.current
    }

    /// Current first, then older ones: the order in which a presented key is looked up.
    pub fn newest_first(&self) -> impl Iterator<Item = &Pepper> {
        std::iter::once(&self.current).chain(self.older.iter().rev())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(version: u32, byte: u8) -> Pepper {
        Pepper::new(PepperVersion(version), &[byte; 32]).unwrap()
    }

    #[test]
    fn the_whole_key_is_the_input() {
        let pepper = pepper(1, 1);
        let long = "k".repeat(60);
        assert_ne!(pepper.digest(long.as_bytes()), pepper.digest(format!("{long}x").as_bytes()));
        assert_ne!(pepper.digest(b"a"), super::tests::pepper(1, 2).digest(b"a"));
    }

    #[test]
    fn the_digest_is_hmac_sha_256() {
        // RFC 4231, test case 6 has a key of 131 bytes of 0xaa.
        let pepper = Pepper::new(PepperVersion(1), &[0xaa; 131]).unwrap();
        let digest = pepper.digest(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(digest.as_bytes()[..4], [0x60, 0xe4, 0x31, 0x59]);
    }

    #[test]
    fn a_digest_of_a_foreign_digest_is_of_its_kind_alone() {
        let pepper = pepper(1, 1);
        let digests = [
            pepper.digest_of(ForeignDigest::Sha256(&[b'x'; 32])),
            pepper.digest_of(ForeignDigest::Sha512(&[b'x'; 64])),
            pepper.digest_of(ForeignDigest::Bcrypt(&"x".repeat(32))),
            pepper.digest(&[b'x'; 32]),
            pepper.digest(&[b'x'; 64]),
        ];
        let different: std::collections::HashSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }

    #[test]
    fn a_fingerprint_is_stable_and_says_nothing_of_the_digest() {
        let pepper = pepper(1, 1);
        assert_eq!(pepper.fingerprint(b"x"), pepper.fingerprint(b"x"));
        assert_ne!(pepper.fingerprint(b"x"), pepper.fingerprint(b"y"));
        assert_ne!(pepper.fingerprint(b"x").bits(), pepper.digest(b"x").as_bytes()[..16]);
    }

    #[test]
    fn an_empty_or_short_pepper_is_refused() {
        assert!(matches!(Peppers::new(vec![]), Err(PepperError::Missing)));
        assert!(matches!(Pepper::new(PepperVersion(1), b""), Err(PepperError::TooShort(1, 0))));
        let twice = Peppers::new(vec![pepper(1, 1), pepper(1, 2)]);
        assert!(matches!(twice, Err(PepperError::Twice(1))));
    }

    #[test]
    fn the_newest_pepper_makes_new_digests() {
        let peppers = Peppers::new(vec![pepper(2, 2), pepper(1, 1), pepper(3, 3)]).unwrap();
        let order: Vec<u32> = peppers.newest_first().map(|p| p.version().0).collect();
        assert_eq!(order, [3, 2, 1]);
    }
}
