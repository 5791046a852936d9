//! The management API, `/v1`. This file is its table of contents: one folder a resource, one file an endpoint.
//!
//! An endpoint reads what it was asked, calls one operation of [`crate::app`] with a [`Context`](crate::Context) that says who acts,
//! and words the answer. What is allowed is decided there and in the store, never here. Who acts comes from the session's token, in a header
//! or a browser's cookie, or the management key alone; unknown fields are refused; and what belongs to another organization is answered like
//! what does not exist.

mod access;
mod account;
mod alert;
mod audit;
mod browser;
mod caller;
mod client;
mod description;
mod events;
mod examples;
mod exchange;
mod input;
mod invitation;
mod key;
mod key_request;
mod known;
mod member;
mod model;
mod once;
mod openid;
mod organization;
mod pieces;
mod plan;
mod price;
mod problem;
mod query;
mod server;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod tls;
mod usage;
mod webhook;

pub(crate) use access::is_loopback;
pub use access::{Access, NotAnOrigin, Origin, REQUESTS_PER_MINUTE};
pub use server::{Bounds, ListenError, Listener, Server};
pub use tls::{CertificateError, CertificateFiles};

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use axum::{
    Json, Router, extract::DefaultBodyLimit, http::header, middleware, response::IntoResponse,
    routing::get,
};
use keyward_api::reference;
use keyward_core::time::Timestamp;
use keyward_store::StoreError;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{access::Gate, exchange::BodyBounds, problem::Refusal, query::Queries};
use crate::{Clock, Control, ControlError, app::once::Running};

/// What the operator chose about people who come by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whether anybody may sign up with an organization of their own.
    pub sign_up: bool,
}

/// What endpoints work on.
#[derive(Clone)]
pub struct Management {
    control: Arc<ArcSwap<Control>>,
    clock: Clock,
    terms: Terms,
    running: Running,
    gate: Arc<Gate>,
    bounds: Bounds,
}

impl Management {
    /// Operations on what `control` is now.
    pub fn new(control: Control, clock: Clock, terms: Terms) -> Self {
        let gate = Arc::new(Gate::new(Access::default()));
        let control = Arc::new(ArcSwap::from_pointee(control));
        let (running, bounds) = (Running::default(), Bounds::default());
        Self { control, clock, terms, gate, bounds, running }
    }

    /// The same on these terms, within these bounds.
    #[must_use]
    pub fn reached_by(self, access: Access, bounds: Bounds) -> Self {
        Self { gate: Arc::new(Gate::new(access)), bounds, ..self }
    }

    /// The configuration was read again.
    pub fn replace(&self, control: Control) {
        self.control.store(Arc::new(control));
    }

    fn control(&self) -> Arc<Control> {
        self.control.load_full()
    }

