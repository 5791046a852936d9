//! The shipped profiles: they load, say what their guides say byte for byte, and can be shown by the demo. And profiles
//! that are wrong: they refuse to load and say where and what would be right.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics, in its helpers too"
)]

mod demo;
mod estimates;
mod guides;
mod refusals;
mod shipped;
mod wrong;

use std::{collections::BTreeMap, path::Path, time::Duration};

use keyward_core::{
    id::KeyId,
    profile::{self, File, Profile, RefusalContext, RenderedRefusal},
    time::Timestamp,
    verdict::{Denial, Reason},
};

/// Every profile that ships.
const SHIPPED: [&str; 9] =
    ["aiaas", "anthropic", "anunzi", "default", "freddy", "gemini", "generic", "mindo", "openai"];

/// The files of `profiles/`, by name.
fn files() -> BTreeMap<String, File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        files.insert(name.clone(), File::new(&format!("profiles/{name}.toml"), &text));
    }
    files
}

fn compiled(name: &str) -> Profile {
    profile::compile(name, &files()).unwrap_or_else(|error| panic!("{error}"))
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key_id() -> KeyId {
    KeyId::from_bits([0x5a; 16])
}

/// A denial that knows what every denial for its reason knows, and nothing more.
fn denial(reason: Reason) -> Denial {
    use Reason as R;
    let mut denial = Denial::new(reason, "What was wrong; what would be right.");
    let about = |denial: &mut Denial, field: &str, value: Option<&str>| {
        denial.field = Some(field.into());
        denial.value = value.map(Into::into);
    };
    match reason {
        R::MalformedKey | R::UnknownKey | R::RevokedKey | R::DisabledKey => {
            denial.key_id = Some(key_id());
        }
        R::SuspendedOrganization | R::ForeignNetwork => denial.key_id = Some(key_id()),
        R::ExpiredKey => {
            denial.key_id = Some(key_id());
            denial.expired_at = Some(moment("2024-01-01T00:00:00Z"));
        }
        R::InsufficientPermission => {
            denial.key_id = Some(key_id());
            denial.required = Some("inference:write".into());
        }
        R::MethodNotAllowed => denial.allowed = Some("GET, HEAD".into()),
        R::MissingField => about(&mut denial, "model_id", None),
        R::ForeignOrganization => about(&mut denial, "organization_id", Some("org_other")),
        R::ForeignModelId => about(&mut denial, "model_id", Some("999999999x99999999")),
        R::ModelNotAllowed => about(&mut denial, "model", Some("gpt-4")),
        R::UnpricedModel => {
            about(&mut denial, "model", Some("gpt-4"));
            denial.limit = Some("spend".into());
        }
        R::UnknownUse => denial.limit = Some("spend".into()),
        R::RateLimited | R::ConcurrencyLimited | R::QuotaExhausted => {
            denial.retry_after = Some(Duration::from_millis(11_200));
            denial.limit = Some("requests".into());
        }
        R::BudgetExhausted | R::CreditExhausted | R::ExceedsLimit => {
            denial.limit = Some("spend".into());
        }
        R::Unavailable => denial.retry_after = Some(Duration::from_secs(5)),
        _ => {}
    }
    denial
}

/// How the profile answers it.
fn answer(profile: &Profile, denial: &Denial, problem: bool) -> RenderedRefusal {
    let context = RefusalContext {
        request_id: "abc-123-def",
        now: moment("2025-12-22T15:30:00Z"),
        method: "POST",
        path: "/v1/things",
        header: profile.key_header(),
        problem,
    };
    profile.refusals.render(denial, &context)
}

fn body(profile: &Profile, reason: Reason) -> String {
    answer(profile, &denial(reason), false).body
}

fn header<'r>(answer: &'r RenderedRefusal, name: &str) -> Vec<&'r str> {
    answer.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| &**value).collect()
}
