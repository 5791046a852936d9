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
