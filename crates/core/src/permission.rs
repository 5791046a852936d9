//! Permissions: a profile's vocabulary, what implies what, and a key's set of them in eight bytes.

use std::collections::BTreeMap;

/// A vocabulary has at most this many permissions, so that a set is one machine word.
pub const MOST_PERMISSIONS: usize = 64;

/// A set of permissions of one vocabulary, implied ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PermissionSet(u64);

impl PermissionSet {
    /// No permission.
    pub const EMPTY: Self = Self(0);

    /// Whether every permission of `required` is in the set.
    pub const fn covers(self, required: Self) -> bool {
        self.0 & required.0 == required.0
    }

    /// What both sets have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One permission as the profile describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// As keys are granted it and refusals name it.
    pub name: Box<str>,
    /// What it allows, for people.
    pub description: Box<str>,
    /// Itself and all it implies.
    closure: PermissionSet,
}

/// What a profile's keys can be allowed.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    permissions: Vec<Permission>,
}

/// A vocabulary that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// More than a set can hold.
    #[error("there are {0} permissions, at most 64 fit: join some")]
    TooMany(usize),
    /// A name that challenges could not show (RFC 6749, section 3.3).
    #[error(
        "`{0}` cannot name a permission: write it in ASCII without spaces, quotes and backslashes"
    )]
    Name(String),
    /// Twice the same.
    #[error("permission `{0}` stands twice: remove one")]
    Twice(String),
    /// Implies what does not exist.
    #[error("permission `{0}` implies `{1}`, which is not in the vocabulary: {2}")]
    Unknown(String, String, String),
}

impl Vocabulary {
    /// From names, descriptions and what each implies (`*` implies all others). Implication is transitive.
    pub fn new(
        entries: impl IntoIterator<Item = (String, String, Vec<String>)>,
    ) -> Result<Self, VocabularyError> {
        let entries: Vec<_> = entries.into_iter().collect();
        if entries.len() > MOST_PERMISSIONS {
            return Err(VocabularyError::TooMany(entries.len()));
        }
        let mut bit_of = BTreeMap::new();
        let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        for (bit, (name, _, _)) in entries.iter().enumerate() {
            if name.is_empty() || name == "*" || !name.bytes().all(plain) {
                return Err(VocabularyError::Name(name.clone()));
            }
            if bit_of.insert(name.as_str(), 1_u64 << bit).is_some() {
                return Err(VocabularyError::Twice(name.clone()));
            }
        }
        let all = bit_of.values().fold(0, |all, bit| all | bit);
        let mut direct = Vec::with_capacity(entries.len());
        for (bit, (name, _, implies)) in entries.iter().enumerate() {
            let mut mask = 1_u64 << bit;
            for implied in implies {
                mask |= match bit_of.get(implied.as_str()) {
                    Some(bit) => *bit,
                    None if implied == "*" => all,
                    None => {
                        let known = bit_of.keys().copied().collect::<Vec<_>>().join(", ");
                        return Err(VocabularyError::Unknown(name.clone(), implied.clone(), known));
                    }
                };
            }
            direct.push(mask);
        }
        let permissions = entries
            .iter()
            .zip(closures(&direct))
            .map(|((name, description, _), closure)| Permission {
                name: name.as_str().into(),
                description: description.as_str().into(),
                closure,
            })
            .collect();
        Ok(Self { permissions })
    }

    /// The permission of this name with all it implies.
    pub fn get(&self, name: &str) -> Option<PermissionSet> {
        self.permissions.iter().find(|p| &*p.name == name).map(|p| p.closure)
    }

    /// The bit of this name alone: what a route requires.
    pub fn requirement(&self, name: &str) -> Option<PermissionSet> {
        let at = self.permissions.iter().position(|p| &*p.name == name)?;
        Some(PermissionSet(1 << at))
    }

    /// What a key that was granted `names` may do. Names that left the vocabulary grant nothing.
    pub fn grant<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> PermissionSet {
        names
            .into_iter()
            .filter_map(|name| self.get(name))
            .fold(PermissionSet::EMPTY, PermissionSet::union)
    }

    /// The names in a set, in the vocabulary's order.
    pub fn names(&self, set: PermissionSet) -> impl Iterator<Item = &str> {
        self.permissions
            .iter()
            .enumerate()
            .filter(move |(bit, _)| set.0 & (1 << bit) != 0)
            .map(|(_, permission)| &*permission.name)
    }

    /// All permissions, in the profile's order.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.permissions.iter()
    }

    /// All names with commas between them, for messages that say what would be right.
    pub fn listed(&self) -> String {
        self.permissions.iter().map(|p| &*p.name).collect::<Vec<_>>().join(", ")
    }
}

/// What each implies in any number of steps.
fn closures(direct: &[u64]) -> Vec<PermissionSet> {
    let reach = |mask: u64| {
        direct.iter().enumerate().fold(mask, |sum, (bit, implied)| {
            if mask & (1 << bit) != 0 { sum | implied } else { sum }
        })
    };
    let settle = |start: &u64| {
        let mut mask = *start;
        // A chain is at most as long as the vocabulary.
        for _ in direct {
            mask = reach(mask);
        }
        PermissionSet(mask)
    };
    direct.iter().map(settle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(entries: &[(&str, &[&str])]) -> Result<Vocabulary, VocabularyError> {
        Vocabulary::new(entries.iter().map(|(name, implies)| {
            let implies = implies.iter().map(|i| (*i).to_owned()).collect();
            ((*name).to_owned(), String::new(), implies)
        }))
    }

    #[test]
    fn implication_is_transitive_and_survives_a_circle() {
        let words = vocabulary(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &[])]).unwrap();
        let a = words.get("a").unwrap();
        assert_eq!(words.names(a).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(a.covers(words.requirement("c").unwrap()));
        assert!(!a.covers(words.requirement("d").unwrap()));
    }

    #[test]
    fn a_star_implies_everything_and_nothing_implies_it_back() {
        let words = vocabulary(&[("read", &[]), ("admin", &["*"])]).unwrap();
        assert!(words.get("admin").unwrap().covers(words.requirement("read").unwrap()));
        assert!(!words.get("read").unwrap().covers(words.requirement("admin").unwrap()));
    }

    #[test]
    fn a_granted_name_that_left_the_vocabulary_grants_nothing() {
        let words = vocabulary(&[("read", &[])]).unwrap();
        assert_eq!(words.grant(["gone"]), PermissionSet::EMPTY);
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        assert_eq!(
            vocabulary(&[("a", &[]), ("a", &[])]).unwrap_err(),
            VocabularyError::Twice("a".into())
        );
        let error = vocabulary(&[("a", &["b"])]).unwrap_err().to_string();
        assert_eq!(error, "permission `a` implies `b`, which is not in the vocabulary: a");
    }
}
