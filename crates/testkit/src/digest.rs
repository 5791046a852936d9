//! The digest by which a test knows the document it was written for.

use sha2::{Digest as _, Sha256};

/// SHA-256 in hexadecimal, as `sha256sum` writes it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
