//! nginx twice: plain, as the unit in which the others are counted, and with the nearest it has to
//! API keys, a `map` from the header and `limit_req` by key. (Its map compares without regard to
//! case, so it accepts keys that differ in case alone: fit for measuring, not for use.)

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use super::{Kind, Peer, Setting};
use crate::bench::cpu::PROXY_CORE;
use crate::bench::server::{Server, folder, free_address, write};
use crate::bench::tls::Tls;
use crate::bench::traffic::Traffic;
use crate::provision;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    Ignored,
    Checked,
}

pub(super) fn start(kind: Kind, setting: &Setting<'_>, keys: Keys) -> Result<Peer> {
    let folder = folder()?;
    let address = free_address()?;
    let (map, check) = match keys {
        Keys::Ignored => (String::new(), ""),
        Keys::Checked => (map(&folder, setting.keys)?, CHECK),
    };
    let configuration = configuration(&folder, setting, &map, &address.to_string(), check);
    let file = write(&folder, "nginx.conf", &configuration)?;
    let mut command = Command::new(provision::program("nginx")?);
    // `-e`: otherwise it opens Debian's own error log before it reads the configuration.
    command.arg("-p").arg(folder.path()).args(["-e", "stderr", "-c"]).arg(file);
    let server = Server::start(kind.name(), folder, &mut command, PROXY_CORE, address)?;
    Ok(Peer { kind, address, server })
}

/// A rate that never refuses: it is counted, as in use, and the burst covers requests within one
/// millisecond.
const CHECK: &str = r#"
            if ($key_id = "") { return 401; }
            limit_req zone=keys burst=100000 nodelay;"#;

/// The session cache and tickets are left as they are: each connection shakes hands once.
fn certificate(tls: &Tls) -> String {
    let (certificate, key) = (tls.certificate.display(), tls.key.display());
    format!(
        "\n        ssl_certificate {certificate};\n        ssl_certificate_key {key};\n        \
         ssl_protocols TLSv1.3;"
    )
}

/// How it is run where there are such bodies: streams are not kept back, and no body goes by a file,
/// which is no other proxy's way either.
const fn buffering(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Events => "proxy_buffering off;",
        Traffic::LargeRequest => "proxy_request_buffering off; client_max_body_size 2m;",
        Traffic::LargeAnswer => "proxy_max_temp_file_size 0;",
        _ => "",
    }
}

fn map(folder: &TempDir, keys: &[String]) -> Result<String> {
    let mut entries = String::new();
    for (index, key) in keys.iter().enumerate() {
        writeln!(entries, "\"Bearer {key}\" k{index};")?;
    }
    let file = write(folder, "keys.map", &entries)?;
    Ok(format!(
        r#"
    map_hash_max_size 65536;
    map_hash_bucket_size 256;
    map $http_authorization $key_id {{
        default "";
        include {};
    }}
    limit_req_zone $key_id zone=keys:16m rate=100000r/s;"#,
        file.display()
    ))
}

fn configuration(
    folder: &TempDir,
    setting: &Setting<'_>,
    map: &str,
    address: &str,
    check: &str,
) -> String {
    let folder = folder.path().display();
    let upstream = setting.upstream;
    let (tls, certificate) = match setting.tls {
        None => ("", String::new()),
        Some(tls) => (" ssl http2", certificate(tls)),
    };
    let buffering = buffering(setting.traffic);
    let kept = setting.connections * 2;
    let most = (setting.connections * 4).max(1024);
    format!(
        r#"
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {most}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;{map}
    upstream main {{
        server {upstream};
        keepalive {kept};
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen {address}{tls};{certificate}
        location / {{{check}
            proxy_pass http://main;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {buffering}
        }}
    }}
}}
"#
    )
}
