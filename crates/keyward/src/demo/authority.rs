//! A certificate authority for the demo alone, and its certificate for the demo's hosts.
//!
//! The authority's private key is thrown away once it has signed: whoever trusts it trusts nothing that will ever be signed
//! again, by anybody. So when hosts change or time runs out, all is made anew, the authority too.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use keyward_core::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};

use crate::curl::AUTHORITY_FILE;

/// The certificate that the demo shows.
pub(super) const CERTIFICATE_FILE: &str = "cert.pem";
/// Its private key.
pub(super) const KEY_FILE: &str = "key.pem";
/// What was made for whom, and until when.
const RECORD_FILE: &str = "certificates.json";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clients refuse certificates of servers that last longer than 398 days.
const VALID: Duration = Duration::from_secs(365 * 24 * 3600);
/// What is about to end is made anew: a demo may run for a while.
const SPARE: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(PartialEq, Deserialize, Serialize)]
struct Record {
    hosts: Vec<String>,
    ends_at: Timestamp,
}

/// Makes sure that there are certificates for the hosts, and answers where the authority's is.
pub(super) fn ensure(
    folder: &Path,
    mut hosts: Vec<String>,
    now: Timestamp,
) -> anyhow::Result<PathBuf> {
    hosts.extend(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
    hosts.sort();
    hosts.dedup();
    let ca = folder.join(AUTHORITY_FILE);
    if !is_good(folder, &hosts, now) {
        make(folder, hosts, now)
            .with_context(|| format!("certificates cannot be made in {}", folder.display()))?;
    }
    Ok(ca)
}

fn is_good(folder: &Path, hosts: &[String], now: Timestamp) -> bool {
    let files = [AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE];
    let record = fs::read_to_string(folder.join(RECORD_FILE)).ok();
    let record = record.and_then(|text| serde_json::from_str::<Record>(&text).ok());
    files.iter().all(|file| folder.join(file).is_file())
        && record.is_some_and(|made| made.hosts == hosts && made.ends_at > now.plus(SPARE))
}

fn make(folder: &Path, hosts: Vec<String>, now: Timestamp) -> anyhow::Result<()> {
    // What is half made must not be taken for good.
    let record = folder.join(RECORD_FILE);
    match fs::remove_file(&record) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let clock = |at: Timestamp| SystemTime::UNIX_EPOCH + Duration::from_millis(at.as_millis());
    // A clock that is somewhat behind is no reason to refuse.
    let begins = clock(now).checked_sub(DAY).unwrap_or(SystemTime::UNIX_EPOCH);
    let ends_at = now.plus(VALID);

    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new([])?;
    ca.distinguished_name.push(DnType::CommonName, "Keyward demo, this machine only");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (ca.not_before, ca.not_after) = (begins.into(), clock(ends_at).into());
    let ca_certificate = ca.self_signed(&ca_key)?;

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(hosts.clone())?;
    leaf.distinguished_name.push(DnType::CommonName, "Keyward demo");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    (leaf.not_before, leaf.not_after) = (begins.into(), clock(ends_at).into());
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;

    write(&folder.join(KEY_FILE), &key.serialize_pem(), 0o600)?;
    write(&folder.join(CERTIFICATE_FILE), &certificate.pem(), 0o644)?;
    write(&folder.join(AUTHORITY_FILE), &ca_certificate.pem(), 0o644)?;
    write(&record, &serde_json::to_string(&Record { hosts, ends_at })?, 0o644)
}

/// Written beside and moved into place: a reader sees the old or the new, and never with the wrong permissions.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    Ok(fs::rename(&unfinished, path)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn certificates_stay_until_hosts_change_or_time_runs_out() {
        let folder = tempfile::tempdir().unwrap();
        let made = |names: &[&str], now| {
            let ca = ensure(folder.path(), hosts(names), now).unwrap();
            fs::read_to_string(ca).unwrap()
        };
        let first = made(&["a.test"], NOW);
        assert_eq!(made(&["a.test"], NOW.plus(DAY)), first);
        let second = made(&["a.test", "b.test"], NOW);
        assert_ne!(second, first);
        assert_eq!(made(&["b.test", "a.test"], NOW), second, "whatever their order");
        let third = made(&["a.test", "b.test"], NOW.plus(VALID));
        assert_ne!(third, second);
        fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
        assert_ne!(made(&["a.test", "b.test"], NOW.plus(VALID)), third);
    }

    #[test]
    fn the_private_key_is_the_owner_s_alone_and_the_authority_s_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        ensure(folder.path(), hosts(&["a.test"]), NOW).unwrap();
        let mut private = 0;
        for file in fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            if fs::read_to_string(&path).unwrap().contains("PRIVATE KEY") {
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
                private += 1;
            }
        }
        assert_eq!(private, 1);
    }
}
