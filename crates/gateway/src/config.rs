//! What the gateway can be told. Units stand in the names or types; every default is one a stranger can run with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How the gateway is started.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where it listens. Fixed for the life of the process.
    pub listeners: Vec<ListenerConfig>,
    /// Threads, each with its own runtime, listener socket and upstream connections; 0 for one a core.
    pub workers: usize,
    /// What may change while it runs.
    pub settings: Settings,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key; without them it listens in the clear.
    pub tls: Option<TlsFiles>,
}

/// PEM files. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What may change while the gateway runs; a reload swaps it as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// Bounds on sizes and counts.
    pub limits: Limits,
    /// Bounds on time.
    pub deadlines: Deadlines,
    /// Headers that tell the upstream who calls.
    pub identity: IdentityHeaders,
    /// Peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<keyward_core::network::Network>,
    /// Upstream TLS: certificate authorities to trust beside the system's (PEM).
    pub upstream_ca: Option<PathBuf>,
    /// Whether every request is logged as a line.
    pub log_requests: bool,
}

/// Bounds on sizes and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head: 431 beyond.
    pub head_bytes: usize,
    /// Bytes of a request target: 414 beyond.
    pub uri_bytes: usize,
    /// Headers of a request: 431 beyond.
    pub headers: usize,
    /// Bytes of a body that is read to decide on (routes with body bindings): 413 beyond.
    pub decided_body_bytes: usize,
    /// Bytes of any request body, unless its route says otherwise; `None` for no bound: 413 beyond.
    pub body_bytes: Option<u64>,
    /// Client connections at once; further ones are closed.
    pub connections: usize,
    /// HTTP/2 streams at once on a connection.
    pub streams: u32,
    /// Idle upstream connections kept per thread and upstream, as long as they are needed now and then
    /// ([`Deadlines::upstream_idle`]).
    pub idle_upstream_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            uri_bytes: 8 * 1024,
            headers: 100,
            decided_body_bytes: 10 * 1024 * 1024,
            body_bytes: None,
            connections: 16_384,
            streams: 128,
            idle_upstream_connections: 4096,
        }
    }
}

/// Bounds on time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a TLS handshake, and for a request head from its first byte to its last: 408 beyond.
    pub head: Duration,
    /// For a connection between requests: closed beyond.
    pub idle: Duration,
    /// Between two pieces of a request body, and for a client to take a piece of an answer: closed beyond.
    pub stall: Duration,
    /// To connect to an upstream: 504 beyond.
    pub connect: Duration,
    /// From the request sent to the first byte of the upstream's answer: 504 beyond.
    pub first_byte: Duration,
    /// Between two pieces of an upstream's answer: broken off beyond.
    pub upstream_stall: Duration,
    /// How long a connection to an upstream is kept that no request needs: closed beyond, before twice as long.
    pub upstream_idle: Duration,
    /// For requests in flight when the process is asked to stop.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            connect: Duration::from_secs(5),
            // Language models think for minutes before the first byte of an answer that is not streamed.
            first_byte: Duration::from_secs(600),
            upstream_stall: Duration::from_secs(300),
            upstream_idle: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

/// Headers that tell the upstream who calls; `None` sends none. What clients send under these names never passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The key's id.
    pub key_id: Option<String>,
    /// The organization's id.
    pub organization_id: Option<String>,
    /// The key's permissions, implied ones included, with commas between them.
    pub permissions: Option<String>,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self {
            key_id: Some("X-Keyward-Key-Id".to_owned()),
            organization_id: Some("X-Keyward-Organization-Id".to_owned()),
            permissions: Some("X-Keyward-Permissions".to_owned()),
        }
    }
}
