//! Requests and their answers: JSON and rows, problems as errors, a bound on time and size.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
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

/// For an answer to rows, which are read one by one.
const CARRYING: Duration = Duration::from_secs(600);

/// A request to be made.
struct Ask {
    method: Method,
    target: String,
    media_type: Option<&'static str>,
    body: Bytes,
    /// The revision that was seen.
    seen: Option<u64>,
    within: Duration,
}

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
        self.json(Method::GET, &with_query(path, query), None::<&()>).await
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

    /// The same for a change: with `seen`, only to a thing that stands at this revision.
    pub async fn change<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        seen: Option<u64>,
    ) -> Result<T, RemoteError> {
        let mut ask = self.ask(Method::PATCH, path, Some(body))?;
        ask.seen = seen;
        let (status, body) = self.answer(ask).await?;
        serde_json::from_slice(&body).map_err(|_| self.foreign(status))
    }

    /// The same, where nothing comes of it but that it is done.
    pub async fn tell(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(), RemoteError> {
        self.answer(self.ask(method, path, body)?).await.map(|_| ())
    }

    /// Sends rows, and reads what came of them. They may be many, and each may take a while.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
        media_type: &'static str,
        rows: Bytes,
    ) -> Result<T, RemoteError> {
        let mut ask = self.ask(Method::POST, &with_query(path, query), None::<&()>)?;
        (ask.media_type, ask.body, ask.within) = (Some(media_type), rows, CARRYING);
        let (status, body) = self.answer(ask).await?;
        serde_json::from_slice(&body).map_err(|_| self.foreign(status))
    }

    /// Reads an answer that may be long, and hands it on as it comes. One that breaks off is an error.
    pub async fn download(
        &self,
        path: &str,
        query: &impl Serialize,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let ask = self.ask(Method::GET, &with_query(path, query), None::<&()>)?;
        let request = self.request(ask)?;
        let began = self.within(ANSWERING, self.begin(request)).await?;
        let (head, mut body) = began.into_parts();
        if !head.status.is_success() {
            let body = self.within(ANSWERING, whole(body)).await?;
            return Err(self.refused(head.status, &body).into());
        }
        loop {
            let next = async { Ok(body.frame().await) };
            let Some(frame) = self.within(ANSWERING, next).await? else { return Ok(()) };
            let frame = frame.map_err(|error| self.unreachable(broke_off(&error)))?;
            if let Some(bytes) = frame.data_ref() {
                take(bytes)?;
            }
        }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, RemoteError> {
        let (status, body) = self.answer(self.ask(method, target, body)?).await?;
        serde_json::from_slice(&body).map_err(|_| self.foreign(status))
    }

    /// A success's status and body.
    async fn answer(&self, ask: Ask) -> Result<(StatusCode, Bytes), RemoteError> {
        let within = ask.within;
        let request = self.request(ask)?;
        let exchange = async {
            let (head, body) = self.begin(request).await?.into_parts();
            Ok((head.status, whole(body).await?))
        };
        let (status, body) = self.within(within, exchange).await?;
        if status.is_success() {
            return Ok((status, body));
        }
        Err(self.refused(status, &body))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> RemoteError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(_) if status == StatusCode::UNAUTHORIZED && self.token.is_some() => {
                RemoteError::LoggedOut { server: self.server.to_string() }
            }
            Ok(problem) => RemoteError::Refused(problem),
            Err(_) => self.foreign(status),
        }
    }

    async fn within<T>(
        &self,
        time: Duration,
        done: impl Future<Output = Result<T, String>>,
    ) -> Result<T, RemoteError> {
        let done = tokio::time::timeout(time, done).await;
        let done =
            done.unwrap_or_else(|_| Err(format!("nothing came within {} s", time.as_secs())));
        done.map_err(|cause| self.unreachable(cause))
    }

    fn ask(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Ask, RemoteError> {
        let written = body.map(serde_json::to_vec).transpose();
        let written = written.map_err(|error| self.unreachable(error.to_string()))?;
        Ok(Ask {
            method,
            target: target.to_owned(),
            media_type: written.is_some().then_some("application/json"),
            body: written.map(Bytes::from).unwrap_or_default(),
            seen: None,
            within: ANSWERING,
        })
    }

    fn request(&self, ask: Ask) -> Result<Request<Full<Bytes>>, RemoteError> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.target)
            .header(header::HOST, self.server.authority())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*");
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose());
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if let Some(media_type) = ask.media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        if let Some(seen) = ask.seen {
            request = request.header(header::IF_MATCH, format!("\"{seen}\""));
        }
        // What a header cannot hold is no login of any server's.
        let unsendable = || RemoteError::LoggedOut { server: self.server.to_string() };
        request.body(Full::new(ask.body)).map_err(|_| unsendable())
    }

    async fn begin(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let mut open = self.open.lock().await;
        if open.as_mut().is_none_or(|open| !open.is_ready()) {
            *open = Some(self.connect().await?);
        }
        let Some(sender) = open.as_mut() else { return Err("no connection".to_owned()) };
        sender.send_request(request).await.map_err(|error| error.to_string())
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

/// What of the query is `None` is left out.
pub(crate) fn with_query(path: &str, query: &impl Serialize) -> String {
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

async fn whole(body: Incoming) -> Result<Bytes, String> {
    let body = Limited::new(body, LONGEST_ANSWER).collect().await;
    body.map(Collected::to_bytes).map_err(|error| broke_off(&*error))
}

fn broke_off(error: &(dyn std::error::Error + 'static)) -> String {
    format!("the answer broke off ({error})")
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
