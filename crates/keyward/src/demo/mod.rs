//! `keyward demo`: every built-in profile at work behind one TLS port, in front of a built-in upstream, with nothing
//! configured.
//!
//! It is no special case of the server: it writes a configuration, makes organizations and keys by the same operations as the
//! command line, and serves. Everything it shows comes from the profiles' `[demo]` parts. Each start gives the demo's keys
//! new secrets, because the old ones cannot be shown again, and ends the old secrets at once.

mod answers;
mod authority;
mod compress;
mod configuration;
mod counts;
mod people;
mod upstream;

use std::{
    fs::DirBuilder,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use self::configuration::Demonstration;
use keyward_gateway::Handed;

use crate::{
    clock,
    config::{self, Config},
    curl::{self, Owner, Target},
    output::Output,
    profiles::Profiles,
    serve::{self, Signals, logging, running::Running},
    site::{Site, operator},
};

/// What `demo` is asked with.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Where the demo keeps its files
    #[arg(long, default_value = "keyward-demo", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// The port on 127.0.0.1; 0 for a free one
    #[arg(long, default_value_t = 8443)]
    port: u16,
}

/// That it is ready, for programs.
#[derive(Serialize)]
struct Ready {
    address: SocketAddr,
    ca: String,
    config: String,
    systems: Vec<System>,
}

/// One of the APIs, with a key in the clear: the demo is the one answer that shows it.
#[derive(Serialize)]
struct System {
    api: String,
    title: String,
    host: String,
    key: String,
    key_id: String,
    organization_id: String,
    curl: String,
}

/// Runs the demo until it is asked to stop.
pub async fn run(output: Output, arguments: &DemoArguments) -> anyhow::Result<()> {
    logging::for_commands();
    let mut signals = Signals::listen()?;
    let folder = &arguments.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the demo's folder {} cannot be made", folder.display()))?;
    // Before anything of a demo that may run here already is changed.
    check_free(arguments.port)?;
    let demonstrations = demonstrations()?;
    let hosts = demonstrations.iter().flat_map(|one| one.demo.hosts.iter().cloned()).collect();
    let ca = authority::ensure(folder, hosts, clock::now())?;

    let upstream = upstream::start(&demonstrations).await?;
    let file = folder.join(config::FILE);
    let text = |port| configuration::text(&demonstrations, port, upstream);
    let site = Site::of(Config::read(&file, &text(arguments.port))?).await?;
    let mut keys = Vec::with_capacity(demonstrations.len());
    for one in &demonstrations {
        keys.push(people::prepare(&site, one).await?);
    }
    let running = Running::on(site, Handed::default()).await?;
    let address = *running.addresses().first().context("the demo has no address")?;
    // Now that the port is certain, commands can find what the demo serves.
    std::fs::write(&file, text(address.port()))
        .with_context(|| format!("{} cannot be written", file.display()))?;

    let now = operator().now;
    let systems = demonstrations.iter().zip(&keys).map(|(one, issued)| {
        let created = issued.view(now);
        System {
            api: one.name.clone(),
            title: one.profile.title.to_string(),
            host: one.demo.hosts.first().cloned().unwrap_or_default(),
            curl: line(one, &running, address, &ca, issued.plaintext.expose()),
            key: issued.plaintext.expose().to_owned(),
            key_id: created.key.id,
            organization_id: created.key.organization_id,
        }
    });
    let ready = Ready {
        address,
        ca: ca.display().to_string(),
        config: file.display().to_string(),
        systems: systems.collect(),
    };
    drop(keys);
    let command = running.site().command_line();
    output.show(&ready, |ready| shown(ready, &command))?;
    drop(ready);

    while signals.next().await == serve::Asked::Reload {
        tracing::warn!("the demo's configuration is its own and is not reloaded");
    }
    serve::stop(running, &mut signals).await
}

/// Starts the built-in upstream alone, for all built-in profiles, on the runtime that calls.
pub async fn start_upstream() -> anyhow::Result<SocketAddr> {
    upstream::start(&demonstrations()?).await
}

/// Nobody listens there now. Port 0 is free by definition.
fn check_free(port: u16) -> anyhow::Result<()> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).with_context(|| {
        format!("port {port} cannot be listened on; stop what does, or try `keyward demo --port 0`")
    })
}

/// Every built-in profile that says how it is shown.
fn demonstrations() -> anyhow::Result<Vec<Demonstration>> {
    let profiles = Profiles::built_in();
    let mut found = Vec::new();
    for name in profiles.names() {
        let profile = profiles.compile(name)?;
        if let Some(demo) = profile.demo.clone() {
            found.push(Demonstration { name: name.to_owned(), profile, demo });
        }
    }
    Ok(found)
}

fn line(
    one: &Demonstration,
    running: &Running,
    address: SocketAddr,
    ca: &Path,
    key: &str,
) -> String {
    let target = Target {
        base: format!("https://{}", one.demo.hosts.first().map_or("", String::as_str)),
        options: vec![
            format!("--cacert {}", curl::quoted(&ca.display().to_string())),
            curl::connect_to(address),
        ],
    };
    let owner = Owner {
        organization: &one.demo.organization.id,
        model_id: one.demo.organization.model_ids.first().map(String::as_str),
        model: None,
        permissions: &one.demo.permissions,
    };
    let api = running.site().policy.api(&one.name);
    let request = api.and_then(|api| curl::example(api, &owner));
    request.map_or_else(String::new, |request| {
        curl::line(&target, &request, one.profile.slots.first(), key)
    })
}

fn shown(ready: &Ready, command: &str) -> String {
    let mut text = format!(
        "{} APIs are served at https://{}, each as its own guide says, in front of a built-in upstream.\n\
         Paste a line to see one at work; change its key to see it refused.\n",
        ready.systems.len(),
        ready.address
    );
    for system in &ready.systems {
        text.push_str(&format!(
            "\n{} ({})\n  key  {}\n  {}\n",
            system.title, system.host, system.key, system.curl
        ));
    }
    text.push_str(&format!("\nLook further:\n  {command} keys list\n"));
    if let Some(system) = ready.systems.first() {
        text.push_str(&format!(
            "  {command} keys show {}\n  {command} explain --api {} --path /nowhere --key-id {}\n",
            system.key_id, system.api, system.key_id
        ));
    }
    text.push_str("\nPress Ctrl-C to stop.");
    text
}
