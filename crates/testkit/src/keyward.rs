//! A running Keyward: the binary that cargo built for the calling test, as `demo` or as `serve`, in a folder of its own.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
};

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::{certificates::Certificates, clients::Clients, process::Process};

/// Keyward's command line on one configuration.
#[derive(Clone, Debug)]
pub struct Cli {
    binary: PathBuf,
    config: PathBuf,
}

impl Cli {
    /// Runs a command, given as words without spaces in them, and gives its JSON. Panics with its error output if it fails.
    pub fn json(&self, arguments: &str) -> Value {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "keyward {arguments}: {}\n{said}", output.status);
        // Not quoted in the error: it may hold a key.
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("keyward {arguments} wrote something that is not JSON: {e}"))
    }

    /// Runs a command, whatever comes of it.
    pub fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().expect("keyward can be started")
    }

    /// Runs a command that reads `input`, whatever comes of it.
    pub fn run_with_input(&self, arguments: &str, input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("keyward can be started");
        let mut stdin = child.stdin.take().expect("its input is piped");
        // One that ends without reading it shows by its status.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("keyward ends")
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = command(&self.binary);
        command.arg("--config").arg(&self.config).arg("--json");
        command.args(arguments.split_whitespace());
        command
    }

    /// Makes a key and gives its id and its secret.
    pub fn create_key(&self, arguments: &str) -> (String, String) {
        let made = self.json(&format!("keys create {arguments}"));
        (text(&made, "id"), text(&made, "secret"))
    }
}

/// A text member of an object.
pub fn text(object: &Value, name: &str) -> String {
    let text = object.get(name).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no text `{name}`")).to_owned()
}

/// A command of Keyward with nothing of this machine's user in its environment.
fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// `keyward demo`, running.
pub struct Demo {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its authority's certificate.
    pub ca: PathBuf,
    /// What it serves, in the order it says.
    pub systems: Vec<System>,
    /// Its command line.
    pub cli: Cli,
    /// Its process.
    pub process: Process,
    folder: TempDir,
}

/// One of the demo's systems, as it tells of it.
#[derive(Clone, Debug, Deserialize)]
pub struct System {
    /// Its API's name.
    pub api: String,
    /// Its name for people.
    pub title: String,
    /// The host its guide names.
    pub host: String,
    /// A working key.
    pub key: String,
    /// That key's id.
    pub key_id: String,
    /// Whose it is.
    pub organization_id: String,
    /// A line to paste.
    pub curl: String,
}

#[derive(Deserialize)]
struct Ready {
    address: SocketAddr,
    ca: PathBuf,
    config: PathBuf,
    systems: Vec<System>,
}

impl Demo {
    /// Starts it, on a free port and in a new folder, and waits until it says that it is ready.
    pub fn start(binary: &str) -> Self {
        Self::start_in(TempDir::new().expect("a temporary folder can be made"), binary.into())
    }

    /// Ends it as a stopped service ends, and starts it again on what it left.
    pub fn restart(mut self) -> Self {
        self.process.terminate();
        Self::start_in(self.folder, self.cli.binary)
    }

    fn start_in(folder: TempDir, binary: PathBuf) -> Self {
        let mut command = command(&binary);
        command.args(["demo", "--port", "0", "--json", "--data-dir"]).arg(folder.path());
        let process = Process::start("keyward demo", &mut command);
        let ready: Ready = process.line("line of JSON", 0, |line| serde_json::from_str(line).ok());
        Self {
            address: ready.address,
            ca: ready.ca,
            systems: ready.systems,
            cli: Cli { binary, config: ready.config },
            process,
            folder,
        }
    }

    /// The system with this API's name.
    pub fn system(&self, api: &str) -> &System {
        let found = self.systems.iter().find(|system| system.api == api);
        found.unwrap_or_else(|| panic!("the demo has no {api}"))
    }

    /// Real clients that find the demo's hosts on it.
    pub fn clients(&self) -> Clients {
        let hosts = self.systems.iter().map(|system| &system.host);
        Clients::new(hosts, self.address, &self.ca)
    }

