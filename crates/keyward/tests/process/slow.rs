//! Clients that are slow on purpose: some send a head a byte at a time, some never read their answer. Each meets its deadline, and
//! whoever asks meanwhile is answered.
//!
//! What they cost of memory and of others' time is shown, and asserted only by `cargo xtask bench slow`, which sets
//! `KEYWARD_SLOW_CLIENTS`: a test does not fail because its machine is busy.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use keyward_testkit::{Connection, Keyward, Serve};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
    sync::Semaphore,
    task::JoinSet,
};

use crate::{KEYWARD, accepted, api, bearer, connect, make_key, make_organization};

/// How many there are, unless the bench says otherwise.
const CLIENTS: usize = 1500;
/// Of so many, one never reads.
const ONE_NEVER_READS: usize = 10;
/// For a head, and to take a piece of an answer.
const DEADLINE: Duration = Duration::from_secs(4);
/// Deadlines are looked after a few times a second, and ten thousand answers take a moment to write.
const LATE: Duration = Duration::from_secs(2);
/// Between two bytes of a head.
const PAUSE: Duration = Duration::from_millis(500);
/// Clients that connect at a time: more than a listener keeps waiting would be late by themselves.
const CONNECTING: usize = 256;
/// An answer that does not fit into what two kernels keep for a client that does not read.
const ANSWER: usize = 600_000;
/// Resident memory of one slow client, in kB.
const MOST_MEMORY: f64 = 20.0;
/// 99 of 100 others are answered within this.
const MOST_LATENCY: Duration = Duration::from_millis(50);
/// Long enough for anything here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// How a slow client's connection went.
struct Ended {
    after: Duration,
    /// Where it reads at all, what it was told.
    told: Vec<u8>,
    reads: bool,
}

/// What others saw meanwhile, and what all of it took.
struct Meanwhile {
    latencies: Vec<Duration>,
    /// Resident memory at its most, in kB.
    memory: u64,
}

#[test]
fn slow_clients_meet_their_deadlines_and_others_are_answered_meanwhile() {
    let wanted = std::env::var("KEYWARD_SLOW_CLIENTS").ok();
    let is_bench = wanted.is_some();
    let clients = allowed(wanted.map_or(CLIENTS, |text| text.parse().expect("a number")));
    let upstream = runtime();
    let address = upstream.block_on(listen());
    // It ends with the test's process.
    std::thread::spawn(move || upstream.block_on(std::future::pending::<()>()));
    let deadline = DEADLINE.as_secs();
    let keyward = Serve::new(KEYWARD)
        .settings(&format!(
            "[gateway]\nworkers = 1\n[gateway.deadlines]\nhead = \"{deadline}s\"\nstall = \"{deadline}s\"\n"
        ))
        .api(api(address))
        .start();
    make_organization(&keyward.cli);
    let (_, secret) = make_key(&keyward.cli, "one");
    accepted(&keyward, &secret);
    let mut others = connect(&keyward);
    for _ in 0..200 {
        latency(&mut others, &secret);
    }
    let before = keyward.process.memory_kb("VmRSS");
    let over = AtomicBool::new(false);
    let (ended, Meanwhile { mut latencies, memory }) = std::thread::scope(|scope| {
        let others = scope.spawn(|| watch(&keyward, &mut others, &secret, &over));
        // Also behind a panic: the others go on until they are told.
        let telling = Over(&over);
        let ended = runtime().block_on(all(&keyward, &secret, clients));
        drop(telling);
        (ended, others.join().unwrap())
    });
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    let each = memory.saturating_sub(before) as f64 / clients as f64;
    let longest = ended.iter().map(|ended| ended.after).max().unwrap_or_default();
    println!(
        "{clients} slow clients: {each:.1} kB of resident memory each; the last was closed after {longest:.1?}, with deadlines of \
         {DEADLINE:?}; {} others were answered meanwhile, 99 of 100 within {p99:.1?}",
        latencies.len()
    );
    for Ended { after, told, reads } in &ended {
        assert!(*after >= DEADLINE, "one was closed after {after:?}");
        let told = String::from_utf8_lossy(told);
        assert!(!reads || told.starts_with("HTTP/1.1 408 "), "one was told {told:?}");
    }
    assert_eq!(ended.len(), clients);
    if is_bench {
        assert!(each <= MOST_MEMORY, "{each:.1} kB each, {MOST_MEMORY} are allowed");
        assert!(p99 < MOST_LATENCY, "{p99:?}, {MOST_LATENCY:?} are allowed");
        assert!(longest <= DEADLINE + LATE, "{longest:?}");
    }
}

