//! Requests and their answers: JSON, problems as errors, a bound on time and size.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use keyward_api::{Page, Problem};
use keyward_core::key::Plaintext;
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use super::{
    RemoteError,
    connection::{self, Server},
};

/// For an answer, from the first byte of the request on.
const ANSWERING: Duration = Duration::from_secs(60);
const LONGEST_ANSWER: usize = 64 << 20;
const USER_AGENT: &str = concat!("keyward/", env!("CARGO_PKG_VERSION"));

#[derive(Serialize)]
struct Behind {
    after: Option<String>,
}

/// A server, and as whom it is asked.
pub struct Client {
    server: Server,
    token: Option<Plaintext>,
    trust: Option<Arc<ClientConfig>>,
    open: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// Asks as whoever holds the token, or as nobody. Nothing is sent yet.
    pub fn new(
        server: Server,
        token: Option<Plaintext>,
        ca: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let trust = server.is_https().then(|| connection::trust(ca)).transpose()?;
        Ok(Self { server, token, trust, open: Mutex::new(None) })
    }

    /// Whom it asks.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Reads something. What of the query is `None` is left out.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, RemoteError> {
        let query = serde_urlencoded::to_string(query).unwrap_or_default();
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        self.json(Method::GET, &target, None::<&()>).await
    }

    /// Every item of a list, page after page. `query` makes the query of the page behind an item.
    pub async fn all<T: DeserializeOwned, Q: Serialize>(
        &self,
        path: &str,
        query: impl Fn(Option<String>) -> Q,
    ) -> Result<Vec<T>, RemoteError> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let page: Page<T> = self.get(path, &query(after)).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    /// The same for a list that is narrowed by nothing.
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, RemoteError> {
        self.all(path, |after| Behind { after }).await
    }

    /// Does something that needs no more words than its path.
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        self.json(Method::POST, path, None::<&()>).await
    }

    /// Sends something, and reads what came of it.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        self.json(method, path, Some(body)).await
    }

    /// The same, where nothing comes of it but that it is done.
    pub async fn tell(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(), RemoteError> {
        self.answer(method, path, body).await.map(|_| ())
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, RemoteError> {
        let (status, body) = self.answer(method, target, body).await?;
        serde_json::from_slice(&body).map_err(|_| self.foreign(status))
    }

    /// A success's status and body.
    async fn answer(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(StatusCode, Bytes), RemoteError> {
        let request = self.request(method, target, body)?;
        let answered = tokio::time::timeout(ANSWERING, self.exchange(request)).await;
        let answered = answered
            .unwrap_or_else(|_| Err(format!("nothing came within {} s", ANSWERING.as_secs())));
        let (status, body) = answered.map_err(|cause| self.unreachable(cause))?;
        if status.is_success() {
            return Ok((status, body));
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(_) if status == StatusCode::UNAUTHORIZED && self.token.is_some() => {
                Err(RemoteError::LoggedOut { server: self.server.to_string() })
            }
            Ok(problem) => Err(RemoteError::Refused(problem)),
            Err(_) => Err(self.foreign(status)),
        }
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Request<Full<Bytes>>, RemoteError> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.server.authority())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "application/json");
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose());
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let mut bytes = Bytes::new();
        if let Some(body) = body {
            let text = serde_json::to_vec(body).map_err(|e| self.unreachable(e.to_string()))?;
            request = request.header(header::CONTENT_TYPE, "application/json");
            bytes = text.into();
        }
        // What a header cannot hold is no login of any server's.
        let unsendable = || RemoteError::LoggedOut { server: self.server.to_string() };
        request.body(Full::new(bytes)).map_err(|_| unsendable())
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let mut open = self.open.lock().await;
        if open.as_mut().is_none_or(|open| !open.is_ready()) {
            *open = Some(self.connect().await?);
        }
        let Some(sender) = open.as_mut() else { return Err("no connection".to_owned()) };
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| format!("the answer broke off ({error})"))?;
        Ok((head.status, body.to_bytes()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = connection::connect(&self.server, self.trust.clone()).await?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // It ends with the sender; an error of it is the sender's error as well.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn unreachable(&self, cause: String) -> RemoteError {
        RemoteError::Unreachable { server: self.server.to_string(), cause }
    }

    fn foreign(&self, status: StatusCode) -> RemoteError {
        RemoteError::Foreign { server: self.server.to_string(), status: status.as_u16() }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A server with a certificate for `localhost` that answers every request on a connection with `answer`; and its authority.
    async fn server(answer: &'static str) -> (SocketAddr, String) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        (address, authority.pem())
    }

    async fn ask(client: &Client) -> Result<Vec<String>, RemoteError> {
        client.list("/v1/things").await
    }

    fn client(address: SocketAddr, ca: Option<&Path>) -> Client {
        let server = format!("https://localhost:{}", address.port()).parse().unwrap();
        Client::new(server, Some(Plaintext::new("kwses_x".to_owned())), ca).unwrap()
    }

    #[tokio::test]
    async fn a_server_is_asked_only_where_its_certificate_is_trusted() {
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"items\":[\"a\"],\"next\":null}";
        let (address, authority) = server(answer).await;
        let stranger = client(address, None);
        assert!(matches!(ask(&stranger).await, Err(RemoteError::Unreachable { .. })));
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority).unwrap();
        let trusting = client(address, Some(&file));
        for _ in 0..2 {
            assert_eq!(ask(&trusting).await.unwrap(), ["a"]);
        }
        let nothing = folder.path().join("none.pem");
        let server = "https://localhost".parse().unwrap();
        assert!(Client::new(server, None, Some(&nothing)).is_err());
    }

    #[tokio::test]
    async fn what_answers_like_something_else_is_told_so() {
        let answer = "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example\r\nContent-Length: 0\r\n\r\n";
        let (address, authority) = server(answer).await;
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority).unwrap();
        let asked = ask(&client(address, Some(&file))).await;
        assert!(matches!(asked, Err(RemoteError::Foreign { status: 302, .. })));
    }
}