    /// Where its data is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// An API of a configuration.
#[derive(Clone, Debug)]
pub struct Api {
    name: String,
    profile: String,
    host: String,
    prefix: String,
    upstream: SocketAddr,
    has_credential: bool,
    https: Option<String>,
    routes: Vec<(String, String, String)>,
}

impl Api {
    /// On the default profile, at every host and path.
    pub fn new(name: &str, upstream: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            profile: "default".to_owned(),
            host: "*".to_owned(),
            prefix: "/".to_owned(),
            upstream,
            has_credential: false,
            https: None,
            routes: vec![],
        }
    }

    /// Behaves as this profile says.
    #[must_use]
    pub fn profile(mut self, profile: &str) -> Self {
        profile.clone_into(&mut self.profile);
        self
    }

    /// Only at this host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Only below this prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Whether it demands HTTPS. If nothing is said, it does where Keyward listens with TLS.
    #[must_use]
    pub fn https(mut self, https: &str) -> Self {
        self.https = Some(https.to_owned());
        self
    }

    /// Its upstream is called with a credential from the store.
    #[must_use]
    pub fn with_credential(mut self) -> Self {
        self.has_credential = true;
        self
    }

    /// Adds a route to the profile's own.
    #[must_use]
    pub fn route(mut self, method: &str, path: &str, permission: &str) -> Self {
        self.routes.push((method.to_owned(), path.to_owned(), permission.to_owned()));
        self
    }

    fn render(&self, https: &str) -> String {
        let Self { name, profile, host, prefix, upstream, .. } = self;
        let https = self.https.as_deref().unwrap_or(https);
        let mut text = format!("\n[[upstreams]]\nname = \"{name}\"\nurl = \"http://{upstream}\"\n");
        if self.has_credential {
            text += "credential = { from = \"store\" }\n";
        }
        text += &format!(
            "\n[[apis]]\nname = \"{name}\"\nprofile = \"{profile}\"\nhosts = [\"{host}\"]\n\
             prefixes = [\"{prefix}\"]\nupstream = \"{name}\"\nhttps = \"{https}\"\n"
        );
        for (method, path, permission) in &self.routes {
            text += &format!(
                "\n[[apis.routes]]\nmethods = [\"{method}\"]\npath = \"{path}\"\npermission = \"{permission}\"\n"
            );
        }
        text
    }
}

/// A configuration for `keyward serve`.
#[derive(Debug)]
pub struct Serve {
    binary: PathBuf,
    apis: Vec<Api>,
    tls: Vec<String>,
    settings: String,
    environment: Vec<(String, String)>,
    socket: Option<TcpListener>,
}

impl Serve {
    /// Nothing yet: the binary that cargo built for the calling test.
    pub fn new(binary: &str) -> Self {
        Self {
            binary: binary.into(),
            apis: vec![],
            tls: vec![],
            settings: String::new(),
            environment: vec![],
            socket: None,
        }
    }

    /// Serves an API.
    #[must_use]
    pub fn api(mut self, api: Api) -> Self {
        self.apis.push(api);
        self
    }

    /// Listens with TLS, with a certificate for this host.
    #[must_use]
    pub fn tls(mut self, host: &str) -> Self {
        self.tls.push(host.to_owned());
        self
    }

    /// Adds tables to the configuration, as they stand.
    #[must_use]
    pub fn settings(mut self, toml: &str) -> Self {
        self.settings += toml;
        self
    }

    /// Sets an environment variable of the process.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Hands it a socket that listens already, and the same one to every process that follows, as a service manager does.
    #[must_use]
    pub fn handed(mut self) -> Self {
        self.socket = Some(TcpListener::bind("127.0.0.1:0").expect("a port is free"));
        self
    }

    /// Writes the configuration into a new folder, and starts Keyward on a free port.
    pub fn start(self) -> Keyward {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let hosts: Vec<_> = self.tls.iter().map(String::as_str).collect();
        let certificates =
            (!hosts.is_empty()).then(|| Certificates::make(folder.path(), hosts.as_slice()));
        let config = folder.path().join("keyward.toml");
        std::fs::write(&config, self.render(folder.path(), certificates.as_ref()))
            .expect("the configuration can be written");
        let cli = Cli { binary: self.binary, config };
        let (hosts, environment, socket) = (self.tls, self.environment, self.socket);
        Stopped { folder, cli, certificates, hosts, environment, socket }.start()
    }

