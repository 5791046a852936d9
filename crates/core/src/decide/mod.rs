//! The decision: from a snapshot, the facts of a request and the time, to a verdict.
//!
//! Pure and synchronous. It goes in two strides, because what the route needs from the body is read only for callers
//! who have shown a good key: [`identify`] finds the caller, [`authorize`] says whether it may. [`decide`] is both.
//! Nothing is allocated on the way to a permit unless the route reads the body.
//!
//! The order of the checks is part of the promise: who has no valid key learns nothing about routes, and a
//! key's state is told before what it may do.

mod bindings;
mod imported;

use std::net::IpAddr;

use crate::{
    binding::Binding,
    credential::{self, CredentialFault, Headers},
    directory::{KeyEntry, OrganizationSlot},
    id::KeyId,
    key::{Digest, KeyState},
    network,
    organization::OrganizationState,
    policy::Api,
    profile::Https,
    reserve::Whose,
    route::{Method, Route, RouteMatch},
    snapshot::Snapshot,
    time::{self, Timestamp},
    verdict::{Denial, Outage, Permit, Reason, Verdict},
};

pub use imported::{Suspect, upgrade};

/// The facts of a request, after its framing and path were found sound and its API was found.
pub struct Request<'r, H: ?Sized> {
    /// The API it reached.
    pub api: &'r Api,
    /// The method, if it is one that can be routed.
    pub method: Option<Method>,
    /// The path, as it will be forwarded.
    pub path: &'r str,
    /// The query, without its `?`.
    pub query: Option<&'r str>,
    /// All headers.
    pub headers: &'r H,
    /// Where it comes from.
    pub client: IpAddr,
    /// Whether it came by TLS.
    pub secure: bool,
}

/// What is known of the body.
#[derive(Clone, Copy, Debug)]
pub enum Body<'b> {
    /// It was not read.
    NotRead,
    /// All of it, declared and sent as unencoded JSON.
    Json(&'b [u8]),
    /// It cannot be decided on, and why.
    Unreadable(&'static str),
}

/// The caller: a known key.
#[derive(Clone, Debug)]
pub struct Caller {
    entry: KeyEntry,
    /// Whether what was sent is kept by another system's digest still.
    foreign: bool,
}

/// Who was found.
#[derive(Debug)]
pub enum Identity {
    /// A known key.
    Known(Caller),
    /// What was sent may be an imported secret. That takes too long to be found out here: see [`Suspect`].
    Unproven(Box<Suspect>),
}

impl Caller {
    /// Whose request it is.
    pub const fn key(&self) -> KeyId {
        self.entry.key
    }

    /// Whose request it is, for its limits.
    pub fn whose(&self) -> Whose<'_> {
        Whose::new(self.entry.key, self.entry.organization, self.entry.restrictions.as_deref())
    }

    /// Whose key that is.
    pub const fn organization(&self) -> OrganizationSlot {
        self.entry.organization
    }
}

/// How far a decision came.
#[derive(Debug)]
pub enum Progress {
    /// All the way.
    Decided(Verdict),
    /// The body is needed, and the caller is good enough to read it for.
    BodyWanted,
}

/// The checks, in their order, as `explain` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Whether we know enough to decide.
    Freshness,
    /// Whether the request came by TLS where that is demanded.
    Transport,
    /// Whether exactly one credential came.
    Credential,
    /// Whether it is a key of the API's format.
    Format,
    /// Whether the key exists.
    Key,
    /// Whether the key is active and has not expired.
    State,
    /// Whether its organization is active.
    Organization,
    /// Whether the client's network is one of the key's.
    Network,
    /// Whether a route names method and path.
    Route,
    /// Whether the key has the route's permission.
    Permission,
    /// Whether the request's fields belong to the key.
    Bindings,
}

impl Check {
    /// The word it is shown by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Freshness => "freshness",
            Self::Transport => "transport",
            Self::Credential => "credential",
            Self::Format => "format",
            Self::Key => "key",
            Self::State => "state",
            Self::Organization => "organization",
            Self::Network => "network",
            Self::Route => "route",
            Self::Permission => "permission",
            Self::Bindings => "bindings",
        }
    }
}

/// Hears of every check that passed. The gateway's hears nothing and costs nothing.
pub trait Trace {
    /// `what` is made only if somebody listens.
    fn passed(&mut self, check: Check, what: impl FnOnce() -> String);
    /// The check that refuses.
    fn failed(&mut self, check: Check);
}

/// Nobody listens.
pub struct Silent;

