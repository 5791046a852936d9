//! Frames that cost a client nothing are counted, and whoever sends too many is sent away; the others notice nothing.

use crate::world::{
    World,
    http2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, RST_STREAM, block,
    },
    message::ok,
    millis,
    upstream::Upstream,
};

fn fields(bearer: &str) -> [(&'static str, &str); 5] {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "bearer.test"),
        (":path", "/v1/x"),
        ("authorization", bearer),
    ]
}

/// Sends until the gateway has had enough; gives how it said so.
async fn until_sent_away(
    world: &World,
    mut send: impl AsyncFnMut(&mut Frames, u32) -> bool,
) -> Outcome {
    let (mut frames, mut reader) = Frames::connect(world.address).await.split();
    let flood = async {
        for n in 0..200_000 {
            if !send(&mut frames, n).await {
                // It has hung up: what it said before is still to be read.
                std::future::pending::<()>().await;
            }
        }
    };
    let outcome = async {
        loop {
            match reader.any().await {
                Outcome::GoAway(code) => return Outcome::GoAway(code),
                Outcome::Closed => return Outcome::Closed,
                _ => {}
            }
        }
    };
    tokio::select! {
        outcome = outcome => outcome,
        () = flood => panic!("it never had enough"),
    }
}

async fn still_serves(world: &World) {
    assert_eq!(world.client().await.ask(world.get("/v1/fine")).await.status(), 200);
}

#[tokio::test]
async fn streams_opened_and_reset_at_once_end_the_connection() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::start(&upstream).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let block = block(&fields(&bearer));
    let outcome = until_sent_away(&world, async |frames, n| {
        frames.try_send(HEADERS, END_HEADERS, 2 * n + 1, &block).await
            && frames.try_send(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes()).await
    })
    .await;
    assert!(matches!(outcome, Outcome::GoAway(11) | Outcome::Closed), "{outcome:?}");
    still_serves(&world).await;
}

#[tokio::test]
async fn headers_continued_for_ever_end_the_connection() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::start(&upstream).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    for piece in [block(&[("x-a", "1")]), Vec::new()] {
        let start = block(&fields(&bearer));
        let outcome = until_sent_away(&world, async |frames, n| {
            let (kind, payload) = if n == 0 { (HEADERS, &start) } else { (CONTINUATION, &piece) };
            frames.try_send(kind, 0, 1, payload).await
        })
        .await;
        assert!(matches!(outcome, Outcome::GoAway(_) | Outcome::Closed), "{outcome:?}");
    }
    assert_eq!(upstream.connections(), 0);
    still_serves(&world).await;
}

#[tokio::test]
async fn empty_frames_without_end_end_the_connection() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::start(&upstream).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let block = block(&fields(&bearer));
    let outcome = until_sent_away(&world, async |frames, n| {
        let (kind, flags, payload) =
            if n == 0 { (HEADERS, END_HEADERS, &block[..]) } else { (DATA, 0, &b""[..]) };
        frames.try_send(kind, flags, 1, payload).await
    })
    .await;
    assert!(matches!(outcome, Outcome::GoAway(_) | Outcome::Closed), "{outcome:?}");
    still_serves(&world).await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_the_others_served() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| setup.settings.limits.streams = 3).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let mut frames = Frames::connect(world.address).await;
    let mut connections = Vec::new();
    for stream in [1, 3, 5] {
        frames.headers(stream, &fields(&bearer), END_STREAM).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connections.push(connection);
    }
    frames.headers(7, &fields(&bearer), END_STREAM).await;
    // REFUSED_STREAM: the client may send it again.
    assert_eq!(frames.outcome(7).await, Outcome::Reset(7));
    for (stream, connection) in [1, 3, 5].into_iter().zip(&mut connections) {
        connection.send(ok("fine")).await;
        assert_eq!(frames.outcome(stream).await, Outcome::Status(200));
    }
}

#[tokio::test]
async fn a_head_of_http2_that_does_not_end_ends_the_connection() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.deadlines.idle = millis(200);
        setup.settings.deadlines.head = millis(200);
    })
    .await;
    let mut frames = Frames::connect(world.address).await;
    frames.send(HEADERS, 0, 1, &block(&[(":method", "GET")])).await;
    assert!(matches!(frames.outcome(1).await, Outcome::GoAway(_) | Outcome::Closed));
}

#[tokio::test]
async fn small_frames_of_an_honest_upload_pass() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let mut frames = Frames::connect(world.address).await;
    frames.headers(1, &fields(&bearer), 0).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    // One by one, as a client that speaks sends them: each has arrived before the next.
    for n in 0..2_000_u32 {
        frames.send(DATA, 0, 1, &n.to_be_bytes()).await;
        assert_eq!(
            crate::world::soon(connection.wire.chunk()).await.unwrap(),
            n.to_be_bytes(),
            "{n}"
        );
    }
    frames.send(DATA, END_STREAM, 1, b"").await;
    connection.wire.chunk().await.unwrap();
    connection.wire.trailers().await.unwrap();
    connection.send(ok("")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
}
