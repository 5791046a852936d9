//! Limits as requests meet them: with where they stand, whose use each counts, and by which number its counts are found.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use super::{Bound, Dimension, Limit, ModelPattern, Unit, Width, balance::Rule, headers::Words};
use crate::{
    id::{ApiName, ApiNumber, KeyId, OrganizationId},
    money::Money,
};

/// Where a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'p> {
    /// At an API, for everybody.
    Api(&'p ApiName),
    /// In a plan of this name, compared as [`super::PlanName::folded`] does.
    Plan(&'p str),
    /// At an organization.
    Organization(&'p OrganizationId),
    /// At a key.
    Key(KeyId),
}

impl Place<'_> {
    const fn word(&self) -> &'static str {
        match self {
            Self::Api(_) => "api",
            Self::Plan(_) => "plan",
            Self::Organization(_) => "organization",
            Self::Key(_) => "key",
        }
    }
}

/// The number by which counts are found, in memory and in the store. It says what the limit is called, where it stands and what it
/// counts, and whose use; not what it allows, nor in which time: an edit of these keeps the counts.
///
/// Its upper half says whose use alone, so that what is counted of one key lies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId {
    upper: u64,
    lower: u64,
}

impl CounterId {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_bits(u128::from_be_bytes(bytes))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
    const fn from_bits(bits: u128) -> Self {
        Self { upper: (bits >> 64) as u64, lower: bits as u64 }
    }

    /// As the store keeps it.
    pub const fn to_bytes(self) -> [u8; 16] {
        ((self.upper as u128) << 64 | self.lower as u128).to_be_bytes()
    }

    /// Its upper and its lower half: both are spread evenly.
    pub(super) const fn halves(self) -> (u64, u64) {
        (self.upper, self.lower)
    }

    /// From both.
    pub(super) const fn of_halves(upper: u64, lower: u64) -> Self {
        Self { upper, lower }
    }
}

/// What is told apart, with one thing more.
const fn told_apart(before: u128, thing: u128) -> u128 {
    // Odd, so that no two things become one.
    const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    (before.rotate_left(47) ^ thing).wrapping_mul(SPREAD)
}

/// A text in 128 bits (FNV-1a): stays the same between versions and machines.
pub(crate) const fn tag(text: &[u8]) -> u128 {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u128).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        rest = tail;
    }
    hash
}

/// Half of such a number.
#[expect(clippy::cast_possible_truncation, reason = "half of it is enough")]
pub(super) const fn half(tag: u128) -> u64 {
    tag as u64
}

/// What of a request its limits ask for.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// Whose key it is, as [`tag`].
    pub(crate) organization: u128,
    /// The key.
    pub(crate) key: KeyId,
    /// The API.
    pub(crate) api: ApiNumber,
    /// The route's pattern.
    pub(crate) route: &'f str,
    /// The model it names.
    pub(crate) model: Option<&'f str>,
    /// It names none, and could call any.
    pub(crate) calls_any_model: bool,
    /// The price that names the model.
    pub(crate) priced: Option<&'f ModelPattern>,
}

/// A limit, and all that follows from it and its place.
#[derive(Clone, Debug)]
pub struct Applied {
    limit: Limit,
    stands_at: &'static str,
    /// What tells its counters from those of other limits.
    number: u64,
    of: Of,
    /// What is told apart besides, in one order.
    apart: SmallVec<[Dimension; 2]>,
    apis: Box<[ApiNumber]>,
    models: Box<[ModelPattern]>,
    /// Of a rate.
    width: Width,
    /// Of a quota.
    rule: Rule,
    /// Its name, in a number that is compared at once.
    called: u64,
    words: Box<[Words; 2]>,
}

/// Whose use is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Everybody,
    Organization,
    Key,
}

impl Applied {
    /// A limit in its place.
    pub fn new(limit: &Limit, place: Place<'_>) -> Self {
        let counts = |dimension| limit.per.contains(&dimension);
        let of = match place {
            Place::Key(_) => Of::Key,
            _ if counts(Dimension::Key) => Of::Key,
            Place::Organization(_) => Of::Organization,
            _ if counts(Dimension::Organization) => Of::Organization,
            Place::Plan(_) if !counts(Dimension::Plan) => Of::Organization,
            Place::Plan(_) | Place::Api(_) => Of::Everybody,
        };
        let mut apart: SmallVec<[Dimension; 2]> = limit.per.iter().copied().collect();
        apart.retain(|one| matches!(one, Dimension::Api | Dimension::Route | Dimension::Model));
        apart.sort_unstable();
        apart.dedup();
        let window = match limit.bound {
            Bound::Rate { window, .. } => window,
            _ => Duration::from_secs(1),
        };
        Self {
            stands_at: place.word(),
            number: number(limit, place, of),
            of,
            apart,
            apis: limit
                .only
                .apis
                .iter()
                .filter_map(|name| Some(name.parse::<ApiName>().ok()?.number()))
                .collect(),
            models: limit.only.models.iter().filter_map(|name| name.parse().ok()).collect(),
            width: Width::of(window),
            rule: match &limit.bound {
                Bound::Quota { period, zone, .. } => Rule::of(*period, zone),
                _ => Rule(0),
            },
            called: half(tag(limit.name.as_str().as_bytes())),
            words: Box::new(Words::of(limit, place.word())),
            limit: limit.clone(),
        }
    }

