//! Refusals in a profile's words: compiled once, rendered in one place.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;
use toml::Spanned;

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
        Fact::Limit => text(denial.limit.as_deref()),
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
            // A profile that says `detail` says it in its own words and language.
            if name == "detail" && value.is_string() {
                problem.insert(name, value);
            } else {
                problem.entry(name).or_insert(value);
            }
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

/// A table of words and the place it stands at, like `reason.missing_key`.
struct Table<'s> {
    place: String,
    /// Whether it stands in the profile's own file.
    own: bool,
    file: &'s super::File,
    words: &'s Spanned<toml::Table>,
}

/// The words for one reason, most particular first.
struct Words<'s> {
    tables: Vec<Table<'s>>,
    shown: &'s Shown,
}

/// The words of the profile's own file that some refusal shows, by place and name. One that none shows was misspelt, and
/// another stands in its place unnoticed.
type Shown = RefCell<BTreeSet<(String, String)>>;

impl<'s> Words<'s> {
    fn get(&self, name: &str) -> Option<&'s toml::Value> {
        self.find(name).map(|(_, value)| value)
    }

    /// The word, and the table that says it.
    fn find(&self, name: &str) -> Option<(&Table<'s>, &'s toml::Value)> {
        for table in &self.tables {
            let words: &'s toml::Table = table.words.get_ref();
            if let Some(value) = words.get(name) {
                if table.own {
                    self.shown.borrow_mut().insert((table.place.clone(), name.to_owned()));
                }
                return Some((table, value));
            }
        }
        None
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
    let content_type = content_type(layers)?;
    let shown = Shown::default();
    let mut by_reason = BTreeMap::new();
    for reason in Reason::ALL {
        by_reason.insert(*reason, word(*reason, layers, slots, realm, &shown)?);
    }
    if let Some(own) = layers.first() {
        check_shown(own, &shown)?;
    }
    Ok(Refusals { by_reason, content_type: content_type.into() })
}

fn content_type<'s>(layers: &[Layer<'s>]) -> Result<&'s str, ProfileError> {
    let found = layers.iter().find_map(|l| Some((l, l.source.content_type.as_ref()?)));
    let Some((layer, text)) = found else { return Ok("application/json") };
    let json = |media: &str| media == "application/json" || media.ends_with("+json");
    let media = text.get_ref().split(';').next().unwrap_or_default().trim_ascii();
    if json(media) && text.get_ref().bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Ok(text.get_ref());
    }
    Err(layer.file.error(
        text.span(),
        format!("refusals are JSON, and `{}` is not", text.get_ref()),
        "use application/json or a type that ends in +json".to_owned(),
    ))
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

