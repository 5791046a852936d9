//! What is kept of a key: facts that people read and the data plane is compiled from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Digest, PepperVersion};
use crate::{
    id::{ApiName, KeyId, OrganizationId, SecretId, UserId},
    limit::Limit,
    network::Network,
    time::Timestamp,
};

/// What a key is used for. A label people filter by; it grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Environment(Box<str>);

/// The text does not name an environment.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` does not name an environment: write 1 to 32 lower-case letters, digits or `-`, like production"
)]
pub struct NotAnEnvironment(String);

impl Environment {
    /// The environment of a key for which nobody named one.
    pub const DEFAULT: &'static str = "production";

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Environment {
    type Err = NotAnEnvironment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(text.into()));
        }
        Err(NotAnEnvironment(text.to_owned()))
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What was decided about a key. That it has expired follows from the time and is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It may be used.
    Active,
    /// It may not be used until somebody enables it.
    Disabled,
    /// It will never be used again.
    Revoked,
}

impl KeyState {
    /// The word it is stored and shown by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

impl FromStr for KeyState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Disabled, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(())
    }
}

/// A key: the lasting object. Its secrets come and go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Public id.
    pub id: KeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Which API it opens; at any other it is unknown.
    pub api: ApiName,
    /// What people call it. 1 to 100 characters.
    pub name: String,
    /// What it is used for.
    pub environment: Environment,
    /// Names from the vocabulary of the API's profile, as granted (implied ones are not written out).
    pub permissions: Vec<String>,
    /// Networks it may be used from; empty means from everywhere.
    pub allowed_networks: Vec<Network>,
    /// Models it may ask for; `None` means every model.
    pub allowed_models: Option<Vec<String>>,
    /// What was decided about it.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused, if ever.
    pub expires_at: Option<Timestamp>,
    /// The member who answers for it: it is as good as their role. `None` where who runs this Keyward made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// By what people sort and find it.
    #[serde(flatten)]
    pub labels: Labels,
    /// How old its secrets may become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// How much it may use, besides what its organization may: they only narrow. At most [`Limit::MOST_IN_A_PLACE`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}

/// What people write on a key, to sort and find it by. It grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Words, at most [`Labels::MOST_TAGS`], each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Names with a value each, at most [`Labels::MOST_METADATA`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// What does not fit on a key, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitLabel {
    /// More than a list shows.
    #[error("there are {0} tags: a key has at most {most}", most = Labels::MOST_TAGS)]
    TooManyTags(usize),
    /// No word to find it by.
    #[error("`{0}` is no tag: write 1 to {longest} printable characters", longest = Labels::LONGEST_NAME)]
    Tag(String),
    /// More than a page shows.
    #[error("there are {0} metadata entries: a key has at most {most}", most = Labels::MOST_METADATA)]
    TooMuchMetadata(usize),
    /// No name.
    #[error("`{0}` names no metadata: write 1 to {longest} printable characters", longest = Labels::LONGEST_NAME)]
    Name(String),
    /// Too long, or not printable.
    #[error(
        "the metadata `{0}` does not fit: write at most {longest} printable characters",
        longest = Labels::LONGEST_VALUE
    )]
    Value(String),
}

impl Labels {
    /// Tags a key has at most.
    pub const MOST_TAGS: usize = 20;
    /// Metadata entries a key has at most.
    pub const MOST_METADATA: usize = 20;
    /// Characters of a tag, or of the name of an entry.
    pub const LONGEST_NAME: usize = 50;
    /// Characters of an entry's value.
    pub const LONGEST_VALUE: usize = 500;

    /// Labels that fit; a tag that stands twice is kept once.
    pub fn new(tags: Vec<String>, metadata: BTreeMap<String, String>) -> Result<Self, UnfitLabel> {
        let printable = |text: &str| !text.chars().any(char::is_control);
        let is_name = |text: &str| {
            (1..=Self::LONGEST_NAME).contains(&text.chars().count())
                && printable(text)
                && text.trim() == text
        };
        if let Some(wrong) = tags.iter().find(|tag| !is_name(tag)) {
            return Err(UnfitLabel::Tag(shortened(wrong)));
        }
        if let Some(wrong) = metadata.keys().find(|name| !is_name(name)) {
            return Err(UnfitLabel::Name(shortened(wrong)));
        }
        let fits = |value: &str| value.chars().count() <= Self::LONGEST_VALUE && printable(value);
        if let Some((name, _)) = metadata.iter().find(|(_, value)| !fits(value)) {
            return Err(UnfitLabel::Value(name.clone()));
        }
        let mut seen = BTreeSet::new();
        let tags: Vec<_> = tags.into_iter().filter(|tag| seen.insert(tag.clone())).collect();
        match (tags.len(), metadata.len()) {
            (tags, _) if tags > Self::MOST_TAGS => Err(UnfitLabel::TooManyTags(tags)),
            (_, entries) if entries > Self::MOST_METADATA => {
                Err(UnfitLabel::TooMuchMetadata(entries))
            }
            _ => Ok(Self { tags, metadata }),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(Labels::LONGEST_NAME).flat_map(char::escape_default).collect()
}

/// How old a secret of a key may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// After how many days its secret should be replaced, 1 to [`Rotation::MOST_DAYS`].
    pub after_days: u32,
    /// Whether a secret is refused from then on, or people are reminded only.
    pub required: bool,
}

impl Rotation {
    /// Ten years: what is longer is no policy.
    pub const MOST_DAYS: u32 = 3660;

    /// When a secret made at `made` should be replaced.
    pub fn due(self, made: Timestamp) -> Timestamp {
        made.plus(Duration::from_secs(u64::from(self.after_days) * 24 * 3600))
    }
}

/// One secret of a key: what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Public id.
    pub id: SecretId,
    /// The key it opens.
    pub key: KeyId,
    /// All that is kept of what is sent.
    pub digest: Digest,
    /// The pepper the digest was made under.
    pub pepper: PepperVersion,
    /// The first and last few characters, by which its holder recognizes it.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused, if ever: set when the key is rotated, brought forward when it is retired.
    pub expires_at: Option<Timestamp>,
    /// When it was last accepted, to the second, some seconds late.
    pub last_used_at: Option<Timestamp>,
    /// What is kept of it, where it was not made here.
    pub form: SecretForm,
}

/// What a secret's digest was made of. Secrets that come from another system may be known by that system's digest only, until they
/// are used for the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretForm {
    /// Of the secret itself, which was made here, in the API's format.
    #[default]
    Minted,
    /// Of the secret itself, which came from another system and may have any format.
    Imported,
    /// Of the secret's SHA-256.
    Sha256,
    /// Of the secret's SHA-512.
    Sha512,
    /// Of a bcrypt hash, by which nobody finds it: it is found by what it begins with.
    Bcrypt(SealedBcrypt),
}

/// A bcrypt hash of another system. Checking it takes a tenth of a second and more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBcrypt {
    /// What the secret begins with.
    pub prefix: Box<str>,
    /// The hash, sealed.
    pub sealed: Arc<[u8]>,
}

impl SecretForm {
    /// The word it is stored and told by.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Minted => "minted",
            Self::Imported => "imported",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Bcrypt(_) => "bcrypt",
        }
    }

    /// Whether the digest is another system's, as long as the secret was not used.
    pub const fn is_foreign(&self) -> bool {
        matches!(self, Self::Sha256 | Self::Sha512 | Self::Bcrypt(_))
    }
}
