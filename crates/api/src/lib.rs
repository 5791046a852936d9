//! Wire types: what the command line prints with `--json` and what the management API sends.
//!
//! They stand in a crate of their own, without any of ours behind them, so that server, command line and tests mean the
//! same bytes, and so that a field of the core can be renamed without changing what others parse. Moments are RFC 3339
//! in UTC; ids and names are text. A plaintext key stands in one type only, [`CreatedKey`], which has no `Debug`.

mod alert;
mod audit;
mod error;
mod event;
mod explanation;
mod import;
mod input;
mod key;
mod limit;
mod organization;
mod people;
mod profile;
pub mod reference;
mod request;
mod usage;
mod webhook;

pub use alert::{
    AlertChannelView, AlertConditionView, AlertMailView, AlertRuleInput, AlertRuleView,
    AlertScopeView, AlertView, ListAlertsQuery, UpdateAlertRuleInput,
};
pub use audit::{ActorView, AuditEntryView, AuditProofView, SubjectView};
pub use error::{ErrorCode, ErrorView, Problem};
pub use event::{
    AlertEventData, AlertEventRuleView, ChangeEventData, EventActorView, EventView, TestEventData,
};
pub use explanation::{ExplanationView, HeaderView, RefusalView, StepView, VerdictView};
pub use import::{ExportKeysQuery, ImportKeysQuery, ImportReport, RowFormat, RowNote};
pub use input::{
    AcceptInvitationInput, AssignModelIdInput, BulkAction, BulkKeysInput, ChangeMemberInput,
    CreateInvitationInput, CreateKeyInput, CreateOrganizationInput, CreatedInvitation,
    ExportAuditQuery, ListAuditQuery, ListKeysQuery, RetireSecretQuery, RotateKeyInput,
    SetPasswordInput, SetUpInput, SignUpInput, SignedUp, StartOpenIdQuery, StartSessionInput,
    StartedSession, UpdateKeyInput, UpdateOrganizationInput, VerifyAuditQuery,
};
pub use key::{
    BulkItem, BulkView, CreatedKey, KeyDetailsView, KeyStateView, KeyView, NodeView, PlaintextView,
    ReceiptView, RotationView, SecretStateView, SecretView,
};
pub use limit::{
    AmountView, DeletePriceQuery, LimitDimensionView, LimitKindView, LimitPeriodView,
    LimitStateView, LimitUnitView, LimitView, PlanView, PriceView, PutPlanInput, PutPriceInput,
    RefillView,
};
pub use organization::{ModelIdView, OrganizationStateView, OrganizationView};
pub use people::{
    AccountView, InvitationView, MemberView, OpenIdProviderView, PlaceView, SessionView, UserView,
};
pub use profile::{BindingView, ProfileView, RouteView, UpstreamView};
pub use request::{
    ApproveKeyRequestInput, CreateKeyRequestInput, DenyKeyRequestInput, KeyRequestDecisionView,
    KeyRequestStateView, KeyRequestView, KeyTermsView, ListKeyRequestsQuery, PersonView,
};
pub use usage::{
    LatencyView, TokensView, UsageExportParameter, UsageGrainView, UsageKeyParameter,
    UsageOrganizationParameter, UsagePage, UsagePageParameters, UsageParameters, UsageQuery,
    UsageSumView, UsageView,
};
pub use webhook::{
    CreateWebhookInput, CreatedWebhook, DeliveryDetailsView, DeliveryStateView, DeliveryView,
    ListDeliveriesQuery, RotateWebhookInput, UpdateWebhookInput, WebhookSecretView, WebhookView,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A piece of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// What to ask for the next piece with; `None` at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A list that is whole.
    pub const fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}