/// Every word of the profile's own file must be shown by some refusal.
fn check_shown(own: &Layer<'_>, shown: &Shown) -> Result<(), ProfileError> {
    let reasons = own.source.reason.iter().map(|(name, table)| (format!("reason.{name}"), table));
    let statuses = own.source.status.iter().map(|(name, table)| (format!("status.{name}"), table));
    let all = own.source.all.iter().map(|table| ("all".to_owned(), table));
    let shown = shown.borrow();
    for (place, table) in reasons.chain(statuses).chain(all) {
        // A reason's status is not a word, but what the answer is.
        let is_status = |word: &str| word == "status" && place.starts_with("reason.");
        let unseen = |word: &&String| {
            !is_status(word) && !shown.contains(&(place.clone(), word.to_string()))
        };
        if let Some(word) = table.get_ref().keys().find(unseen) {
            return Err(own.file.error(
                table.span(),
                format!("`{word}` in [refusals.{place}] is shown by no refusal"),
                format!(
                    "correct its spelling, write {{{{{word}}}}} into the envelope, or remove it"
                ),
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
    shown: &Shown,
) -> Result<Refusal, ProfileError> {
    // Mistakes are told in the first file that has a say in this refusal: at the reason, or else at the envelope.
    let say = |layer: &Layer<'_>| {
        let by_reason = layer.source.reason.get(reason.name()).map(Spanned::span);
        by_reason.or_else(|| layer.source.envelope.as_ref().map(Spanned::span))
    };
    let found = layers.iter().find_map(|layer| Some((layer.file, say(layer)?)));
    let (file, span) = found
        .or_else(|| layers.first().map(|layer| (layer.file, 0..0)))
        .ok_or_else(ProfileError::no_layers)?;
    let fail = |problem: String, remedy: String| {
        file.error(span.clone(), format!("refusal `{}`: {problem}", reason.name()), remedy)
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
            fail(
                format!("`{status}` is not the status of a refusal"),
                "use a number from 400 to 599".to_owned(),
            )
        })?;

    let words = Words { tables: tables_for(reason, status, layers), shown };
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
    let headers = headers(&words, reason, status)?;
    let challenges = challenges(reason, status, slots, realm);
    Ok(Refusal { status, headers, challenges, body })
}

/// What is wrong with a header that a profile adds, if anything is: it must not split the answer's head, nor stand
/// beside one that is written here.
fn wrong_header(name: &str, value: &toml::Value) -> Option<String> {
    const OURS: [&str; 9] = [
        "allow",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "retry-after",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    ];
    if !is_header_name(name) {
        return Some(format!("`{name}` is no header's name"));
    }
    if OURS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Some(format!("header `{name}` is written by the gateway itself"));
    }
    let plain = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let fits = value.as_str().map_or(!value.is_table() && !value.is_array(), plain);
    (!fits).then(|| format!("header `{name}` has a value that is not one line of plain text"))
}

/// RFC 9110, 5.6.2: the characters of a token.
pub(super) fn is_header_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

fn headers(
    words: &Words<'_>,
    reason: Reason,
    status: u16,
) -> Result<Vec<(Box<str>, Template)>, ProfileError> {
    let Some((table, value)) = words.find("headers") else { return Ok(vec![]) };
    let fail = |problem: String, remedy: String| {
        let problem = format!("refusal `{}`: {problem}", reason.name());
        table.file.error(table.words.span(), problem, remedy)
    };
    let Some(headers) = value.as_table() else {
        let problem = "`headers` is not a table of names and values".to_owned();
        return Err(fail(problem, "write headers = { name = \"value\" }".to_owned()));
    };
    let mut compiled = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        if let Some(problem) = wrong_header(name, value) {
            return Err(fail(problem, "mend `headers`".to_owned()));
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = Template::header(&text, words)
            .map_err(|error| fail(error.to_string(), remedy(reason, status)))?;
        compiled.push((name.to_ascii_lowercase().into(), value));
    }
    Ok(compiled)
}

fn tables_for<'s>(reason: Reason, status: u16, layers: &[Layer<'s>]) -> Vec<Table<'s>> {
    let status = status.to_string();
    let in_layer = |(at, layer): (usize, &Layer<'s>)| {
        let of = |place: String, table: Option<&'s Spanned<toml::Table>>| {
            Some(Table { place, own: at == 0, file: layer.file, words: table? })
        };
        let source = layer.source;
        [
            of(format!("reason.{}", reason.name()), source.reason.get(reason.name())),
            of(format!("status.{status}"), source.status.get(&status)),
            of("all".to_owned(), source.all.as_ref()),
        ]
    };
    layers.iter().enumerate().flat_map(in_layer).flatten().collect()
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
        Fact::RetryAfter => {
            matches!(
                reason,
                R::RateLimited | R::ConcurrencyLimited | R::QuotaExhausted | R::Unavailable
            )
        }
        Fact::Limit => matches!(
            reason,
            R::RateLimited
                | R::ConcurrencyLimited
                | R::QuotaExhausted
                | R::BudgetExhausted
                | R::CreditExhausted
                | R::ExceedsLimit
                | R::UnpricedModel
                | R::UnknownUse
        ),
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
