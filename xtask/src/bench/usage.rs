//! `cargo xtask bench usage`: whether statistics are exact. A million requests by many keys, at several routes, accepted and refused, are
//! counted by who sends them and held against what Keyward tells at each grain; then Keyward is killed with SIGKILL at a random instant
//! under the same load, and what is missing is told: nothing that was answered before the stated bound may be.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::generator::{Generator, Load};
use super::interrupt::Interrupt;
use super::server::{folder, free_address, write};
use super::upstream;
use crate::{wait, workspace};

const CONNECTIONS: usize = 32;
const ROUTES: usize = 8;
/// What Keyward states of ordinary load, as this is to who writes: so many groups are written within some milliseconds.
const LOSS: Duration = Duration::from_secs(2);
const TIME_TO_START: Duration = Duration::from_secs(30);
/// Before a kill there is this much load, and up to a second more.
const BEFORE_KILL: Duration = Duration::from_secs(12);

#[derive(Args)]
pub(crate) struct Options {
    /// Requests that are counted
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Keys they come from
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// Processes to kill
    #[arg(long, default_value_t = 3)]
    kills: u32,
    /// Measure this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Key, route and status, as Keyward tells them.
type Group = (String, String, u16);

/// Keyward's folder, and what to ask it.
struct Site {
    binary: PathBuf,
    configuration: PathBuf,
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    /// What each request counts to.
    groups: Vec<Group>,
    folder: TempDir,
}

/// The server's process, ended with us.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.0.id())?);
        kill(id, signal).context("the server cannot be signalled")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
    let interrupt = Interrupt::listen()?;
    let upstream = free_address()?;
    std::thread::Builder::new()
        .name("upstream".to_owned())
        .spawn(move || upstream::run(&upstream::Options::at(upstream)))
        .context("the upstream cannot be started")?;
    let site = prepare(&binary, upstream, options.keys)?;
    let mut expected = exactly(&site, options.requests, &interrupt)?;
    for _ in 0..options.kills {
        killed(&site, &mut expected, &interrupt)?;
    }
    Ok(())
}

/// Counts so many requests and holds all statistics against them.
fn exactly(site: &Site, requests: u64, interrupt: &Interrupt) -> Result<BTreeMap<Group, u64>> {
    let mut server = site.start()?;
    let mut generator =
        Generator::connect(site.address, Load::of(CONNECTIONS, &site.requests), interrupt)?;
    let mut expected = BTreeMap::new();
    let began = Instant::now();
    generator.count(requests, |request, status| {
        let Some(group) = site.groups.get(request) else { bail!("an answer to no request") };
        if group.2 != status {
            bail!("{} at {} was answered with {status}, not {}", group.0, group.1, group.2);
        }
        *expected.entry(group.clone()).or_default() += 1;
        Ok(())
    })?;
    let took = began.elapsed();
    drop(generator);
    server.signal(Signal::SIGTERM)?;
    server.0.wait()?;
    for grain in [None, Some("minute"), Some("hour"), Some("day")] {
        if site.told(grain)? != expected {
            bail!("the statistics by {} are not what was sent", grain.unwrap_or("no time"));
        }
    }
    println!(
        "{requests} requests of {} groups in {:.1} s: statistics equal what was sent, at every grain",
        expected.len(),
        took.as_secs_f64()
    );
    Ok(expected)
}

/// Kills the server under load, and counts what is missing.
fn killed(site: &Site, before: &mut BTreeMap<Group, u64>, interrupt: &Interrupt) -> Result<()> {
    let server = site.start()?;
    let mut generator =
        Generator::connect(site.address, Load::of(CONNECTIONS, &site.requests), interrupt)?;
    let random = SystemTime::UNIX_EPOCH.elapsed()?.subsec_millis();
    let (began, length) = (Instant::now(), BEFORE_KILL + Duration::from_millis(random.into()));
    let mut answered = Vec::new();
    let ended = generator.count(u64::MAX, |_, _| {
        let now = Instant::now();
        answered.push(now);
        if now - began >= length {
            server.signal(Signal::SIGKILL)?;
            bail!("killed");
        }
        Ok(())
    });
    let end = Instant::now();
    if end - began < length {
        ended?;
    }
    drop((generator, server));
    let told = site.told(None)?;
    let count = |groups: &BTreeMap<Group, u64>| groups.values().sum::<u64>();
    let kept = count(&told) - count(before);
    let safe = answered.iter().filter(|at| **at + LOSS < end).count() as u64;
    let all = answered.len() as u64;
    println!(
        "killed after {:.3} s: {kept} of {all} requests are told, the missing are of the last {:.2} s at most",
        length.as_secs_f64(),
        answered.get(usize::try_from(kept)?).map_or(0.0, |at| (end - *at).as_secs_f64()),
    );
    if kept < safe || kept > all + CONNECTIONS as u64 {
        bail!("{safe} were answered {} s before the kill and had to be told", LOSS.as_secs());
    }
    *before = told;
    Ok(())
}

