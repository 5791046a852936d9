//! Who is not found in the ordinary way: perhaps one whose secret came from another system.
//!
//! Where an API holds such secrets, the format of its own says nothing of them, so the look-up decides, and what it does not know is
//! refused as it would have been: as malformed or as unknown. A secret of which only a bcrypt hash is known takes a tenth of a
//! second of a core to check: that is not done here, but by whoever is handed a [`Suspect`].

use std::sync::Arc;

use super::{Caller, Check, Identity, Refused, Trace, refuse, unknown_key};
use crate::{
    directory::{Candidate, Imported, KeyEntry},
    key::{Digest, format::Malformed},
    policy::Api,
    snapshot::Snapshot,
    usage::Upgrade,
    verdict::{Denial, Reason},
};

/// bcrypt reads no more of a secret. What is longer is not checked: whatever stood behind would be as good as the rest of it.
const LONGEST_CHECKED: usize = 72;

/// What was sent may be one of some secrets of which only bcrypt hashes are known.
pub struct Suspect {
    imported: Arc<Imported>,
    candidates: Vec<Arc<[Candidate]>>,
    digest: Digest,
    key: zeroize::Zeroizing<Box<[u8]>>,
    refusal: Box<Denial>,
}

impl std::fmt::Debug for Suspect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Suspect({} sets of candidates)", self.candidates.len())
    }
}

impl Suspect {
    /// What it may be, in sets that are replaced when they change.
    pub fn candidates(&self) -> &[Arc<[Candidate]>] {
        &self.candidates
    }

    /// Which secret was sent, without the secret.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// What was sent, to be checked.
    pub fn key(&self) -> zeroize::Zeroizing<Box<[u8]>> {
        self.key.clone()
    }

    /// It is this one. From now on [`super::identify`] finds it.
    pub fn prove(&self, snapshot: &Snapshot, candidate: &Candidate) {
        self.imported.prove(snapshot.peppers(), &self.key, candidate);
    }

    /// It is none of them: the words for a key that nobody knows.
    pub fn unknown(self) -> Box<Denial> {
        self.refusal
    }

    /// It cannot be checked now.
    pub fn unchecked(self) -> Box<Denial> {
        let mut denial = Denial::new(
            Reason::Unavailable,
            "The key may be an imported one, and cannot be checked now; try again.",
        );
        denial.retry_after = Some(std::time::Duration::from_secs(1));
        Box::new(denial)
    }
}

/// The entry of an imported secret, as far as it is found at once.
pub(super) fn look_up(snapshot: &Snapshot, api: &Api, key: &[u8]) -> Option<KeyEntry> {
    let imported = snapshot.directory().imported(api.number)?;
    let found = imported.find(snapshot.directory(), snapshot.peppers(), key);
    found.filter(|entry| entry.api == api.number)
}

/// Finds whom the ordinary look-up did not find, or says how they are refused.
#[cold]
pub(super) fn identify(
    snapshot: &Snapshot,
    api: &Api,
    key: &[u8],
    formed: Result<(), Malformed>,
    trace: &mut impl Trace,
) -> Result<Identity, Refused> {
    let (check, mut denial) = match formed {
        Ok(()) => (Check::Key, unknown_key()),
        Err(why) => {
            let detail = format!("This is no API key: {why}.");
            (Check::Format, Denial::new(Reason::MalformedKey, detail))
        }
    };
    let current = snapshot.peppers().current();
    denial.key_id = Some(current.fingerprint(key));
    let Some(imported) = snapshot.directory().imported(api.number) else {
        return refuse(trace, check, denial);
    };
    // Of a secret that was imported in the clear, or used since, our own digest is kept, whatever its format.
    let ours = formed.is_err().then(|| super::look_up(snapshot, api, key)).flatten();
    let foreign = ours.is_none();
    if let Some(entry) = ours.or_else(|| look_up(snapshot, api, key)) {
        if formed.is_err() {
            trace.passed(Check::Format, || "an imported key may have any".to_owned());
        }
        trace.passed(Check::Key, || format!("{} (secret {})", entry.key, entry.secret));
        return Ok(Identity::Known(Caller { entry, foreign }));
    }
    if key.len() <= LONGEST_CHECKED {
        let candidates = imported.candidates(key);
        if !candidates.is_empty() {
            let digest = current.digest(key);
            let key = zeroize::Zeroizing::new(key.into());
            let refusal = Box::new(denial);
            let suspect = Suspect { imported, candidates, digest, key, refusal };
            return Ok(Identity::Unproven(Box::new(suspect)));
        }
    }
    refuse(trace, check, denial)
}

/// What to keep of the secret that was just accepted, where it is kept by another system's digest still.
pub fn upgrade<H: crate::credential::Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &super::Request<'_, H>,
    caller: &Caller,
) -> Option<Upgrade> {
    if !caller.foreign {
        return None;
    }
    let slots = &request.api.profile.slots;
    let presented = crate::credential::present(slots, request.headers, request.query).ok()?;
    let pepper = snapshot.peppers().current();
    Some(Upgrade {
        secret: caller.entry.secret,
        digest: pepper.digest(presented.key),
        pepper: pepper.version(),
    })
}
