//! A child process whose every line is kept, and which ends with its handle.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait::LONG;

/// How long a process may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// A running process. Dropping it ends it: first asked, then killed.
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

/// Everything a process has written so far.
#[derive(Default)]
struct Log {
    written: Mutex<Written>,
    grown: Condvar,
}

impl Log {
    /// Also behind a panic: what was written is whole at all times, and then it is wanted most.
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Written {
    /// Lines of both streams in the order they were read.
    lines: Vec<String>,
    /// How many of the two streams have ended.
    streams_ended: usize,
}

impl Process {
    /// Starts it with its output read here and nothing on its input.
    pub fn start(name: &str, command: &mut Command) -> Self {
        Self::start_with(name, command, Stdio::null())
    }

    /// Starts it with its output read here and this as its input.
    pub fn start_with(name: &str, command: &mut Command, input: Stdio) -> Self {
        let started = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let log = Arc::new(Log::default());
        let readers = vec![
            read_lines(child.stdout.take().expect("stdout is piped"), log.clone()),
            read_lines(child.stderr.take().expect("stderr is piped"), log.clone()),
        ];
        Self { name: name.to_owned(), child, log, readers, ended: None }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to its two outputs so far.
    pub fn output(&self) -> String {
        self.log.written().lines.join("\n")
    }

    /// How many lines it has written so far: where to begin waiting for a later one.
    pub fn lines(&self) -> usize {
        self.log.written().lines.len()
    }

    /// The first line from number `from` on that `wanted` takes. Panics, with all that was written, when the process ends
    /// or half a minute passes without one.
    pub fn line<T>(&self, what: &str, from: usize, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        let mut written = self.log.written();
        let mut next = from;
        loop {
            while let Some(line) = written.lines.get(next) {
                if let Some(found) = wanted(line) {
                    return found;
                }
                next += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let over = written.streams_ended == 2 || left.is_zero();
            assert!(!over, "{}: no {what}. It wrote:\n{}", self.name, written.lines.join("\n"));
            written = self.log.grown.wait_timeout(written, left).unwrap().0;
        }
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            let id = i32::try_from(self.child.id()).expect("a process id fits");
            kill(Pid::from_raw(id), signal).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        }
    }

    /// Waits for its end, and all it wrote.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(LONG)
    }

    /// The same for what takes longer.
    pub fn wait_at_most(&mut self, limit: Duration) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        assert!(
            self.ends_within(limit),
            "{} does not end. It wrote:\n{}",
            self.name,
            self.output()
        );
        self.reap()
    }

    /// Its two outputs end when it does: that is waited for, because the system offers no bounded wait for a process.
    fn ends_within(&self, limit: Duration) -> bool {
        let written = self.log.written();
        let open = |written: &mut Written| written.streams_ended < 2;
        let waited = self.log.grown.wait_timeout_while(written, limit, open);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn reap(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("a child can be waited for");
        self.ended = Some(status);
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader ends with its stream");
        }
        status
    }

    /// Ends it as a stopped service ends, and gives its status.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// A figure in kB of `/proc/<id>/status`, like `VmHWM`.
    pub fn memory_kb(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let figure = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
        figure.unwrap_or_else(|| panic!("no {name} in {path}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        let id = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill(id, Signal::SIGTERM);
        if !self.ends_within(GRACE) {
            let _ = kill(id, Signal::SIGKILL);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln_output(&self.name, &self.log);
        }
    }
}

/// How much of a process's output helps to understand a failed test.
const LAST_LINES: usize = 20;
const LONGEST_LINE: usize = 400;

#[allow(clippy::print_stderr, reason = "what a process said is how a failed test is understood")]
fn eprintln_output(name: &str, log: &Log) {
    let written = log.written();
    let from = written.lines.len().saturating_sub(LAST_LINES);
    eprintln!("── the last lines of {name}:");
    for line in &written.lines[from..] {
        eprintln!("{}", line.chars().take(LONGEST_LINE).collect::<String>());
    }
}

fn read_lines(stream: impl Read + Send + 'static, log: Arc<Log>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        // A stream that fails has ended too.
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            log.written().lines.push(text);
            log.grown.notify_all();
            line.clear();
        }
        log.written().streams_ended += 1;
        log.grown.notify_all();
    })
}
