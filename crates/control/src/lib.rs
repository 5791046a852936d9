//! The control plane: what people do to keys and organizations, and how it reaches the data plane.
//!
//! Two halves. [`Control`] is what may be asked for: every operation takes a [`Context`] that says who acts and when,
//! holds what is asked against the API's profile, and makes it one change of the store. [`propagation`] and [`recorder`]
//! join the store to the data plane: the one brings changes to the snapshot that requests are decided from, the other
//! brings back what was used. The gateway is never seen from here; they meet in types of the core.
//!
//! Rejected: operations that change the snapshot themselves. What a command does in another process and what it does in
//! this one must take the same way, or only one of them is tested.

pub mod alerts;
pub mod app;
mod bcrypt_check;
mod context;
mod error;
pub mod http;
pub mod keeper;
pub mod limits;
pub mod mail;
pub mod management;
mod mint;
pub mod openid;
mod outgoing;
mod password;
pub mod plan;
pub mod propagation;
pub mod recorder;
pub mod reminders;
pub mod retention;
mod thread;
mod throttle;
mod token;
mod views;
pub mod webhooks;

pub use alerts::Alerts;
pub use app::Control;
pub use bcrypt_check::BcryptCheck;
pub use context::{Caller, Clock, Context};
pub use error::ControlError;
pub use keeper::{Counting, Keeper};
pub use plan::{Plan, StoredCredential};
pub use propagation::{Propagation, PropagationError};
pub use recorder::Recorder;
pub use reminders::Reminders;
pub use retention::Retention;
pub use webhooks::{Deliveries, WebhookSettings};

#[cfg(test)]
mod fixture;