    /// All limits of one place.
    pub fn all(limits: &[Limit], place: Place<'_>) -> Box<[Self]> {
        limits.iter().map(|limit| Self::new(limit, place)).collect()
    }

    /// The limit itself.
    pub const fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Whether it counts one key's use.
    pub fn is_of_a_key(&self) -> bool {
        self.of == Of::Key
    }

    /// Where it stands: `api`, `plan`, `organization` or `key`.
    pub const fn stands_at(&self) -> &'static str {
        self.stands_at
    }

    /// Whether it has the same name as another.
    pub(super) const fn is_called_as(&self, other: &Self) -> bool {
        self.called == other.called
    }

    /// What headers say of it whatever it counted: by its name alone, and with where it stands.
    pub(super) const fn words(&self) -> &[Words; 2] {
        &self.words
    }

    pub(super) const fn rule(&self) -> Rule {
        self.rule
    }

    pub(super) const fn width(&self) -> Width {
        self.width
    }

    /// Whether it counts requests at this API.
    pub(crate) fn is_at(&self, api: ApiNumber) -> bool {
        self.limit.only.apis.is_empty() || self.apis.contains(&api)
    }

    /// Whether it counts requests like this. A limit that is confined to models is not got around by naming none.
    pub(crate) fn applies_to(&self, facts: &Facts<'_>) -> bool {
        let names =
            |list: &[String]| list.is_empty() || list.iter().any(|one| **one == *facts.route);
        let may_call = |confined: &[ModelPattern]| match facts.model {
            Some(model) => confined.iter().any(|one| one.matches(model)),
            None => facts.calls_any_model,
        };
        self.is_at(facts.api)
            && names(&self.limit.only.routes)
            && (self.limit.only.models.is_empty() || may_call(&self.models))
    }

    /// Where it counts this request.
    pub(crate) fn counter(&self, facts: &Facts<'_>) -> CounterId {
        let number = u128::from(self.number);
        let mut whose = match self.of {
            // So that what everybody uses is spread as well.
            Of::Everybody => told_apart(0, number),
            Of::Organization => told_apart(1, facts.organization),
            Of::Key => told_apart(2, u128::from_be_bytes(facts.key.bits())),
        };
        for dimension in &self.apart {
            let thing = match dimension {
                Dimension::Api => facts.api.tag(),
                Dimension::Route => tag(facts.route.as_bytes()),
                Dimension::Model => facts.priced.map_or(0, |model| tag(model.as_str().as_bytes())),
                Dimension::Plan | Dimension::Organization | Dimension::Key => continue,
            };
            whose = told_apart(whose, thing);
        }
        CounterId::from_bits(whose ^ number)
    }

    /// How much it allows, and in which time, as people read it: `100 requests in 60 seconds`.
    pub fn in_words(&self) -> String {
        let amount = |amount: u64| match self.limit.unit {
            Unit::Cost => Money::from_billionths(amount).to_string(),
            Unit::Requests => format!("{amount} requests"),
            Unit::Tokens => format!("{amount} tokens"),
            Unit::InputTokens => format!("{amount} input tokens"),
            Unit::OutputTokens => format!("{amount} output tokens"),
        };
        match &self.limit.bound {
            Bound::Rate { amount: most, window } => {
                format!("{} in {} seconds", amount(*most), window.as_secs())
            }
            Bound::Concurrency { amount } => format!("{amount} requests at once"),
            Bound::Quota { amount: most, period: Some(period), .. } => {
                format!("{} in a {}", amount(*most), period.as_str())
            }
            Bound::Quota { amount: most, period: None, .. } => format!("{} in all", amount(*most)),
            Bound::Credit { amount: given, .. } => format!("a credit of {}", amount(*given)),
        }
    }
}

