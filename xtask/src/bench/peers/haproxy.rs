//! HAProxy with the nearest it has to API keys: a map file from the bearer key to an id, and a
//! stick table that counts requests per id.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;

use super::{Kind, Peer, Setting};
use crate::bench::cpu::PROXY_CORE;
use crate::bench::server::{Server, folder, free_address, write};
use crate::bench::traffic::Traffic;
use crate::provision;

pub(super) fn start(setting: &Setting<'_>) -> Result<Peer> {
    let folder = folder()?;
    let address = free_address()?;
    let mut entries = String::new();
    for (index, key) in setting.keys.iter().enumerate() {
        writeln!(entries, "{key} k{index}")?;
    }
    let map = write(&folder, "keys.map", &entries)?;
    // Generous, because file descriptors are allotted by it, and HAProxy closes idle upstream
    // connections once a quarter of them is in use: with just enough, every request opened a
    // connection and cost three times as much.
    let most = setting.connections * 16 + 4096;
    let upstream = setting.upstream;
    let tls = setting.tls.map_or_else(String::new, |tls| {
        let both = tls.both.display();
        format!(" ssl crt {both} alpn h2,http/1.1 ssl-min-ver TLSv1.3")
    });
    // Without it, it keeps each event back until the one before has been acknowledged: 40 ms.
    let delay = if setting.traffic == Traffic::Events { "option http-no-delay" } else { "" };
    let map = map.display();
    let configuration = format!(
        r"
global
    nbthread 1
    maxconn {most}
    # Where fewer files are allowed than so many could take: it needs no more than the others.
    no strict-limits

defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
    http-reuse always
    {delay}

frontend keys
    bind {address}{tls}
    http-request set-var(txn.key) http_auth_bearer,map_str({map})
    http-request deny deny_status 401 unless {{ var(txn.key) -m found }}
    http-request track-sc0 var(txn.key) table counts
    http-request deny deny_status 429 if {{ sc_http_req_rate(0,counts) gt 100000000 }}
    default_backend main

backend counts
    stick-table type string len 16 size 100k expire 1h store http_req_rate(10s)

backend main
    server upstream {upstream}
"
    );
    let file = write(&folder, "haproxy.cfg", &configuration)?;
    let mut command = Command::new(provision::program("haproxy")?);
    // `-db`: in the foreground, one process.
    command.arg("-db").arg("-f").arg(file);
    let server = Server::start(Kind::Haproxy.name(), folder, &mut command, PROXY_CORE, address)?;
    Ok(Peer { kind: Kind::Haproxy, address, server })
}
