//! A curl line for a key: what to paste to see it work.
//!
//! The request is the profile's own example where the key may make it, else the simplest route that it may take. What must
//! belong to the key (its organization, a model id) is put in.

use std::net::SocketAddr;

use keyward_core::{
    binding::{Binding, BindingKind, BindingPlace},
    credential::Slot,
    permission::PermissionSet,
    policy::Api,
    profile::{DemoExample, Https},
    route::{Method, Route, RouteMatch},
};
use serde_json::Value;

use crate::config::Config;

/// A certificate authority's file that is looked for beside a listener's certificate.
pub const AUTHORITY_FILE: &str = "ca.pem";

/// Where requests are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `https://api.example.com`, with a port where it matters.
    pub base: String,
    /// Options that lead there: `--cacert …`, `--connect-to …`.
    pub options: Vec<String>,
}

/// Whose key it is: what bound fields are filled with.
#[derive(Clone, Debug)]
pub struct Owner<'o> {
    /// The organization's id.
    pub organization: &'o str,
    /// A model id that is the organization's.
    pub model_id: Option<&'o str>,
    /// A model that the key may ask for, where it may not ask for every one.
    pub model: Option<&'o str>,
    /// What the key may do.
    pub permissions: &'o [String],
}

/// A request to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Target {
    /// Where an API is reached, as far as the configuration can know.
    pub fn of(config: &Config, api: &Api) -> Self {
        let listeners = &config.gateway.listeners;
        let secure = listeners.iter().find(|listener| listener.tls.is_some());
        let named = api.hosts.iter().find(|host| !host.starts_with('*')).map(|host| &**host);
        let listener = match secure {
            Some(listener) => listener,
            // HTTPS is spoken by somebody in front.
            None if api.https == Https::Required => {
                let host = named.unwrap_or("YOUR-HOST");
                return Self { base: format!("https://{host}"), options: vec![] };
            }
            None => match listeners.first() {
                Some(listener) => listener,
                None => return Self { base: "http://YOUR-HOST".to_owned(), options: vec![] },
            },
        };
        let mut options = vec![];
        if let Some(tls) = &listener.tls {
            let authority = tls.certificate.with_file_name(AUTHORITY_FILE);
            if authority.is_file() {
                options.push(format!("--cacert {}", quoted(&authority.display().to_string())));
            }
        }
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        let address = reachable(listener.address);
        let base = match named {
            Some(host) if address.ip().is_loopback() => {
                options.push(connect_to(address));
                format!("{scheme}://{host}")
            }
            Some(host) => format!("{scheme}://{host}{}", port_of(address, scheme)),
            None => format!("{scheme}://{}{}", host_of(address), port_of(address, scheme)),
        };
        Self { base, options }
    }
}

/// The curl option that leads every request to one address, whatever its host.
pub fn connect_to(address: SocketAddr) -> String {
    format!("--connect-to ::{address}")
}

/// An address that means "all of them" is reached at this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

fn host_of(address: SocketAddr) -> String {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn port_of(address: SocketAddr, scheme: &str) -> String {
    match (address.port(), scheme) {
        (443, "https") | (80, "http") => String::new(),
        (port, _) => format!(":{port}"),
    }
}

/// A request that the key may make; `None` where it may make none.
pub fn example(api: &Api, owner: &Owner<'_>) -> Option<Request> {
    let names = owner.permissions.iter().map(String::as_str);
    let permissions = api.profile.vocabulary.grant(names);
    let shown = api.profile.demo.as_ref().map(|demo| &demo.example);
    if let Some(request) = shown.and_then(|example| of_profile(api, example, permissions, owner)) {
        return Some(request);
    }
    let may = |route: &&Route| permissions.covers(route.requires);
    let route = api.routes.iter().filter(may).min_by_key(|route| {
        let params = route.pattern.as_str().matches('{').count();
        (route.bindings.iter().filter(|binding| binding.required).count(), params, !is_get(route))
    })?;
    Some(of_route(route, owner))
}

fn is_get(route: &Route) -> bool {
    route.methods.contains(Method::Get)
}

fn of_profile(
    api: &Api,
    example: &DemoExample,
    permissions: PermissionSet,
    owner: &Owner<'_>,
) -> Option<Request> {
    let path = example.path.split('?').next()?;
    let RouteMatch::Found(route) = api.routes.find(example.method.parse().ok(), path) else {
        return None;
    };
    if !permissions.covers(route.requires) {
        return None;
    }
    let body = example.body.as_ref().map(|body| with_own_fields(body, route, owner));
    let headers = example.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    Some(Request {
        method: example.method.clone(),
        path: example.path.clone(),
        headers: headers.collect(),
        body,
    })
}

/// The body with the fields that must belong to the key; unchanged where they do already.
fn with_own_fields(body: &str, route: &Route, owner: &Owner<'_>) -> String {
    let Ok(mut json) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    let mut changed = false;
    for binding in &route.bindings {
        let BindingPlace::Body(pointer) = &binding.place else { continue };
        let (Some(own), Some(place)) =
            (own_value(binding, owner), json.pointer_mut(&pointer.to_string()))
        else {
            continue;
        };
        changed |= *place != *own;
        *place = Value::from(own);
    }
    if changed { json.to_string() } else { body.to_owned() }
}

fn own_value<'o>(binding: &Binding, owner: &Owner<'o>) -> Option<&'o str> {
    match binding.kind {
        BindingKind::Organization => Some(owner.organization),
        BindingKind::ModelId => owner.model_id,
        BindingKind::Model => owner.model,
    }
}

