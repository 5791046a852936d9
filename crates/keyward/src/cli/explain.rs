//! `keyward explain`: why a request would be refused, step by step, and the very answer its client would see.
//!
//! It decides with the code that the gateway decides with, on the state of the store as it is now. A key is recognized by
//! its plaintext, from standard input or the environment, or by its id, where nobody here has the plaintext: then the
//! steps before recognizing it are left out. Limits are asked as they were last saved ([`limits`]).

mod limits;

use std::{net::IpAddr, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use keyward_api::{ExplanationView, HeaderView, RefusalView, StepView, VerdictView};
use keyward_control::{BcryptCheck, Plan, plan::Credentials, propagation};
use keyward_core::{
    credential::{Headers, Slot},
    decide::{Body, Identity, Request, identify},
    declared::unreadable,
    directory::Directory,
    explain::{Explanation, explain, explain_recognized},
    id::{ApiName, KeyId},
    key::{Digest, Plaintext},
    path,
    policy::Api,
    profile::{Profile, RefusalContext, refusal::title},
    slow::SlowCheck as _,
    snapshot::{Freshness, Revision, Snapshot},
    time::Timestamp,
    verdict::{Denial, Outage, Reason, Verdict},
};

use super::{secret_input, values};
use crate::{
    clock,
    output::{Output, table},
    site::Site,
};

/// Where a key is looked for beside standard input.
const KEY_VARIABLE: &str = "KEYWARD_KEY";
/// Stands for the number every request gets.
const EXAMPLE_NUMBER: &str = "00000000000000000000000000000000";

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).args(["url", "api"])))]
pub(super) struct Explain {
    /// The request's address: https://host/path?query
    #[arg(long)]
    url: Option<String>,
    /// The API, instead of a whole address
    #[arg(long, requires = "path")]
    api: Option<ApiName>,
    /// Path and query, with --api
    #[arg(long, requires = "api")]
    path: Option<String>,
    /// The method
    #[arg(long, default_value = "GET")]
    method: String,
    /// Read the key from standard input [default: the environment's KEYWARD_KEY, else no key is sent]
    #[arg(long, conflicts_with = "key_id")]
    key_stdin: bool,
    /// The id of a key whose plaintext is not at hand
    #[arg(long)]
    key_id: Option<KeyId>,
    /// A body, or @file for what stands in a file; its Content-Type is given with --header
    #[arg(long)]
    body: Option<String>,
    /// A further header, `Name: value`; may be given several times
    #[arg(long = "header", value_parser = values::header, value_name = "HEADER")]
    headers: Vec<(String, String)>,
    /// The client's address
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    client: IpAddr,
    /// The request comes in the clear, not by TLS
    #[arg(long)]
    insecure: bool,
}

/// The request's address, taken apart.
struct Address {
    host: Option<String>,
    path: String,
    query: Option<String>,
    secure: bool,
}

impl Address {
    fn of(arguments: &Explain) -> anyhow::Result<Self> {
        let (host, target, secure) = match (&arguments.url, &arguments.path) {
            (Some(url), _) => {
                let (scheme, rest) = url.split_once("://").with_context(|| {
                    format!(
                        "`{url}` is not an address: write it like https://api.example.com/v1/models"
                    )
                })?;
                let at = rest.find(['/', '?']).unwrap_or(rest.len());
                let (host, target) = rest.split_at_checked(at).unwrap_or((rest, ""));
                (Some(host.to_owned()), target, scheme.eq_ignore_ascii_case("https"))
            }
            (None, Some(path)) => (None, path.as_str(), true),
            (None, None) => bail!("no address was given: use --url, or --api with --path"),
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Ok(Self {
            host,
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
            query,
            secure: secure && !arguments.insecure,
        })
    }
}

/// What has been found, and the words for it.
struct Findings {
    steps: Vec<StepView>,
    notes: Vec<String>,
    /// What is told of limits.
    limits: Vec<HeaderView>,
}

impl Findings {
    fn passed(&mut self, check: &str, what: String) {
        self.steps.push(StepView { check: check.to_owned(), passed: true, what });
    }

    fn failed(&mut self, check: &str, what: String) {
        self.steps.push(StepView { check: check.to_owned(), passed: false, what });
    }
}

impl Explain {
    pub(super) async fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let site = Site::open(config).await?;
        let address = Address::of(&self)?;
        let view = self.explanation(&site, address).await?;
        output.show(&view, shown)
    }

