//! Keys of another system: taken over as they are, so that nobody has to change what they send.
//!
//! Row by row: what is right is in although other rows are wrong, and each wrong one is told by its line with what would be right.
//! A row makes a key like any other, held against the same profile and the same rights, with its own entry in the audit log. The key
//! in the clear is digested as ours are. Of a digest, only an HMAC under our pepper is kept (of a bcrypt hash also the hash, sealed),
//! until the key is used for the first time and our own digest takes its place.

mod entropy;
mod rows;
mod secret;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt::Display, str::FromStr, sync::Arc};

use keyward_api::{ImportReport, RowFormat, RowNote};
use keyward_core::{
    id::{ApiName, OrganizationId, SecretId, UserId},
    key::{Digest, Key, Labels, SealedBcrypt, Secret, SecretForm},
    member::Right,
    policy::Api,
};
use keyward_store::{Change, Revision, SealContext, StoreError};
use tokio::task::JoinSet;

use self::{rows::Row, secret::Known};
use super::{
    Control,
    keys::{NewKey, secret_end},
};
use crate::{context::Context, error::ControlError, mint};

/// Bytes of an import: some 300,000 rows.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Rows that are told of, of each kind.
const MOST_TOLD: usize = 1000;
/// Keys that are made at once: the store makes them durable together.
const AT_ONCE: usize = 512;
/// Keys that are rehearsed at once: others wait meanwhile.
const REHEARSED: usize = 500;
/// Permissions, networks and models of all rows together: each takes many times the room of what it is written in.
const MOST_ITEMS: usize = 2_000_000;
/// After so many rows, others get their turn.
const HANDFUL: usize = 500;

/// Where keys are imported to, and how.
#[derive(Clone, Debug)]
pub struct Import {
    /// Whose they are.
    pub organization: OrganizationId,
    /// Which API they open.
    pub api: ApiName,
    /// How the rows are written.
    pub format: RowFormat,
    /// Only tell what would become of each row.
    pub dry_run: bool,
}

/// A row that is a key.
struct Planned {
    line: u64,
    key: Key,
    secret: Secret,
}

/// What was seen in the file, and at which line.
#[derive(Default)]
struct Seen {
    names: HashMap<String, u64>,
    secrets: HashMap<Digest, u64>,
    alike: HashMap<Box<str>, u32>,
}

/// The members of an organization, by what a row may call them.
type Members = HashMap<String, UserId>;

impl Control {
    /// Whether the caller may import keys into the organization; asked before anything is read.
    pub fn may_import(
        &self,
        context: &Context,
        organization: &OrganizationId,
    ) -> Result<(), ControlError> {
        context.require(Right::WriteKeys, organization)
    }

    /// Imports keys. An error says that nothing was read; what is wrong with rows stands in the report.
    pub async fn import_keys(
        &self,
        context: &Context,
        import: &Import,
        bytes: &[u8],
    ) -> Result<ImportReport, ControlError> {
        self.may_import(context, &import.organization)?;
        self.existing_organization(&import.organization).await?;
        let api = self.api(&import.api)?;
        if bytes.len() > MOST_BYTES {
            return Err(too_large());
        }
        let read = rows::read(import.format, bytes)
            .map_err(|what| ControlError::invalid(what, "nothing was imported"))?;
        let members = self.members_by_name(&import.organization).await?;
        let mut telling = Telling::new(import.dry_run);
        let (mut planned, mut seen) = (Vec::new(), Seen::default());
        let mut items = 0_usize;
        for (number, (line, row)) in read.enumerate() {
            if number % HANDFUL == HANDFUL - 1 {
                tokio::task::yield_now().await;
            }
            telling.report.rows += 1;
            let plan = match row {
                Ok(row) => {
                    let file = (&members, &mut seen, &mut telling);
                    self.plan(context, import, api, file, line, row).await
                }
                Err(what) => Err(what),
            };
            match plan {
                Ok(plan) => {
                    items = items.saturating_add(items_of(&plan.key));
                    if items > MOST_ITEMS {
                        return Err(ControlError::invalid(
                            format!(
                                "the rows name more than {MOST_ITEMS} permissions, networks and models; send them in parts"
                            ),
                            "nothing was imported",
                        ));
                    }
                    planned.push(plan);
                }
                Err(what) => telling.refused(line, what),
            }
        }
        let most_active = api.profile.issuance.keys_per_organization;
        match import.dry_run {
            true => self.rehearse(context, planned, most_active, &mut telling).await?,
            false => self.make(context, planned, most_active, &mut telling).await,
        }
        Ok(telling.finish())
    }

    async fn members_by_name(
        &self,
        organization: &OrganizationId,
    ) -> Result<Members, ControlError> {
        let members = self.store.members(organization).await?;
        let names = members.into_iter().flat_map(|(user, _)| {
            [(user.email.to_string(), user.id), (user.id.to_string(), user.id)]
        });
        Ok(names.collect())
    }

