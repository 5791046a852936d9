//! A server under test: one child process with a folder of its own for configuration, data and log,
//! pinned to a core, and ended by its process id when dropped, descendants included. Nothing of it
//! outlives the bench.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::cpu;
use crate::{wait, workspace};

const TIME_TO_START: Duration = Duration::from_secs(30);
const TIME_TO_END: Duration = Duration::from_secs(5);
const LOG_LINES_SHOWN: usize = 8;

/// A folder that goes with its server.
pub(super) fn folder() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("keyward-bench-")
        .tempdir()
        .context("a temporary folder cannot be made")
}

/// An address on loopback where nobody listens. In our own namespace nobody else can take it
/// meanwhile.
pub(super) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// Writes a file into a server's folder.
pub(super) fn write(folder: &TempDir, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.path().join(name);
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

pub(super) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
    // Dropped after the process has been ended in `drop`.
    _folder: TempDir,
}

impl Server {
    /// Starts `command` on `core` and waits until `address` accepts connections.
    pub(super) fn start(
        name: &'static str,
        folder: TempDir,
        command: &mut Command,
        core: usize,
        address: SocketAddr,
    ) -> Result<Self> {
        let log = folder.path().join("output.log");
        let output = File::create(&log).context("a log file cannot be made")?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = cpu::on_core(core, || command.spawn())?.with_context(|| {
            format!("{name}: `{}` cannot be started", workspace::shown(command))
        })?;
        let mut server = Self { name, child, log, _folder: folder };
        let ended = wait::until(TIME_TO_START, || {
            let is_up = TcpStream::connect(address).is_ok();
            Ok(if is_up { Some(None) } else { server.child.try_wait()?.map(Some) })
        })?;
        server.has_started(ended)?;
        Ok(server)
    }

    fn has_started(&self, ended: Option<Option<ExitStatus>>) -> Result<()> {
        match ended {
            Some(None) => Ok(()),
            Some(Some(status)) => {
                bail!("{} ended at once ({status}):\n{}", self.name, self.log_end())
            }
            None => bail!(
                "{} did not listen within {} s:\n{}",
                self.name,
                TIME_TO_START.as_secs(),
                self.log_end()
            ),
        }
    }

    /// The process and its descendants, as they are now.
    pub(super) fn processes(&self) -> Result<Vec<i32>> {
        cpu::tree(self.process())
    }

    fn process(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_default()
    }

    /// All it wrote so far.
    pub(super) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines it wrote, for an error message.
    pub(super) fn log_end(&self) -> String {
        log_end(&self.log)
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        // Listed while the root lives: once it has gone, nobody knows whose they were.
        let processes = self.processes()?;
        kill(Pid::from_raw(self.process()), Signal::SIGTERM)?;
        let ended = wait::until(TIME_TO_END, || Ok(self.child.try_wait()?))?;
        for process in processes {
            // Mostly gone already, which is no error; what a root left behind must not stay.
            if ended.is_none() || process != self.process() {
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
        }
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("note: {} (process {}) may still run: {error:#}", self.name, self.child.id());
        }
    }
}

fn log_end(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let shown = lines.get(lines.len().saturating_sub(LOG_LINES_SHOWN)..).unwrap_or_default();
    if shown.is_empty() { "(it wrote nothing)".to_owned() } else { shown.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> (Server, TcpListener) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let folder = folder().unwrap();
        // A shell with a child of its own, like a master with its worker.
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & wait"]);
        let server = Server::start("sleeper", folder, &mut command, 0, address).unwrap();
        (server, listener)
    }

    #[test]
    fn dropping_ends_the_process_and_removes_its_folder() {
        let (server, _listener) = sleeper();
        let path = server._folder.path().to_owned();
        let processes = wait::until(Duration::from_secs(5), || {
            Ok(Some(server.processes()?).filter(|processes| processes.len() == 2))
        });
        let processes = processes.unwrap().expect("the shell starts its child");
        drop(server);
        for process in processes {
            // A zombie that init has not collected yet has no command line any more.
            let command = format!("/proc/{process}/cmdline");
            let is_gone = || std::fs::read(&command).unwrap_or_default().is_empty();
            let gone = wait::until(Duration::from_secs(5), || Ok(is_gone().then_some(())));
            assert!(gone.unwrap().is_some());
        }
        assert!(!path.exists());
    }

    #[test]
    fn one_that_ends_at_once_is_an_error_with_its_words() {
        let address = free_address().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such setting >&2; exit 3"]);
        let started = Server::start("broken", folder().unwrap(), &mut command, 0, address);
        let error = started.err().unwrap().to_string();
        assert!(error.contains("no such setting"), "{error}");
    }
}
