//! A lane: deeds one after the other, from a seed, in an organization of its own. Who has the seed knows every deed and what is
//! true after it, so the victim has nothing to tell but how far it came.

use std::collections::{BTreeMap, VecDeque};

use keyward_core::{
    id::{KeyId, ModelId, OrganizationId, mint_model_id, mint_organization_id},
    key::{
        Digest, Key, KeyState, Labels, PepperVersion, Rotation, SealedBcrypt, Secret, SecretForm,
    },
    member::User,
    organization::{Organization, OrganizationState},
    time::Timestamp,
    usage::{LastUse, UsageBatch, UsageRow, UsageScope, UsageSums},
};
use keyward_store::{
    Actor, Change, Interface, KeyUpdate, OrganizationUpdate, PasswordHash, PlanChoice, SealedBytes,
    Subject,
};

use crate::deeds::{
    Deed, HOUR, NOW, Step, exposure_of, hex, of_key, of_organization, request_for, words_of,
};
use crate::plans::limits;

/// SplitMix64: numbers from a seed, the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.number() % most
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.number().to_le_bytes()[0])
    }
}

pub(crate) struct Lane {
    pub(crate) random: Random,
    steps: VecDeque<Step>,
    /// Where its keys and people are.
    pub(crate) home: OrganizationId,
    pub(crate) owner: User,
    pub(crate) password: PasswordHash,
    pub(crate) developer: User,
    /// Only one of the lanes does what there is one of, like the setup.
    pub(crate) is_first: bool,
}

pub(crate) fn operator() -> Actor {
    Actor::operator("victim", Interface::CommandLine)
}

pub(crate) fn gateway() -> Actor {
    Actor::system("gateway", Interface::Gateway)
}

pub(crate) fn in_an_hour() -> Timestamp {
    NOW.plus(HOUR)
}

impl Lane {
    /// Lane `number` of the life that `seed` is of. `sets_up` says that nobody runs this Keyward yet.
    pub(crate) fn new(seed: u64, number: u64, sets_up: bool) -> Self {
        let mut random = Random(Random(seed).number() ^ Random(!number).number());
        let home = mint_organization_id(random.bytes());
        let owner = user(&mut random);
        let developer = user(&mut random);
        let password = PasswordHash::new(format!("$hash${}", random.number()));
        let steps = VecDeque::new();
        let is_first = number == 0;
        let mut lane = Self { random, steps, home, owner, password, developer, is_first };
        if sets_up && is_first {
            lane.set_up();
        }
        lane.come();
        lane
    }

