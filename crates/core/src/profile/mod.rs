//! Profiles: a system's behaviour as data.
//!
//! A profile says where a key stands, how it looks, what it can be allowed, which route asks for what, and in which words a
//! request is refused. Everything is compiled and proved when it is loaded; a profile that is wrong refuses
//! to load and says file, line, and what would be right. Nothing about a vendor stands in code.

mod compile;
mod plan;
pub mod refusal;
mod source;
pub mod template;

use std::{fmt, ops::Range, sync::Arc};

pub use compile::{compile, compile_routes};
pub use refusal::{RefusalContext, Refusals, RenderedRefusal};
pub use source::{
    Demo, DemoAnswer, DemoExample, DemoOrganization, Exposed, Https, IssuanceMode, LimitHeaders,
    Limits, Preset, ResetForm, RouteSource,
};

use crate::{
    credential::Slot,
    key::{KeyFormat, Rotation},
    member::Role,
    metering::Metering,
    permission::{PermissionSet, Vocabulary},
    route::Route,
};

/// A compiled profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The file's name without its ending.
    pub name: Box<str>,
    /// One line for people.
    pub title: Box<str>,
    /// Where a key may stand. Never empty.
    pub slots: Vec<Slot>,
    /// How keys look.
    pub key_format: KeyFormat,
    /// What keys can be allowed.
    pub vocabulary: Vocabulary,
    /// Named bundles of permissions.
    pub presets: Vec<Preset>,
    /// What keys of members may be allowed, by role.
    pub ceilings: Ceilings,
    /// The API's routes as the profile knows them; a configuration may add its own.
    pub routes: Vec<Route>,
    /// How every refusal is worded.
    pub refusals: Refusals,
    /// Whether requests may come in the clear.
    pub https: Https,
    /// What becomes of a key that came in the clear.
    pub exposed: Exposed,
    /// Who may create keys.
    pub issuance: Issuance,
    /// How requests are numbered.
    pub request_id: RequestId,
    /// How limits are told.
    pub limits: Limits,
    /// Where usage stands in answers.
    pub metering: Arc<Metering>,
    /// What the demo shows.
    pub demo: Option<Demo>,
}

/// Who may create keys, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuance {
    /// Who.
    pub mode: IssuanceMode,
    /// Most keys an organization has that are not revoked.
    pub keys_per_organization: Option<u32>,
    /// How old secrets of keys may become that say nothing else.
    pub rotation: Option<Rotation>,
}

/// The most that keys of members may be allowed, by role. A viewer holds no keys, whatever stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Names of permissions; `None` where there is no ceiling.
    pub(crate) developer: Option<Vec<String>>,
    /// The same.
    pub(crate) administrator: Option<Vec<String>>,
    /// The same.
    pub(crate) owner: Option<Vec<String>>,
}

impl Ceilings {
    /// The names of the permissions that a role's keys may have; `None` where they may have all.
    pub fn of(&self, role: Role) -> Option<&[String]> {
        match role {
            Role::Viewer => Some(&[]),
            Role::Developer => self.developer.as_deref(),
            Role::Administrator => self.administrator.as_deref(),
            Role::Owner => self.owner.as_deref(),
        }
    }
}

/// How requests are numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// The answer's header that carries the id, lower case.
    pub header: Box<str>,
    /// What ids made here begin with.
    pub prefix: Box<str>,
}

impl Profile {
    /// The header in which a key is expected, as people write it.
    pub fn key_header(&self) -> &str {
        self.slots.first().map_or("Authorization", Slot::shown)
    }

    /// The most that a role's keys may do, implied permissions included; `None` where there is no bound.
    pub fn ceiling(&self, role: Role) -> Option<PermissionSet> {
        let names = self.ceilings.of(role)?;
        Some(self.vocabulary.grant(names.iter().map(String::as_str)))
    }

    /// The preset of this name, in any case.
    pub fn preset(&self, name: &str) -> Option<&Preset> {
        self.presets.iter().find(|preset| preset.name.eq_ignore_ascii_case(name))
    }
}

/// A file's name and text: what errors point into.
#[derive(Clone, Debug)]
pub struct File {
    /// As people find it: `profiles/mine.toml`.
    pub name: Arc<str>,
    /// Its content.
    pub text: Arc<str>,
}

impl File {
    /// A file of this name and content.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// An error at a place in the file.
    pub fn error(&self, span: Range<usize>, problem: String, remedy: String) -> ProfileError {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        ProfileError { file: self.name.clone(), line, problem, remedy }
    }

    /// Reads the file as TOML of the given shape.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ProfileError> {
        toml::from_str(&self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            self.error(span, error.message().to_owned(), "correct this line".to_owned())
        })
    }
}

/// A file that does not say what it should: where, what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// The file.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

impl ProfileError {
    fn no_layers() -> Self {
        File::new("profile", "").error(0..0, "there is no profile".to_owned(), "add one".to_owned())
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, problem, remedy } = self;
        write!(f, "{file}:{line}: {problem}; {remedy}")
    }
}

impl std::error::Error for ProfileError {}
