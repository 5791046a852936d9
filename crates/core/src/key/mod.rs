//! The life of a key: its [`format`], its [`secret`]s, the [`record`]s kept of them, and whether it is good ([`standing`]).

pub mod format;
pub mod record;
pub mod secret;
pub mod standing;

pub use format::KeyFormat;
pub use record::{
    Environment, Key, KeyState, Labels, Rotation, SealedBcrypt, Secret, SecretForm, UnfitLabel,
};
pub use secret::{Digest, ForeignDigest, Pepper, PepperVersion, Peppers, Plaintext};
pub use standing::Unusable;