    /// The next deed.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            match self.random.below(16) {
                0 => self.an_organization(),
                1 => self.a_credential(),
                2..=4 => self.a_key(),
                5 => self.an_imported_key(),
                6 => self.a_rehearsal(),
                7 => self.logins(),
                8 => self.members(),
                9 => self.accounts_elsewhere(),
                10 if self.is_first => self.operators(),
                11 => self.a_webhook(),
                12 => self.an_alert_rule(),
                13 => self.a_plan(),
                14 => self.a_price(),
                _ => self.requests(),
            }
        }
    }

    pub(crate) fn push(
        &mut self,
        actor: Actor,
        change: Change,
        action: &'static str,
        subject: Subject,
        facts: Vec<(String, Option<String>)>,
    ) {
        let (deed, trace) = (Deed::Commit(change), Some((action, subject)));
        self.steps.push_back(Step { actor, deed, trace, facts });
    }

    /// What makes no revision.
    pub(crate) fn push_untold(&mut self, deed: Deed, facts: Vec<(String, Option<String>)>) {
        self.steps.push_back(Step { actor: operator(), deed, trace: None, facts });
    }

    fn an_organization(&mut self) {
        let id = mint_organization_id(self.random.bytes());
        let mut held = organization(&mut self.random, &id);
        let subject = || Subject::Organization(id.clone());
        let told = |held: &Organization| {
            vec![(format!("organization {}", held.id), Some(of_organization(held)))]
        };
        let create = Change::CreateOrganization(held.clone());
        self.push(operator(), create, "organization.create", subject(), told(&held));
        let model: ModelId = mint_model_id(self.random.bytes());
        held.model_ids.push(model.clone());
        let assign = Change::AssignModelId { organization: id.clone(), model: model.clone() };
        self.push(operator(), assign, "organization.assign_model_id", subject(), told(&held));
        for (state, action) in [
            (OrganizationState::Suspended, "organization.suspend"),
            (OrganizationState::Active, "organization.resume"),
        ] {
            held.state = state;
            let change = Change::SetOrganizationState { organization: id.clone(), state };
            self.push(operator(), change, action, subject(), told(&held));
        }
        let update = OrganizationUpdate {
            name: Some(format!("renamed {}", self.random.number())),
            allowed_models: Some(Some(vec!["small".to_owned()])),
            plan: Some(Some(PlanChoice { name: "Standard".parse().unwrap(), of_profile: true })),
            limits: Some(limits(self.random.below(1_000_000))),
        };
        // Taken apart without a rest: a new field has to be named here.
        let OrganizationUpdate { name, allowed_models, plan, limits } = update.clone();
        held.name = name.unwrap();
        held.allowed_models = allowed_models.unwrap();
        held.plan = plan.unwrap().map(|choice| choice.name);
        held.limits = limits.unwrap();
        let change = Change::UpdateOrganization { organization: id.clone(), update, seen: None };
        self.push(operator(), change, "organization.update", subject(), told(&held));
        held.model_ids.retain(|one| *one != model);
        let withdraw = Change::WithdrawModelId { organization: id.clone(), model };
        self.push(operator(), withdraw, "organization.withdraw_model_id", subject(), told(&held));
    }

    fn a_credential(&mut self) {
        let upstream = format!("upstream {}", self.random.number());
        let subject = || Subject::UpstreamCredential(upstream.clone());
        let thing = || format!("credential {upstream}");
        for _ in 0..1 + self.random.below(3) {
            let bytes: [u8; 40] = self.random.bytes();
            let sealed = SealedBytes::from_bytes(bytes);
            let set = Change::SetUpstreamCredential { upstream: upstream.clone(), sealed };
            let facts = vec![(thing(), Some(hex(&bytes)))];
            self.push(operator(), set, "upstream_credential.set", subject(), facts);
        }
        if self.random.below(2) == 0 {
            let remove = Change::RemoveUpstreamCredential { upstream: upstream.clone() };
            let facts = vec![(thing(), None)];
            self.push(operator(), remove, "upstream_credential.remove", subject(), facts);
        }
    }

    fn change_key(&mut self, held: &Held, actor: Actor, change: Change, action: &'static str) {
        self.push(actor, change, action, Subject::Key(held.key.id), held.facts());
    }

    /// Makes a key, half of the time once and with an answer.
    fn make_key(&mut self, held: &Held) {
        let (key, secret) = (held.key.clone(), held.secrets[0].clone());
        let action = match secret.form {
            SecretForm::Minted => "key.create",
            _ => "key.import",
        };
        let change = Change::CreateKey { key, secret, most_active: None };
        match self.random.below(2) {
            0 => self.change_key(held, operator(), change, action),
            _ => self.do_once(held, change, action),
        }
    }

    fn do_once(&mut self, held: &Held, change: Change, action: &'static str) {
        let made = held.secrets.last().unwrap().id;
        let request = request_for(made);
        let answer = format!("{made} {}", hex(&made.bits()));
        let thing = format!("answer {} {}", request.caller, hex(&request.key));
        let mut facts = held.facts();
        facts.push((thing, Some(answer)));
        let (deed, subject) = (Deed::CommitOnce(change, made), Subject::Key(held.key.id));
        let (actor, trace) = (operator(), Some((action, subject)));
        self.steps.push_back(Step { actor, deed, trace, facts });
    }

    fn a_key(&mut self) {
        let mut held = self.held(SecretForm::Minted);
        self.make_key(&held);
        let id = held.key.id;
        for _ in 0..self.random.below(6) {
            match self.random.below(6) {
                0 => self.update(&mut held),
                1 => self.rotate(&mut held),
                2 => self.retire(&mut held),
                3 => self.expose(&mut held),
                4 => self.use_it(&mut held),
                _ => {
                    let (state, action) = match held.key.state {
                        KeyState::Active => (KeyState::Disabled, "key.disable"),
                        _ => (KeyState::Active, "key.enable"),
                    };
                    held.key.state = state;
                    let change = Change::SetKeyState { key: id, state };
                    self.change_key(&held, operator(), change, action);
                }
            }
        }
        if self.random.below(3) == 0 {
            held.key.state = KeyState::Revoked;
            let change = Change::SetKeyState { key: id, state: KeyState::Revoked };
            self.change_key(&held, operator(), change, "key.revoke");
        }
    }

    fn update(&mut self, held: &mut Held) {
        let update = KeyUpdate {
            name: Some(format!("key {:x}", self.random.number())),
            environment: Some("staging".parse().unwrap()),
            permissions: Some(vec!["models.read".to_owned()]),
            allowed_networks: Some(vec!["10.1.0.0/16".parse().unwrap()]),
            allowed_models: Some(Some(vec![format!("model{}", self.random.below(9))])),
            expires_at: Some(Some(NOW.plus(HOUR * 24 * 30))),
            tags: Some(vec![format!("team{}", self.random.below(9))]),
            metadata: Some(BTreeMap::from([("cost".to_owned(), "centre 7".to_owned())])),
            rotation: Some(Some(Rotation { after_days: 90, required: true })),
            owner: Some(Some(self.owner.id)),
            limits: Some(limits(self.random.below(1_000_000))),
        };
        // Taken apart without a rest: a new field has to be named here.
        let KeyUpdate {
            name,
            environment,
            permissions,
            allowed_networks,
            allowed_models,
            expires_at,
            tags,
            metadata,
            rotation,
            owner,
            limits,
        } = update.clone();
        held.key = Key {
            name: name.unwrap(),
            environment: environment.unwrap(),
            permissions: permissions.unwrap(),
            allowed_networks: allowed_networks.unwrap(),
            allowed_models: allowed_models.unwrap(),
            expires_at: expires_at.unwrap(),
            labels: Labels { tags: tags.unwrap(), metadata: metadata.unwrap() },
            rotation: rotation.unwrap(),
            owner: owner.unwrap(),
            limits: limits.unwrap(),
            ..held.key.clone()
        };
        let change = Change::UpdateKey { key: held.key.id, update: Box::new(update), seen: None };
        self.change_key(held, operator(), change, "key.update");
    }

    fn rotate(&mut self, held: &mut Held) {
        let secret = self.secret(held.key.id, SecretForm::Minted);
        let old_expires_at = NOW.plus(HOUR * u32::try_from(1 + self.random.below(9)).unwrap());
        for old in &mut held.secrets {
            if old.expires_at.is_none_or(|end| end > NOW) {
                old.expires_at =
                    Some(old.expires_at.map_or(old_expires_at, |end| end.min(old_expires_at)));
            }
        }
        held.secrets.push(secret.clone());
        let change = Change::RotateKey { key: held.key.id, secret, old_expires_at };
        match self.random.below(2) {
            0 => self.change_key(held, operator(), change, "key.rotate"),
            _ => self.do_once(held, change, "key.rotate"),
        }
    }

    /// Ends the oldest secret, earlier than it did.
    fn retire(&mut self, held: &mut Held) {
        // The last one stays.
        if held.secrets.len() < 2 {
            self.rotate(held);
        }
        let secret = &mut held.secrets[0];
        let end = secret.expires_at.map_or(NOW.plus(HOUR), |end| end.minus(HOUR / 8));
        secret.expires_at = Some(end);
        // One that is in use though it was replaced is retired by force only.
        let force = secret.last_used_at.is_some() || self.random.below(2) == 0;
        let secret = secret.id;
        let change = Change::RetireSecret { secret, at: end, force };
        self.change_key(held, operator(), change, "secret.retire");
    }

    fn expose(&mut self, held: &mut Held) {
        // Later than any before, and not within the hour in which it is not told again.
        let at = held.exposed_at.map_or(NOW, |last| last.plus(HOUR * 2));
        let disable = self.random.below(2) == 0;
        held.exposed_at = Some(at);
        if disable && held.key.state == KeyState::Active {
            held.key.state = KeyState::Disabled;
        }
        let from = "203.0.113.7".parse().unwrap();
        let change = Change::MarkKeyExposed { key: held.key.id, at, from, disable };
        self.change_key(held, gateway(), change, "key.expose");
    }

    fn use_it(&mut self, held: &mut Held) {
        held.uses += 1;
        let (key, at) = (held.key.id, NOW.plus(HOUR * held.uses));
        // Only the first that was used is: which requests came after a rotation is another test's.
        let last = held.secrets.last_mut().unwrap();
        let same = held.first_used.get_or_insert(last.id);
        if *same != last.id {
            return;
        }
        last.last_used_at = Some(at);
        let sums = UsageSums {
            requests: 2,
            latency_micros: 30,
            bytes_in: 4,
            bytes_out: 5,
            ..UsageSums::default()
        };
        let scope = UsageScope {
            minute: NOW.as_minutes(),
            api: "api".into(),
            route: "/v1/models".into(),
            key: Some(key),
            status: 200,
            ..UsageScope::default()
        };
        let from = "203.0.113.7".parse().unwrap();
        let last = LastUse { secret: last.id, at, from, requests: 2 };
        let mut rows = vec![UsageRow { scope: scope.clone(), sums, ..UsageRow::default() }];
        if held.uses.is_multiple_of(3) {
            // So many that they wait to be added.
            rows.extend((0..300).map(|number| {
                let model = format!("model-{number}").into();
                UsageRow { scope: UsageScope { model, ..scope.clone() }, ..UsageRow::default() }
            }));
        }
        let last_uses = vec![last];
        let batch = UsageBatch { rows, last_uses, exposures: vec![], upgrades: vec![] };
        held.requests += 2;
        self.push_untold(Deed::Record(batch), held.facts());
    }

    fn an_imported_key(&mut self) {
        let prefix = hex(&self.random.bytes::<8>()).into();
        let sealed = self.random.bytes::<60>().as_slice().into();
        let forms = [
            SecretForm::Imported,
            SecretForm::Sha256,
            SecretForm::Sha512,
            SecretForm::Bcrypt(SealedBcrypt { prefix, sealed }),
        ];
        for form in forms {
            let mut held = self.held(form);
            let (key, secret) = (held.key.clone(), held.secrets[0].clone());
            let change = Change::CreateKey { key, secret, most_active: None };
            self.change_key(&held, operator(), change, "key.import");
            let secret = &mut held.secrets[0];
            if !secret.form.is_foreign() || self.random.below(3) == 0 {
                continue;
            }
            secret.digest = Digest::from_bytes(self.random.bytes());
            secret.form = SecretForm::Imported;
            let (secret, digest, pepper) = (secret.id, secret.digest, secret.pepper);
            let change = Change::UpgradeSecret { secret, digest, pepper };
            self.change_key(&held, gateway(), change, "secret.upgrade");
        }
    }

    /// What is only tried leaves nothing: no fact says that these keys are there.
    fn a_rehearsal(&mut self) {
        let create = |held: Held| Change::CreateKey {
            key: held.key,
            secret: held.secrets.into_iter().next().unwrap(),
            most_active: None,
        };
        let changes = [SecretForm::Minted, SecretForm::Sha256].map(|form| create(self.held(form)));
        self.push_untold(Deed::Rehearse(changes.to_vec()), vec![]);
    }

    fn secret(&mut self, key: KeyId, form: SecretForm) -> Secret {
        Secret {
            id: keyward_core::id::SecretId::from_bits(self.random.bytes()),
            key,
            digest: Digest::from_bytes(self.random.bytes()),
            pepper: PepperVersion(1),
            hint: format!("kw_{:x}", self.random.number()),
            created_at: NOW,
            expires_at: None,
            last_used_at: None,
            form,
        }
    }

    pub(crate) fn held(&mut self, form: SecretForm) -> Held {
        let id = KeyId::from_bits(self.random.bytes());
        let secret = self.secret(id, form);
        let key = Key {
            id,
            organization: self.home.clone(),
            api: "api".parse().unwrap(),
            name: format!("key {:x}", self.random.number()),
            environment: "production".parse().unwrap(),
            permissions: vec!["models.read".to_owned(), "models.write".to_owned()],
            allowed_networks: vec!["10.0.0.0/8".parse().unwrap()],
            allowed_models: None,
            state: KeyState::Active,
            created_at: NOW,
            expires_at: None,
            owner: None,
            labels: Labels { tags: vec!["blue".to_owned()], metadata: BTreeMap::new() },
            rotation: None,
            limits: vec![],
        };
        Held::new(key, secret)
    }
}