    async fn explanation(&self, site: &Site, address: Address) -> anyhow::Result<ExplanationView> {
        let now = clock::now();
        let mut found = Findings { steps: vec![], notes: vec![], limits: vec![] };
        let checked = path::check(&address.path)
            .and_then(|()| path::check_query(address.query.as_deref().unwrap_or_default()));
        let api = self.find_api(site, &address)?;
        let words = api.map_or_else(|| site.policy.fallback(), |api| &api.profile);
        if let Err(fault) = checked {
            found.failed("path", fault.to_string());
            let denial = Denial::new(Reason::BadRequest, fault.to_string());
            return Ok(self.refused(found, words, &denial, &address, now));
        }
        found.passed("path", format!("{} can be read one way only", address.path));
        let Some(api) = api else {
            let host = address.host.as_deref().unwrap_or_default();
            found.failed("api", format!("no API is at {host}{}", address.path));
            let what = "No API is served at this host and path.";
            let denial = Denial::new(Reason::UnknownApi, what);
            return Ok(self.refused(found, words, &denial, &address, now));
        };
        found.passed("api", format!("`{}`, on profile `{}`", api.name, api.profile.name));
        let explained = self.decide(site, api, &address, now, &mut found).await?;
        found.steps.extend(explained.steps.into_iter().map(|step| StepView {
            check: step.check.to_owned(),
            passed: step.passed,
            what: step.what,
        }));
        Ok(match explained.verdict {
            Verdict::Permit(_) => ExplanationView {
                steps: found.steps,
                verdict: VerdictView::Permit,
                refusal: None,
                notes: found.notes,
            },
            Verdict::Denial(denial) => self.refused(found, &api.profile, &denial, &address, now),
            Verdict::Outage(Outage { .. }) => {
                let what = "The request cannot be decided on now; try again.";
                let mut denial = Denial::new(Reason::Unavailable, what);
                denial.retry_after = Some(std::time::Duration::from_secs(5));
                let view = self.refused(found, &api.profile, &denial, &address, now);
                ExplanationView { verdict: VerdictView::Outage, ..view }
            }
        })
    }

