//! Where a server is, and a connection to it: TLS by the system's authorities or a named one, in the clear to loopback only.

use std::{net::IpAddr, path::Path, str::FromStr, sync::Arc, time::Duration};

use anyhow::Context as _;
use http::{Uri, uri::Scheme};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::RemoteError;

/// For a connection with its handshakes.
pub(super) const CONNECTING: Duration = Duration::from_secs(10);

/// The address of a server: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    https: bool,
    host: String,
    port: u16,
}

impl Server {
    /// Whether it is reached through TLS.
    pub const fn is_https(&self) -> bool {
        self.https
    }

    fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Host and port, as requests name them.
    pub fn authority(&self) -> String {
        match (self.https, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Server {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let wrong = |remedy: &str| RemoteError::Address {
            address: text.to_owned(),
            remedy: remedy.to_owned(),
        };
        let shape = "write it like https://keys.example.com, with a port where it needs one";
        let uri: Uri = text.parse().map_err(|_| wrong(shape))?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong(shape)),
        };
        let host = uri.host().unwrap_or_default();
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if host.is_empty() || !plain || uri.query().is_some() || !matches!(uri.path(), "" | "/") {
            return Err(wrong(shape));
        }
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let server = Self { https, host: host.to_lowercase(), port };
        if !https && !server.is_loopback() {
            return Err(wrong(
                "passwords and keys go in the clear over http; use https, or an address of this machine",
            ));
        }
        Ok(server)
    }
}

/// What bytes go over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Whom connections trust: the system's authorities and those in `ca`.
pub(super) fn trust(ca: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let wrong = || format!("the authority's certificate {} cannot be read", path.display());
        for certificate in CertificateDer::pem_file_iter(path).with_context(wrong)? {
            roots.add(certificate.with_context(wrong)?).with_context(wrong)?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Connects, with a bound on how long it takes. The error is what happened, in words.
pub(super) async fn connect(
    server: &Server,
    trust: Option<Arc<ClientConfig>>,
) -> Result<Box<dyn Stream>, String> {
    let connecting = async {
        let host = server.host.trim_matches(['[', ']']);
        let stream =
            TcpStream::connect((host, server.port)).await.map_err(|error| in_words(&error))?;
        let _ = stream.set_nodelay(true);
        let Some(trust) = trust else { return Ok(Box::new(stream) as Box<dyn Stream>) };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(trust)
            .connect(name, stream)
            .await
            .map_err(|error| in_words(&error))?;
        Ok(Box::new(stream) as Box<dyn Stream>)
    };
    let connected = tokio::time::timeout(CONNECTING, connecting).await;
    connected.unwrap_or_else(|_| Err(format!("no connection within {} s", CONNECTING.as_secs())))
}

fn in_words(error: &std::io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port() {
        for (text, shown) in [
            ("https://keys.example.com", "https://keys.example.com"),
            ("https://Keys.Example.com:443/", "https://keys.example.com"),
            ("https://keys.example.com:8443", "https://keys.example.com:8443"),
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("http://localhost:8081", "http://localhost:8081"),
            ("http://[::1]:8081", "http://[::1]:8081"),
        ] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_would_go_in_the_clear_or_elsewhere_is_refused() {
        for text in [
            "",
            "keys.example.com",
            "ftp://keys.example.com",
            "http://keys.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "https://user:secret@keys.example.com",
            "https://keys.example.com/v1",
            "https://keys.example.com/?a=b",
            "https://",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }
}