impl Trace for Silent {
    fn passed(&mut self, _: Check, _: impl FnOnce() -> String) {}
    fn failed(&mut self, _: Check) {}
}

type Refused = Box<Denial>;

fn refuse<T>(trace: &mut impl Trace, check: Check, denial: Denial) -> Result<T, Refused> {
    trace.failed(check);
    Err(Box::new(denial))
}

/// Decides on a whole request.
pub fn decide<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    body: Body<'_>,
    now: Timestamp,
) -> Verdict {
    decide_traced(snapshot, request, body, now, &mut Silent)
}

/// [`decide`], telling each step.
pub fn decide_traced<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    body: Body<'_>,
    now: Timestamp,
    trace: &mut impl Trace,
) -> Verdict {
    if let Some(outage) = outage(snapshot, now, trace) {
        return Verdict::Outage(outage);
    }
    let caller = match identify_traced(snapshot, request, trace) {
        Ok(Identity::Known(caller)) => caller,
        Ok(Identity::Unproven(suspect)) => {
            trace.failed(Check::Key);
            return Verdict::Denial(suspect.unchecked());
        }
        Err(denial) => return Verdict::Denial(denial),
    };
    let body = match body {
        Body::NotRead => Body::Json(b""),
        read => read,
    };
    match authorize_traced(snapshot, request, &caller, body, now, trace) {
        Progress::Decided(verdict) => verdict,
        Progress::BodyWanted => Verdict::Outage(Outage { age: std::time::Duration::ZERO }),
    }
}

/// [`decide_traced`] for a key that nobody here has in the clear: recognized by the digest of one of its secrets, it is
/// taken for sent, once and where it belongs. Only for `explain`; the gateway recognizes callers by what they send.
pub(crate) fn decide_recognized<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    digest: &Digest,
    body: Body<'_>,
    now: Timestamp,
    trace: &mut impl Trace,
) -> Verdict {
    if let Some(outage) = outage(snapshot, now, trace) {
        return Verdict::Outage(outage);
    }
    let entry = snapshot.directory().find(digest).filter(|entry| entry.api == request.api.number);
    let seen = entry.as_ref().map(|entry| (entry.key, entry.organization));
    if let Err(denial) = check_transport(request, trace, || seen) {
        return Verdict::Denial(denial);
    }
    let Some(entry) = entry else {
        trace.failed(Check::Key);
        return Verdict::Denial(Box::new(unknown_key()));
    };
    trace.passed(Check::Key, || format!("{} (secret {})", entry.key, entry.secret));
    let body = match body {
        Body::NotRead => Body::Json(b""),
        read => read,
    };
    let caller = Caller { entry, foreign: false };
    match authorize_traced(snapshot, request, &caller, body, now, trace) {
        Progress::Decided(verdict) => verdict,
        Progress::BodyWanted => Verdict::Outage(Outage { age: std::time::Duration::ZERO }),
    }
}

/// Whether what we would decide from is too old to be trusted.
pub fn outage(snapshot: &Snapshot, now: Timestamp, trace: &mut impl Trace) -> Option<Outage> {
    let age = now.since(snapshot.freshness().confirmed_at());
    if snapshot.policy().stale_after().is_some_and(|limit| age > limit) {
        trace.failed(Check::Freshness);
        return Some(Outage { age });
    }
    trace.passed(Check::Freshness, || {
        let (revision, age) = (snapshot.freshness().revision(), time::in_words(age));
        format!("revision {revision}, confirmed by the store {age} ago")
    });
    None
}

/// Finds the caller: exactly one credential, of the API's format or imported, known.
pub fn identify<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
) -> Result<Identity, Refused> {
    identify_traced(snapshot, request, &mut Silent)
}

fn identify_traced<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    trace: &mut impl Trace,
) -> Result<Identity, Refused> {
    let profile = &request.api.profile;
    let presented = credential::present(&profile.slots, request.headers, request.query);
    check_transport(request, trace, || {
        let key = presented.ok()?.key;
        let entry = look_up(snapshot, request.api, key)
            .or_else(|| imported::look_up(snapshot, request.api, key));
        entry.map(|entry| (entry.key, entry.organization))
    })?;

    let presented = match presented {
        Ok(presented) => presented,
        Err(fault) => {
            let denial = credential_denial(fault, snapshot, request);
            return refuse(trace, Check::Credential, denial);
        }
    };
    trace.passed(Check::Credential, || {
        let slot = profile.slots.get(presented.slot).map_or_else(String::new, ToString::to_string);
        format!("one credential, in `{slot}`")
    });

    let formed = profile.key_format.check(presented.key);
    if formed.is_ok() {
        trace.passed(Check::Format, || {
            let format = &profile.key_format;
            format!("`{}` and {} characters", format.prefix(), format.length())
        });
        if let Some(entry) = look_up(snapshot, request.api, presented.key) {
            trace.passed(Check::Key, || format!("{} (secret {})", entry.key, entry.secret));
            return Ok(Identity::Known(Caller { entry, foreign: false }));
        }
    }
    imported::identify(snapshot, request.api, presented.key, formed, trace)
}

