//! Logins with an account elsewhere, against a provider that says whatever it is told to.

mod hostile;
mod provider;

use std::sync::atomic::{AtomicU64, Ordering};

use keyward_core::{id::InvitationId, time::Timestamp};
use keyward_store::{Change, Invitation, InvitationState, InvitedAs, PeopleChange, TokenDigest};

use self::provider::{CLIENT, SECRET, TestProvider};
use super::*;
use crate::openid::{Newcomers, Provider};

const HOST: (&str, &str) = ("host", "localhost:8081");

/// Keyward, a provider, and a clock that can be set.
struct Meeting {
    world: World,
    provider: TestProvider,
    now: Arc<AtomicU64>,
    /// From where browsers come: the last number of their address.
    from: AtomicU64,
}

/// A browser that was sent to the provider.
struct Away {
    cookie: String,
    state: String,
}

impl Meeting {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(newcomers: Option<Newcomers>) -> Self {
        let provider = TestProvider::start().await;
        let configured = Provider {
            name: "company".to_owned(),
            title: "Company account".to_owned(),
            issuer: provider.issuer.clone(),
            client_id: CLIENT.to_owned(),
            client_secret: Some(Arc::new(keyward_core::key::Plaintext::new(SECRET.to_owned()))),
            scopes: vec!["openid".to_owned(), "email".to_owned()],
            ca: None,
            newcomers,
        };
        let access = Access { providers: vec![configured], ..Access::default() };
        let now = Arc::new(AtomicU64::new(NOW.as_secs()));
        let clock: Clock = {
            let now = now.clone();
            Arc::new(move || Timestamp::from_secs(now.load(Ordering::Relaxed)))
        };
        let fixture = Fixture::new().await;
        let management = Management::new(fixture.control(), clock, Terms { sign_up: true });
        let router = router(management.reached_by(access, Bounds::default()));
        Self {
            world: World { router, now: Arc::default(), fixture },
            provider,
            now,
            from: AtomicU64::new(1),
        }
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    /// From now on browsers come from another address.
    fn move_on(&self) {
        self.from.fetch_add(1, Ordering::Relaxed);
    }

    async fn get(&self, path: &str, cookie: &str) -> (StatusCode, HeaderMap, Value) {
        let headers = [HOST, ("cookie", cookie)];
        let from = format!("203.0.113.{}", self.from.load(Ordering::Relaxed));
        self.world
            .send(&from, "GET", path, &headers[..if cookie.is_empty() { 1 } else { 2 }], "")
            .await
    }

    /// The browser leaves.
    async fn begin(&self) -> Away {
        let path = "/v1/sessions/openid/company/start?return_to=/keys%3Fa%3Db";
        let (status, headers, body) = self.get(path, "").await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
        let line = headers["set-cookie"].to_str().unwrap();
        let (cookie, how) = line.split_once("; ").unwrap();
        assert!(cookie.starts_with("__Host-keyward_login="));
        assert_eq!(how, "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600");
        let location = headers["location"].to_str().unwrap();
        let query = location.strip_prefix(&format!("{}/authorize?", self.provider.issuer)).unwrap();
        let asked: std::collections::BTreeMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("scope", "openid email"),
            ("redirect_uri", "http://localhost:8081/v1/sessions/openid/company/callback"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(asked[name], value);
        }
        self.provider.asked(&asked["nonce"], &asked["code_challenge"]);
        Away { cookie: cookie.to_owned(), state: asked["state"].clone() }
    }

    /// The browser comes back.
    async fn end(&self, cookie: &str, query: &str) -> (StatusCode, HeaderMap, Value) {
        self.get(&format!("/v1/sessions/openid/company/callback?{query}"), cookie).await
    }

    /// A whole login: the session's cookie, or the code of its refusal.
    async fn log_in(&self, subject: &str, email: &str) -> Result<String, String> {
        let claims = json!({ "sub": subject, "email": email, "email_verified": true });
        self.provider.says(claims);
        self.log_in_as_told().await
    }

    async fn log_in_as_told(&self) -> Result<String, String> {
        let away = self.begin().await;
        let query = format!("code=good&state={}", away.state);
        let (status, headers, body) = self.end(&away.cookie, &query).await;
        let lines: Vec<_> =
            headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
        assert!(lines.last().unwrap().starts_with("__Host-keyward_login=;"), "{lines:?}");
        if status != StatusCode::SEE_OTHER {
            assert_eq!(lines.len(), 1, "no session: {lines:?}");
            return Err(text(&body, "/code"));
        }
        assert_eq!(headers["location"], "/keys?a=b");
        Ok(lines[0].split_once(';').unwrap().0.to_owned())
    }

