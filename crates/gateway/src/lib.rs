//! The data plane: from an accepted connection to a forwarded, recorded request.
//!
//! A request's way, a module a step: [`connection`] accepts it, [`wire`] screens its bytes, [`guard`] its meaning, [`exchange`]
//! takes it from there through route, credential and decision to [`forward`], [`meter`] reads what its answer tells, and [`record`]
//! counts it. [`refusal`] is the one
//! place where a refusal is written.
//!
//! One single-threaded runtime per core ([`worker`]), each with its own listener socket (`SO_REUSEPORT`) and its own upstream
//! connections: nothing on this way is shared but the snapshot. The gateway never waits for a store and never sees SQL.

mod body;
mod buffers;
mod clock;
mod config;
mod connection;
mod exchange;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod guard;
mod headers;
mod meter;
mod record;
mod refusal;
mod reply;
mod request;
mod settings;
mod slow;
mod socket;
mod stretch;
mod tls;
mod tunnel;
mod upstream;
mod watchdog;
pub mod wire;
mod worker;

pub use config::{
    Deadlines, GatewayConfig, IdentityHeaders, Limits, ListenerConfig, Settings, TlsFiles,
};
pub use gateway::{Gateway, Handed, Ports, StartError};
