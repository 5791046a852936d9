//! What a lane does with people: who comes, logs in, is invited, goes, and asks for keys.

use keyward_core::{
    id::{InvitationId, KeyRequestId, SessionId, UserId},
    key::{Key, Labels, SecretForm},
    member::{Role, User},
};
use keyward_store::{
    Actor, Change, Identity, Interface, Invitation, InvitationState, InvitedAs, KeyGrant,
    KeyRequest, KeyRequestChange, KeyRequestDecision, KeyRequestState, KeyTerms, PasswordHash,
    PeopleChange, Session, Subject, TokenDigest,
};

use crate::plans::limits;
use crate::{
    deeds::{Deed, HOUR, NOW, hex, of_invitation, of_organization, of_password, of_session},
    lane::{Held, Lane, in_an_hour, operator, organization, user},
};

type Facts = Vec<(String, Option<String>)>;

fn visitor() -> Actor {
    Actor::visitor("203.0.113.7", Interface::ManagementApi)
}

fn by(user: &User) -> Actor {
    Actor::person(user, Interface::ManagementApi)
}

fn of_user(user: &User, password: Option<&PasswordHash>) -> Facts {
    vec![
        (format!("user {}", user.id), Some(serde_json::to_string(user).unwrap())),
        (format!("password {}", user.id), of_password(password)),
    ]
}

impl Lane {
    fn person(
        &mut self,
        actor: Actor,
        change: PeopleChange,
        action: &'static str,
        subject: Subject,
        facts: Facts,
    ) {
        self.push(actor, Change::People(change), action, subject, facts);
    }

    fn hash(&mut self) -> PasswordHash {
        PasswordHash::new(format!("$hash${}", self.random.number()))
    }

    fn token(&mut self) -> TokenDigest {
        TokenDigest::from_bytes(self.random.bytes())
    }

    fn place_of(&self, user: UserId, role: Option<Role>) -> (String, Option<String>) {
        (format!("member {} {user}", self.home), role.map(|role| role.as_str().to_owned()))
    }

    pub(crate) fn set_up(&mut self) {
        let mut token = self.token();
        for _ in 0..2 {
            token = self.token();
            let offer = PeopleChange::OfferSetup { token, expires_at: in_an_hour() };
            let facts = vec![("setup".to_owned(), Some(hex(token.as_bytes())))];
            self.person(operator(), offer, "setup.offer", Subject::Setup, facts);
        }
        let user = User { operator: true, ..user(&mut self.random) };
        let password = self.hash();
        let mut facts = of_user(&user, Some(&password));
        facts.push(("setup".to_owned(), None));
        let subject = Subject::User(user.id);
        let change = PeopleChange::SetUp { token, user, password };
        self.person(visitor(), change, "setup.complete", subject, facts);
    }

    /// The lane's organization, with an owner and a developer.
    pub(crate) fn come(&mut self) {
        let home = organization(&mut self.random, &self.home.clone());
        let (owner, password) = (self.owner.clone(), self.password.clone());
        let mut facts = of_user(&owner, Some(&password));
        facts.push((format!("organization {}", home.id), Some(of_organization(&home))));
        facts.push(self.place_of(owner.id, Some(Role::Owner)));
        let subject = Subject::Organization(home.id.clone());
        let change = PeopleChange::SignUp { user: owner, password, organization: home };
        self.person(visitor(), change, "organization.sign_up", subject, facts);
        let developer = self.developer.clone();
        let sent = self.invite_to(&developer, Role::Developer);
        self.accept_new(sent, &developer);
    }

    fn invite_to(&mut self, user: &User, role: Role) -> Invitation {
        let to = InvitedAs::Member { organization: self.home.clone(), role };
        self.invite(user, to)
    }

    fn invite(&mut self, user: &User, to: InvitedAs) -> Invitation {
        let subject = match &to {
            InvitedAs::Member { organization, .. } => Subject::Organization(organization.clone()),
            InvitedAs::Operator => Subject::Setup,
        };
        let sent = Invitation {
            id: InvitationId::from_bits(self.random.bytes()),
            email: user.email.clone(),
            to,
            token: self.token(),
            invited_by: None,
            created_at: NOW,
            expires_at: in_an_hour(),
            state: InvitationState::Open,
        };
        let facts = vec![(format!("invitation {}", sent.id), Some(of_invitation(&sent)))];
        let change = PeopleChange::Invite(sent.clone());
        self.person(operator(), change, "invitation.create", subject, facts);
        sent
    }