    fn render(&self, folder: &Path, certificates: Option<&Certificates>) -> String {
        let handed = self.socket.as_ref().and_then(|socket| socket.local_addr().ok());
        let address = handed.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut text = format!(
            "data_dir = \"{}\"\n\n[[listeners]]\naddress = \"{address}\"\n",
            folder.join("data").display()
        );
        if let Some(made) = certificates {
            text += &format!(
                "tls = {{ certificate = \"{}\", key = \"{}\" }}\n",
                made.certificate.display(),
                made.key.display()
            );
        }
        text += &self.settings;
        let https = if certificates.is_some() { "required" } else { "optional" };
        self.apis.iter().for_each(|api| text += &api.render(https));
        text
    }
}

/// `keyward serve`, running.
pub struct Keyward {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its command line.
    pub cli: Cli,
    /// Its process.
    pub process: Process,
    folder: TempDir,
    certificates: Option<Certificates>,
    hosts: Vec<String>,
    environment: Vec<(String, String)>,
    socket: Option<TcpListener>,
}

/// What is left of a Keyward whose process has ended.
pub struct Stopped {
    /// Its command line.
    pub cli: Cli,
    folder: TempDir,
    certificates: Option<Certificates>,
    hosts: Vec<String>,
    environment: Vec<(String, String)>,
    socket: Option<TcpListener>,
}

impl Keyward {
    /// The configuration's file.
    pub fn config(&self) -> &Path {
        &self.cli.config
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Real clients that find the hosts it has certificates for.
    pub fn clients(&self) -> Clients {
        let certificates = self.certificates.as_ref().expect("clients want TLS");
        Clients::new(&self.hosts, self.address, &certificates.ca)
    }

    /// Asks it to read its configuration again.
    pub fn reload(&self) {
        self.process.signal(Signal::SIGHUP);
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) -> Stopped {
        self.process.kill();
        self.stopped()
    }

    /// Ends it as a stopped service ends.
    pub fn terminate(mut self) -> (ExitStatus, Stopped) {
        let status = self.process.terminate();
        (status, self.stopped())
    }

    /// Waits for the end it was asked for before.
    pub fn wait(mut self) -> (ExitStatus, Stopped) {
        let status = self.process.wait();
        (status, self.stopped())
    }

    fn stopped(self) -> Stopped {
        let Self { cli, folder, certificates, hosts, environment, socket, .. } = self;
        Stopped { cli, folder, certificates, hosts, environment, socket }
    }
}

impl Stopped {
    /// Starts it again on what it left, and waits until it listens.
    pub fn start(self) -> Keyward {
        let process = self.spawn();
        let address = process.line("line that says where it listens", 0, listening_address);
        let Self { cli, folder, certificates, hosts, environment, socket } = self;
        Keyward { address, cli, process, folder, certificates, hosts, environment, socket }
    }

    /// Starts it again where it refuses to, and gives what it says.
    pub fn start_refused(self) -> String {
        let mut process = self.spawn();
        assert!(!process.wait().success(), "it started");
        process.output()
    }

    fn spawn(&self) -> Process {
        let mut command = match &self.socket {
            // The shell moves the socket from its input to the descriptor where it is looked for, and becomes Keyward.
            Some(_) => {
                let mut shell = command(Path::new("sh"));
                let script = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@""#;
                shell.args(["-c", script]).arg(&self.cli.binary);
                shell
            }
            None => command(&self.cli.binary),
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--config").arg(&self.cli.config).args(["--json", "serve"]);
        let input = self.socket.as_ref().map_or_else(Stdio::null, |socket| {
            OwnedFd::from(socket.try_clone().expect("a socket can be shared")).into()
        });
        Process::start_with("keyward serve", &mut command, input)
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// From the line that says that it is ready.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let ready: Value = serde_json::from_str(line).ok()?;
    let url = ready.get("listening")?.get(0)?.as_str()?;
    url.split_once("://")?.1.parse().ok()
}
