//! The listener, by real sockets: slow clients, large bodies, many connections, panics, and the end.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::*;
use crate::http::{Listener, Server};

struct Listened {
    server: Server,
    _world: World,
}

async fn listen(bounds: Bounds) -> Listened {
    let world = World::new().await;
    let clock: Clock = Arc::new(|| NOW);
    let management = Management::new(world.fixture.control(), clock, Terms { sign_up: true });
    let management = management.reached_by(Access::default(), bounds);
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(Listener { address, tls: None }, None, management).unwrap();
    Listened { server, _world: world }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    // So that a promise that is not kept fails rather than hangs.
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// All that comes until the connection is closed.
fn to_the_end(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("not closed: {error}"),
    }
    String::from_utf8(bytes).unwrap()
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    to_the_end(&mut stream)
}

/// Status and problem, which says the same request id as the header.
fn problem(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    let status = head[9..12].parse().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let id = format!("x-request-id: {}", text(&body, "/request_id"));
    assert!(head.contains(&id), "{head}\n{body}");
    assert_eq!(body["status"], status);
    (status, body)
}

const CLOSE: &str = "Host: localhost\r\nConnection: close\r\n";

#[tokio::test]
async fn every_refusal_is_a_problem_with_its_requests_id() {
    let bounds = Bounds { body_bytes: 1000, ..Bounds::default() };
    let listened = listen(bounds).await;
    let address = listened.server.address();
    let large = "x".repeat(5000);
    let json = "Content-Type: application/json\r\n";
    for (request, status, code) in [
        (format!("GET /v1/nothing HTTP/1.1\r\n{CLOSE}\r\n"), 404, "not_found"),
        (format!("GET / HTTP/1.1\r\n{CLOSE}\r\n"), 404, "not_found"),
        (format!("PATCH /v1/account HTTP/1.1\r\n{CLOSE}\r\n"), 405, "method_not_allowed"),
        (format!("GET /v1/account HTTP/1.1\r\n{CLOSE}\r\n"), 401, "unauthenticated"),
        (
            format!(
                "POST /v1/sessions HTTP/1.1\r\n{CLOSE}{json}Content-Length: 5000\r\n\r\n{large}"
            ),
            413,
            "too_large",
        ),
        (
            format!("POST /v1/nothing HTTP/1.1\r\n{CLOSE}Content-Length: 5000\r\n\r\n{large}"),
            413,
            "too_large",
        ),
        (
            format!(
                "POST /v1/sessions HTTP/1.1\r\n{CLOSE}{json}Transfer-Encoding: chunked\r\n\r\n1388\r\n{large}\r\n0\r\n\r\n"
            ),
            413,
            "too_large",
        ),
        (
            format!(
                "POST /v1/sessions HTTP/1.1\r\n{CLOSE}{json}Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n"
            ),
            413,
            "too_large",
        ),
        (
            format!("POST /v1/sessions HTTP/1.1\r\n{CLOSE}Content-Length: 2\r\n\r\n{{}}"),
            415,
            "unsupported_media_type",
        ),
        (format!("GET /v1/keys/%ff HTTP/1.1\r\n{CLOSE}\r\n"), 401, "unauthenticated"),
    ] {
        let (told, body) = problem(&ask(address, &request));
        assert_eq!((told, body["code"].as_str()), (status, Some(code)), "{request:.100}");
    }
    // A body at the bound is read.
    let rest = 1000 - r#"{"email":""}"#.len();
    let body = format!(r#"{{"email":"{}"}}"#, "x".repeat(rest));
    let request =
        format!("POST /v1/sessions HTTP/1.1\r\n{CLOSE}{json}Content-Length: 1000\r\n\r\n{body}");
    assert_eq!(problem(&ask(address, &request)).0, 400);
    let (_, answer) = problem(&ask(
        address,
        &format!("POST /v1/sessions HTTP/1.1\r\n{CLOSE}{json}Content-Length: 1001\r\n\r\n{body} "),
    ));
    assert_eq!(answer["code"], "too_large");
}

#[tokio::test]
async fn slow_clients_meet_deadlines() {
    let (head, short) = (Duration::from_secs(1), Duration::from_millis(300));
    let bounds = Bounds { head, body: short, stall: short, ..Bounds::default() };
    let listened = listen(bounds).await;
    let address = listened.server.address();
    // Nothing, half a head, a head that never ends, and a connection that rests too long after an answer.
    for sent in ["", "GET /v1/acc", "GET /v1/account HTTP/1.1\r\nHost: localhost\r\n"] {
        let answer = ask(address, sent);
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let rests = ask(address, "GET /v1/account HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(rests.starts_with("HTTP/1.1 401"), "{rests}");
    // Half a body, one declared and one in pieces.
    for framing in ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
    {
        let request = format!("POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n{framing}");
        let (status, body) = problem(&ask(address, &request));
        assert_eq!((status, body["code"].as_str()), (408, Some("too_slow")), "{framing}");
    }
    // Whoever asks and asks and takes nothing is closed: the bytes cannot be sent at last.
    let mut greedy = connect(address);
    let request = "GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let closed = (0..100_000).find_map(|_| greedy.write_all(request.as_bytes()).err());
    let kind = closed.expect("it was closed").kind();
    assert!(
        matches!(kind, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
        "{kind:?}"
    );
}

#[tokio::test]
async fn connections_are_capped_and_one_neighbourhood_gets_a_quarter_of_them() {
    let bounds = Bounds { connections: 8, ..Bounds::default() };
    let listened = listen(bounds).await;
    let address = listened.server.address();
    let get = "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answers = |stream: &mut TcpStream| {
        // It may be closed while it is written to.
        let _ = stream.write_all(get.as_bytes());
        let mut byte = [0];
        matches!(stream.read(&mut byte), Ok(1))
    };
    let (mut one, mut two, mut three) = (connect(address), connect(address), connect(address));
    assert!(answers(&mut one) && answers(&mut two));
    assert!(!answers(&mut three), "two of eight");
    drop((one, two));
    let mut again = std::iter::repeat_with(|| connect(address)).take(1000);
    assert!(again.any(|mut stream| answers(&mut stream)), "places become free");
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing_of_it() {
    let world = World::new().await;
    let clock: Clock = Arc::new(|| NOW);
    let management = Management::new(world.fixture.control(), clock, Terms::default());
    let broken = Router::new().route("/broken", axum::routing::get(broken));
    let router = crate::http::guarded(broken, management);
    let request = Request::get("/broken").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (body["code"].as_str(), body["request_id"].as_str()),
        (Some("internal"), Some(&*id))
    );
    assert!(!body.to_string().contains("s3cret"));
}

async fn broken() -> StatusCode {
    panic!("with s3cret inside")
}

#[tokio::test]
async fn requests_in_flight_end_when_it_is_asked_to_stop() {
    let listened = listen(Bounds::default()).await;
    let address = listened.server.address();
    let mut stream = connect(address);
    let mut idle = connect(address);
    let body = r#"{"email":"a@b.c","password":"x"}"#;
    let head = format!(
        "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 25];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100 Continue\r\n\r\n", "it is being read");
    let server = listened.server;
    let stopping = std::thread::spawn(move || server.stop());
    assert_eq!(to_the_end(&mut idle), "", "a connection without a request is closed");
    stream.write_all(body.as_bytes()).unwrap();
    assert_eq!(problem(&to_the_end(&mut stream)).0, 401);
    stopping.join().unwrap();
    assert!(TcpStream::connect(address).is_err());
}