/// Where the owner has no value of its own, the line shows a word in capitals, for whoever pastes it to replace.
fn value_or_word<'o>(binding: &Binding, owner: &Owner<'o>) -> &'o str {
    own_value(binding, owner).unwrap_or(match binding.kind {
        BindingKind::ModelId => "MODEL_ID",
        _ => "MODEL",
    })
}

fn of_route(route: &Route, owner: &Owner<'_>) -> Request {
    let bound = |name: &str| {
        let is_bound = |binding: &&Binding| match &binding.place {
            BindingPlace::Path(param) => param.as_str() == name,
            _ => false,
        };
        route.bindings.iter().find(is_bound).map(|binding| value_or_word(binding, owner))
    };
    let mut path = filled(route.pattern.as_str(), &bound);
    let mut separator = '?';
    let mut body = serde_json::Map::new();
    // A body without a model is taken by few upstreams, and from a key that is confined to models it is refused.
    let is_shown = |binding: &&Binding| {
        binding.required || binding.kind == BindingKind::Model && binding.in_body()
    };
    for binding in route.bindings.iter().filter(is_shown) {
        let value = value_or_word(binding, owner);
        match &binding.place {
            BindingPlace::Query(name) => {
                path.push_str(&format!("{separator}{name}={value}"));
                separator = '&';
            }
            BindingPlace::Body(pointer) => insert(&mut body, &pointer.to_string(), value),
            BindingPlace::Path(_) => {}
        }
    }
    let method = if is_get(route) { Some(Method::Get) } else { route.methods.iter().next() };
    let method = method.unwrap_or(Method::Get);
    let takes_body = matches!(method, Method::Post | Method::Put | Method::Patch);
    Request {
        method: method.as_str().to_owned(),
        path,
        headers: match takes_body {
            true => vec![("content-type".to_owned(), "application/json".to_owned())],
            false => vec![],
        },
        body: takes_body.then(|| Value::Object(body).to_string()),
    }
}

