//! Real clients (curl, Python, Node) that find the hosts under test on loopback, without a change to what they run: curl by
//! its `.curlrc`, Python by a `sitecustomize`, Node by a preload. They start from an empty environment, so that no proxy or
//! key of this machine's user reaches them, and no other host can be reached.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::{places, wire};

/// Clients of one running Keyward.
pub struct Clients {
    folder: TempDir,
    hosts: Vec<String>,
    address: SocketAddr,
    ca: PathBuf,
    runs: AtomicUsize,
}

/// What curl got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        wire::header(&self.headers, name)
    }

    /// The body as JSON, its members in the order they came.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("status {}, not JSON ({e}): {}", self.status, self.body))
    }
}

/// An example and what a test puts around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program<'p> {
    /// Bash that runs first: what it exports, the program sees.
    pub shell: &'p str,
    /// Defines what the example takes for granted.
    pub prelude: &'p str,
    /// The example, as it stands in its document.
    pub example: &'p str,
    /// Runs after it. In Python it leaves something in `keyward_result`; in JavaScript it is an expression whose value counts.
    pub epilogue: &'p str,
}

/// How a program went.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What the example printed.
    pub stdout: String,
    /// What it wrote to its error output.
    pub stderr: String,
    /// What the epilogue found.
    pub result: Value,
    /// Python only: the numbers of the example's lines that were executed, from 1.
    pub lines: Vec<usize>,
    /// Python only: what the example raised, if it did.
    pub error: Option<Raised>,
}

/// An exception that ended an example.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Raised {
    /// Its class.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its text.
    pub message: String,
}

#[derive(Deserialize)]
struct Report {
    result: Value,
    lines: Vec<usize>,
    error: Option<Raised>,
}

impl Clients {
    /// Clients that reach `hosts`, port 443, at `address`, and trust the authority in `ca` (PEM).
    pub fn new<H: ToString>(
        hosts: impl IntoIterator<Item = H>,
        address: SocketAddr,
        ca: &Path,
    ) -> Self {
        Self {
            folder: TempDir::new().expect("a temporary folder can be made"),
            hosts: hosts.into_iter().map(|host| host.to_string()).collect(),
            address,
            ca: ca.to_owned(),
            runs: AtomicUsize::new(0),
        }
    }

    /// Runs bash with exactly one call of curl in it.
    pub fn bash(&self, script: &str) -> Answer {
        let folder = self.run_folder();
        let mut command = self.command(Path::new("bash"), &folder);
        command.arg("-c").arg(script);
        self.answer_of_curl(&mut command, &folder)
    }

    /// Calls curl with these arguments.
    pub fn curl(&self, arguments: &[&str]) -> Answer {
        let folder = self.run_folder();
        let mut command = self.command(&places::program("curl"), &folder);
        command.args(arguments);
        self.answer_of_curl(&mut command, &folder)
    }

    fn answer_of_curl(&self, command: &mut Command, folder: &Path) -> Answer {
        let headers = folder.join("headers");
        let mut settings = format!(
            "silent\nshow-error\nmax-time = 60\ncacert = \"{}\"\ndump-header = \"{}\"\n",
            self.ca.display(),
            headers.display()
        );
        for host in &self.hosts {
            settings += &format!("connect-to = \"{host}:443:{}\"\n", self.address);
        }
        write(&folder.join(".curlrc"), &settings);
        let output = command.output().expect("the client can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        let body = String::from_utf8(output.stdout).expect("a body in UTF-8");
        let headers = std::fs::read_to_string(&headers).expect("curl wrote the headers");
        read_answer(&headers, body)
    }

    /// Runs a Python program, in the environment of `xtask/requirements.txt`.
    pub fn python(&self, program: &Program<'_>) -> Ran {
        let folder = self.run_folder();
        write(&folder.join("sitecustomize.py"), include_str!("clients/sitecustomize.py"));
        let driver = folder.join("driver.py");
        write(&driver, include_str!("clients/driver.py"));
        write(&folder.join("prelude.py"), program.prelude);
        write(&folder.join("example.py"), program.example);
        write(&folder.join("epilogue.py"), program.epilogue);
        let arguments = [driver.into(), folder.clone().into()];
        let (stdout, stderr) = self.run(program, &places::python(), &arguments, &folder);
        let report: Report =
            serde_json::from_str(&read(&folder.join("report.json"))).expect("the driver's report");
        Ran { stdout, stderr, result: report.result, lines: report.lines, error: report.error }
    }

    /// Runs a JavaScript module with Node. The example may await at its top level.
    pub fn node(&self, program: &Program<'_>) -> Ran {
        let folder = self.run_folder();
        let preload = folder.join("resolve.cjs");
        write(&preload, include_str!("clients/resolve.cjs"));
        let report = folder.join("report.json");
        let module = folder.join("example.mjs");
        let text = format!(
            "{}\n{}\nconst {{ writeFileSync }} = await import(\"node:fs\");\nwriteFileSync({}, JSON.stringify({}));\n",
            program.prelude,
            program.example,
            Value::from(report.display().to_string()),
            program.epilogue,
        );
        write(&module, &text);
        let arguments = ["--require".into(), preload.into(), module.into()];
        let node = places::program("node");
        let (stdout, stderr) = self.run(program, &node, &arguments, &folder);
        let result = serde_json::from_str(&read(&report)).expect("the epilogue's result");
        Ran { stdout, stderr, result, lines: vec![], error: None }
    }

    fn run(
        &self,
        program: &Program<'_>,
        interpreter: &Path,
        arguments: &[OsString],
        folder: &Path,
    ) -> (String, String) {
        let mut command = self.command(Path::new("bash"), folder);
        command.arg("-c").arg(format!("{}\nexec \"$@\"", program.shell)).arg("bash");
        let output = command.arg(interpreter).args(arguments).output();
        let output = output.expect("the client can be started");
        let stdout = String::from_utf8(output.stdout).expect("output in UTF-8");
        let stderr = String::from_utf8(output.stderr).expect("output in UTF-8");
        assert!(output.status.success(), "{}:\n{stdout}\n{stderr}", output.status);
        (stdout, stderr)
    }

    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(folder).env("HOME", folder).env("CURL_HOME", folder);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let hosts = serde_json::to_string(&self.hosts).expect("hosts are text");
        command.env("KEYWARD_TEST_HOSTS", hosts);
        command.env("KEYWARD_TEST_ADDRESS", self.address.to_string());
        command.env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1");
        for name in ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
            command.env(name, &self.ca);
        }
        command
    }

    fn run_folder(&self) -> PathBuf {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        std::fs::create_dir(&folder).expect("a folder can be made");
        folder
    }
}

/// From what curl dumped: the last head is the answer's, others were provisional.
fn read_answer(heads: &str, body: String) -> Answer {
    let last = heads.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default();
    let bytes = format!("{last}\r\n\r\n").into_bytes();
    let head = wire::Head::read(&mut bytes.as_slice());
    let head = head.ok().flatten().unwrap_or_else(|| panic!("no answer in {heads:?}"));
    Answer { status: head.status(), headers: head.headers, body }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
