//! Passwords: hashed slowly with Argon2id, a few at a time.
//!
//! A hash takes 19 MiB and some 20 ms of a core by design (OWASP's least, RFC 9106 for the algorithm). Who logs in is not known yet, so
//! anybody can ask for one: a semaphore bounds how many run, and the rest wait their turn. Nothing of this stands on a request's
//! way; keys are digested with HMAC, which is fast because they cannot be guessed.

use std::sync::{Arc, LazyLock};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash as Parsed, PasswordHasher as _, PasswordVerifier as _,
    Version,
    password_hash::{Salt, SaltString},
};
use keyward_core::key::Plaintext;
use keyward_store::PasswordHash;
use tokio::sync::Semaphore;

use crate::{error::ControlError, mint};

/// Hashes at once.
const AT_ONCE: usize = 2;
/// Callers that wait for one, each holding a request: a second's worth. More are told to come back.
const MOST_WAITING: usize = 100;
/// Characters of a password (NIST SP 800-63B, 5.1.1.2: at least 8; a bound above, so that nobody makes us hash a book).
const SHORTEST: usize = 10;
const LONGEST: usize = 256;

static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns::new(AT_ONCE, MOST_WAITING));

/// Who is at work, and who waits for it.
struct Turns {
    room: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Turns {
    fn new(at_once: usize, waiting: usize) -> Self {
        let room = Arc::new(Semaphore::new(at_once + waiting));
        Self { room, working: Arc::new(Semaphore::new(at_once)) }
    }

    /// Runs work on a thread that may wait, when it is its turn; refuses it where too many wait.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ControlError> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| ControlError::Busy)?;
        let turn = self.working.clone().acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (room, turn);
            work()
        });
        done.await.map_err(|_| ControlError::Interrupted)
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

/// Refuses what is guessed first.
fn check(password: &str) -> Result<(), ControlError> {
    let count = password.chars().count();
    if count < SHORTEST {
        return Err(ControlError::invalid(
            format!("the password has {count} characters"),
            format!("choose one of {SHORTEST} or more; several words are good"),
        ));
    }
    if count > LONGEST {
        return Err(ControlError::invalid(
            format!("the password has {count} characters"),
            format!("choose one of at most {LONGEST}"),
        ));
    }
    let mut chars = password.chars();
    let first = chars.next();
    if chars.all(|char| Some(char) == first) {
        return Err(ControlError::invalid(
            "the password is one character over and over",
            "choose another",
        ));
    }
    Ok(())
}

/// Makes what is kept of a new password.
pub(crate) async fn hash(password: Plaintext) -> Result<PasswordHash, ControlError> {
    check(password.expose())?;
    let salt: [u8; Salt::RECOMMENDED_LENGTH] = mint::random()?;
    TURNS
        .run(move || {
            let salt = SaltString::encode_b64(&salt).ok()?;
            let hashed = argon2().hash_password(password.expose().as_bytes(), &salt).ok()?;
            Some(PasswordHash::new(hashed.to_string()))
        })
        .await?
        .ok_or(ControlError::Interrupted)
}

/// Whether the password is the one that was hashed. Without a hash it takes as long and is not: an answer's time does not tell
/// who is known here.
pub(crate) async fn is_right(
    password: Plaintext,
    hashed: Option<PasswordHash>,
) -> Result<bool, ControlError> {
    TURNS
        .run(move || {
            let (hashed, known) = match &hashed {
                Some(hashed) => (hashed.as_str(), true),
                None => (NOBODYS.as_str(), false),
            };
            let parsed = Parsed::new(hashed);
            let same = parsed.is_ok_and(|hashed| {
                argon2().verify_password(password.expose().as_bytes(), &hashed).is_ok()
            });
            same && known
        })
        .await
}

/// Makes the hash that nobody's password is held against: else the first to ask would tell by their waiting.
pub(crate) fn prepare() {
    LazyLock::force(&NOBODYS);
}

/// The hash of a password nobody has.
static NOBODYS: LazyLock<String> = LazyLock::new(|| {
    let salt = SaltString::encode_b64(&[0; Salt::RECOMMENDED_LENGTH]);
    let hashed = salt.and_then(|salt| {
        argon2().hash_password(b"nobody's", &salt).map(|hashed| hashed.to_string())
    });
    hashed.unwrap_or_default()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Plaintext {
        Plaintext::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other_is() {
        let hashed = hash(plain("correct horse battery")).await.unwrap();
        assert!(hashed.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(is_right(plain("correct horse battery"), Some(hashed.clone())).await.unwrap());
        assert!(!is_right(plain("correct horse batterz"), Some(hashed.clone())).await.unwrap());
        assert!(!is_right(plain("nobody's"), None).await.unwrap());
        let again = hash(plain("correct horse battery")).await.unwrap();
        assert_ne!(again, hashed, "each has a salt of its own");
    }

    #[tokio::test]
    async fn who_would_wait_behind_too_many_is_told_to_come_back() {
        let turns = Turns::new(1, 1);
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let first = turns.run(move || gone.recv().is_ok());
        let second = turns.run(|| true);
        let third = async {
            let refused = turns.run(|| true).await;
            go.send(()).unwrap();
            refused
        };
        // They are begun in this order.
        let (first, second, third) = tokio::join!(biased; first, second, third);
        assert_eq!((first, second, third), (Ok(true), Ok(true), Err(ControlError::Busy)));
        assert_eq!(turns.run(|| 7).await, Ok(7), "there is room again");
    }

    #[tokio::test]
    async fn what_is_guessed_first_is_refused() {
        for wrong in ["", "short", "aaaaaaaaaaaaaaaa", &"ab".repeat(129)] {
            assert!(hash(plain(wrong)).await.is_err(), "{wrong}");
        }
    }
}
