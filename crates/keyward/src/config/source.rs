//! The configuration as it stands in its file. What is left out has a default; a name that is not here is a mistake.

use keyward_core::{
    limit::LimitSource,
    profile::{Https, RouteSource},
};
use serde::Deserialize;
use toml::{Spanned, Value};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) data_dir: Option<Spanned<String>>,
    pub(super) profiles_dir: Option<Spanned<String>>,
    pub(super) stale_after: Option<Spanned<String>>,
    pub(super) listeners: Option<Vec<Spanned<ListenerSource>>>,
    #[serde(default)]
    pub(super) gateway: GatewaySource,
    #[serde(default)]
    pub(super) management: ManagementSource,
    #[serde(default)]
    pub(super) mail: MailSource,
    #[serde(default)]
    pub(super) usage: UsageSource,
    #[serde(default)]
    pub(super) webhooks: WebhooksSource,
    #[serde(default)]
    pub(super) upstreams: Vec<UpstreamSource>,
    #[serde(default)]
    pub(super) apis: Vec<ApiSource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManagementSource {
    pub(super) address: Option<Spanned<String>>,
    pub(super) sign_up: Option<bool>,
    pub(super) tls: Option<TlsSource>,
    pub(super) origins: Option<Vec<Spanned<String>>>,
    pub(super) trusted_proxies: Option<Vec<Spanned<String>>>,
    pub(super) requests_per_minute: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) limits: ManagementLimitsSource,
    #[serde(default)]
    pub(super) deadlines: ManagementDeadlinesSource,
    #[serde(default)]
    pub(super) openid: Vec<OpenIdSource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManagementLimitsSource {
    pub(super) connections: Option<Spanned<usize>>,
    pub(super) body_bytes: Option<Spanned<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManagementDeadlinesSource {
    pub(super) head: Option<Spanned<String>>,
    pub(super) body: Option<Spanned<String>>,
    pub(super) stall: Option<Spanned<String>>,
    pub(super) drain: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenIdSource {
    pub(super) name: Spanned<String>,
    pub(super) title: Option<String>,
    pub(super) issuer: Spanned<String>,
    pub(super) client_id: Spanned<String>,
    pub(super) client_secret: Option<Spanned<String>>,
    pub(super) scopes: Option<Vec<Spanned<String>>>,
    pub(super) ca: Option<Spanned<String>>,
    pub(super) newcomers: Option<NewcomersSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewcomersSource {
    pub(super) organization: Spanned<String>,
    pub(super) role: Spanned<String>,
    pub(super) domains: Spanned<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MailSource {
    pub(super) server: Option<Spanned<String>>,
    pub(super) password: Option<Spanned<String>>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) folder: Option<Spanned<String>>,
    pub(super) link: Option<Spanned<String>>,
    pub(super) reminders: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageSource {
    pub(super) keep_minutes: Option<Spanned<String>>,
    pub(super) keep_hours: Option<Spanned<String>>,
    pub(super) keep_days: Option<Spanned<String>>,
    pub(super) currency: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhooksSource {
    pub(super) allowed_networks: Option<Vec<Spanned<String>>>,
    pub(super) ca: Option<Spanned<String>>,
    pub(super) keep: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerSource {
    pub(super) address: Spanned<String>,
    pub(super) tls: Option<TlsSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsSource {
    pub(super) certificate: Spanned<String>,
    pub(super) key: Spanned<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GatewaySource {
    pub(super) workers: Option<Spanned<usize>>,
    pub(super) log_requests: Option<bool>,
    pub(super) trusted_proxies: Option<Vec<Spanned<String>>>,
    pub(super) upstream_ca: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) limits: LimitsSource,
    #[serde(default)]
    pub(super) deadlines: DeadlinesSource,
    #[serde(default)]
    pub(super) identity_headers: IdentityHeadersSource,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsSource {
    pub(super) head_bytes: Option<Spanned<Value>>,
    pub(super) uri_bytes: Option<Spanned<Value>>,
    pub(super) headers: Option<Spanned<usize>>,
    pub(super) decided_body_bytes: Option<Spanned<Value>>,
    pub(super) body_bytes: Option<Spanned<Value>>,
    pub(super) connections: Option<Spanned<usize>>,
    pub(super) streams: Option<Spanned<u32>>,
    pub(super) idle_upstream_connections: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadlinesSource {
    pub(super) head: Option<Spanned<String>>,
    pub(super) idle: Option<Spanned<String>>,
    pub(super) stall: Option<Spanned<String>>,
    pub(super) connect: Option<Spanned<String>>,
    pub(super) first_byte: Option<Spanned<String>>,
    pub(super) upstream_stall: Option<Spanned<String>>,
    pub(super) upstream_idle: Option<Spanned<String>>,
    pub(super) drain: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityHeadersSource {
    pub(super) key_id: Option<Spanned<String>>,
    pub(super) organization_id: Option<Spanned<String>>,
    pub(super) permissions: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamSource {
    pub(super) name: Spanned<String>,
    pub(super) url: Spanned<String>,
    #[serde(default)]
    pub(super) preserve_host: bool,
    pub(super) credential: Option<CredentialSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialSource {
    pub(super) header: Option<Spanned<String>>,
    pub(super) prefix: Option<Spanned<String>>,
    pub(super) from: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiSource {
    pub(super) name: Spanned<String>,
    pub(super) profile: Option<Spanned<String>>,
    pub(super) hosts: Option<Vec<Spanned<String>>>,
    pub(super) prefixes: Option<Vec<Spanned<String>>>,
    pub(super) upstream: Option<Spanned<String>>,
    pub(super) https: Option<Https>,
    pub(super) ask_for_usage: Option<bool>,
    #[serde(default)]
    pub(super) limits: Vec<Spanned<LimitSource>>,
    #[serde(default)]
    pub(super) routes: Vec<Spanned<RouteSource>>,
}
