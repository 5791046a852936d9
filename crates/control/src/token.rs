//! Tokens that open a door once or for a while: sessions, invitations, the setup.
//!
//! 256 random bits behind a prefix that says what it is, so that one in a log or a repository can be recognized. Only the SHA-256 is
//! kept; it needs no pepper, because there is nothing to guess.

use keyward_core::key::Plaintext;
use keyward_store::TokenDigest;
use sha2::{Digest as _, Sha256};

use crate::{error::ControlError, mint};

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Session,
    Invitation,
    Setup,
}

impl TokenKind {
    /// What its tokens begin with.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "kwses_",
            Self::Invitation => "kwinv_",
            Self::Setup => "kwset_",
        }
    }
}

/// A new token, in the clear and as it is kept.
pub(crate) fn mint(kind: TokenKind) -> Result<(Plaintext, TokenDigest), ControlError> {
    let random: [u8; 52] = mint::random()?;
    // Five bits of each byte: 52 characters hold 260.
    let mut text = String::with_capacity(kind.prefix().len() + random.len());
    text.push_str(kind.prefix());
    text.extend(mint::digits(&random));
    let digest = digest(&text);
    Ok((Plaintext::new(text), digest))
}

/// What is kept of a token.
pub(crate) fn digest(token: &str) -> TokenDigest {
    TokenDigest::from_bytes(Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_is_and_is_found_by_its_digest() {
        for kind in [TokenKind::Session, TokenKind::Invitation, TokenKind::Setup] {
            let (token, kept) = mint(kind).unwrap();
            assert!(token.expose().starts_with(kind.prefix()));
            assert_eq!(token.expose().len(), kind.prefix().len() + 52);
            assert_eq!(digest(token.expose()), kept);
            assert_ne!(mint(kind).unwrap().1, kept);
        }
    }
}
