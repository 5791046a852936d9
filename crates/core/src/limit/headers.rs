//! How limits are told to clients: in the profile's own headers, and as `RateLimit` and `RateLimit-Policy`
//! (draft-ietf-httpapi-ratelimit-headers-11).
//!
//! What is told is what happens: who waits as told, alone, is let pass. Times are rounded up to whole seconds, and a reset is when
//! everything is there again. Money is not told here: a budget is the organization's business, not each client's.

use std::{io::Write as _, time::Duration};

use memchr::memmem;
use smallvec::SmallVec;

use super::{
    Bound, Limit, Period, Unit,
    applied::Applied,
    counters::{Standing, Wait},
};
use crate::{
    profile::{LimitHeaders, Limits, ResetForm},
    time::Timestamp,
};

const POLICY: &[u8] = b"ratelimit-policy";
const LEFT: &[u8] = b"ratelimit";

/// A limit, and how it stands.
pub type Told<'t> = (&'t Applied, &'t Standing);

/// Writes header lines for all limits that apply to a request.
pub fn write<'t>(
    out: &mut Vec<u8>,
    form: &Limits,
    all: impl Iterator<Item = Told<'t>>,
    now: Timestamp,
) {
    // Money is not told.
    let all: SmallVec<[Told<'_>; 4]> =
        all.filter(|(limit, _)| limit.limit().unit != Unit::Cost).collect();
    let form_of = form.reset.unwrap_or(ResetForm::DeltaSeconds);
    let of_requests = |limit: &Limit| {
        limit.unit == Unit::Requests && !matches!(limit.bound, Bound::Concurrency { .. })
    };
    let of_tokens = |limit: &Limit| limit.unit != Unit::Requests;
    if let Some(names) = &form.requests
        && let Some(told) = narrowest(&all, of_requests)
    {
        own(out, names, told, form_of, now);
    }
    if let Some(names) = &form.tokens
        && let Some(told) = narrowest(&all, of_tokens)
    {
        own(out, names, told, form_of, now);
    }
    standard(out, &all);
}

/// The names of the headers that tell of limits in these lines, which [`write`] wrote in this form. Where one of several that belong
/// together is not told, it is named with the others.
pub fn names<'n>(form: &'n Limits, lines: &[u8]) -> SmallVec<[&'n [u8]; 8]> {
    let mut names = SmallVec::new();
    if lines.is_empty() {
        return names;
    }
    names.extend([POLICY, LEFT]);
    for LimitHeaders { limit, remaining, reset } in form.requests.iter().chain(&form.tokens) {
        let begins_line = |at: usize| at == 0 || lines.get(at - 1) == Some(&b'\n');
        if memmem::find(lines, limit.as_bytes()).is_some_and(begins_line) {
            names.extend([limit, remaining, reset].map(|name| name.as_bytes()));
        }
    }
    names
}

/// The one that clients meet first: which refuses, or has least left; of several, the one that takes longest to recover.
fn narrowest<'t>(all: &[Told<'t>], counts: impl Fn(&Limit) -> bool) -> Option<Told<'t>> {
    all.iter().copied().filter(|(limit, _)| counts(limit.limit())).min_by_key(|(_, standing)| {
        let recovers = standing.whole_in.unwrap_or(Duration::MAX);
        (standing.refused.is_none(), standing.left, std::cmp::Reverse(recovers))
    })
}

