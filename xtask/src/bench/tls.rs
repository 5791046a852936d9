//! TLS between the generator and the proxies: a certificate of our own, and one way to encrypt, so
//! that all proxies do the same work. What they prefer by themselves differs, and so would the cost.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::CertifiedKey;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use super::server::{folder, write};

/// Whom the certificate is for.
pub(super) const NAME: &str = "api.bench.test";

pub(super) struct Tls {
    /// PEM files, as most proxies want them.
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Both in one.
    pub(super) both: PathBuf,
    pub(super) client: Arc<ClientConfig>,
    _folder: TempDir,
}

impl Tls {
    /// A certificate (ECDSA, P-256), and a client that trusts it and speaks `protocol` alone.
    pub(super) fn new(protocol: &str) -> Result<Self> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([NAME.to_owned()])
                .context("no certificate can be made")?;
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let folder = folder()?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self {
            certificate: write(&folder, "certificate.pem", &certificate)?,
            key: write(&folder, "key.pem", &key)?,
            both: write(&folder, "both.pem", &format!("{certificate}{key}"))?,
            client: Arc::new(client),
            _folder: folder,
        })
    }
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}