    /// What an invitation is about, and the facts of one that ended so.
    fn ended(&self, sent: Invitation, state: InvitationState) -> (Subject, Facts) {
        let subject = match &sent.to {
            InvitedAs::Member { organization, .. } => Subject::Organization(organization.clone()),
            InvitedAs::Operator => Subject::Setup,
        };
        let ended = Invitation { state, ..sent };
        (subject, vec![(format!("invitation {}", ended.id), Some(of_invitation(&ended)))])
    }

    /// An invitation was accepted: into an organization, that is about the place that somebody has there from then on.
    fn accepted(&mut self, sent: Invitation, by: &User) -> (Subject, Facts) {
        let to = sent.to.clone();
        let (subject, facts) = self.ended(sent, InvitationState::Accepted);
        match to {
            InvitedAs::Member { organization, .. } => (Subject::Member(organization, by.id), facts),
            InvitedAs::Operator => (subject, facts),
        }
    }

    /// An invitation is accepted by somebody who comes with it; gives their password.
    fn accept_new(&mut self, sent: Invitation, user: &User) -> PasswordHash {
        let (token, password) = (sent.token, self.hash());
        let to = sent.to.clone();
        let (subject, mut facts) = self.accepted(sent, user);
        match to {
            InvitedAs::Member { role, .. } => {
                facts.extend(of_user(user, Some(&password)));
                facts.push(self.place_of(user.id, Some(role)));
            }
            InvitedAs::Operator => {
                let after = User { operator: true, ..user.clone() };
                facts.extend(of_user(&after, Some(&password)));
            }
        }
        let newcomer = Some((user.clone(), password.clone()));
        let change = PeopleChange::AcceptInvitation { token, newcomer };
        self.person(visitor(), change, "invitation.accept", subject, facts);
        password
    }

    pub(crate) fn operators(&mut self) {
        let user = user(&mut self.random);
        let sent = self.invite(&user, InvitedAs::Operator);
        self.accept_new(sent, &user);
    }

    fn session(&mut self, of: &User) -> Session {
        Session {
            id: SessionId::from_bits(self.random.bytes()),
            user: of.id,
            token: self.token(),
            device: "a victim".to_owned(),
            from: "203.0.113.7".parse().unwrap(),
            created_at: NOW,
            expires_at: in_an_hour(),
            last_used_at: None,
        }
    }

    /// The owner logs in here and there, changes the password, and logs out.
    pub(crate) fn logins(&mut self) {
        let owner = self.owner.clone();
        let subject = || Subject::User(owner.id);
        let there =
            |session: &Session| (format!("session {}", session.id), Some(of_session(session)));
        let gone = |session: &Session| (format!("session {}", session.id), None);
        let sessions = [(); 3].map(|()| self.session(&owner));
        let [first, second, third] = &sessions;
        for session in [first, second] {
            let log_in =
                PeopleChange::LogIn { session: session.clone(), checked: self.password.clone() };
            self.person(visitor(), log_in, "session.start", subject(), vec![there(session)]);
        }
        let start = PeopleChange::StartSession(third.clone());
        self.person(visitor(), start, "session.start", subject(), vec![there(third)]);
        let used = Session { last_used_at: Some(NOW.plus(HOUR / 2)), ..first.clone() };
        self.push_untold(Deed::Touch(first.id, NOW.plus(HOUR / 2)), vec![there(&used)]);
        let end = PeopleChange::EndSession { user: owner.id, session: Some(second.id) };
        self.person(by(&owner), end, "session.end", subject(), vec![gone(second)]);

        let (checked, password) = (self.password.clone(), self.hash());
        let password_is =
            |new: &PasswordHash| (format!("password {}", owner.id), of_password(Some(new)));
        self.password = password.clone();
        let facts = vec![password_is(&password), gone(third)];
        let keeping = Some(first.id);
        let change = PeopleChange::ChangePassword { user: owner.id, checked, password, keeping };
        self.person(by(&owner), change, "user.set_password", subject(), facts);
        if self.random.below(2) == 0 {
            let end = PeopleChange::EndSession { user: owner.id, session: None };
            self.person(by(&owner), end, "session.end", subject(), vec![gone(first)]);
        } else {
            let password = self.hash();
            self.password = password.clone();
            let facts = vec![password_is(&password), gone(first)];
            let change = PeopleChange::SetPassword { user: owner.id, password, keeping: None };
            self.person(operator(), change, "user.set_password", subject(), facts);
        }
    }

