//! nginx and HAProxy as plain proxies, told to pass on what they are sent as it is: one process each, with a frontend and an
//! upstream of its own for each lane, so that what reaches an upstream is known to come from one client.
//!
//! All sockets are files in the temporary folder: no port can be taken by somebody else in between, and none runs out.

use std::{
    fmt::Write as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use keyward_testkit::{places, process::Process, wait};

use crate::recorder::Recorder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Nginx, Self::Haproxy];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }

    fn front(self, folder: &Path, lane: usize) -> PathBuf {
        folder.join(format!("{}{lane}", self.name()))
    }

    fn upstream(self, folder: &Path, lane: usize) -> PathBuf {
        folder.join(format!("{}{lane}-upstream", self.name()))
    }
}

/// One lane of one proxy.
#[derive(Clone)]
pub struct Front {
    pub kind: Kind,
    pub socket: PathBuf,
    pub recorder: Recorder,
}

/// Both, running. Dropping them ends them by their process ids.
pub struct Peers {
    /// Lane by lane, in the order of [`Kind::ALL`].
    pub lanes: Vec<[Front; 2]>,
    _processes: Vec<Process>,
    // Dropped after the processes have ended.
    _folder: tempfile::TempDir,
}

impl Peers {
    /// Starts both; whoever keeps a request waiting for `patience` is given up.
    pub fn start(lanes: usize, patience: Duration) -> Self {
        let folder = tempfile::Builder::new().prefix("keyward-").tempdir().unwrap();
        let front = |kind: Kind, lane| Front {
            kind,
            socket: kind.front(folder.path(), lane),
            recorder: Recorder::at(&kind.upstream(folder.path(), lane)),
        };
        let fronts = (0..lanes).map(|lane| Kind::ALL.map(|kind| front(kind, lane)));
        let fronts: Vec<[Front; 2]> = fronts.collect();
        let processes = Kind::ALL.map(|kind| start(kind, folder.path(), lanes, patience));
        for front in fronts.iter().flatten() {
            wait::until(front.kind.name(), wait::LONG, || UnixStream::connect(&front.socket).ok());
        }
        Self { lanes: fronts, _processes: processes.into(), _folder: folder }
    }
}

fn start(kind: Kind, folder: &Path, lanes: usize, patience: Duration) -> Process {
    let text = match kind {
        Kind::Nginx => nginx(folder, lanes, patience),
        Kind::Haproxy => haproxy(folder, lanes, patience),
    };
    let file = folder.join(format!("{}.conf", kind.name()));
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(places::program(&kind.name().to_lowercase()));
    match kind {
        // `-e`: otherwise it opens the system's own error log before it reads the configuration.
        Kind::Nginx => command.arg("-p").arg(folder).args(["-e", "stderr", "-c"]).arg(&file),
        // `-db`: in the foreground, one process.
        Kind::Haproxy => command.args(["-db", "-q", "-f"]).arg(&file),
    };
    Process::start(kind.name(), &mut command)
}

/// Nothing of what nginx can clean is cleaned: slashes stay, the target goes on as it came, names may have underscores.
fn nginx(folder: &Path, lanes: usize, patience: Duration) -> String {
    let mut servers = String::new();
    for lane in 0..lanes {
        let front = Kind::Nginx.front(folder, lane);
        let upstream = Kind::Nginx.upstream(folder, lane);
        let (front, upstream) = (front.display(), upstream.display());
        write!(
            servers,
            r#"
    upstream u{lane} {{
        server unix:{upstream};
        keepalive 4;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen unix:{front};
        location / {{
            proxy_pass http://u{lane};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}"#
        )
        .unwrap();
    }
    let (folder, patience) = (folder.display(), patience.as_millis());
    // One process without a master: its id is the whole of it, and it stays the user who made the folder.
    format!(
        r"
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    merge_slashes off;
    underscores_in_headers on;
    client_header_timeout {patience}ms;
    client_body_timeout {patience}ms;
    keepalive_timeout {patience}ms;
    client_max_body_size 0;
    proxy_next_upstream off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;{servers}
}}
"
    )
}

/// Bodies are waited for before they are sent on, as nginx does, so that one that never comes whole meets the deadline for requests.
fn haproxy(folder: &Path, lanes: usize, patience: Duration) -> String {
    let patience = patience.as_millis();
    let mut text = format!(
        r"
global
    nbthread 1
    maxconn 4096

defaults
    mode http
    timeout connect 5s
    timeout server {patience}ms
    timeout client {patience}ms
    timeout http-request {patience}ms
    timeout http-keep-alive {patience}ms
    option http-keep-alive
    option http-buffer-request
    http-reuse always
    retries 0
"
    );
    for lane in 0..lanes {
        let front = Kind::Haproxy.front(folder, lane);
        let upstream = Kind::Haproxy.upstream(folder, lane);
        let (front, upstream) = (front.display(), upstream.display());
        write!(
            text,
            r"
frontend f{lane}
    bind unix@{front}
    default_backend b{lane}

backend b{lane}
    server upstream unix@{upstream}
"
        )
        .unwrap();
    }
    text
}