    fn find_api<'s>(&self, site: &'s Site, address: &Address) -> anyhow::Result<Option<&'s Api>> {
        let Some(name) = &self.api else {
            let host = address.host.as_deref().unwrap_or_default();
            return Ok(site.policy.find(host, &address.path));
        };
        // Keyward's own API is at no gateway.
        let reached = site.policy.apis().iter().filter(|api| !api.hosts.is_empty());
        let found = reached.clone().find(|api| api.name == *name);
        if found.is_none() {
            let known: Vec<_> = reached.map(|api| api.name.as_str()).collect();
            bail!("there is no API `{name}`: use one of {}", known.join(", "));
        }
        Ok(found)
    }

    async fn decide(
        &self,
        site: &Site,
        api: &Api,
        address: &Address,
        now: Timestamp,
        found: &mut Findings,
    ) -> anyhow::Result<Explanation> {
        let bytes = self.read_body()?;
        let body = match &bytes {
            None => Body::NotRead,
            Some(bytes) => match self.unreadable(found) {
                Some(why) => Body::Unreadable(why),
                None => Body::Json(bytes),
            },
        };
        let plaintext = match self.key_id {
            Some(_) => None,
            None if self.key_stdin => Some(secret_input::from_stdin("the key")?),
            None => secret_input::from_environment(KEY_VARIABLE),
        };
        let (headers, query) = self.with_key(api, plaintext.as_ref(), address.query.clone());
        let request = Request {
            api,
            method: self.method.parse().ok(),
            path: &address.path,
            query: query.as_deref(),
            headers: headers.as_slice(),
            client: self.client,
            secure: address.secure,
        };
        let (snapshot, mut explanation) = match self.key_id {
            Some(id) => {
                let (snapshot, digest) = with_one_key(site, api, id, now, found).await?;
                let explanation = explain_recognized(&snapshot, &request, &digest, body, now);
                (snapshot, explanation)
            }
            None => {
                let snapshot = with_all_keys(site, now).await?;
                let refuted = check_imported(site, &snapshot, &request);
                let mut explanation = explain(&snapshot, &request, body, now);
                if let (Some(denial), Some(last)) = (refuted, explanation.steps.last_mut()) {
                    last.what = denial.detail.to_string();
                    explanation.verdict = Verdict::Denial(denial);
                }
                (snapshot, explanation)
            }
        };
        if let Verdict::Permit(permit) = &explanation.verdict {
            let asked =
                limits::ask(site, &snapshot, &request, permit, bytes.as_deref(), now).await?;
            if !asked.headers.is_empty() || asked.denial.is_some() {
                found.notes.push(
                    "limits are as they were last saved; what a running gateway counted in the last second, and in the \
                     windows of its rates, is not among it"
                        .to_owned(),
                );
            }
            explanation.steps.extend(asked.steps);
            found.limits = asked.headers;
            if let Some(denial) = asked.denial {
                explanation.verdict = Verdict::Denial(denial);
            }
        }
        Ok(explanation)
    }

    fn read_body(&self) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(match self.body.as_deref().map(|text| (text, text.strip_prefix('@'))) {
            None => None,
            Some((_, Some(file))) => {
                Some(std::fs::read(file).with_context(|| format!("the body in {file}"))?)
            }
            Some((text, None)) => Some(text.as_bytes().to_owned()),
        })
    }

    /// Why a gateway would not read the body, as these headers declare it.
    fn unreadable(&self, found: &mut Findings) -> Option<&'static str> {
        let headers = self.headers.as_slice();
        if headers.values("content-type").next().is_none() {
            found.notes.push(
                "the body came without a Content-Type header, so nothing is read in it; if the client sends one, add \
                 --header 'Content-Type: application/json'"
                    .to_owned(),
            );
        }
        unreadable(headers)
    }

    /// The key, where clients of this API put it.
    fn with_key(
        &self,
        api: &Api,
        key: Option<&Plaintext>,
        query: Option<String>,
    ) -> (Vec<(String, String)>, Option<String>) {
        let mut headers = self.headers.clone();
        let (Some(key), Some(slot)) = (key.map(Plaintext::expose), api.profile.slots.first())
        else {
            return (headers, query);
        };
        match slot {
            Slot::Scheme { header, scheme } => {
                headers.push((header.to_string(), format!("{scheme} {key}")));
            }
            Slot::Header { header, .. } => headers.push((header.to_string(), key.to_owned())),
            Slot::Subprotocol { prefix } => {
                headers.push(("sec-websocket-protocol".to_owned(), format!("{prefix}{key}")));
            }
            Slot::Query { parameter } => {
                let before = query.map_or_else(String::new, |query| format!("{query}&"));
                return (headers, Some(format!("{before}{parameter}={key}")));
            }
        }
        (headers, query)
    }

    fn refused(
        &self,
        found: Findings,
        profile: &Profile,
        denial: &Denial,
        address: &Address,
        now: Timestamp,
    ) -> ExplanationView {
        let request_id = format!("{}{EXAMPLE_NUMBER}", profile.request_id.prefix);
        let problem = self.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("accept") && value.contains("application/problem+json")
        });
        let rendered = profile.refusals.render(
            denial,
            &RefusalContext {
                request_id: &request_id,
                now,
                method: &self.method,
                path: &address.path,
                header: profile.key_header(),
                problem,
            },
        );
        let mut headers: Vec<_> =
            rendered.headers.into_iter().map(|(name, value)| HeaderView { name, value }).collect();
        headers.extend(found.limits);
        headers.push(HeaderView { name: profile.request_id.header.to_string(), value: request_id });
        ExplanationView {
            steps: found.steps,
            verdict: VerdictView::Denial,
            refusal: Some(RefusalView {
                reason: denial.reason.name().to_owned(),
                status: rendered.status,
                headers,
                body: rendered.body,
            }),
            notes: found.notes,
        }
    }
}

/// What the gateway finds out beside a request's way: which imported key it is, where only a bcrypt hash is known of it. Gives the refusal
/// where it is none.
fn check_imported(
    site: &Site,
    snapshot: &Snapshot,
    request: &Request<'_, [(String, String)]>,
) -> Option<Box<Denial>> {
    let Ok(Identity::Unproven(suspect)) = identify(snapshot, request) else { return None };
    let (check, key) = (BcryptCheck::new(site.folder.sealer()), suspect.key());
    let mut candidates = suspect.candidates().iter().flat_map(|set| set.iter());
    match candidates.find(|candidate| check.is(candidate, &key)) {
        Some(candidate) => {
            suspect.prove(snapshot, candidate);
            None
        }
        None => Some(suspect.unknown()),
    }
}