fn unknown_key() -> Denial {
    Denial::new(Reason::UnknownKey, "The API key is not known.")
}

/// `seen` finds the key that came in the clear: whoever listens has seen it too, so it is told on.
fn check_transport<H: ?Sized>(
    request: &Request<'_, H>,
    trace: &mut impl Trace,
    seen: impl FnOnce() -> Option<(KeyId, OrganizationSlot)>,
) -> Result<(), Refused> {
    if request.api.https == Https::Required && !request.secure {
        let mut denial = Denial::new(
            Reason::InsecureTransport,
            "The request came in the clear; send it by HTTPS, and rotate the key it carried.",
        );
        (denial.known_key, denial.known_organization) = seen().unzip();
        return refuse(trace, Check::Transport, denial);
    }
    trace.passed(Check::Transport, || match request.secure {
        true => "it came by TLS".to_owned(),
        false => "it came in the clear, which this API takes".to_owned(),
    });
    Ok(())
}

/// A key of another API is as unknown here as one that does not exist.
fn look_up(snapshot: &Snapshot, api: &Api, key: &[u8]) -> Option<KeyEntry> {
    snapshot
        .peppers()
        .newest_first()
        .find_map(|pepper| snapshot.directory().find(&pepper.digest(key)))
        .filter(|entry| entry.api == api.number)
}

fn credential_denial<H: Headers + ?Sized>(
    fault: CredentialFault,
    snapshot: &Snapshot,
    request: &Request<'_, H>,
) -> Denial {
    let header = request.api.profile.key_header();
    match fault {
        CredentialFault::Missing => Denial::new(
            Reason::MissingKey,
            format!("No API key came; send it in the {header} header."),
        ),
        CredentialFault::Several => Denial::new(Reason::SeveralCredentials, fault.to_string()),
        CredentialFault::ForeignScheme | CredentialFault::Characters => {
            let mut denial = Denial::new(Reason::MalformedKey, fault.to_string());
            let sent = request.headers.values(&header.to_ascii_lowercase()).next();
            let current = snapshot.peppers().current();
            denial.key_id = Some(current.fingerprint(sent.unwrap_or_default()));
            denial
        }
    }
}

/// Says whether the caller may. Asks for the body only when everything before it holds.
pub fn authorize<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    caller: &Caller,
    body: Body<'_>,
    now: Timestamp,
) -> Progress {
    authorize_traced(snapshot, request, caller, body, now, &mut Silent)
}

fn authorize_traced<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    caller: &Caller,
    body: Body<'_>,
    now: Timestamp,
    trace: &mut impl Trace,
) -> Progress {
    match may(snapshot, request, &caller.entry, body, now, trace) {
        Ok(Some(permit)) => Progress::Decided(Verdict::Permit(permit)),
        Ok(None) => Progress::BodyWanted,
        Err(mut denial) => {
            denial.key_id = Some(caller.entry.key);
            denial.known_key = Some(caller.entry.key);
            denial.known_organization = Some(caller.entry.organization);
            Progress::Decided(Verdict::Denial(denial))
        }
    }
}

/// The checks on a known key; `None` where the body is wanted first.
fn may<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    entry: &KeyEntry,
    body: Body<'_>,
    now: Timestamp,
    trace: &mut impl Trace,
) -> Result<Option<Permit>, Refused> {
    check_state(entry, now, trace)?;
    check_organization(snapshot, entry, trace)?;
    check_network(entry, request.client, trace)?;
    let route = check_route(request, trace)?;
    if !entry.permissions.covers(route.requires) {
        let mut denial = Denial::new(
            Reason::InsufficientPermission,
            format!("The key lacks the permission `{}`.", route.requires_name),
        );
        denial.required = Some(route.requires_name.clone());
        return refuse(trace, Check::Permission, denial);
    }
    trace.passed(Check::Permission, || match &*route.requires_name {
        "" => "the route asks for none".to_owned(),
        name => format!("it has `{name}`"),
    });
    if route.reads_body() && matches!(body, Body::NotRead) {
        return Ok(None);
    }
    let model = bindings::check(snapshot, request, route, entry, body)
        .inspect_err(|_| trace.failed(Check::Bindings))?;
    trace.passed(Check::Bindings, || {
        let fields: Vec<_> = route.bindings.iter().map(Binding::field).collect();
        if fields.is_empty() {
            "the route has none".to_owned()
        } else {
            format!("nothing foreign in {}", fields.join(", "))
        }
    });
    Ok(Some(Permit {
        key: entry.key,
        secret: entry.secret,
        digest: entry.digest(),
        organization: entry.organization,
        permissions: entry.permissions,
        restrictions: entry.restrictions.clone(),
        model,
    }))
}

