//! `cargo xtask bench management`: how long the management API takes where there are many keys. Requests go one after the other
//! over keep-alive connections, so that what is measured is one person's wait, alone and beside seven others.
//!
//! Everything is as its users have it: the release binary, keys made by its command line, a session, everything on that is on
//! by default. Server and load share the machine's cores here, so the figures err on the slow side.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::cpu::PROXY_CORE;
use super::message;
use super::server::{Server, folder, free_address, write};
use crate::{wait, workspace};

const ORGANIZATIONS: usize = 4;
const PASSWORD: &str = "correct horse battery";
/// What 99 of 100 answers have to keep to.
const BOUND: Duration = Duration::from_millis(50);
/// How deep the deep page lies in an organization's keys.
const DEEP: f64 = 0.9;
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the console may take to show the setup token.
const TIME_TO_SHOW: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// How many keys there are
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Requests of each kind, on one connection and again on eight
    #[arg(long, default_value_t = 2000)]
    requests: usize,
    /// Measure this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// A keep-alive connection, one request after the other.
struct Connection {
    stream: TcpStream,
    authorization: String,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).context("the management API does not listen")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let authorization = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        Ok(Self { stream, authorization, buffer: Vec::new() })
    }

    /// The answer's body. Anything but a success is an error: a fast refusal must not pass for a fast server.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<&[u8]> {
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\n{}{kind}content-length: {}\r\n\r\n{body}",
            self.authorization,
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        self.buffer.clear();
        let mut block = [0; 64 * 1024];
        loop {
            let read = self.stream.read(&mut block)?;
            if read == 0 {
                bail!("{method} {path}: the connection was closed");
            }
            self.buffer.extend_from_slice(block.get(..read).unwrap_or_default());
            let Some(head) = message::head(&self.buffer)? else { continue };
            let length = head.content_length.context("an answer has no Content-Length")?;
            if self.buffer.len() < head.length + length {
                continue;
            }
            let status = message::status(&self.buffer)?;
            let body = self.buffer.get(head.length..).unwrap_or_default();
            if !(200..300).contains(&status) {
                bail!("{method} {path}: {status} {}", String::from_utf8_lossy(body));
            }
            return Ok(body);
        }
    }

    fn json(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        serde_json::from_slice(self.ask(method, path, &body)?).context("an answer is not JSON")
    }
}

/// A server with its keys, and a session of its operator.
struct Site {
    address: SocketAddr,
    token: String,
    /// The ids of one organization's keys, in the order they were made.
    keys: Vec<String>,
    _server: Server,
}

/// One request: method, path, body.
type Request = (&'static str, String, String);

/// The request of each number.
type Requests = Box<dyn Fn(usize) -> Request + Sync>;

pub(super) fn run(options: &Options) -> Result<()> {
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            let root = workspace::root()?;
            let build = ["build", "--release", "--package", "keyward"];
            workspace::run(workspace::cargo(&root).args(build))?;
            workspace::target(&root)?.join("release/keyward")
        }
    };
    let site = prepare(&binary, options.keys)?;
    let mut measured = Vec::new();
    for (name, request) in operations(&site) {
        for connections in [1, 8] {
            let times = measure(&site, connections, options.requests, &request)?;
            let of_operation = Measured::of(&name, connections, times);
            println!("{of_operation}");
            measured.push(of_operation);
        }
    }
    println!("\n{} keys in {ORGANIZATIONS} organizations\n{}", options.keys, table(&measured));
    match measured.iter().find(|one| one.p99 >= BOUND) {
        Some(slow) => bail!("99 of 100 must stay below {} ms: {slow}", BOUND.as_millis()),
        None => Ok(()),
    }
}

/// Makes the keys, starts the server, and logs its first operator in.
fn prepare(binary: &std::path::Path, keys: usize) -> Result<Site> {
    let folder = folder()?;
    let (gateway, address) = (free_address()?, free_address()?);
    let text = format!(
        r#"
data_dir = "{data}"

[[listeners]]
address = "{gateway}"

[management]
address = "{address}"
requests_per_minute = 1000000

[[upstreams]]
name = "main"
url = "http://127.0.0.1:9"

[[apis]]
name = "bench"
hosts = ["*"]
upstream = "main"
https = "optional"

[[apis.routes]]
methods = ["GET"]
path = "/{{rest...}}"
permission = "read"
"#,
        data = folder.path().join("data").display()
    );
    let configuration = write(&folder, "keyward.toml", &text)?;
    let keyward = |arguments: &str| {
        let mut command = Command::new(binary);
        command.arg("--config").arg(&configuration).arg("--json");
        let output = command.args(arguments.split_whitespace()).output()?;
        if !output.status.success() {
            bail!("`{arguments}` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    };
    let (started, each) = (Instant::now(), keys.div_ceil(ORGANIZATIONS).max(1));
    for number in 0..ORGANIZATIONS {
        keyward(&format!("orgs create --id bench-{number}"))?;
        keyward(&format!(
            "keys create --api bench --organization bench-{number} --name load --permission read --count {each}"
        ))?;
    }
    println!("{keys} keys made in {:.1} s", started.elapsed().as_secs_f64());
    let mut command = Command::new(binary);
    command.arg("--config").arg(configuration).arg("serve");
    let server = Server::start("keyward", folder, &mut command, PROXY_CORE, address)?;
    let token = log_in(&server, address)?;
    let mut connection = Connection::open(address, &token)?;
    let keys = all_keys(&mut connection)?;
    Ok(Site { address, token, keys, _server: server })
}

fn log_in(server: &Server, address: SocketAddr) -> Result<String> {
    let shown = || {
        let said = server.output();
        Ok(said.split_whitespace().find(|word| word.starts_with("kwset_")).map(str::to_owned))
    };
    let setup = wait::until(TIME_TO_SHOW, shown)?.context("the server showed no setup token")?;
    let mut nobody = Connection::open(address, "")?;
    let email = "ops@example.com";
    let operator = json!({ "token": setup, "email": email, "name": "Ops", "password": PASSWORD });
    nobody.json("POST", "/v1/setup", &operator)?;
    let login = json!({ "email": email, "password": PASSWORD });
    let started = nobody.json("POST", "/v1/sessions", &login)?;
    let token = started.get("token").and_then(Value::as_str);
    Ok(token.context("a login has no token")?.to_owned())
}

fn all_keys(connection: &mut Connection) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/organizations/bench-0/keys?limit=1000{after}");
        let page = connection.json("GET", &path, &Value::Null)?;
        let items = page.get("items").and_then(Value::as_array).context("a page has no items")?;
        ids.extend(
            items.iter().filter_map(|key| key.get("id").and_then(Value::as_str)).map(str::to_owned),
        );
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(ids),
        }
    }
}

