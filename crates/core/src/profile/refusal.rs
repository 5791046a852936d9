//! Refusals in a profile's words: compiled once, rendered in one place.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    ProfileError,
    source::RefusalsSource,
    template::{Fact, Fields, Template, TemplateError},
};
use crate::{
    credential::Slot,
    time::Timestamp,
    verdict::{Denial, Reason},
};

/// Fields of a reason that are not holes but say what the answer is.
const RESERVED: [&str; 3] = ["status", "headers", "body"];

/// How every reason is answered.
#[derive(Clone, Debug)]
pub struct Refusals {
    by_reason: BTreeMap<Reason, Refusal>,
    content_type: Box<str>,
}

#[derive(Clone, Debug)]
struct Refusal {
    status: u16,
    headers: Vec<(Box<str>, Template)>,
    challenges: Vec<Box<str>>,
    body: Template,
}

/// What of the request the words may use.
#[derive(Clone, Copy, Debug)]
pub struct RefusalContext<'r> {
    /// The request's id.
    pub request_id: &'r str,
    /// The moment.
    pub now: Timestamp,
    /// The method.
    pub method: &'r str,
    /// The path, without its query.
    pub path: &'r str,
    /// The header in which this API expects a key.
    pub header: &'r str,
    /// Whether the client asked for `application/problem+json` (RFC 9457).
    pub problem: bool,
}

/// An answer, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedRefusal {
    /// The status code.
    pub status: u16,
    /// Headers, `Content-Type` and `Cache-Control` included.
    pub headers: Vec<(String, String)>,
    /// The body, never empty.
    pub body: String,
}

impl Refusals {
    /// The status a reason is answered with.
    pub fn status(&self, reason: Reason) -> u16 {
        self.by_reason.get(&reason).map_or(500, |refusal| refusal.status)
    }

    /// Writes a refusal.
    pub fn render(&self, denial: &Denial, context: &RefusalContext<'_>) -> RenderedRefusal {
        let Some(refusal) = self.by_reason.get(&denial.reason) else {
            // Compilation words every reason; this cannot be reached, and must not panic if it is.
            return RenderedRefusal { status: 500, headers: vec![], body: "{}".to_owned() };
        };
        let fact = |fact| fact_value(fact, denial, context, refusal.status);
        let body = refusal.body.render(&fact);
        let mut headers = vec![("cache-control".to_owned(), "no-store".to_owned())];
        headers.extend(refusal.challenges.iter().map(|challenge| {
            let scope = denial.required.as_deref().map(|name| format!(", scope=\"{name}\""));
            let scope = scope.filter(|_| challenge.contains("insufficient_scope"));
            ("www-authenticate".to_owned(), format!("{challenge}{}", scope.unwrap_or_default()))
        }));
        if let Some(wait) = denial.retry_after {
            headers.push(("retry-after".to_owned(), whole_seconds(wait).to_string()));
        }
        if let Some(allowed) = &denial.allowed {
            headers.push(("allow".to_owned(), allowed.to_string()));
        }
        headers.extend(
            refusal.headers.iter().map(|(name, value)| (name.to_string(), value.render(&fact))),
        );
        let problem = context.problem.then(|| as_problem(&body, denial, context, refusal.status));
        let (content_type, body) = match problem {
            Some(problem) => ("application/problem+json", problem),
            None => (&*self.content_type, body),
        };
        headers.push(("content-type".to_owned(), content_type.to_owned()));
        RenderedRefusal { status: refusal.status, headers, body }
    }
}

