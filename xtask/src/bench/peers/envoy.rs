//! Envoy as a plain proxy: what a gateway is often built on, without the parts that would know keys.
//! It comes from PyPI, because Debian has no package of it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{Kind, Peer, Setting};
use crate::bench::cpu::PROXY_CORE;
use crate::bench::server::{Server, folder, free_address, write};
use crate::bench::tls::Tls;
use crate::{provision, workspace};

/// Its program, installed where it is not yet; an error where it does not run on this machine.
pub(in crate::bench) fn install() -> Result<PathBuf> {
    let root = workspace::root()?;
    let environment = workspace::target(&root)?.join("venv-bench");
    provision::python(&root.join("xtask/requirements-bench.txt"), &environment)?;
    let program = environment.join("bin/envoy");
    let told = Command::new(&program).arg("--version").output();
    let told = told.with_context(|| format!("{} cannot be started", program.display()))?;
    if !told.status.success() {
        let said = String::from_utf8_lossy(&told.stderr);
        bail!("it does not run here ({}): {}", told.status, said.trim());
    }
    Ok(program)
}

pub(super) fn start(setting: &Setting<'_>) -> Result<Peer> {
    let program = setting.envoy.context("Envoy was not installed")?;
    let folder = folder()?;
    let address = free_address()?;
    let transport = setting.tls.map_or_else(String::new, transport);
    // By default it has no more than 1,024 connections to an upstream, and ends answers after 15 s.
    let most = setting.connections * 2 + 1024;
    let (ip, port) = (address.ip(), address.port());
    let (upstream_ip, upstream_port) = (setting.upstream.ip(), setting.upstream.port());
    let configuration = format!(
        r#"
static_resources:
  listeners:
  - name: main
    address:
      socket_address: {{ address: "{ip}", port_value: {port} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          generate_request_id: false
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: main, timeout: 0s }}{transport}
  clusters:
  - name: main
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - {{ max_connections: {most}, max_pending_requests: {most}, max_requests: {most} }}
    load_assignment:
      cluster_name: main
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {{ address: "{upstream_ip}", port_value: {upstream_port} }}
"#
    );
    let file = write(&folder, "envoy.yaml", &configuration)?;
    let mut command = Command::new(program);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    command.arg("--config-path").arg(file);
    let server = Server::start(Kind::Envoy.name(), folder, &mut command, PROXY_CORE, address)?;
    Ok(Peer { kind: Kind::Envoy, address, server })
}

fn transport(tls: &Tls) -> String {
    let (certificate, key) = (tls.certificate.display(), tls.key.display());
    format!(
        r#"
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: ["h2", "http/1.1"]
            tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}
            tls_certificates:
            - certificate_chain: {{ filename: "{certificate}" }}
              private_key: {{ filename: "{key}" }}"#
    )
}