/// What is measured.
fn operations(site: &Site) -> Vec<(String, Requests)> {
    let keys = "/v1/organizations/bench-0/keys";
    let at = (site.keys.len() as f64 * DEEP) as usize;
    let deep = site.keys.get(at).cloned().unwrap_or_default();
    let ids = site.keys.clone();
    vec![
        ("list, first page".to_owned(), Box::new(move |_| ("GET", keys.to_owned(), String::new()))),
        (
            "list, deep page".to_owned(),
            Box::new(move |_| ("GET", format!("{keys}?after={deep}"), String::new())),
        ),
        (
            "search".to_owned(),
            Box::new(move |number| {
                ("GET", format!("{keys}?search=load-{}", number % 1000), String::new())
            }),
        ),
        (
            "show".to_owned(),
            Box::new(move |number| {
                // A prime step: neighbours in time are no neighbours on disk.
                let id = ids.get(number.wrapping_mul(7919) % ids.len().max(1));
                ("GET", format!("/v1/keys/{}", id.map_or("", String::as_str)), String::new())
            }),
        ),
        (
            "create".to_owned(),
            Box::new(move |number| {
                let name = format!("made-{number}");
                let body = json!({ "api": "bench", "name": name, "permissions": ["read"] });
                ("POST", keys.to_owned(), body.to_string())
            }),
        ),
    ]
}

/// How long each of so many requests took, spread over so many connections.
fn measure(
    site: &Site,
    connections: usize,
    requests: usize,
    request: &(dyn Fn(usize) -> Request + Sync),
) -> Result<Vec<Duration>> {
    let each = requests.div_ceil(connections);
    let one = |connection: usize| -> Result<Vec<Duration>> {
        let mut open = Connection::open(site.address, &site.token)?;
        let mut times = Vec::with_capacity(each);
        for turn in 0..each {
            // No number comes twice, whatever the connections: names of keys are taken once.
            let (method, path, body) = request(connections * requests + connection * each + turn);
            let started = Instant::now();
            open.ask(method, &path, &body)?;
            times.push(started.elapsed());
        }
        Ok(times)
    };
    std::thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> =
            (0..connections).map(|connection| scope.spawn(move || one(connection))).collect();
        let mut times = Vec::with_capacity(requests);
        for thread in running {
            match thread.join() {
                Ok(measured) => times.extend(measured?),
                Err(_) => bail!("a connection's thread ended by a panic"),
            }
        }
        Ok(times)
    })
}

struct Measured {
    name: String,
    connections: usize,
    p50: Duration,
    p99: Duration,
    worst: Duration,
}

impl Measured {
    fn of(name: &str, connections: usize, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part: f64| {
            let rank = (times.len() as f64 * part).ceil() as usize;
            times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { name: name.to_owned(), connections, p50: at(0.5), p99: at(0.99), worst: at(1.0) }
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, connections, .. } = self;
        let (p50, p99, worst) = (millis(self.p50), millis(self.p99), millis(self.worst));
        write!(f, "{name} on {connections}: p50 {p50}, p99 {p99}, worst {worst}")
    }
}

fn table(measured: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["operation", "connections", "p50", "p99", "worst"]);
    for one in measured {
        table.add_row([
            one.name.clone(),
            one.connections.to_string(),
            millis(one.p50),
            millis(one.p99),
            millis(one.worst),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let of = Measured::of("x", 1, times);
        assert_eq!(
            (of.p50, of.p99, of.worst),
            (Duration::from_millis(100), Duration::from_millis(198), Duration::from_millis(200))
        );
        let one = Measured::of("x", 1, vec![Duration::from_millis(7)]);
        assert_eq!((one.p50, one.p99), (one.worst, one.worst));
    }
}