/// A key as it should be now.
pub(crate) struct Held {
    pub(crate) key: Key,
    pub(crate) secrets: Vec<Secret>,
    exposed_at: Option<Timestamp>,
    uses: u32,
    requests: u64,
    first_used: Option<keyward_core::id::SecretId>,
}

impl Held {
    pub(crate) fn new(key: Key, secret: Secret) -> Self {
        let secrets = vec![secret];
        Self { key, secrets, exposed_at: None, uses: 0, requests: 0, first_used: None }
    }

    pub(crate) fn facts(&self) -> Vec<(String, Option<String>)> {
        let id = self.key.id;
        let exposed = self.exposed_at.map(|at| at.as_millis().to_string());
        let used = (self.requests > 0).then(|| self.requests.to_string());
        vec![
            (format!("key {id}"), Some(of_key(&self.key, &self.secrets))),
            (format!("words {id}"), Some(words_of(&self.key))),
            (exposure_of(id), exposed),
            (format!("usage {id}"), used.clone()),
            (format!("uses {id}"), used),
        ]
    }
}

pub(crate) fn user(random: &mut Random) -> User {
    let number = random.number();
    User {
        id: keyward_core::id::UserId::from_bits(random.bytes()),
        email: format!("person{number:x}@example.com").parse().unwrap(),
        name: format!("Person {number:x}"),
        operator: false,
        created_at: NOW,
    }
}

pub(crate) fn organization(random: &mut Random, id: &OrganizationId) -> Organization {
    Organization {
        id: id.clone(),
        name: "Made to be killed".to_owned(),
        state: OrganizationState::Active,
        model_ids: vec![mint_model_id(random.bytes())],
        allowed_models: None,
        created_at: NOW,
        limits: vec![],
        plan: None,
    }
}