    pub(crate) fn members(&mut self) {
        let (new, uncalled) = (user(&mut self.random), user(&mut self.random));
        let sent = self.invite_to(&new, Role::Viewer);
        self.accept_new(sent, &new);
        let subject = Subject::Member(self.home.clone(), new.id);
        for role in [Role::Developer, Role::Administrator] {
            let change =
                PeopleChange::SetRole { organization: self.home.clone(), user: new.id, role };
            let facts = vec![self.place_of(new.id, Some(role))];
            self.person(by(&self.owner.clone()), change, "member.set_role", subject.clone(), facts);
        }
        let remove = PeopleChange::RemoveMember { organization: self.home.clone(), user: new.id };
        let facts = vec![self.place_of(new.id, None)];
        self.person(operator(), remove, "member.remove", subject, facts);
        // Once more, as somebody who is known here now.
        let sent = self.invite_to(&new, Role::Administrator);
        let token = sent.token;
        let (subject, mut facts) = self.accepted(sent, &new);
        facts.push(self.place_of(new.id, Some(Role::Administrator)));
        let accept = PeopleChange::AcceptInvitation { token, newcomer: None };
        self.person(by(&new), accept, "invitation.accept", subject, facts);
        let sent = self.invite_to(&uncalled, Role::Viewer);
        let id = sent.id;
        let (subject, facts) = self.ended(sent, InvitationState::Withdrawn);
        let withdraw = PeopleChange::WithdrawInvitation(id);
        self.person(operator(), withdraw, "invitation.withdraw", subject, facts);
    }

    fn identity(&mut self, of: &User) -> (Identity, (String, Option<String>)) {
        let issuer = format!("https://login{}.example.com", self.random.number());
        let identity = Identity { issuer, subject: format!("s-{}", self.random.number()) };
        let thing = format!("identity {} {}", identity.issuer, identity.subject);
        (identity, (thing, Some(of.id.to_string())))
    }

    pub(crate) fn accounts_elsewhere(&mut self) {
        let new = user(&mut self.random);
        let sent = self.invite_to(&new, Role::Developer);
        let invitation = sent.id;
        let (identity, linked) = self.identity(&new);
        let (subject, mut facts) = self.accepted(sent, &new);
        facts.extend(of_user(&new, None));
        facts.push(linked);
        facts.push(self.place_of(new.id, Some(Role::Developer)));
        let accept = PeopleChange::AcceptByIdentity { invitation, newcomer: new, identity };
        self.person(visitor(), accept, "invitation.accept", subject, facts);

        let new = user(&mut self.random);
        let (identity, linked) = self.identity(&new);
        let mut facts = of_user(&new, None);
        facts.push(linked);
        facts.push(self.place_of(new.id, Some(Role::Viewer)));
        let subject = Subject::Member(self.home.clone(), new.id);
        let enrol = PeopleChange::Enrol {
            newcomer: new,
            identity,
            organization: self.home.clone(),
            role: Role::Viewer,
        };
        self.person(visitor(), enrol, "member.enrol", subject, facts);

        // Somebody who never showed that the address is theirs: their password and session go.
        let (new, password) = (user(&mut self.random), self.hash());
        let id = keyward_core::id::mint_organization_id(self.random.bytes());
        let own = organization(&mut self.random, &id);
        let mut facts = of_user(&new, Some(&password));
        facts.push((format!("organization {id}"), Some(of_organization(&own))));
        facts.push((format!("member {id} {}", new.id), Some("owner".to_owned())));
        let change = PeopleChange::SignUp { user: new.clone(), password, organization: own };
        self.person(visitor(), change, "organization.sign_up", Subject::Organization(id), facts);
        let session = self.session(&new);
        let thing = format!("session {}", session.id);
        let facts = vec![(thing.clone(), Some(of_session(&session)))];
        let start = PeopleChange::StartSession(session);
        self.person(visitor(), start, "session.start", Subject::User(new.id), facts);
        let (identity, linked) = self.identity(&new);
        let facts = vec![linked, (thing, None), (format!("password {}", new.id), None)];
        let link = PeopleChange::LinkIdentity { user: new.id, identity };
        self.person(visitor(), link, "user.link_identity", Subject::User(new.id), facts);
    }