/// What tells a limit's counters from those of other limits: its name, where it stands, and what it counts.
fn number(limit: &Limit, place: Place<'_>, of: Of) -> u64 {
    let at = match place {
        Place::Api(name) => name.as_str(),
        // Who goes on to another plan takes along what a limit of the same name counted.
        Place::Plan(_) if of != Of::Everybody => "",
        Place::Plan(name) => name,
        // Whose they are is told apart already.
        Place::Organization(_) | Place::Key(_) => "",
    };
    let what = match limit.bound {
        Bound::Rate { .. } => "rate",
        Bound::Concurrency { .. } => "concurrency",
        Bound::Quota { .. } => "quota",
        Bound::Credit { .. } => "credit",
    };
    let mut digest = Sha256::new();
    for part in [place.word(), at, limit.name.as_str(), what, limit.unit.as_str()] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let digest: [u8; 32] = digest.finalize().into();
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::limit::LimitSource;

    fn limit(json: &str) -> Limit {
        serde_json::from_str::<LimitSource>(json).unwrap().try_into().unwrap()
    }

    fn facts(key: u8) -> Facts<'static> {
        Facts {
            organization: tag(b"org"),
            key: KeyId::from_bits([key; 16]),
            api: "a".parse::<ApiName>().unwrap().number(),
            route: "/v1/x",
            model: Some("small"),
            calls_any_model: false,
            priced: None,
        }
    }

    #[test]
    fn whose_use_is_counted_together_follows_from_place_and_dimensions() {
        let (a, b) = (facts(1), facts(2));
        let other = Facts { organization: tag(b"other"), ..a };
        let org: OrganizationId = "org".parse().unwrap();
        for (place, per, same_key, same_organization) in [
            (Place::Plan("x"), "[]", true, false),
            (Place::Plan("x"), r#"["plan"]"#, true, true),
            (Place::Plan("x"), r#"["key"]"#, false, true),
            (Place::Plan("x"), r#"["model"]"#, true, false),
            (Place::Organization(&org), "[]", true, false),
            (Place::Organization(&org), r#"["key"]"#, false, true),
            (Place::Key(KeyId::from_bits([1; 16])), "[]", false, true),
        ] {
            let json = format!(
                r#"{{"name":"n","kind":"rate","amount":1,"window_seconds":60,"per":{per}}}"#
            );
            let applied = Applied::new(&limit(&json), place);
            assert_eq!(applied.counter(&a) == applied.counter(&b), same_key, "{place:?} {per}");
            assert_eq!(
                applied.counter(&a) == applied.counter(&other),
                same_organization,
                "{place:?} {per}"
            );
        }
    }

    #[test]
    fn an_edit_keeps_the_counts_and_so_does_another_plan() {
        let rate = |amount, window| {
            limit(&format!(
                r#"{{"name":"n","kind":"rate","amount":{amount},"window_seconds":{window}}}"#
            ))
        };
        let standard = Applied::new(&rate(100, 60), Place::Plan("standard"));
        let premium = Applied::new(&rate(1000, 3600), Place::Plan("premium"));
        assert_eq!(standard.counter(&facts(1)), premium.counter(&facts(1)));
    }

    #[test]
    fn limits_that_differ_in_name_place_or_unit_count_apart() {
        let org: OrganizationId = "org".parse().unwrap();
        let places =
            [Place::Plan("x"), Place::Organization(&org), Place::Key(KeyId::from_bits([1; 16]))];
        let mut seen = HashSet::new();
        for name in ["a", "b"] {
            for unit in ["requests", "tokens", "input_tokens"] {
                for place in places {
                    let json = format!(
                        r#"{{"name":"{name}","kind":"quota","unit":"{unit}","amount":1,"period":"day"}}"#
                    );
                    assert!(seen.insert(Applied::new(&limit(&json), place).counter(&facts(1))));
                }
            }
        }
    }

    #[test]
    fn a_limit_is_confined_to_what_it_names() {
        let base = r#""name":"n","kind":"concurrency","amount":1"#;
        for (only, applies) in [
            ("", true),
            (r#","apis":["a"]"#, true),
            (r#","apis":["b"]"#, false),
            (r#","routes":["/v1/x"]"#, true),
            (r#","routes":["/v1"]"#, false),
            (r#","models":["sm*"]"#, true),
            (r#","models":["SMA*"]"#, true),
            (r#","models":["Small"]"#, true),
            (r#","models":["*"]"#, true),
            (r#","models":["smaller","large","smaller*","mall"]"#, false),
        ] {
            let applied = Applied::new(&limit(&format!("{{{base}{only}}}")), Place::Plan("x"));
            assert_eq!(applied.applies_to(&facts(1)), applies, "{only}");
            let confined = only.contains("models");
            let nameless = Facts { model: None, ..facts(1) };
            assert_eq!(applied.applies_to(&nameless), applies && !confined, "{only}");
            let any = Facts { calls_any_model: true, ..nameless };
            assert_eq!(applied.applies_to(&any), applies || confined, "{only}");
        }
    }
}