fn own(
    out: &mut Vec<u8>,
    names: &LimitHeaders,
    (_, standing): Told<'_>,
    form: ResetForm,
    now: Timestamp,
) {
    number(out, &names.limit, standing.amount);
    number(out, &names.remaining, standing.left);
    let Some(reset) = standing.whole_in.map(whole_seconds) else { return };
    let then = now.plus(Duration::from_secs(reset)).as_millis().div_ceil(1000);
    out.extend_from_slice(names.reset.as_bytes());
    let written = match form {
        ResetForm::EpochSeconds => write!(out, ": {then}\r\n"),
        ResetForm::DeltaSeconds => write!(out, ": {reset}\r\n"),
        ResetForm::Duration => write!(out, ": {}\r\n", Spelled(reset)),
        ResetForm::Rfc3339 => write!(out, ": {}\r\n", Timestamp::from_secs(then)),
    };
    debug_assert!(written.is_ok(), "memory takes what is written");
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    digits(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Digits without the machinery of formatting: several numbers stand in every answer.
fn digits(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `RateLimit-Policy: "requests";q=100;w=60` and `RateLimit: "requests";r=99;t=60`.
fn standard(out: &mut Vec<u8>, all: &[Told<'_>]) {
    if all.is_empty() {
        return;
    }
    out.extend_from_slice(POLICY);
    out.push(b':');
    let mut behind = ",".len();
    for (words, _) in worded(all) {
        // The first has no comma before it.
        out.extend_from_slice(words.policy.as_bytes().get(behind..).unwrap_or_default());
        behind = 0;
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(LEFT);
    out.push(b':');
    behind = ",".len();
    for (words, standing) in worded(all) {
        out.extend_from_slice(words.left.as_bytes().get(behind..).unwrap_or_default());
        behind = 0;
        digits(out, standing.left);
        let until = match standing.refused {
            Some(Wait::For(wait)) => Some(wait),
            Some(Wait::Never) => None,
            None => standing.whole_in,
        };
        if let Some(until) = until {
            out.extend_from_slice(b";t=");
            digits(out, whole_seconds(until));
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Clients find what is left of a policy by its name: where one before it is called the same, it is told where it stands.
fn worded<'t>(all: &[Told<'t>]) -> impl Iterator<Item = (&'t Words, &'t Standing)> {
    (0..).zip(all).map(|(at, (limit, standing))| {
        let [alone, placed] = limit.words();
        let mut before = all.iter().take(at);
        match before.any(|(other, _)| other.is_called_as(limit)) {
            true => (placed, *standing),
            false => (alone, *standing),
        }
    })
}

/// What is told of a limit whatever it counted, worded once, as it stands behind another.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// `, "requests";q=100;w=60`
    policy: Box<str>,
    /// `, "requests";r=`
    left: Box<str>,
}

impl Words {
    /// By its name alone, and with where it stands: `"requests.key"`.
    pub(super) fn of(limit: &Limit, stands_at: &str) -> [Self; 2] {
        let name = &limit.name;
        [name.to_string(), format!("{name}.{stands_at}")].map(|name| {
            let mut policy = format!(", \"{name}\";q={}", limit.bound.amount());
            if let Some(unit) = quota_unit(limit) {
                policy = format!("{policy};qu=\"{unit}\"");
            }
            if let Some(window) = window_seconds(limit) {
                policy = format!("{policy};w={window}");
            }
            Self { policy: policy.into(), left: format!(", \"{name}\";r=").into() }
        })
    }
}

fn quota_unit(limit: &Limit) -> Option<&'static str> {
    match (&limit.bound, limit.unit) {
        (Bound::Concurrency { .. }, _) => Some("concurrent-requests"),
        (_, Unit::Requests) => None,
        (_, Unit::Tokens) => Some("tokens"),
        (_, Unit::InputTokens) => Some("input-tokens"),
        (_, Unit::OutputTokens) => Some("output-tokens"),
        (_, Unit::Cost) => Some("cost"),
    }
}

/// A window's length; of a period of the calendar, its usual one.
fn window_seconds(limit: &Limit) -> Option<u64> {
    match &limit.bound {
        Bound::Rate { window, .. } => Some(window.as_secs()),
        Bound::Quota { period: Some(period), .. } => Some(match period {
            Period::Hour => 3600,
            Period::Day => 86_400,
            Period::Week => 7 * 86_400,
            Period::Month => 30 * 86_400,
            Period::Year => 365 * 86_400,
        }),
        _ => None,
    }
}

/// Rounded up.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Seconds as `1h2m3s`.
struct Spelled(u64);

impl std::fmt::Display for Spelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        match (hours, minutes) {
            (0, 0) => write!(f, "{seconds}s"),
            (0, _) => write!(f, "{minutes}m{seconds}s"),
            _ => write!(f, "{hours}h{minutes}m{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::KeyId, limit::applied::Place};

    fn limit(json: &str) -> Limit {
        serde_json::from_str(json).unwrap()
    }

    fn standing(amount: u64, left: u64, whole_in: u64) -> Standing {
        Standing {
            amount,
            left,
            whole_in: Some(Duration::from_millis(whole_in)),
            refused: None,
            is_newly_half_used: false,
        }
    }

    #[test]
    fn limits_of_one_name_are_told_apart_by_where_they_stand() {
        let limit = limit(r#"{"name":"requests","kind":"credit","amount":9}"#);
        let key = KeyId::from_bits([1; 16]);
        let all =
            [Place::Plan("standard"), Place::Key(key)].map(|place| Applied::new(&limit, place));
        let (mut out, standing) = (Vec::new(), Standing { whole_in: None, ..standing(9, 8, 0) });
        standard(&mut out, &all.each_ref().map(|limit| (limit, &standing)));
        let told = "ratelimit-policy: \"requests\";q=9, \"requests.key\";q=9\r\n\
            ratelimit: \"requests\";r=8, \"requests.key\";r=8\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), told);
    }

    fn written(form: &str, all: &[(Limit, Standing)]) -> String {
        let names = |kind: &str| LimitHeaders {
            limit: format!("x-limit-{kind}"),
            remaining: format!("x-remaining-{kind}"),
            reset: format!("x-reset-{kind}"),
        };
        let form = Limits {
            reset: serde_json::from_str(&format!("\"{form}\"")).ok(),
            requests: Some(names("requests")),
            tokens: Some(names("tokens")),
            ..Limits::default()
        };
        let mut out = Vec::new();
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let applied = |limit| Applied::new(limit, Place::Plan("standard"));
        let applied: Vec<_> = all.iter().map(|(limit, _)| applied(limit)).collect();
        let all = applied.iter().zip(all.iter().map(|(_, standing)| standing));
        write(&mut out, &form, all, now);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_narrowest_limit_is_told_in_the_profiles_headers_and_all_in_the_standard_ones() {
        let all = [
            (
                limit(r#"{"name":"rpm","kind":"rate","amount":100,"window_seconds":60}"#),
                standing(100, 95, 59_001),
            ),
            (
                limit(r#"{"name":"day","kind":"quota","amount":1000,"period":"day"}"#),
                standing(1000, 7, 3_600_000),
            ),
            (
                limit(
                    r#"{"name":"tpm","kind":"rate","unit":"tokens","amount":9000,"window_seconds":60}"#,
                ),
                standing(9000, 8999, 60_000),
            ),
            (limit(r#"{"name":"slots","kind":"concurrency","amount":4}"#), standing(4, 1, 1000)),
            (limit(r#"{"name":"spend","kind":"budget","amount":"5"}"#), standing(5, 0, 0)),
        ];
        let text = written("duration", &all);
        assert_eq!(
            text,
            "x-limit-requests: 1000\r\nx-remaining-requests: 7\r\nx-reset-requests: 1h0m0s\r\n\
             x-limit-tokens: 9000\r\nx-remaining-tokens: 8999\r\nx-reset-tokens: 1m0s\r\n\
             ratelimit-policy: \"rpm\";q=100;w=60, \"day\";q=1000;w=86400, \"tpm\";q=9000;qu=\"tokens\";w=60, \
             \"slots\";q=4;qu=\"concurrent-requests\"\r\n\
             ratelimit: \"rpm\";r=95;t=60, \"day\";r=7;t=3600, \"tpm\";r=8999;t=60, \"slots\";r=1;t=1\r\n"
        );
    }

    #[test]
    fn a_reset_is_written_as_the_profile_writes_it_and_never_too_early() {
        let all = [(
            limit(r#"{"name":"rpm","kind":"rate","amount":1,"window_seconds":60}"#),
            standing(1, 0, 59_001),
        )];
        for (form, reset) in [
            ("epoch-seconds", "1795348860"),
            ("delta-seconds", "60"),
            ("duration", "1m0s"),
            ("rfc3339", "2026-11-22T12:01:00Z"),
        ] {
            let text = written(form, &all);
            assert!(text.contains(&format!("x-reset-requests: {reset}\r\n")), "{form}: {text}");
        }
    }

    #[test]
    fn where_no_limit_applies_nothing_is_told() {
        assert_eq!(written("duration", &[]), "");
        let spend = (limit(r#"{"name":"spend","kind":"budget","amount":"5"}"#), standing(5, 0, 0));
        assert_eq!(written("duration", &[spend]), "");
    }

    #[test]
    fn numbers_are_written_in_digits() {
        for value in [0, 7, 10, 99, 100, u64::MAX] {
            let mut out = Vec::new();
            digits(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
