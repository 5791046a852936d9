//! TLS: certificates that are read again when their files change, and the trust in upstreams.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::TlsFiles;

/// Certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read {what} {path}: {cause}; give a PEM file that this user may read")]
    Read { what: &'static str, path: PathBuf, cause: String },
    #[error("certificate {certificate} and key {key} do not fit together: {cause}")]
    Mismatch { certificate: PathBuf, key: PathBuf, cause: rustls::Error },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// One listener's certificate, replaceable while it serves.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
    /// What the files held when they were last read, good or not.
    seen: ArcSwap<(Vec<u8>, Vec<u8>)>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificate {
    pub(crate) fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let current = read(&files)?;
        let seen = contents(&files);
        Ok(Arc::new(Self {
            files,
            current: ArcSwap::from_pointee(current),
            seen: ArcSwap::from_pointee(seen),
        }))
    }

    /// Reads the files again if they changed. Files that do not fit together (one was replaced, the other not
    /// yet) leave the old certificate in use.
    pub(crate) fn refresh(&self) {
        let now = contents(&self.files);
        if now == **self.seen.load() {
            return;
        }
        self.seen.store(Arc::new(now));
        match read(&self.files) {
            Ok(key) => {
                self.current.store(Arc::new(key));
                tracing::info!(certificate = %self.files.certificate.display(), "the certificate was replaced");
            }
            Err(error) => {
                tracing::warn!(%error, "the changed certificate is not used, the old one stays");
            }
        }
    }
}

fn contents(files: &TlsFiles) -> (Vec<u8>, Vec<u8>) {
    let read = |path: &Path| std::fs::read(path).unwrap_or_default();
    (read(&files.certificate), read(&files.key))
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let fail = |cause: String| TlsError::Read { what: "key", path: files.key.clone(), cause };
    let file = File::open(&files.key).map_err(|error| fail(error.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_reader(BufReader::new(file)).map_err(|e| fail(e.to_string()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|cause| {
        TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone(), cause }
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |cause: String| TlsError::Read { what: "certificate", path: path.to_owned(), cause };
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    let chain = CertificateDer::pem_reader_iter(BufReader::new(file))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fail(error.to_string()))?;
    if chain.is_empty() { Err(fail("it holds no certificate".to_owned())) } else { Ok(chain) }
}

/// What a listener offers: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub(crate) fn server(certificate: Arc<Certificate>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// How upstreams are trusted: by the system's authorities, and those in `ca`.
pub(crate) fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca {
        for certificate in certificates(path)? {
            roots.add(certificate)?;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
