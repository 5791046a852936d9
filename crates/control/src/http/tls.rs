//! TLS for the management API: a certificate that is read again when its files change.
//!
//! Like the gateway's, and apart from it, because control never sees the gateway.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Where a certificate chain and its private key are (PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or is not what it should be.
    #[error("cannot read {what} {}: {cause}; give a PEM file that this user may read", path.display())]
    Read {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system or the parser says.
        cause: String,
    },
    /// They do not fit together, or TLS cannot be set up with them.
    #[error("certificate {} cannot be used with its key: {cause}; give both of one pair", certificate.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
}

/// The certificate in use.
#[derive(Debug)]
pub(super) struct Certificate {
    files: CertificateFiles,
    current: ArcSwap<CertifiedKey>,
    /// What the files held when they were last read, good or not.
    seen: ArcSwap<Contents>,
}

type Contents = (Vec<u8>, Vec<u8>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificate {
    pub(super) fn load(files: CertificateFiles) -> Result<Arc<Self>, CertificateError> {
        let contents = contents(&files)?;
        let current = ArcSwap::from_pointee(certified(&files, &contents)?);
        Ok(Arc::new(Self { files, current, seen: ArcSwap::from_pointee(contents) }))
    }

    /// Takes the files as they are now. Where one of two was replaced, the old pair stays in use until the other is.
    pub(super) fn refresh(&self) {
        let read = contents(&self.files);
        if read.as_ref().is_ok_and(|now| *now == **self.seen.load()) {
            return;
        }
        let taken = read.and_then(|now| {
            let certified = certified(&self.files, &now);
            self.seen.store(Arc::new(now));
            certified
        });
        match taken {
            Ok(certified) => {
                self.current.store(Arc::new(certified));
                tracing::info!("the certificate of the management API was replaced");
            }
            Err(error) => {
                tracing::warn!(%error, "the changed certificate of the management API is not used, the old one stays");
            }
        }
    }

    /// TLS 1.2 and 1.3, HTTP/1.1.
    pub(super) fn server(self: &Arc<Self>) -> Result<Arc<ServerConfig>, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| unfit(&self.files, cause))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn contents(files: &CertificateFiles) -> Result<Contents, CertificateError> {
    let read = |what: &'static str, path: &Path| {
        fs::read(path).map_err(|cause| unread(what, path, cause.to_string()))
    };
    Ok((read("certificate", &files.certificate)?, read("key", &files.key)?))
}

fn unread(what: &'static str, path: &Path, cause: String) -> CertificateError {
    CertificateError::Read { what, path: path.to_owned(), cause }
}

fn unfit(files: &CertificateFiles, cause: rustls::Error) -> CertificateError {
    CertificateError::Unfit { certificate: files.certificate.clone(), cause }
}

fn certified(
    files: &CertificateFiles,
    (certificate, key): &Contents,
) -> Result<CertifiedKey, CertificateError> {
    let path = &files.certificate;
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unread("certificate", path, error.to_string()))?;
    if chain.is_empty() {
        return Err(unread("certificate", path, "it holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| unread("key", &files.key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|cause| unfit(files, cause))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    fn write(files: &CertificateFiles, made: &Made<rcgen::KeyPair>) {
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    fn made() -> Made<rcgen::KeyPair> {
        generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    #[test]
    fn a_certificate_is_replaced_with_its_key_and_never_by_half() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        let missing = Certificate::load(files.clone()).unwrap_err().to_string();
        assert!(missing.contains("certificate.pem"), "{missing}");
        let (first, second) = (made(), made());
        write(&files, &first);
        let certificate = Certificate::load(files.clone()).unwrap();
        let shown = || certificate.current.load().cert[0].clone();
        assert_eq!(shown(), *first.cert.der());
        fs::write(&files.certificate, second.cert.pem()).unwrap();
        certificate.refresh();
        assert_eq!(shown(), *first.cert.der(), "its key is not there yet");
        write(&files, &second);
        certificate.refresh();
        assert_eq!(shown(), *second.cert.der());
        fs::write(&files.certificate, "nonsense").unwrap();
        certificate.refresh();
        fs::remove_file(&files.key).unwrap();
        certificate.refresh();
        assert_eq!(shown(), *second.cert.der());
        assert!(Certificate::load(files).is_err());
    }
}