    /// A row as a key, or what is wrong with it.
    async fn plan(
        &self,
        context: &Context,
        import: &Import,
        api: &Api,
        (members, seen, telling): (&Members, &mut Seen, &mut Telling),
        line: u64,
        mut row: Row,
    ) -> Result<Planned, String> {
        let known = secret::known(&mut row)?;
        let hint = secret::hint(&known, row.prefix.as_deref(), &api.profile.key_format)?;
        let digests = secret::digests(&known, self.peppers.current());
        let new = new_key(import, members, row)?;
        let owner = new.owner.or(context.answers_for_keys());
        let drafted = self.draft(context, new, owner).await;
        let (key, _) = drafted.map_err(|error| error.to_string())?;
        let id = SecretId::from_bits(mint::random().map_err(|error| error.to_string())?);
        seen.take(line, &key.name, &digests, &known)?;
        let secret = Secret {
            id,
            key: key.id,
            digest: digests.first().copied().ok_or("the key is missing")?,
            pepper: self.peppers.current().version(),
            hint,
            created_at: context.now,
            expires_at: secret_end(&key, api, context.now),
            last_used_at: None,
            form: self.form(&known, &key, id).map_err(|error| error.to_string())?,
        };
        telling.look_at(line, &known);
        Ok(Planned { line, key, secret })
    }

    fn form(&self, known: &Known, key: &Key, secret: SecretId) -> Result<SecretForm, StoreError> {
        Ok(match known {
            Known::Plaintext(_) => SecretForm::Imported,
            Known::Sha256(_) => SecretForm::Sha256,
            Known::Sha512(_) => SecretForm::Sha512,
            Known::Bcrypt(hash, prefix) => {
                let id = secret.to_string();
                let place = SealContext::bcrypt(&key.organization, &id);
                let sealed = self.sealer.seal(&place, hash.expose().as_bytes())?;
                let sealed = sealed.as_bytes().into();
                SecretForm::Bcrypt(SealedBcrypt { prefix: prefix.as_str().into(), sealed })
            }
        })
    }

    /// Makes the keys, many at once.
    async fn make(
        &self,
        context: &Context,
        planned: Vec<Planned>,
        most_active: Option<u32>,
        telling: &mut Telling,
    ) {
        let actor = Arc::new(context.actor.clone());
        let now = context.now;
        let mut waiting = planned.into_iter();
        let mut making: JoinSet<(u64, Result<Revision, StoreError>)> = JoinSet::new();
        let mut away: Option<StoreError> = None;
        loop {
            while away.is_none() && making.len() < AT_ONCE {
                let Some(Planned { line, key, secret }) = waiting.next() else { break };
                let (store, actor) = (self.store.clone(), actor.clone());
                making.spawn(async move {
                    let change = Change::CreateKey { key, secret, most_active };
                    (line, store.commit(&actor, now, change).await)
                });
            }
            let Some(made) = making.join_next().await else { break };
            match made {
                Ok((_, Ok(_))) => telling.report.imported += 1,
                Ok((line, Err(error))) => {
                    telling.refused(line, error.to_string());
                    if error.is_outage() {
                        away = Some(error);
                    }
                }
                Err(_) => away = Some(keyward_store_gone()),
            }
        }
        // What was not tried may be imported again, with the same file: what stands already is told by its line then.
        if let Some(error) = away {
            for Planned { line, .. } in waiting {
                telling.refused(
                    line,
                    format!("it was not tried, because the store cannot take it now ({error})"),
                );
            }
        }
    }

    /// Finds out what would become of the keys, some hundred at a time.
    async fn rehearse(
        &self,
        context: &Context,
        planned: Vec<Planned>,
        most_active: Option<u32>,
        telling: &mut Telling,
    ) -> Result<(), ControlError> {
        let mut waiting = planned.into_iter();
        loop {
            let (lines, changes): (Vec<u64>, Vec<Change>) = waiting
                .by_ref()
                .take(REHEARSED)
                .map(|Planned { line, key, secret }| {
                    (line, Change::CreateKey { key, secret, most_active })
                })
                .unzip();
            if lines.is_empty() {
                return Ok(());
            }
            let done = self.store.rehearse(&context.actor, context.now, changes).await?;
            for (line, done) in lines.into_iter().zip(done) {
                // What was rehearsed before is not there now: it counts all the same.
                let made = u32::try_from(telling.report.imported).unwrap_or(u32::MAX);
                match done {
                    Ok(()) if most_active.is_some_and(|most| made >= most) => telling.refused(
                        line,
                        format!("the organization would have more than {made} keys at this API: leave some out"),
                    ),
                    Ok(()) => telling.report.imported += 1,
                    Err(error) => telling.refused(line, error.to_string()),
                }
            }
        }
    }
}

