//! The proxies that are compared. Each module writes one's configuration and starts it: one worker,
//! access log off, keep-alive to the upstream, and the limits that a keep-alive connection has by
//! default lifted, so that each does nothing but its work.

mod envoy;
mod haproxy;
mod keyward;
mod nginx;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::server::Server;
use super::tls::Tls;
use super::traffic::Traffic;

pub(super) use envoy::install as install_envoy;
pub(super) use keyward::{prepare_keyward, prepare_limited};

/// In the order in which they are measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Keyward,
    /// With four limits that all have room, and metering
    KeywardLimits,
    /// `proxy_pass` and nothing else: what the others are compared to
    Nginx,
    /// With a key map and a limit per key
    NginxKeys,
    /// With a map file and a stick table
    Haproxy,
    /// As a plain proxy, where it can be installed
    Envoy,
    /// The upstream itself, without a proxy: what of a delay is not the proxy's
    #[value(skip)]
    Direct,
}

impl Kind {
    /// Whether it is one of ours.
    pub(super) fn is_keyward(self) -> bool {
        matches!(self, Self::Keyward | Self::KeywardLimits)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keyward => "Keyward",
            Self::KeywardLimits => "Keyward, four limits and metering",
            Self::Nginx => "nginx, plain",
            Self::NginxKeys => "nginx, key map and limit_req",
            Self::Haproxy => "HAProxy, map and stick table",
            Self::Envoy => "Envoy, plain",
            Self::Direct => "no proxy",
        }
    }
}

/// What every proxy is told.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) upstream: SocketAddr,
    /// Connections that the generator will hold.
    pub(super) connections: usize,
    pub(super) traffic: Traffic,
    /// How they come, where that is not in the clear.
    pub(super) tls: Option<&'a Tls>,
    /// Envoy's program, where it is wanted.
    pub(super) envoy: Option<&'a Path>,
    /// The keys that are sent: each peer that checks keys knows all of them.
    pub(super) keys: &'a [String],
}

/// A running proxy.
pub(super) struct Peer {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    pub(super) server: Server,
}

impl Peer {
    /// Starts a proxy. `keyward` is its binary and the folder that [`prepare_keyward`] made, when
    /// it is among them.
    pub(super) fn start(
        kind: Kind,
        setting: &Setting<'_>,
        prepared: Option<Prepared>,
    ) -> Result<Self> {
        match kind {
            Kind::Keyward | Kind::KeywardLimits => keyward::start(kind, prepared),
            Kind::Nginx => nginx::start(kind, setting, nginx::Keys::Ignored),
            Kind::NginxKeys => nginx::start(kind, setting, nginx::Keys::Checked),
            Kind::Haproxy => haproxy::start(setting),
            Kind::Envoy => envoy::start(setting),
            Kind::Direct => bail!("no proxy cannot be started"),
        }
    }
}

/// A Keyward that has its configuration, its organization and its keys, and is not running yet.
pub(super) struct Prepared {
    binary: Box<Path>,
    folder: tempfile::TempDir,
    configuration: std::path::PathBuf,
    address: SocketAddr,
    pub(super) keys: Vec<String>,
}
