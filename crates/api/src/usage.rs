//! What was used, in sums.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The sums of one key at one route with one status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// The API.
    pub api: String,
    /// The route's pattern; empty where none matched.
    pub route: String,
    /// The key, where one was recognized.
    pub key_id: Option<String>,
    /// The status that was answered (499 where the client left before an answer).
    pub status: u16,
    /// How many requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes_in: u64,
    /// Bytes of the answers' bodies.
    pub bytes_out: u64,
    /// The mean time from a whole request head to the last byte of its answer, in microseconds.
    pub mean_latency_micros: u64,
    /// The minute of the first request.
    pub first_at: String,
    /// The minute of the last request.
    pub last_at: String,
}
