//! A certificate authority for one test, and a certificate of it for the hosts that the test serves.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// PEM files.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate: what clients trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`.
    pub fn make(folder: &Path, hosts: &[&str]) -> Self {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            path
        };
        let ca_key = KeyPair::generate().expect("a key pair can be made");
        let mut ca = CertificateParams::new([]).expect("no names are good names");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "Keyward's tests");
        let ca_certificate = ca.self_signed(&ca_key).expect("an authority signs itself");

        let key = KeyPair::generate().expect("a key pair can be made");
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let server = CertificateParams::new(hosts).expect("hosts are names");
        let issuer = Issuer::from_params(&ca, &ca_key);
        let certificate = server.signed_by(&key, &issuer).expect("an authority signs a server");
        Self {
            ca: write("test-ca.pem", ca_certificate.pem()),
            certificate: write("test-server.pem", certificate.pem()),
            key: write("test-server.key", key.serialize_pem()),
        }
    }
}
