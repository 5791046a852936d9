//! Listeners and the gateway's settings.

use std::{net::SocketAddr, time::Duration};

use http::HeaderName;
use keyward_core::{
    network::{Network, NotANetwork},
    profile::ProfileError,
};
use keyward_gateway::{
    Deadlines, GatewayConfig, IdentityHeaders, Limits, ListenerConfig, Settings, TlsFiles,
};
use toml::{Spanned, Value};

use super::{
    OFF, Reader,
    source::{DeadlinesSource, GatewaySource, IdentityHeadersSource, LimitsSource, ListenerSource},
    units,
};

/// Where it listens if nothing is said: in the clear, so only for this machine.
pub(super) const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
/// The word for a body of any size.
const UNLIMITED: &str = "unlimited";
const SMALLEST_HEAD: usize = 1024;
const LARGEST_HEAD: usize = 1024 * 1024;
/// The gateway looks at its deadlines every 100 ms.
const SHORTEST: Duration = Duration::from_millis(100);

/// Headers that mean something else to servers: telling an upstream in one of them who calls would break the request.
const TAKEN_HEADERS: [&str; 11] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn compile(
    reader: &Reader,
    source: GatewaySource,
    listeners: Option<Vec<Spanned<ListenerSource>>>,
) -> Result<GatewayConfig, ProfileError> {
    let trusted_proxies = source.trusted_proxies.unwrap_or_default();
    let trusted_proxies = trusted_proxies.iter().map(|network| trusted_proxy(reader, network));
    let upstream_ca = match &source.upstream_ca {
        Some(file) if file.get_ref() == OFF => None,
        Some(file) => Some(reader.existing_file(file, "the certificates (PEM)")?),
        None => None,
    };
    let workers = source.workers.map_or(Ok(0), |workers| match *workers.get_ref() {
        count @ 0..=1024 => Ok(count),
        count => Err(reader.wrong(
            &workers,
            format!("{count} workers are more than any machine has cores"),
            "write 0 for one a core",
        )),
    })?;
    let defaults = Settings::default();
    Ok(GatewayConfig {
        listeners: listeners_of(reader, listeners)?,
        workers,
        settings: Settings {
            limits: limits(reader, &source.limits)?,
            deadlines: deadlines(reader, source.deadlines)?,
            identity: identity(reader, source.identity_headers)?,
            trusted_proxies: trusted_proxies.collect::<Result<_, _>>()?,
            upstream_ca,
            log_requests: source.log_requests.unwrap_or(defaults.log_requests),
        },
    })
}

/// A network of proxies that are believed.
pub(super) fn trusted_proxy(
    reader: &Reader,
    network: &Spanned<String>,
) -> Result<Network, ProfileError> {
    let parsed: Result<Network, NotANetwork> = network.get_ref().parse();
    let parsed = parsed.map_err(|error| {
        let problem = format!("`{}` is not a network", network.get_ref());
        reader.wrong(network, problem, remedy_of(&error.to_string()))
    })?;
    if parsed.to_string().ends_with("/0") {
        return Err(reader.wrong(
            network,
            format!(
                "`{}` is everybody: anyone could then claim any address, and HTTPS",
                network.get_ref()
            ),
            "name the networks that only your own proxies are in",
        ));
    }
    Ok(parsed)
}

/// What an error of the core says would be right.
fn remedy_of(message: &str) -> String {
    message.split_once(": ").map_or(message, |(_, remedy)| remedy).to_owned()
}

fn listeners_of(
    reader: &Reader,
    sources: Option<Vec<Spanned<ListenerSource>>>,
) -> Result<Vec<ListenerConfig>, ProfileError> {
    let Some(sources) = sources else {
        return Ok(vec![ListenerConfig { address: DEFAULT_ADDRESS, tls: None }]);
    };
    let mut listeners: Vec<ListenerConfig> = Vec::with_capacity(sources.len());
    for source in &sources {
        let ListenerSource { address: at, tls } = source.get_ref();
        let address: SocketAddr = at.get_ref().parse().map_err(|_| {
            reader.wrong(
                at,
                format!("`{}` is not an address to listen on", at.get_ref()),
                "write an IP address and a port, like \"0.0.0.0:443\" or \"[::]:443\"",
            )
        })?;
        if address.port() != 0 && listeners.iter().any(|other| other.address == address) {
            return Err(reader.wrong(
                at,
                format!("two listeners are on {address}"),
                "give each an address or a port of its own",
            ));
        }
        let tls = match tls {
            Some(tls) => Some(TlsFiles {
                certificate: reader
                    .existing_file(&tls.certificate, "the certificate chain (PEM)")?,
                key: reader.existing_file(&tls.key, "the certificate's private key (PEM)")?,
            }),
            None => None,
        };
        listeners.push(ListenerConfig { address, tls });
    }
    if listeners.is_empty() {
        return Err(reader.wrong_at(
            0..0,
            "`listeners` is empty, so nobody could reach an API",
            "name an address, or leave `listeners` out to listen on 127.0.0.1:8080",
        ));
    }
    Ok(listeners)
}

pub(super) fn size(reader: &Reader, value: &Spanned<Value>) -> Result<u64, ProfileError> {
    let bytes = match value.get_ref() {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::String(text) => units::size(text),
        _ => None,
    };
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
        reader.wrong(value, format!("{} is not a size", value.get_ref()), units::SIZE_REMEDY)
    })
}

fn size_or(
    reader: &Reader,
    value: Option<&Spanned<Value>>,
    default: usize,
) -> Result<usize, ProfileError> {
    let Some(value) = value else { return Ok(default) };
    Ok(usize::try_from(size(reader, value)?).unwrap_or(usize::MAX))
}