fn items_of(key: &Key) -> usize {
    let models = key.allowed_models.as_ref().map_or(0, Vec::len);
    key.permissions.len() + key.allowed_networks.len() + models
}

fn keyward_store_gone() -> StoreError {
    StoreError::Unavailable {
        what: "the import was interrupted".to_owned(),
        remedy: "import the same file again".to_owned(),
    }
}

/// What a larger import is refused with.
pub(crate) fn too_large() -> ControlError {
    ControlError::invalid(
        format!("the import has more than {} MiB", MOST_BYTES / (1024 * 1024)),
        "send it in parts",
    )
}

fn parsed<T: FromStr<Err: Display>>(column: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("`{column}`: {error}"))
}

fn new_key(import: &Import, members: &Members, row: Row) -> Result<NewKey, String> {
    let owner = row.owner.map(|name| {
        let known = members.get(&name).or_else(|| members.get(&name.to_lowercase()));
        known.copied().ok_or_else(|| {
            "`owner` is no member of the organization: give the email or id of one".to_owned()
        })
    });
    let networks = row.allowed_networks.iter().map(|one| parsed("allowed_networks", one));
    Ok(NewKey {
        api: import.api.clone(),
        organization: import.organization.clone(),
        name: row.name.ok_or("`name` is missing: give 1 to 100 characters")?,
        environment: row.environment.map(|one| parsed("environment", &one)).transpose()?,
        permissions: row.permissions,
        preset: row.preset,
        expires_at: row.expires_at.map(|at| parsed("expires_at", &at)).transpose()?,
        allowed_networks: networks.collect::<Result<_, _>>()?,
        allowed_models: row.allowed_models,
        owner: owner.transpose()?,
        labels: Labels::default(),
        rotation: None,
        limits: row.limits,
    })
}

impl Seen {
    /// Notes the row, where nothing of it stood in a row before.
    fn take(
        &mut self,
        line: u64,
        name: &str,
        digests: &[Digest],
        known: &Known,
    ) -> Result<(), String> {
        if let Some(before) = self.names.get(name) {
            return Err(format!("the name stands in line {before} already: give each key its own"));
        }
        if let Some(before) = digests.iter().find_map(|digest| self.secrets.get(digest)) {
            return Err(format!("the key stands in line {before} already: leave one of them out"));
        }
        if let Known::Bcrypt(_, prefix) = known {
            let alike = self.alike.entry(prefix.as_str().into()).or_default();
            if *alike >= MOST_ALIKE {
                return Err(format!(
                    "{MOST_ALIKE} keys with bcrypt hashes have this `prefix` already, the most there may be: give more of the key's first characters"
                ));
            }
            *alike += 1;
        }
        self.names.insert(name.to_owned(), line);
        self.secrets.extend(digests.iter().map(|digest| (*digest, line)));
        Ok(())
    }
}

/// As many as the store takes.
const MOST_ALIKE: u32 = 8;

/// The report as it grows.
struct Telling {
    report: ImportReport,
    digests: bool,
    bcrypt: bool,
}

impl Telling {
    fn new(dry_run: bool) -> Self {
        let report = ImportReport { dry_run, ..ImportReport::default() };
        Self { report, digests: false, bcrypt: false }
    }

    fn refused(&mut self, line: u64, message: String) {
        self.report.refused += 1;
        if self.report.problems.len() < MOST_TOLD {
            self.report.problems.push(RowNote { line, message });
        }
    }

    fn look_at(&mut self, line: u64, known: &Known) {
        match known {
            Known::Plaintext(plaintext) => {
                let bits = entropy::bits(plaintext.expose());
                if bits >= entropy::LEAST_BITS {
                    return;
                }
                self.report.guessable += 1;
                if self.report.warnings.len() < MOST_TOLD {
                    let message = format!(
                        "the key looks as if it had some {bits:.0} bits to guess, and 112 are safe: rotate it soon"
                    );
                    self.report.warnings.push(RowNote { line, message });
                }
            }
            Known::Sha256(_) | Known::Sha512(_) => self.digests = true,
            Known::Bcrypt(..) => (self.digests, self.bcrypt) = (true, true),
        }
    }

    fn finish(self) -> ImportReport {
        let Self { mut report, digests, bcrypt } = self;
        report.problems.sort_by_key(|note| note.line);
        if digests {
            report.notes.push(
                "Whether keys of which only digests are known could be guessed cannot be told: rotate \
                 them where the other system made them short."
                    .to_owned(),
            );
        }
        if bcrypt {
            report.notes.push(
                "Keys with bcrypt hashes take a tenth of a second and more at their first use, and are \
                 like others from then on; those of more than 72 characters are not recognized."
                    .to_owned(),
            );
        }
        report
    }
}
