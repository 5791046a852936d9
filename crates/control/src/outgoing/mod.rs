//! Calls to others: one connection each, bounded in time and size. Redirects are not followed, compressed answers not asked for.
//!
//! Two kinds of addresses are called. What the operator configured (a provider of logins) may be anywhere. What somebody with an
//! organization wrote down (a webhook) is guarded: see [`guard`].

pub(crate) mod guard;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, Method, Request, Uri, header},
};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use self::guard::Guard;
use crate::http::is_loopback;

/// A head of an answer is read up to so many bytes.
const LONGEST_HEAD: usize = 32 * 1024;

/// One call.
pub(crate) struct Call<'c> {
    pub(crate) method: Method,
    pub(crate) url: &'c str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

/// Where may be called.
pub(crate) enum Reach {
    /// Everywhere by https, and this machine.
    Anywhere,
    /// Where the guard lets through.
    Guarded(Guard),
}

/// What calls. Certificates to trust are read when they are first needed.
pub(crate) struct Outgoing {
    pub(crate) reach: Reach,
    /// Certificate authorities (PEM) to trust beside the system's.
    pub(crate) ca: Option<PathBuf>,
    /// For one call, from the look-up of a name to the last byte.
    pub(crate) deadline: Duration,
    /// Bytes of an answer's body; with 0 it is not read at all.
    pub(crate) longest_answer: usize,
    tls: OnceCell<TlsConnector>,
}

/// Whether an address may be called that the operator configured: https, or this machine.
pub(crate) fn is_callable(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => is_loopback(host),
        _ => false,
    }
}

impl Outgoing {
    pub(crate) fn new(
        reach: Reach,
        ca: Option<PathBuf>,
        deadline: Duration,
        longest_answer: usize,
    ) -> Self {
        Self { reach, ca, deadline, longest_answer, tls: OnceCell::new() }
    }

    /// The status, and the body. What went wrong is told in words, without the address.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<(u16, Bytes), String> {
        match timeout(self.deadline, self.unbounded(call)).await {
            Ok(answered) => answered,
            Err(_) => Err("it did not answer in time".to_owned()),
        }
    }

    async fn unbounded(&self, call: Call<'_>) -> Result<(u16, Bytes), String> {
        let uri: Uri = call.url.parse().map_err(|_| "its address is none".to_owned())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let stream = match &self.reach {
            Reach::Anywhere if !is_callable(call.url) => {
                return Err("its address is not https".to_owned());
            }
            Reach::Anywhere => TcpStream::connect((host.as_str(), port)).await,
            // Looked up once, and connected to exactly what was checked.
            Reach::Guarded(guard) => {
                let found = tokio::net::lookup_host((host.as_str(), port)).await;
                let found: Vec<SocketAddr> = found.map_err(|e| e.to_string())?.collect();
                let allowed = guard.allowed(&uri, &found).map_err(|refused| refused.to_string())?;
                TcpStream::connect(allowed.as_slice()).await
            }
        };
        let stream = stream.map_err(|error| error.to_string())?;
        let request = request(call, &uri)?;
        if !tls {
            return self.exchange(stream, request).await;
        }
        let name = ServerName::try_from(host).map_err(|_| "its host is no name".to_owned())?;
        let stream = self.tls().await?.connect(name, stream).await.map_err(|e| e.to_string())?;
        self.exchange(stream, request).await
    }

    async fn tls(&self) -> Result<&TlsConnector, String> {
        let ca = self.ca.clone();
        let trust = || async {
            let made = tokio::task::spawn_blocking(move || trust(ca.as_deref())).await;
            made.map_err(|_| "this Keyward is ending".to_owned())?
        };
        self.tls.get_or_try_init(trust).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Body>,
    ) -> Result<(u16, Bytes), String> {
        let mut client = http1::Builder::new();
        client.max_buf_size(LONGEST_HEAD);
        let shaken = client.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            if self.longest_answer == 0 {
                return Ok((status, Bytes::new()));
            }
            let body = Limited::new(response.into_body(), self.longest_answer).collect().await;
            let body = body.map_err(|_| "its answer broke off or is too long".to_owned())?;
            Ok((status, body.to_bytes()))
        };
        // The connection lives as long as its one answer: whichever ends first, nothing is left running.
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answered = &mut answer => answered,
            _ = connection => answer.await,
        }
    }
}

fn trust(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let wrong = |error: String| format!("{}: {error}", path.display());
        for certificate in
            CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?
        {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn request(call: Call<'_>, uri: &Uri) -> Result<Request<Body>, String> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(call.method)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "keyward");
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    request.body(Body::from(call.body)).map_err(|_| "it cannot be asked with this".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_called_over_tls_except_on_this_machine() {
        for url in
            ["https://a.example/x", "http://127.0.0.1:9/x", "http://[::1]/", "http://localhost/"]
        {
            assert!(is_callable(url), "{url}");
        }
        for url in
            ["http://a.example/", "http://127.0.0.1.example/", "file:///etc/passwd", "/x", ""]
        {
            assert!(!is_callable(url), "{url}");
        }
    }
}
