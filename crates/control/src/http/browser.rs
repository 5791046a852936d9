//! What browsers do by themselves: send cookies with every request, whoever's page it comes from.
//!
//! A session's cookie is `__Host-`: over TLS only, to this host only, for every path, and read by no script. It is
//! `SameSite=Lax` rather than `Strict`, because a login with an account elsewhere comes back from another site, and the session that
//! it takes the place of has to be seen there to be ended. So that this opens nothing, whatever changes something and is
//! authenticated by cookie must say that it comes from a page of ours (`Origin`, and `Sec-Fetch-Site` where it is sent), and says so in JSON,
//! which no form can send. There is no CORS: no other origin reads an answer.

use std::{borrow::Cow, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
};
use keyward_api::ErrorCode;
use keyward_core::key::Plaintext;

use super::{
    Management,
    access::{Origin, is_loopback},
    client::Client,
    problem::Refusal,
};
use crate::app::people::session::{SESSION_LASTS, Started};

/// Holds a session's token.
pub(super) const SESSION: &str = "__Host-keyward_session";
/// Holds what a login with an account elsewhere was begun with.
pub(super) const LOGIN: &str = "__Host-keyward_login";
/// Holds the proof that this browser logged in to an account before.
pub(super) const KNOWN: &str = "__Host-keyward_known";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The one cookie of this name; two of them are one too many.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refusal> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs =
        lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(one, _)| *one == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (value, None) => Ok(value.filter(|value| !value.is_empty())),
        _ => Err(Refusal::new(
            ErrorCode::Invalid,
            format!("the cookie `{name}` came more than once: send it once"),
        )),
    }
}

/// The header that has a browser keep a cookie.
pub(super) fn keep(name: &str, value: &str, lifetime: Duration) -> Result<HeaderValue, Refusal> {
    let line = format!(
        "{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}",
        lifetime.as_secs()
    );
    HeaderValue::try_from(line).map_err(|_| Refusal::internal())
}

/// The header that has a browser forget a cookie.
pub(super) fn forget(name: &str) -> Result<HeaderValue, Refusal> {
    keep(name, "", Duration::ZERO)
}

/// The header that has a browser keep a session, as long as it lasts.
pub(super) fn keep_session(started: &Started) -> Result<HeaderValue, Refusal> {
    keep(SESSION, started.token.expose(), SESSION_LASTS)
}

/// Whether a method promises to change nothing (RFC 9110, 9.2.1).
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The origin at which this request's browser sees us, if it is one of ours.
///
/// Without configured origins it is what `Host` names, and that only where it names this machine: else a name server could
/// make any page's host be us.
fn own_origin<'m>(
    headers: &HeaderMap,
    client: Client,
    own: &'m [Origin],
) -> Option<Cow<'m, Origin>> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, None) = (hosts.next()?.to_str().ok()?, hosts.next()) else { return None };
    let scheme = if client.secure { "https" } else { "http" };
    let seen = format!("{scheme}://{host}").parse::<Origin>().ok();
    if own.is_empty() {
        let name =
            host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let name = name.map_or(host, |(name, _)| name);
        return seen.filter(|_| is_loopback(name)).map(Cow::Owned);
    }
    let same = own.iter().find(|one| seen.as_ref() == Some(one));
    same.or(own.first()).map(Cow::Borrowed)
}

/// Refuses what does not come from a page of ours.
pub(super) fn require_own_page(
    headers: &HeaderMap,
    client: Client,
    own: &[Origin],
) -> Result<(), Refusal> {
    let foreign = |detail: &str| Err(Refusal::new(ErrorCode::ForeignOrigin, detail));
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return foreign(
            "a request with a cookie that changes something names its page's origin in one `Origin`: \
             programs send `Authorization: Bearer` instead of the cookie",
        );
    };
    let ours = if own.is_empty() {
        own_origin(headers, client, own).is_some_and(|one| origin == one.as_str())
    } else {
        own.iter().any(|one| origin == one.as_str())
    };
    if !ours {
        return foreign(
            "this came from a page of another origin: if that page is yours, its origin belongs into `[management] origins`",
        );
    }
    let mut sites = headers.get_all(FETCH_SITE).iter();
    match (sites.next(), sites.next()) {
        (None, _) => Ok(()),
        (Some(site), None) if site == "same-origin" => Ok(()),
        _ => foreign("the browser says that this came from another site"),
    }
}

/// A browser that logs in.
pub(super) struct Browser {
    /// Whether it shows a session's cookie, good or not.
    pub(super) has_session: bool,
    /// What it shows of an earlier login.
    pub(super) known: Option<String>,
    /// What a login with an account elsewhere was begun with.
    pub(super) login: Option<Plaintext>,
    /// The origin at which it sees us.
    pub(super) origin: Option<Origin>,
    own_page: Result<(), Refusal>,
}

impl Browser {
    /// Refuses one that is on another origin's page.
    pub(super) fn require_own_page(&self) -> Result<(), Refusal> {
        self.own_page.clone()
    }
}

impl FromRequestParts<Management> for Browser {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Management,
    ) -> Result<Self, Refusal> {
        let client = Client::from_request_parts(parts, management).await?;
        let (headers, own) = (&parts.headers, management.gate().origins.as_slice());
        let own_page = require_own_page(headers, client, own);
        let origin = own_origin(headers, client, own).map(Cow::into_owned);
        let known = cookie(headers, KNOWN)?.map(str::to_owned);
        let login = cookie(headers, LOGIN)?.map(|login| Plaintext::new(login.to_owned()));
        let has_session = cookie(headers, SESSION)?.is_some();
        Ok(Self { has_session, known, login, origin, own_page })
    }
}