/// Whether a permit given earlier would still be given to its key: for what lasts longer than a request.
pub fn still_holds(snapshot: &Snapshot, permit: &Permit, now: Timestamp) -> bool {
    let entry = snapshot.directory().find_again(&permit.digest);
    entry.is_some_and(|entry| {
        entry.key == permit.key
            && check_state(&entry, now, &mut Silent).is_ok()
            && check_organization(snapshot, &entry, &mut Silent).is_ok()
    })
}

fn check_state(entry: &KeyEntry, now: Timestamp, trace: &mut impl Trace) -> Result<(), Refused> {
    let denial = match entry.state {
        KeyState::Revoked => Denial::new(Reason::RevokedKey, "The API key was revoked."),
        KeyState::Disabled => Denial::new(Reason::DisabledKey, "The API key is disabled."),
        KeyState::Active if now >= entry.expires_at => {
            let at = entry.expires_at;
            Denial::new(Reason::ExpiredKey, format!("The API key expired at {at}."))
        }
        KeyState::Active => {
            trace.passed(Check::State, || match entry.expires_at {
                Timestamp::NEVER => "active, without an end".to_owned(),
                at => format!("active until {at}"),
            });
            return Ok(());
        }
    };
    // A revoked or disabled key says when it ends too, where words for expiry are used for it.
    let mut denial = denial;
    denial.expired_at = (now >= entry.expires_at).then_some(entry.expires_at);
    refuse(trace, Check::State, denial)
}

fn check_organization(
    snapshot: &Snapshot,
    entry: &KeyEntry,
    trace: &mut impl Trace,
) -> Result<(), Refused> {
    let state = snapshot.directory().organization_state(entry.organization);
    if state != Some(OrganizationState::Active) {
        return refuse(trace, Check::Organization, suspended_organization());
    }
    trace.passed(Check::Organization, || {
        let organization = snapshot.directory().organization(entry.organization);
        organization
            .map_or_else(String::new, |organization| format!("{} is active", organization.id))
    });
    Ok(())
}

fn suspended_organization() -> Denial {
    Denial::new(Reason::SuspendedOrganization, "The key's organization is suspended.")
}

fn check_network(entry: &KeyEntry, client: IpAddr, trace: &mut impl Trace) -> Result<(), Refused> {
    let networks = entry.restrictions.as_ref().map_or(&[][..], |r| &r.networks);
    let client = network::canonical(client);
    if !networks.is_empty() && !networks.iter().any(|network| network.contains(client)) {
        let denial = Denial::new(
            Reason::ForeignNetwork,
            format!("The key may not be used from {client}; use it from one of its networks."),
        );
        return refuse(trace, Check::Network, denial);
    }
    trace.passed(Check::Network, || match networks {
        [] => "it may be used from everywhere".to_owned(),
        _ => format!("{client} is in one of its networks"),
    });
    Ok(())
}

fn check_route<'r, H: ?Sized>(
    request: &Request<'r, H>,
    trace: &mut impl Trace,
) -> Result<&'r Route, Refused> {
    match request.api.routes.find(request.method, request.path) {
        RouteMatch::Found(route) => {
            trace.passed(Check::Route, || format!("{} {}", route.methods, route.pattern.as_str()));
            Ok(route)
        }
        RouteMatch::OtherMethods(methods) => {
            let mut denial = Denial::new(
                Reason::MethodNotAllowed,
                format!("The path does not take this method; use {methods}."),
            );
            denial.allowed = Some(methods.to_string().into());
            refuse(trace, Check::Route, denial)
        }
        RouteMatch::Nothing => {
            let denial = Denial::new(Reason::UnknownRoute, "The API has nothing at this path.");
            refuse(trace, Check::Route, denial)
        }
    }
}