fn prepare(binary: &Path, upstream: SocketAddr, keys: usize) -> Result<Site> {
    let folder = folder()?;
    let address = free_address()?;
    let mut text = format!(
        r#"
data_dir = "{data}"

[[listeners]]
address = "{address}"

[[upstreams]]
name = "main"
url = "http://{upstream}"

[[apis]]
name = "bench"
hosts = ["*"]
upstream = "main"
https = "optional"
"#,
        data = folder.path().join("data").display()
    );
    for route in 0..ROUTES {
        text.push_str(&format!(
            "\n[[apis.routes]]\nmethods = [\"GET\"]\npath = \"/r{route}/{{id}}\"\npermission = \"read\"\n"
        ));
    }
    let configuration = write(&folder, "keyward.toml", &text)?;
    let binary = binary.to_owned();
    let mut site =
        Site { binary, configuration, address, requests: vec![], groups: vec![], folder };
    site.command("orgs create --id bench")?;
    let made = site.command(&format!(
        "keys create --api bench --organization bench --name load --permission read --count {keys}"
    ))?;
    for (number, line) in made.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        // Not quoted in the error: the line holds a key.
        let made: Value = serde_json::from_str(line).context("a made key is not JSON")?;
        let text = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default();
        let (id, secret) = (text("id"), text("secret"));
        for (turn, route) in [number % ROUTES, (number * 3 + 1) % ROUTES].into_iter().enumerate() {
            site.add(&format!("/r{route}/{turn}"), secret, id, &format!("/r{route}/{{id}}"), 200);
        }
        if number % 3 == 0 {
            site.add("/nowhere", secret, id, "", 404);
        }
        if number % 5 == 0 {
            site.add("/r0/1", "nobody's", "", "/r0/{id}", 401);
        }
    }
    Ok(site)
}

impl Site {
    fn add(&mut self, path: &str, secret: &str, key: &str, route: &str, status: u16) {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {secret}\r\n\r\n");
        self.requests.push(request.into_bytes());
        self.groups.push((key.to_owned(), route.to_owned(), status));
    }

    fn command(&self, arguments: &str) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.configuration).arg("--json");
        let output = command.args(arguments.split_whitespace()).output()?;
        if !output.status.success() {
            bail!("`{arguments}` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).context("its output is not UTF-8")
    }

    fn start(&self) -> Result<Running> {
        let log = File::create(self.folder.path().join("output.log"))?;
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.configuration).arg("serve");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let running = Running(command.spawn().context("keyward cannot be started")?);
        let up = wait::until(TIME_TO_START, || Ok(TcpStream::connect(self.address).ok()))?;
        up.context("keyward did not listen")?;
        Ok(running)
    }

    /// What the statistics say, a sum for each group.
    fn told(&self, grain: Option<&str>) -> Result<BTreeMap<Group, u64>> {
        let grain = grain.map(|grain| format!(" --grain {grain}")).unwrap_or_default();
        let said = self.command(&format!("usage --since 6h --by key,route,status{grain}"))?;
        let page: Value = serde_json::from_str(&said)?;
        let items = page.get("items").and_then(Value::as_array).context("usage has no items")?;
        let mut told = BTreeMap::new();
        for item in items {
            let text = |name| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let number = |name| item.get(name).and_then(Value::as_u64).unwrap_or_default();
            let group = (text("key_id"), text("route"), u16::try_from(number("status"))?);
            *told.entry(group).or_default() += number("requests");
        }
        Ok(told)
    }
}
