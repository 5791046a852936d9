//! How many files may be open: each connection is one, and so is each that a request makes to its upstream.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What is open beside connections: the database, listeners, logs.
const BESIDE: u64 = 256;

/// Takes as many as the system allows this process: the limit it begins with, often 1,024, is there for programs that wait on files in an
/// older way. Says so where that is too few for the connections that are configured.
pub(super) fn allow(connections: usize) {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(BESIDE);
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        Ok(most)
    });
    match allowed {
        Ok(most) if most < wanted => tracing::warn!(
            most,
            "fewer files may be open than `connections` wants ({connections}): raise the limit (`LimitNOFILE=` in systemd, `ulimit -Hn`), or lower \
             `connections`"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "how many files may be open cannot be raised"),
    }
}