/// The pattern with something in the place of its parameters.
fn filled<'v>(pattern: &str, bound: &dyn Fn(&str) -> Option<&'v str>) -> String {
    let segments = pattern.split('/').map(|segment| {
        let Some((name, suffix)) = segment.strip_prefix('{').and_then(|rest| rest.split_once('}'))
        else {
            return segment.to_owned();
        };
        match name.strip_suffix("...") {
            Some(_) => String::new(),
            None => format!(
                "{}{suffix}",
                bound(name).map_or_else(|| name.to_uppercase(), str::to_owned)
            ),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

fn insert(object: &mut serde_json::Map<String, Value>, pointer: &str, value: &str) {
    let unescaped = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
    let Some((before, last)) = pointer.rsplit_once('/') else { return };
    let mut place = object;
    for segment in before.split('/').skip(1) {
        let next =
            place.entry(unescaped(segment)).or_insert_with(|| Value::Object(Default::default()));
        let Value::Object(next) = next else { return };
        place = next;
    }
    place.insert(unescaped(last), Value::from(value));
}

/// The whole line. `key` stands in it in the clear: it is for the one answer that shows a key.
pub fn line(target: &Target, request: &Request, slot: Option<&Slot>, key: &str) -> String {
    let mut parts = vec!["curl".to_owned()];
    parts.extend(target.options.iter().cloned());
    let mut path = request.path.clone();
    let header = |name: &str, value: &str| format!("-H {}", quoted(&format!("{name}: {value}")));
    let credential = match slot {
        Some(Slot::Scheme { scheme, .. }) => header("Authorization", &format!("{scheme} {key}")),
        Some(Slot::Header { shown, .. }) => header(shown, key),
        Some(Slot::Subprotocol { prefix }) => {
            header("Sec-WebSocket-Protocol", &format!("{prefix}{key}"))
        }
        Some(Slot::Query { parameter }) => {
            let separator = if path.contains('?') { '&' } else { '?' };
            path.push_str(&format!("{separator}{parameter}={key}"));
            String::new()
        }
        None => String::new(),
    };
    let is_implied = match request.body {
        Some(_) => request.method == "POST",
        None => request.method == "GET",
    };
    if !is_implied {
        parts.push(format!("-X {}", request.method));
    }
    let url = format!("{}{path}", target.base);
    parts.push(if url.contains(['?', '&', '\'']) { quoted(&url) } else { url });
    parts.push(credential);
    parts.extend(request.headers.iter().map(|(name, value)| header(name, value)));
    parts.extend(request.body.as_ref().map(|body| format!("-d {}", quoted(body))));
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

/// As a shell takes it for one word.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(apis: &str) -> Config {
        let text = format!("[[upstreams]]\nname = \"u\"\nurl = \"http://127.0.0.1:9\"\n{apis}");
        Config::read(std::path::Path::new("keyward.toml"), &text).unwrap()
    }

    fn shown(config: &Config, permissions: &[&str]) -> String {
        let api = &config.apis[0];
        let permissions: Vec<_> = permissions.iter().map(|name| (*name).to_owned()).collect();
        let owner = Owner {
            organization: "acme",
            model_id: Some("1x2"),
            model: None,
            permissions: &permissions,
        };
        let request = example(api, &owner).unwrap();
        line(&Target::of(config, api), &request, api.profile.slots.first(), "KEY")
    }

    #[test]
    fn the_profile_s_example_is_shown_where_the_key_may_make_it() {
        let config = config(
            "[[apis]]\nname = \"a\"\nprofile = \"generic\"\nhosts = [\"api.test\"]\nhttps = \"optional\"\n",
        );
        assert_eq!(
            shown(&config, &["read"]),
            "curl --connect-to ::127.0.0.1:8080 http://api.test/v1/generate -H 'Authorization: Bearer KEY' \
             -H 'content-type: application/json' -d '{\"prompt\":\"Hello, world!\",\"model\":\"gpt-4\"}'"
        );
    }

    #[test]
    fn the_simplest_route_is_shown_elsewhere_with_what_is_the_key_s_own() {
        let routes = r#"
[[apis]]
name = "a"
https = "optional"
[[apis.routes]]
methods = ["POST"]
path = "/v1/{model_id}:run"
permission = "write"
bindings = [
  { kind = "model-id", path = "model_id", required = true },
  { kind = "organization", body = "/meta/organization", required = true },
]
[[apis.routes]]
methods = ["DELETE"]
path = "/v1/all"
permission = "admin"
[[apis.routes]]
methods = ["GET", "POST"]
path = "/files/{path...}"
permission = "read"
"#;
        let config = config(routes);
        assert_eq!(
            shown(&config, &["read"]),
            "curl http://127.0.0.1:8080/files/ -H 'Authorization: Bearer KEY'"
        );
        assert_eq!(
            shown(&config, &["admin"]),
            "curl -X DELETE http://127.0.0.1:8080/v1/all -H 'Authorization: Bearer KEY'"
        );
        let api = &config.apis[0];
        let route = api.routes.iter().find(|route| route.reads_body()).unwrap();
        let owner = Owner {
            organization: "acme",
            model_id: None,
            model: None,
            permissions: &["write".to_owned()],
        };
        let request = of_route(route, &owner);
        assert_eq!(request.path, "/v1/MODEL_ID:run");
        assert_eq!(request.body.unwrap(), r#"{"meta":{"organization":"acme"}}"#);
    }

    #[test]
    fn a_model_is_named_where_the_route_looks_for_one() {
        let routes = r#"
[[apis]]
name = "a"
https = "optional"
[[apis.routes]]
methods = ["POST"]
path = "/v1/run"
permission = "write"
bindings = [{ kind = "model", body = "/options/model" }, { kind = "organization", body = "/organization" }]
"#;
        let api = &config(routes).apis[0];
        let owner = |model| Owner { organization: "acme", model_id: None, model, permissions: &[] };
        let route = api.routes.iter().next().unwrap();
        for (model, body) in [
            (Some("small"), r#"{"options":{"model":"small"}}"#),
            (None, r#"{"options":{"model":"MODEL"}}"#),
        ] {
            assert_eq!(of_route(route, &owner(model)).body.unwrap(), body);
        }
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_one() {
        assert_eq!(quoted("a/b"), "a/b");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(rm)"), "'$(rm)'");
    }
}
