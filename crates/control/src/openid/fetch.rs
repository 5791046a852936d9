//! Calls to providers: one connection each, bounded in time and size. Redirects are not followed, compressed answers not asked for.
//!
//! Addresses come from the operator, and from what the operator's issuer says of itself; all are https, except on this machine.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, Request, Uri, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
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
use zeroize::Zeroizing;

use super::{OpenIdError, Provider};
use crate::http::is_loopback;

/// For one call, from the look-up of a name to the last byte.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const LONGEST_ANSWER: usize = 512 * 1024;

/// One call.
pub(super) struct Call<'c> {
    pub(super) method: Method,
    pub(super) url: &'c str,
    pub(super) authorization: Option<Zeroizing<String>>,
    /// A form.
    pub(super) body: Option<Zeroizing<String>>,
}

impl<'c> Call<'c> {
    pub(super) const fn get(url: &'c str) -> Self {
        Self { method: Method::GET, url, authorization: None, body: None }
    }
}

/// `Authorization: Basic`, with both parts as forms write them (RFC 6749, 2.3.1).
pub(super) fn basic(id: &str, secret: &str) -> Zeroizing<String> {
    let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let secret = Zeroizing::new(form(secret));
    let pair = Zeroizing::new(format!("{}:{}", form(id), *secret));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// Whether an address may be called: https, or this machine.
pub(super) fn is_callable(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => is_loopback(host),
        _ => false,
    }
}

/// Calls one provider.
pub(super) struct Fetcher {
    ca: Option<std::path::PathBuf>,
    tls: OnceCell<TlsConnector>,
}

impl Fetcher {
    pub(super) fn new(provider: &Provider) -> Self {
        Self { ca: provider.ca.clone(), tls: OnceCell::new() }
    }

    /// The status, and the body of at most half a MiB.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<(u16, Bytes), OpenIdError> {
        let host = call.url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        let host = host.unwrap_or_default();
        let failed = |problem: String| {
            tracing::warn!(host, problem, "a provider of logins could not be asked");
            OpenIdError::Unreachable(problem)
        };
        match timeout(DEADLINE, self.unbounded(call)).await {
            Ok(answered) => answered.map_err(failed),
            Err(_) => Err(failed("it did not answer in time".to_owned())),
        }
    }

    async fn unbounded(&self, call: Call<'_>) -> Result<(u16, Bytes), String> {
        if !is_callable(call.url) {
            return Err("its address is not https".to_owned());
        }
        let uri: Uri = call.url.parse().map_err(|_| "its address is none".to_owned())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let request = request(call, &uri)?;
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|e| e.to_string())?;
        if !tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(host).map_err(|_| "its host is no name".to_owned())?;
        let stream = self.tls().await?.connect(name, stream).await.map_err(|e| e.to_string())?;
        exchange(stream, request).await
    }

    async fn tls(&self) -> Result<&TlsConnector, String> {
        let ca = self.ca.clone();
        let trust = || async {
            let made = tokio::task::spawn_blocking(move || trust(ca.as_deref())).await;
            made.map_err(|_| "this Keyward is ending".to_owned())?
        };
        self.tls.get_or_try_init(trust).await
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
    if let Some(authorization) = &call.authorization {
        let value = HeaderValue::from_str(authorization);
        let mut value = value.map_err(|_| "its credential cannot be sent".to_owned())?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let body = match call.body {
        Some(form) => {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            Body::from(form.as_bytes().to_vec())
        }
        None => Body::empty(),
    };
    request.body(body).map_err(|_| "it cannot be asked with this".to_owned())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Body>,
) -> Result<(u16, Bytes), String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
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

    #[test]
    fn a_secret_with_any_character_is_sent_as_one() {
        // "a b:" and "c:%" as forms write them.
        assert_eq!(&*basic("a b:", "c:%"), &format!("Basic {}", STANDARD.encode("a+b%3A:c%3A%25")));
    }
}
