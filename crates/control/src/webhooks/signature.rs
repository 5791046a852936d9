//! Signatures after Standard Webhooks 1.0: `v1,` and the HMAC-SHA-256 of `id.timestamp.body` in base 64, one for each secret
//! that is good.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use keyward_core::{key::Plaintext, time::Timestamp};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{error::ControlError, mint};

/// What secrets begin with.
const PREFIX: &str = "whsec_";

/// A new secret: 32 random bytes.
pub(crate) fn mint_secret() -> Result<Plaintext, ControlError> {
    let random = Zeroizing::new(mint::random::<32>()?);
    let text = Zeroizing::new(STANDARD.encode(*random));
    Ok(Plaintext::new(format!("{PREFIX}{}", *text)))
}

/// One signature. `None` where the secret is none.
pub(super) fn sign(secret: &[u8], id: &str, at: Timestamp, body: &[u8]) -> Option<String> {
    let text = secret.strip_prefix(PREFIX.as_bytes())?;
    let key = Zeroizing::new(STANDARD.decode(text).ok()?);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{}.", at.as_secs()).as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_published_example() {
        // From the specification of Standard Webhooks.
        let secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let at = Timestamp::from_secs(1_614_265_330);
        let signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(sign(b"MfKQ", "a", at, b""), None);
    }

    #[test]
    fn a_new_secret_has_the_shape_that_receivers_read() {
        let (one, other) = (mint_secret().unwrap(), mint_secret().unwrap());
        let text = one.expose().strip_prefix(PREFIX).unwrap();
        assert_eq!(STANDARD.decode(text).unwrap().len(), 32);
        assert_ne!(one.expose(), other.expose());
    }
}