/// Rounded up and never 0: a client that waits as told must find room.
fn whole_seconds(wait: std::time::Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

fn fact_value(fact: Fact, denial: &Denial, context: &RefusalContext<'_>, status: u16) -> Value {
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
    match fact {
        Fact::Status => Value::from(status),
        Fact::Title => Value::from(title(status)),
        Fact::Reason => Value::from(denial.reason.name()),
        Fact::Detail => Value::from(&*denial.detail),
        Fact::RequestId => Value::from(context.request_id),
        Fact::Timestamp => Value::from(context.now.to_string()),
        Fact::Header => Value::from(context.header),
        Fact::KeyId => denial.key_id.map_or(Value::Null, |id| Value::from(id.to_string())),
        Fact::ExpiredAt => denial.expired_at.map_or(Value::Null, |at| Value::from(at.to_string())),
        Fact::Required => text(denial.required.as_deref()),
        Fact::Field => text(denial.field.as_deref()),
        Fact::Value => text(denial.value.as_deref()),
        Fact::Allowed => text(denial.allowed.as_deref()),
        Fact::RetryAfter => {
            denial.retry_after.map_or(Value::Null, |w| Value::from(whole_seconds(w)))
        }
        Fact::Method => Value::from(context.method),
        Fact::Path => Value::from(context.path),
    }
}

/// RFC 9457, with the members of the profile's own body kept as extensions.
fn as_problem(body: &str, denial: &Denial, context: &RefusalContext<'_>, status: u16) -> String {
    let mut problem = serde_json::Map::new();
    problem.insert("type".to_owned(), Value::from("about:blank"));
    problem.insert("title".to_owned(), Value::from(title(status)));
    problem.insert("status".to_owned(), Value::from(status));
    problem.insert("detail".to_owned(), Value::from(&*denial.detail));
    problem.insert("instance".to_owned(), Value::from(context.path));
    if let Ok(Value::Object(own)) = serde_json::from_str(body) {
        for (name, value) in own {
            problem.entry(name).or_insert(value);
        }
    }
    Value::Object(problem).to_string()
}

/// The status code's name in RFC 9110 and its kin.
pub const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

/// One file's words, and the file they stand in.
pub(super) struct Layer<'s> {
    pub(super) source: &'s RefusalsSource,
    pub(super) file: &'s super::File,
}

/// The words for one reason, most particular first.
struct Words<'s> {
    tables: Vec<&'s toml::Table>,
}

impl Words<'_> {
    fn get(&self, name: &str) -> Option<&toml::Value> {
        self.tables.iter().find_map(|table| table.get(name))
    }
}

impl Fields for Words<'_> {
    fn field(&self, name: &str) -> Option<Value> {
        if RESERVED.contains(&name) {
            return None;
        }
        self.get(name).and_then(|value| serde_json::to_value(value).ok())
    }
}

/// Words every reason; `layers` are the file's own and what it inherits.
pub(super) fn compile(
    layers: &[Layer<'_>],
    slots: &[Slot],
    realm: &str,
) -> Result<Refusals, ProfileError> {
    for layer in layers {
        check_names(layer)?;
    }
    let content_type = layers
        .iter()
        .find_map(|layer| layer.source.content_type.as_deref())
        .unwrap_or("application/json");
    let mut by_reason = BTreeMap::new();
    for reason in Reason::ALL {
        by_reason.insert(*reason, word(*reason, layers, slots, realm)?);
    }
    Ok(Refusals { by_reason, content_type: content_type.into() })
}

fn check_names(layer: &Layer<'_>) -> Result<(), ProfileError> {
    for (name, table) in &layer.source.reason {
        if Reason::named(name).is_none() {
            let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
            return Err(layer.file.error(
                table.span(),
                format!("`{name}` is not a reason for a refusal"),
                format!("use one of {}", known.join(", ")),
            ));
        }
    }
    for (status, table) in &layer.source.status {
        if !status.parse::<u16>().is_ok_and(|status| (400..600).contains(&status)) {
            return Err(layer.file.error(
                table.span(),
                format!("`{status}` is not the status of a refusal"),
                "use a number from 400 to 599".to_owned(),
            ));
        }
    }
    Ok(())
}

fn word(
    reason: Reason,
    layers: &[Layer<'_>],
    slots: &[Slot],
    realm: &str,
) -> Result<Refusal, ProfileError> {
    let by_reason = |layer: &Layer<'_>| layer.source.reason.contains_key(reason.name());
    // Mistakes are told where the reason is worded, or else at the envelope.
    let (file, span) = layers
        .iter()
        .find(|layer| by_reason(layer))
        .map(|layer| (layer.file, layer.source.reason.get(reason.name()).map(toml::Spanned::span)))
        .or_else(|| {
            let layer = layers.iter().find(|layer| layer.source.envelope.is_some())?;
            Some((layer.file, layer.source.envelope.as_ref().map(toml::Spanned::span)))
        })
        .or_else(|| layers.first().map(|layer| (layer.file, None)))
        .ok_or_else(ProfileError::no_layers)?;
    let fail = |problem: String, remedy: String| {
        file.error(
            span.clone().unwrap_or_default(),
            format!("refusal `{}`: {problem}", reason.name()),
            remedy,
        )
    };

    let status = layers
        .iter()
        .find_map(|layer| layer.source.reason.get(reason.name())?.get_ref().get("status"))
        .ok_or_else(|| fail("it has no status".to_owned(), "add `status`".to_owned()))?;
    let status = status
        .as_integer()
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..600).contains(status))
        .ok_or_else(|| {
            fail(format!("status {status} is none"), "use a number from 400 to 599".to_owned())
        })?;

    let words = Words { tables: tables_for(reason, status, layers) };
    let envelope = layers.iter().find_map(|layer| layer.source.envelope.as_ref());
    let own_body = words.get("body").and_then(toml::Value::as_str);
    let text =
        own_body.or_else(|| envelope.map(|text| text.get_ref().as_str())).ok_or_else(|| {
            fail("it has no body".to_owned(), "define `envelope` in `[refusals]`".to_owned())
        })?;
    let wrong = |error: TemplateError| fail(error.to_string(), remedy(reason, status));
    let body = Template::json(text, &words).map_err(wrong)?;
    if let Some(fact) = body.texts().find(|fact| !always_known(*fact, reason)) {
        let name = Fact::ALL.iter().find(|(_, own)| *own == fact).map_or("", |(name, _)| name);
        return Err(fail(
            format!(
                "`{{{{{name}}}}}` stands inside a string, but this refusal does not always know it"
            ),
            format!("write {{{{{name}}}}} without quotes, so that it can be null, or leave it out"),
        ));
    }
    let headers = match words.get("headers").and_then(toml::Value::as_table) {
        Some(table) => compile_headers(table, &words).map_err(wrong)?,
        None => vec![],
    };
    let challenges = challenges(reason, status, slots, realm);
    Ok(Refusal { status, headers, challenges, body })
}