/// Says that all is over when it is dropped.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// As many as there may be files: one for each client here and there, two for one that never reads.
fn allowed(wanted: usize) -> usize {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let most = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(500);
    let clients = wanted.min(most / (ONE_NEVER_READS + 1) * ONE_NEVER_READS);
    if clients < wanted {
        println!("only {clients} of {wanted}: this process may open no more files");
    }
    clients
}

/// Asks one request after the other until all is over.
fn watch(
    keyward: &Keyward,
    connection: &mut Connection,
    secret: &str,
    over: &AtomicBool,
) -> Meanwhile {
    let mut meanwhile = Meanwhile { latencies: Vec::new(), memory: 0 };
    while !over.load(Ordering::Relaxed) {
        meanwhile.latencies.push(latency(connection, secret));
        // Now and then: to read it takes longer than a request.
        if meanwhile.latencies.len().is_multiple_of(50) {
            meanwhile.memory = keyward.process.memory_kb("VmRSS").max(meanwhile.memory);
        }
    }
    meanwhile
}

/// How long one other request takes; it must be answered from upstream.
fn latency(connection: &mut Connection, secret: &str) -> Duration {
    let asked = Instant::now();
    let answer = connection.get("/read/x", &[("Authorization", &bearer(secret))]).unwrap();
    assert_eq!(answer.status(), 200);
    asked.elapsed()
}

/// An upstream on one thread: a long answer where one is asked for.
async fn listen() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(answer_all(stream));
        }
    });
    address
}

async fn answer_all(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await? > 0 {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let length = if request.starts_with(b"GET /read/long ") { ANSWER } else { 2 };
        request.clear();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &vec![b'x'; length]].concat()).await?;
    }
    Ok(())
}

/// Every slow client to its end.
async fn all(keyward: &Keyward, secret: &str, clients: usize) -> Vec<Ended> {
    let connecting = Arc::new(Semaphore::new(CONNECTING));
    let mut tasks = JoinSet::new();
    for n in 0..clients {
        let (address, connecting) = (keyward.address, connecting.clone());
        let authorization = bearer(secret);
        tasks.spawn(async move {
            let turn = connecting.acquire_owned().await.unwrap();
            let began = Instant::now();
            let reads = n % ONE_NEVER_READS != 0;
            let stream = open(address, reads).await;
            drop(turn);
            let slow = async {
                match reads {
                    true => dribble(stream).await,
                    false => never_read(stream, &authorization).await,
                }
            };
            let told = tokio::time::timeout(PATIENCE, slow).await.expect("every client is closed");
            Ended { after: began.elapsed(), told, reads }
        });
    }
    tasks.join_all().await
}

/// Who will not read takes little, in small pieces, so that neither kernel keeps a whole answer for it.
async fn open(address: SocketAddr, reads: bool) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if !reads {
        socket.set_tcp_mss(536).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
    }
    socket.set_nonblocking(true).unwrap();
    let socket = TcpSocket::from_std_stream(socket.into());
    let stream = socket.connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A head that never ends, a byte at a time. Gives what it was told.
async fn dribble(mut stream: TcpStream) -> Vec<u8> {
    let head = b"GET /read/x HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter();
    let mut bytes = head.copied().chain(std::iter::repeat(b'a'));
    let mut pauses = tokio::time::interval(PAUSE);
    let mut told = Vec::new();
    loop {
        tokio::select! {
            _ = pauses.tick(), if told.is_empty() => {
                // Where the connection has ended, reading says so.
                let _ = stream.write_all(&[bytes.next().unwrap_or_default()]).await;
            }
            read = stream.read_buf(&mut told) => if !matches!(read, Ok(1..)) { return told },
        }
    }
}

/// A whole request, and then nothing until the connection is reset.
async fn never_read(mut stream: TcpStream, authorization: &str) -> Vec<u8> {
    let head = format!(
        "GET /read/long HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.ready(Interest::ERROR).await.unwrap();
    Vec::new()
}