    const fn running(&self) -> &Running {
        &self.running
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// What takes a token that opens a door once, or an address that may be known: who guesses wrong waits before they guess again.
    async fn token_guess<T>(
        &self,
        from: IpAddr,
        done: impl Future<Output = Result<T, ControlError>>,
    ) -> Result<T, Refusal> {
        let guesses = &self.gate.guesses;
        let attempt = guesses.at_token(from, self.now()).map_err(Refusal::too_many_guesses)?;
        let done = done.await;
        match &done {
            Ok(_) => attempt.right(),
            Err(ControlError::Store(StoreError::UnknownToken | StoreError::EmailTaken(_))) => {
                drop(attempt);
            }
            Err(_) => attempt.void(),
        }
        Ok(done?)
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    const fn bounds(&self) -> Bounds {
        self.bounds
    }

    const fn body_bounds(&self) -> BodyBounds {
        BodyBounds { bytes: self.bounds.body_bytes, deadline: self.bounds.body }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keyward management API",
        description = "API keys for AI APIs: organizations, their people, and their keys. \
            Errors are problem details (RFC 9457) with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(keyward_api::Problem, keyward_api::ErrorCode)),
    modifiers(&Sessions),
)]
struct Document;

/// How callers show who they are.
struct Sessions;

impl Modify for Sessions {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A session's token, as `POST /v1/sessions` gives it."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("session", SecurityScheme::Http(scheme));
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A management key: a key of the API `keyward`. It may what its permissions name, in its organization.",
            ))
            .build();
        components.add_security_scheme("management_key", SecurityScheme::Http(scheme));
        let cookie = ApiKeyValue::with_description(
            browser::SESSION,
            "The same in a browser. What changes something names its page's origin in `Origin`.",
        );
        components
            .add_security_scheme("session_cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

fn endpoints() -> OpenApiRouter<Management> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(account::set_up::set_up))
        .routes(routes!(account::sign_up::sign_up))
        .routes(routes!(account::show::show_account))
        .routes(routes!(account::set_password::set_password))
        .routes(routes!(session::start::start_session, session::list::list_sessions))
        .routes(routes!(session::end::end_session))
        .routes(routes!(openid::list::list_openid_providers))
        .routes(routes!(openid::start::start_openid))
        .routes(routes!(openid::callback::finish_openid))
        .routes(routes!(
            organization::create::create_organization,
            organization::list::list_organizations
        ))
        .routes(routes!(
            organization::show::show_organization,
            organization::update::update_organization
        ))
        .routes(routes!(organization::suspend::suspend_organization))
        .routes(routes!(organization::resume::resume_organization))
        .routes(routes!(model::list::list_model_ids, model::assign::assign_model_id))
        .routes(routes!(model::withdraw::withdraw_model_id))
        .routes(routes!(member::list::list_members))
        .routes(routes!(member::change::change_member, member::remove::remove_member))
        .routes(routes!(invitation::create::create_invitation, invitation::list::list_invitations))
        .routes(routes!(invitation::accept::accept_invitation))
        .routes(routes!(invitation::withdraw::withdraw_invitation))
        .routes(routes!(key::create::create_key, key::list::list_keys))
        .routes(routes!(key::import::import_keys))
        .routes(routes!(key::export::export_keys))
        .routes(routes!(key::bulk::change_keys))
        .routes(routes!(key::show::show_key, key::update::update_key))
        .routes(routes!(key::receipt::show_receipt))
        .routes(routes!(key::limits::show_key_limits))
        .routes(routes!(organization::limits::show_organization_limits))
        .routes(routes!(key::disable::disable_key))
        .routes(routes!(key::enable::enable_key))
        .routes(routes!(key::revoke::revoke_key))
        .routes(routes!(key::rotate::rotate_key))
        .routes(routes!(key::retire::retire_secret))
        .routes(routes!(audit::list::list_audit_entries))
        .routes(routes!(audit::list_all::list_all_audit_entries))
        .routes(routes!(audit::export::export_audit_entries))
        .routes(routes!(audit::export_all::export_all_audit_entries))
        .routes(routes!(audit::verify::verify_audit))
        .routes(routes!(usage::of_organization::organization_usage))
        .routes(routes!(usage::of_key::key_usage))
        .routes(routes!(usage::of_all::all_usage))
        .routes(routes!(usage::export::export_organization_usage))
        .routes(routes!(usage::export_all::export_all_usage))
        .routes(routes!(
            key_request::create::create_key_request,
            key_request::list::list_key_requests
        ))
        .routes(routes!(key_request::show::show_key_request))
        .routes(routes!(key_request::approve::approve_key_request))
        .routes(routes!(key_request::deny::deny_key_request))
        .routes(routes!(key_request::withdraw::withdraw_key_request))
        .routes(routes!(key_request::claim::claim_key))
        .routes(routes!(plan::list::list_plans))
        .routes(routes!(plan::show::show_plan, plan::put::put_plan, plan::delete::delete_plan))
        .routes(routes!(plan::list_organization::list_organization_plans))
        .routes(routes!(
            price::list::list_prices,
            price::put::put_price,
            price::delete::delete_price
        ))
        .routes(routes!(webhook::create::create_webhook, webhook::list::list_webhooks))
        .routes(routes!(
            webhook::create_all::create_operators_webhook,
            webhook::list_all::list_operators_webhooks
        ))
        .routes(routes!(
            webhook::show::show_webhook,
            webhook::update::update_webhook,
            webhook::delete::delete_webhook
        ))
        .routes(routes!(webhook::rotate::rotate_webhook))
        .routes(routes!(webhook::retire::retire_webhook_secrets))
        .routes(routes!(webhook::test::test_webhook))
        .routes(routes!(webhook::deliveries::list_deliveries))
        .routes(routes!(webhook::show_delivery::show_delivery))
        .routes(routes!(webhook::resend::resend_delivery))
        .routes(routes!(alert::create::create_alert_rule, alert::list::list_alert_rules))
        .routes(routes!(
            alert::create_all::create_operators_alert_rule,
            alert::list_all::list_operators_alert_rules
        ))
        .routes(routes!(
            alert::show::show_alert_rule,
            alert::update::update_alert_rule,
            alert::delete::delete_alert_rule
        ))
        .routes(routes!(alert::raised::list_alerts))
        .routes(routes!(alert::raised_all::list_all_alerts))
}

/// The API's description, as it is served and committed.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<Management>, utoipa::openapi::OpenApi) {
    let (router, mut document) = endpoints().split_for_parts();
    description::complete(&mut document);
    events::describe(&mut document);
    examples::write(&mut document);
    (router, document)
}

/// Everything under `/v1`.
pub fn router(management: Management) -> Router {
    let (router, document) = described();
    let queries = Arc::new(Queries::of(&document));
    let router = router
        .route("/v1/openapi.json", get(async move || Json(document)))
        .route(reference::PATH, get(errors))
        .layer(middleware::from_fn_with_state(queries, query::only_what_is_described));
    guarded(router, management)
}

/// What every code of an error means.
async fn errors() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], reference::errors())
}

/// With what surrounds every request, whichever endpoint it is for.
fn guarded(router: Router<Management>, management: Management) -> Router {
    router
        .fallback(problem::no_such_endpoint)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(CatchPanicLayer::custom(exchange::after_panic))
        // Bodies are bounded around every endpoint alike.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(management.clone(), exchange::exchange))
        .with_state(management)
}