pub(super) fn count_or<T: Copy + Default + PartialEq>(
    reader: &Reader,
    value: Option<&Spanned<T>>,
    default: T,
) -> Result<T, ProfileError> {
    match value {
        Some(none) if *none.get_ref() == T::default() => Err(reader.wrong(
            none,
            "0 would refuse every request",
            "write 1 or more, or leave it out for the default",
        )),
        Some(count) => Ok(*count.get_ref()),
        None => Ok(default),
    }
}

fn limits(reader: &Reader, source: &LimitsSource) -> Result<Limits, ProfileError> {
    let default = Limits::default();
    let head_bytes = size_or(reader, source.head_bytes.as_ref(), default.head_bytes)?;
    if let Some(at) = &source.head_bytes
        && !(SMALLEST_HEAD..=LARGEST_HEAD).contains(&head_bytes)
    {
        let problem = format!("a request head of {head_bytes} bytes is no sound bound");
        return Err(reader.wrong(at, problem, "write 1 KiB to 1 MiB"));
    }
    let uri_bytes = size_or(reader, source.uri_bytes.as_ref(), default.uri_bytes.min(head_bytes))?;
    if let Some(at) = &source.uri_bytes
        && uri_bytes > head_bytes
    {
        let problem =
            format!("{uri_bytes} bytes of a request target never fit in a head of {head_bytes}");
        return Err(reader.wrong(at, problem, "lower `uri_bytes` or raise `head_bytes`"));
    }
    let body_bytes = match &source.body_bytes {
        Some(text) if text.get_ref().as_str() == Some(UNLIMITED) => None,
        Some(value) => Some(size(reader, value)?),
        None => default.body_bytes,
    };
    Ok(Limits {
        head_bytes,
        uri_bytes,
        headers: count_or(reader, source.headers.as_ref(), default.headers)?,
        decided_body_bytes: size_or(
            reader,
            source.decided_body_bytes.as_ref(),
            default.decided_body_bytes,
        )?,
        body_bytes,
        connections: count_or(reader, source.connections.as_ref(), default.connections)?,
        streams: count_or(reader, source.streams.as_ref(), default.streams)?,
        idle_upstream_connections: source
            .idle_upstream_connections
            .unwrap_or(default.idle_upstream_connections),
    })
}

fn deadlines(reader: &Reader, source: DeadlinesSource) -> Result<Deadlines, ProfileError> {
    let default = Deadlines::default();
    let at_least = |text: Option<Spanned<String>>, shortest: Duration, default: Duration| {
        let Some(text) = text else { return Ok(default) };
        match reader.duration(&text)? {
            short if short < shortest => Err(reader.wrong(
                &text,
                format!("{} is too short a deadline", text.get_ref()),
                "write 100ms or more",
            )),
            long => Ok(long),
        }
    };
    Ok(Deadlines {
        head: at_least(source.head, SHORTEST, default.head)?,
        idle: at_least(source.idle, SHORTEST, default.idle)?,
        stall: at_least(source.stall, SHORTEST, default.stall)?,
        connect: at_least(source.connect, SHORTEST, default.connect)?,
        first_byte: at_least(source.first_byte, SHORTEST, default.first_byte)?,
        upstream_stall: at_least(source.upstream_stall, SHORTEST, default.upstream_stall)?,
        upstream_idle: at_least(source.upstream_idle, SHORTEST, default.upstream_idle)?,
        drain: at_least(source.drain, Duration::ZERO, default.drain)?,
    })
}

fn identity(
    reader: &Reader,
    source: IdentityHeadersSource,
) -> Result<IdentityHeaders, ProfileError> {
    let default = IdentityHeaders::default();
    let header = |name: Option<Spanned<String>>, default: Option<String>| {
        let Some(name) = name else { return Ok(default) };
        if name.get_ref() == OFF {
            return Ok(None);
        }
        header_name(reader, &name)?;
        if TAKEN_HEADERS.contains(&&*name.get_ref().to_ascii_lowercase()) {
            return Err(reader.wrong(
                &name,
                format!("the header `{}` means something else", name.get_ref()),
                "choose a name that nothing uses, like X-Keyward-Key-Id",
            ));
        }
        Ok(Some(name.into_inner()))
    };
    let at = source.permissions.as_ref().or(source.organization_id.as_ref()).map(Spanned::span);
    let identity = IdentityHeaders {
        key_id: header(source.key_id, default.key_id)?,
        organization_id: header(source.organization_id, default.organization_id)?,
        permissions: header(source.permissions, default.permissions)?,
    };
    let names: Vec<String> = [&identity.key_id, &identity.organization_id, &identity.permissions]
        .into_iter()
        .flatten()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    let twice =
        names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|n| n == *name));
    match twice {
        Some((_, name)) => Err(reader.wrong_at(
            at.unwrap_or_default(),
            format!("two identity headers are called `{name}`"),
            "give each a name of its own",
        )),
        None => Ok(identity),
    }
}

/// A header's name without underscores: servers that take `_` for `-` would let clients forge it.
pub(super) fn header_name(
    reader: &Reader,
    name: &Spanned<String>,
) -> Result<HeaderName, ProfileError> {
    match HeaderName::try_from(name.get_ref()) {
        Ok(header) if !name.get_ref().contains('_') => Ok(header),
        _ => Err(reader.wrong(
            name,
            format!("`{}` is not a header's name", name.get_ref()),
            "use letters, digits and `-`",
        )),
    }
}