/// Credentials of upstreams decide nothing.
fn plan(site: &Site) -> Plan {
    Plan { stored: Default::default(), ..site.config.plan_without_credentials() }
}

fn snapshot(
    site: &Site,
    policy: Arc<keyward_core::policy::Policy>,
    directory: Arc<Directory>,
    revision: u64,
    now: Timestamp,
) -> Snapshot {
    let freshness = Freshness::default();
    freshness.confirm(Revision::new(revision), now);
    let peppers = Arc::new(site.folder.peppers().clone());
    Snapshot::new(policy, directory, peppers, Arc::new(freshness))
}

async fn with_all_keys(site: &Site, now: Timestamp) -> anyhow::Result<Snapshot> {
    let state = propagation::load(&site.source(), &plan(site), 0).await?;
    Ok(snapshot(site, state.policy, state.directory, state.revision.get(), now))
}

/// A snapshot with one key in it, and the digest of that of its secrets which lasts longest.
async fn with_one_key(
    site: &Site,
    api: &Api,
    id: KeyId,
    now: Timestamp,
    found: &mut Findings,
) -> anyhow::Result<(Snapshot, Digest)> {
    let store = site.folder.store();
    let revision = store.revision().await?.get();
    let record = store.key(id).await?.ok_or(keyward_store::StoreError::NoSuchKey(id))?;
    let secret = record
        .secrets
        .iter()
        .max_by_key(|secret| secret.expires_at.unwrap_or(Timestamp::NEVER))
        .with_context(|| format!("key {id} has no secret"))?;
    let owner = &record.key.organization;
    let organization = store.organization(owner).await?;
    let organization =
        organization.ok_or_else(|| keyward_store::StoreError::NoSuchOrganization(owner.clone()))?;
    if record.key.api != api.name {
        found.notes.push(format!(
            "the key was made for API `{}`, so it is unknown at `{}`; an answer that shows a key's id would show a \
             fingerprint in its place",
            record.key.api, api.name
        ));
    }
    found.notes.push(format!(
        "decided for secret {} ({}), without its plaintext: how it is sent was not checked",
        secret.id, secret.hint
    ));
    let policy = Arc::new(plan(site).policy(&Credentials::new())?);
    let mut builder = Directory::builder(policy.clone(), record.secrets.len());
    builder.organization(organization);
    builder.plans(store.plans().await?.into_iter().map(|record| record.plan).collect());
    builder.prices(store.prices().await?.into_iter().map(|record| record.price).collect());
    // As gateways have it: no better than its owner's role lets it be.
    let key = propagation::in_force(&policy, &record);
    if *key != record.key {
        found.notes.push(
            "its owner's role here lets it be less than is written on it: `keyward keys show` tells what"
                .to_owned(),
        );
    }
    builder.key(&key, &record.secrets)?;
    let directory = Arc::new(builder.build());
    Ok((snapshot(site, policy, directory, revision, now), secret.digest))
}

fn shown(view: &ExplanationView) -> String {
    let step = |step: &StepView| {
        let mark = if step.passed { "✓" } else { "✗" };
        vec![mark.to_owned(), step.check.clone(), step.what.clone()]
    };
    let mut text = table(
        &["", "check", "found"],
        view.steps.iter().map(step).collect(),
        "Nothing was checked.",
    );
    match (&view.refusal, view.verdict) {
        (None, _) => text.push_str("\n\nThe request would be forwarded."),
        (Some(refusal), verdict) => {
            let verdict = match verdict {
                VerdictView::Outage => "could not be decided on",
                _ => "would be refused",
            };
            text.push_str(&format!(
                "\n\nThe request {verdict} ({}). Its client would see:\n",
                refusal.reason
            ));
            text.push_str(&format!("\n{} {}\n", refusal.status, title(refusal.status)));
            for HeaderView { name, value } in &refusal.headers {
                text.push_str(&format!("{name}: {value}\n"));
            }
            text.push_str(&format!("\n{}", refusal.body));
        }
    }
    for note in &view.notes {
        text.push_str(&format!("\n\nNote: {note}."));
    }
    text
}
