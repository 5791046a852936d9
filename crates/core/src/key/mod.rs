//! The life of a key: its [`format`], its [`secret`]s and the [`record`]s kept of them.

pub mod format;
pub mod record;
pub mod secret;

pub use format::KeyFormat;
pub use record::{
    Environment, Key, KeyState, Labels, Rotation, SealedBcrypt, Secret, SecretForm, UnfitLabel,
};
pub use secret::{Digest, ForeignDigest, Pepper, PepperVersion, Peppers, Plaintext};