fn compile_headers(
    table: &toml::Table,
    words: &Words<'_>,
) -> Result<Vec<(Box<str>, Template)>, TemplateError> {
    table
        .iter()
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Ok((name.to_ascii_lowercase().into(), Template::header(&text, words)?))
        })
        .collect()
}

fn tables_for<'s>(reason: Reason, status: u16, layers: &[Layer<'s>]) -> Vec<&'s toml::Table> {
    let status = status.to_string();
    layers
        .iter()
        .flat_map(|layer| {
            let by_reason = layer.source.reason.get(reason.name()).map(toml::Spanned::get_ref);
            let by_status = layer.source.status.get(&status).map(toml::Spanned::get_ref);
            [by_reason, by_status, Some(&layer.source.all)].into_iter().flatten()
        })
        .collect()
}

fn remedy(reason: Reason, status: u16) -> String {
    format!(
        "mend the envelope, or the words in [refusals.reason.{}], [refusals.status.{status}] or [refusals.all]",
        reason.name()
    )
}

/// Whether every refusal for this reason knows the fact.
fn always_known(fact: Fact, reason: Reason) -> bool {
    use Reason as R;
    match fact {
        Fact::KeyId => matches!(
            reason,
            R::MalformedKey
                | R::UnknownKey
                | R::RevokedKey
                | R::DisabledKey
                | R::ExpiredKey
                | R::SuspendedOrganization
                | R::ForeignNetwork
                | R::InsufficientPermission
        ),
        Fact::ExpiredAt => reason == R::ExpiredKey,
        Fact::Required => reason == R::InsufficientPermission,
        Fact::Field => matches!(
            reason,
            R::MissingField | R::ForeignOrganization | R::ForeignModelId | R::ModelNotAllowed
        ),
        Fact::Value => {
            matches!(reason, R::ForeignOrganization | R::ForeignModelId | R::ModelNotAllowed)
        }
        Fact::Allowed => reason == R::MethodNotAllowed,
        Fact::RetryAfter => matches!(reason, R::RateLimited | R::Unavailable),
        _ => true,
    }
}

/// RFC 9110, 11.6.1 and RFC 6750, 3: a 401 always says how to authenticate; what was wrong is said where something came.
fn challenges(reason: Reason, status: u16, slots: &[Slot], realm: &str) -> Vec<Box<str>> {
    let error = match (reason, status) {
        (Reason::MissingKey, 401) => None,
        (_, 401) => Some("invalid_token"),
        (Reason::InsufficientPermission, 403) => Some("insufficient_scope"),
        (Reason::SeveralCredentials, 400) => Some("invalid_request"),
        _ => return vec![],
    };
    slots
        .iter()
        .filter_map(|slot| {
            let challenge = slot.challenge(realm)?;
            match (slot, error) {
                (Slot::Scheme { .. }, Some(error)) => {
                    Some(format!("{challenge}, error=\"{error}\""))
                }
                (Slot::Scheme { .. }, None) => Some(challenge),
                // The errors are RFC 6750's and belong to schemes; the header's own challenge names it, on 401 only.
                (_, _) => (status == 401).then_some(challenge),
            }
        })
        .map(String::into_boxed_str)
        .collect()
}
