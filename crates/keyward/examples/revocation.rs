//! How long a revoked key is still accepted: `cargo xtask bench revocation`.
//!
//! A real `keyward serve` is under load. Again and again a key is used on several connections without a pause, revoked by this
//! process (as the command line does it: through the data folder, with the server beside), and used on. What counts
//! is the last request that was accepted, by the moment it was sent, after the revocation was acknowledged.

#![allow(clippy::print_stdout, reason = "it prints its figures")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use keyward::site::{self, Site};
use keyward_control::app::keys::NewKey;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Connections that go on with another key all the while.
const BACKGROUND: usize = 16;
/// Connections that use the key that is revoked.
const VICTIMS: usize = 4;
/// Requests with the key before it is revoked.
const WARM: u64 = 20;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = arguments.next().context("name the keyward binary")?;
    let trials: usize = arguments.next().map_or(Ok(1000), |count| count.parse())?;
    let folder = tempfile::tempdir()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(Path::new(&binary), folder.path(), trials))
}

async fn measure(binary: &Path, folder: &Path, trials: usize) -> anyhow::Result<()> {
    let upstream = upstream().await?;
    let file = folder.join("keyward.toml");
    std::fs::write(&file, configuration(upstream))?;
    let site = Site::open(&file).await?;
    let control = site.control();
    control.create_organization(&site::operator(), Some("bench".parse()?), None).await?;
    let mut keys = Vec::new();
    for at in 0..=trials {
        let issued = control.create_key(&site::operator(), new_key(at)?).await?;
        keys.push((issued.record.key.id, issued.plaintext.expose().to_owned()));
    }
    let (_, steady) = keys.pop().context("no key")?;

    let (server, address) = serve(binary, &file)?;
    let _server = Ended(server);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let mut background = JoinSet::new();
    for _ in 0..BACKGROUND {
        background.spawn(load(address.clone(), steady.clone(), stop.clone(), served.clone()));
    }

    let began = Instant::now();
    let mut after_acknowledged = Vec::with_capacity(trials);
    let mut after_asked = Vec::with_capacity(trials);
    for (id, secret) in keys {
        let accepted = Arc::new(AtomicU64::new(0));
        let mut victims = JoinSet::new();
        for _ in 0..VICTIMS {
            victims.spawn(until_refused(address.clone(), secret.clone(), accepted.clone()));
        }
        while accepted.load(Relaxed) < WARM {
            ensure!(!victims.is_empty(), "the key was never accepted");
            tokio::task::yield_now().await;
        }
        let asked = Instant::now();
        control.revoke_key(&site::operator(), id).await?;
        let acknowledged = Instant::now();
        let mut last = asked;
        while let Some(victim) = victims.join_next().await {
            last = last.max(victim??);
        }
        after_acknowledged.push(last.saturating_duration_since(acknowledged));
        after_asked.push(last.saturating_duration_since(asked));
    }
    let requests = served.load(Relaxed) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Relaxed);
    println!("{trials} revocations beside {requests:.0} other requests a second");
    report("last accepted after the revocation was acknowledged", &mut after_acknowledged);
    report("last accepted after the revocation was asked for", &mut after_asked);
    Ok(())
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| {
        let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(place).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    println!(
        "{what}: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, worst {:.2} ms",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

fn configuration(upstream: std::net::SocketAddr) -> String {
    format!(
        r#"
[[listeners]]
address = "127.0.0.1:0"

[[upstreams]]
name = "main"
url = "http://{upstream}"

[[apis]]
name = "bench"
profile = "default"
hosts = ["*"]
prefixes = ["/"]
upstream = "main"
https = "optional"

[[apis.routes]]
methods = ["GET"]
path = "/{{rest...}}"
permission = "read"
"#
    )
}

fn new_key(at: usize) -> anyhow::Result<NewKey> {
    Ok(NewKey {
        api: "bench".parse()?,
        organization: "bench".parse()?,
        name: format!("key-{at}"),
        environment: None,
        permissions: vec!["read".to_owned()],
        preset: None,
        expires_at: None,
        allowed_networks: vec![],
        allowed_models: None,
        labels: keyward_core::key::Labels::default(),
        rotation: None,
        owner: None,
        limits: vec![],
    })
}

/// Ends the server by its process id when the measurement is over, however it ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(binary: &Path, file: &Path) -> anyhow::Result<(Child, String)> {
    let mut command = Command::new(binary);
    command
        .arg("--config")
        .arg(file)
        .arg("--json")
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().context("start the binary")?;
    let mut line = String::new();
    let output = child.stdout.take().context("no output")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)?;
    let address = line
        .split('"')
        .find(|part| part.contains("127.0.0.1:"))
        .context("no address was announced")?;
    let address = address.trim_start_matches("http://").to_owned();
    Ok((child, address))
}

/// Answers every request with 200; requests have no bodies.
async fn upstream() -> anyhow::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    if line == "\r\n"
                        && stream
                            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                            .await
                            .is_err()
                    {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    Ok(address)
}

async fn connect(address: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request and gives its status.
async fn once(stream: &mut TcpStream, secret: &str) -> anyhow::Result<u16> {
    let request =
        format!("GET /v1/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {secret}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        ensure!(stream.read_buf(&mut answer).await? > 0, "the connection was closed");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("no length")?.parse()?;
        if body.len() >= length {
            let status = head.split(' ').nth(1).context("no status")?;
            return Ok(status.parse()?);
        }
    }
}

async fn load(
    address: String,
    secret: String,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut stream = connect(&address).await?;
    while !stop.load(Relaxed) {
        ensure!(once(&mut stream, &secret).await? == 200, "the steady key was refused");
        served.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// Uses the key until it is refused; gives when the last accepted request was sent.
async fn until_refused(
    address: String,
    secret: String,
    accepted: Arc<AtomicU64>,
) -> anyhow::Result<Instant> {
    let mut stream = connect(&address).await?;
    let mut last = Instant::now();
    loop {
        let sent = Instant::now();
        match once(&mut stream, &secret).await? {
            200 => {
                last = sent;
                accepted.fetch_add(1, Relaxed);
            }
            401 => return Ok(last),
            other => bail!("the answer was {other}"),
        }
    }
}