    /// A newcomer asks, so that nobody asks too often; the end is one of four.
    pub(crate) fn requests(&mut self) {
        let asking = user(&mut self.random);
        let sent = self.invite_to(&asking, Role::Developer);
        self.accept_new(sent, &asking);
        for end in 0..4 {
            let asked = self.ask(&asking);
            match end {
                0 => self.end_request(&asked, KeyRequestState::Withdrawn),
                1 => self.end_request(&asked, KeyRequestState::Denied),
                _ => {
                    let approved = self.approve(asked);
                    match end {
                        2 => self.end_request(&approved, KeyRequestState::Denied),
                        _ => self.claim(&asking, approved),
                    }
                }
            }
        }
    }

    fn request(
        &mut self,
        actor: Actor,
        change: KeyRequestChange,
        action: &'static str,
        after: &KeyRequest,
    ) {
        let facts = vec![(format!("request {}", after.id), Some(format!("{after:?}")))];
        let change = Change::KeyRequest(change);
        self.push(actor, change, action, Subject::KeyRequest(after.id), facts);
    }

    fn ask(&mut self, asking: &User) -> KeyRequest {
        let request = KeyRequest {
            id: KeyRequestId::from_bits(self.random.bytes()),
            organization: self.home.clone(),
            requester: asking.id,
            api: "api".parse().unwrap(),
            name: format!("asked {:x}", self.random.number()),
            environment: "staging".parse().unwrap(),
            reason: "nightly jobs".to_owned(),
            asked: KeyTerms {
                permissions: vec!["models.read".to_owned()],
                lifetime_seconds: Some(3600),
                allowed_networks: vec![],
                allowed_models: None,
                limits: limits(7),
            },
            created_at: NOW,
            decide_until: in_an_hour(),
            state: KeyRequestState::Open,
            decision: None,
            granted: None,
            key: None,
        };
        let ask = KeyRequestChange::Ask(request.clone());
        self.request(by(asking), ask, "key_request.create", &request);
        request
    }

    fn approve(&mut self, asked: KeyRequest) -> KeyRequest {
        let granted = KeyGrant { terms: asked.asked.clone(), claim_until: in_an_hour() };
        let note = Some("go ahead".to_owned());
        let decision = KeyRequestDecision { by: Some(self.owner.id), at: NOW, note: note.clone() };
        let approved = KeyRequest {
            state: KeyRequestState::Approved,
            decision: Some(decision),
            granted: Some(granted.clone()),
            ..asked
        };
        let approve = KeyRequestChange::Approve { request: approved.id, granted, note };
        self.request(by(&self.owner.clone()), approve, "key_request.approve", &approved);
        approved
    }

    /// It is withdrawn or denied.
    fn end_request(&mut self, before: &KeyRequest, state: KeyRequestState) {
        let (request, requester) = (before.id, before.requester);
        if state == KeyRequestState::Withdrawn {
            let after = KeyRequest { state, ..before.clone() };
            let asking = Actor {
                kind: keyward_store::ActorKind::Member,
                name: requester.to_string(),
                interface: Interface::ManagementApi,
                address: None,
                person: Some(requester),
                key: None,
            };
            let withdraw = KeyRequestChange::Withdraw(request);
            return self.request(asking, withdraw, "key_request.withdraw", &after);
        }
        let note = "not now".to_owned();
        let decision =
            KeyRequestDecision { by: Some(self.owner.id), at: NOW, note: Some(note.clone()) };
        let after = KeyRequest { state, decision: Some(decision), ..before.clone() };
        let deny = KeyRequestChange::Deny { request, note };
        self.request(by(&self.owner.clone()), deny, "key_request.deny", &after);
    }

    fn claim(&mut self, asking: &User, approved: KeyRequest) {
        let Held { key, mut secrets, .. } = self.held(SecretForm::Minted);
        let terms = approved.granted.clone().unwrap().terms;
        let key = Key {
            name: approved.name.clone(),
            environment: approved.environment.clone(),
            expires_at: terms.expires_at(NOW),
            permissions: terms.permissions,
            allowed_networks: terms.allowed_networks,
            allowed_models: terms.allowed_models,
            limits: terms.limits,
            owner: Some(asking.id),
            labels: Labels::default(),
            ..key
        };
        let secret = secrets.remove(0);
        let (state, made) = (KeyRequestState::Claimed, Some(key.id));
        let after = KeyRequest { state, key: made, ..approved };
        let held = Held::new(key.clone(), secret.clone());
        let mut facts = held.facts();
        facts.push((format!("request {}", after.id), Some(format!("{after:?}"))));
        let claim = KeyRequestChange::Claim { request: after.id, key, secret, most_active: None };
        let subject = Subject::Key(held.key.id);
        self.push(by(asking), Change::KeyRequest(claim), "key_request.claim", subject, facts);
    }
}