    async fn account(&self, cookie: &str) -> Value {
        let (status, _, body) = self.get("/v1/account", cookie).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Invites somebody into a new organization of `by`'s.
    async fn invite(&self, by: &str, email: &str) -> (String, String) {
        let (organization, owner) = self.world.sign_up(by).await;
        let path = format!("/v1/organizations/{organization}/invitations");
        let body = json!({ "email": email, "role": "developer" });
        let invited = self.world.done(Some(&owner), "POST", &path, &body).await;
        (organization, text(&invited, "/token"))
    }
}

#[tokio::test]
async fn the_providers_are_listed_for_a_login_page() {
    let meeting = Meeting::new().await;
    let (_, _, listed) = meeting.get("/v1/sessions/openid", "").await;
    assert_eq!(
        listed["items"],
        json!([{ "name": "company", "title": "Company account", "start": "/v1/sessions/openid/company/start" }])
    );
}

#[tokio::test]
async fn who_was_invited_comes_without_a_password_and_is_known_by_the_issuers_name() {
    let meeting = Meeting::new().await;
    let (organization, _) = meeting.invite("ada", "bob@example.com").await;
    assert_eq!(
        meeting.log_in("b-1", "stranger@example.com").await,
        Err("login_refused".to_owned())
    );
    let cookie = meeting.log_in("b-1", "Bob@Example.com").await.unwrap();
    let bob = meeting.account(&cookie).await;
    assert_eq!(text(&bob, "/user/email"), "bob@example.com");
    assert_eq!(text(&bob, "/places/0/organization_id"), organization);
    assert_eq!(text(&bob, "/places/0/role"), "developer");
    // Whatever their address is there now, they are who they are; and nobody else becomes them by it.
    for email in ["robert@example.com", "ada@example.com"] {
        let again = meeting.log_in("b-1", email).await.unwrap();
        assert_eq!(meeting.account(&again).await["user"], bob["user"]);
    }
    assert_eq!(meeting.log_in("b-2", "bob@example.com").await, Err("login_refused".to_owned()));
    // There is no password to guess.
    let body = json!({ "email": "bob@example.com", "password": PASSWORD }).to_string();
    let refused = meeting.world.ask(None, "POST", "/v1/sessions", &body).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_is_known_is_found_by_their_address_once_and_keeps_a_password_that_is_surely_theirs() {
    let meeting = Meeting::new().await;
    // Bob accepted an invitation that was sent to his address; ada's address was never proven.
    let (_, token) = meeting.invite("ada", "bob@example.com").await;
    let body = json!({ "token": token, "name": "Bob", "password": PASSWORD });
    meeting.world.done(None, "POST", "/v1/invitations/accept", &body).await;
    let cookie = meeting.log_in("b-1", "bob@example.com").await.unwrap();
    assert_eq!(text(&meeting.account(&cookie).await, "/user/name"), "Bob");
    meeting.world.log_in("bob").await;

    let squatter = meeting.world.log_in("ada").await;
    let cookie = meeting.log_in("a-1", "ada@example.com").await.unwrap();
    assert_eq!(text(&meeting.account(&cookie).await, "/user/name"), "ada");
    let ended = meeting.world.ask(Some(&squatter), "GET", "/v1/account", "").await;
    assert_eq!(ended.status, StatusCode::UNAUTHORIZED, "whoever signed up may be somebody else");
    let body = json!({ "email": "ada@example.com", "password": PASSWORD }).to_string();
    let refused = meeting.world.ask(None, "POST", "/v1/sessions", &body).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn newcomers_come_only_where_the_operator_lets_them_and_from_the_named_domains() {
    let control = Meeting::new().await;
    assert_eq!(control.log_in("n-1", "new@example.com").await, Err("login_refused".to_owned()));
    let newcomers = Newcomers {
        organization: "org_acme".parse().unwrap(),
        role: keyward_core::member::Role::Viewer,
        domains: vec!["example.com".to_owned()],
    };
    let meeting = Meeting::with(Some(newcomers)).await;
    let operator = crate::fixture::at(NOW);
    let acme = Some("org_acme".parse().unwrap());
    meeting.world.fixture.control().create_organization(&operator, acme, None).await.unwrap();
    for foreign in ["new@example.org", "new@evil-example.com", "new@example.com.evil.org"] {
        let refused = meeting.log_in("n-1", foreign).await;
        assert_eq!(refused, Err("login_refused".to_owned()), "{foreign}");
    }
    let cookie = meeting.log_in("n-1", "new@example.com").await.unwrap();
    let account = meeting.account(&cookie).await;
    assert_eq!(text(&account, "/places/0/role"), "viewer");
    assert_eq!(account["user"]["operator"], false);
}

#[tokio::test]
async fn an_invitation_to_run_this_keyward_takes_its_token() {
    let meeting = Meeting::new().await;
    let operator = crate::fixture::at(NOW);
    let control = meeting.world.fixture.control();
    control.invite(&operator, None, "ops@example.com".parse().unwrap()).await.unwrap();
    assert_eq!(meeting.log_in("o-1", "ops@example.com").await, Err("login_refused".to_owned()));
    // Nor does one that is over bring anybody.
    let (organization, _) = meeting.world.sign_up("ada").await;
    let over = Invitation {
        id: InvitationId::from_bits([1; 16]),
        email: "late@example.com".parse().unwrap(),
        to: InvitedAs::Member {
            organization: organization.parse().unwrap(),
            role: keyward_core::member::Role::Viewer,
        },
        token: TokenDigest::from_bytes([1; 32]),
        invited_by: None,
        created_at: NOW,
        expires_at: NOW,
        state: InvitationState::Open,
    };
    let change = Change::People(PeopleChange::Invite(over));
    meeting.world.fixture.folder.store().commit(&operator.actor, NOW, change).await.unwrap();
    assert_eq!(meeting.log_in("l-1", "late@example.com").await, Err("login_refused".to_owned()));
}

#[tokio::test]
async fn who_runs_this_keyward_links_an_account_while_logged_in_and_not_by_an_issuers_word() {
    let meeting = Meeting::new().await;
    let token = meeting.world.fixture.control().offer_setup(NOW).await.unwrap().unwrap();
    let body = json!({
        "token": token.expose(), "email": "ops@example.com", "name": "Ops", "password": PASSWORD,
    });
    meeting.world.done(None, "POST", "/v1/setup", &body).await;
    meeting.world.sign_up("eve").await;
    let refused = meeting.log_in("o-1", "ops@example.com").await;
    assert_eq!(refused, Err("login_refused".to_owned()));
    let end_with = async |session: &str| {
        let away = meeting.begin().await;
        let both = format!("__Host-keyward_session={session}; {}", away.cookie);
        meeting.end(&both, &format!("code=good&state={}", away.state)).await.0
    };
    let eves = meeting.world.log_in("eve").await;
    assert_eq!(end_with(&eves).await, StatusCode::FORBIDDEN, "nor by somebody else's session");
    let own = meeting.world.log_in("ops").await;
    assert_eq!(end_with(&own).await, StatusCode::SEE_OTHER);
    let cookie = meeting.log_in("o-1", "ops@example.com").await.unwrap();
    assert_eq!(meeting.account(&cookie).await["user"]["operator"], true);
}

#[tokio::test]
async fn a_login_ends_the_session_that_the_browser_had() {
    let meeting = Meeting::new().await;
    meeting.invite("ada", "bob@example.com").await;
    let before = meeting.log_in("b-1", "bob@example.com").await.unwrap();
    let away = meeting.begin().await;
    let both = format!("{before}; {}", away.cookie);
    let (status, ..) = meeting.end(&both, &format!("code=good&state={}", away.state)).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(meeting.get("/v1/account", &before).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_address_that_only_the_userinfo_endpoint_tells_counts_as_well() {
    let meeting = Meeting::new().await;
    meeting.invite("ada", "bob@example.com").await;
    meeting.provider.says(json!({ "sub": "b-1" }));
    let told = |subject: &str| json!({ "sub": subject, "email": "bob@example.com", "email_verified": "true", "name": "Bob" });
    meeting.provider.set(|said| said.user_info = told("somebody else"));
    assert_eq!(meeting.log_in_as_told().await, Err("login_refused".to_owned()));
    meeting.provider.set(|said| said.user_info = told("b-1"));
    let cookie = meeting.log_in_as_told().await.unwrap();
    assert_eq!(text(&meeting.account(&cookie).await, "/user/name"), "Bob");
}

#[tokio::test]
async fn keys_rotate_and_strangers_do_not_make_us_fetch_them() {
    let meeting = Meeting::new().await;
    meeting.invite("ada", "bob@example.com").await;
    meeting.log_in("b-1", "bob@example.com").await.unwrap();
    let fetched = meeting.provider.keys_fetched();
    meeting.log_in("b-1", "bob@example.com").await.unwrap();
    assert_eq!(meeting.provider.keys_fetched(), fetched, "keys are kept");
    meeting.provider.rotate();
    assert_eq!(meeting.log_in("b-1", "bob@example.com").await, Err("login_refused".to_owned()));
    assert_eq!(
        meeting.provider.keys_fetched(),
        fetched,
        "within a minute they are not asked for again"
    );
    meeting.pass(60);
    meeting.log_in("b-1", "bob@example.com").await.unwrap();
    assert_eq!(meeting.provider.keys_fetched(), fetched + 1);
    // A key that was withdrawn counts for an hour at most.
    meeting.provider.set(|said| said.published.clear());
    meeting.pass(3600);
    assert_eq!(meeting.log_in("b-1", "bob@example.com").await, Err("login_refused".to_owned()));
}
