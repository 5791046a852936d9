//! `POST /v1/organizations/{organization}/keys/import`.

use std::time::Duration;

use axum::{
    Json,
    body::to_bytes,
    extract::{Request, State},
    http::header,
};
use keyward_api::{ErrorCode, ImportKeysQuery, ImportReport, RowFormat};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::super::{
    Management,
    caller::Caller,
    exchange::{self, BodyBounds},
    input::{Asked, Segments, id, read},
    problem::{Refusal, Refusals},
};
use crate::{
    ControlError,
    app::import::{self, Import},
};

/// Imports that are read at once: each may be as large as is allowed. The others wait, before they are read.
static TURNS: Semaphore = Semaphore::const_new(2);

/// What is read of one, and for how long.
const BOUNDS: BodyBounds =
    BodyBounds { bytes: import::MOST_BYTES as u64, deadline: Duration::from_secs(600) };

/// Import keys of another system, as CSV with a header or as JSON lines, 64 MiB at most.
///
/// Columns: `name`; `plaintext`, or `digest` with `algorithm` (sha256 or sha512 in hexadecimal or base64, bcrypt); `prefix`, the key's first
/// characters, which bcrypt needs; `permissions` or `preset`; `environment`, `expires_at`, `allowed_networks`, `allowed_models`, `owner` (a member's
/// email or id). In CSV, lists have `;` between their items. Rows that are right are imported though others are wrong.
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/keys/import",
    tag = "keys",
    params(("organization" = String, Path, description = "The organization's id"), ImportKeysQuery),
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "What became of the rows", body = ImportReport), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn import_keys(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(asked): Asked<ImportKeysQuery>,
    request: Request,
) -> Result<Json<ImportReport>, Refusal> {
    let control = management.control();
    let organization = id(&organization)?;
    // Who may not is told so before anything of it is read.
    control.may_import(&caller.context, &organization)?;
    let api = asked.api.ok_or_else(|| {
        let detail = "it is not said which API the keys open: add `?api=` and its name";
        Refusal::new(ErrorCode::Invalid, detail)
    })?;
    let format = format(&request)?;
    let import = Import { organization, api: read("api", &api)?, format, dry_run: asked.dry_run };
    let _turn = TURNS.acquire().await.map_err(|_| Refusal::from(ControlError::Interrupted))?;
    let request = exchange::with_whole_body(request, BOUNDS).await?;
    let body = to_bytes(request.into_body(), import::MOST_BYTES).await;
    let bytes = body.map_err(|_| Refusal::from(import::too_large()))?;
    // Keys in the clear are among it.
    let bytes = Zeroizing::new(Vec::from(bytes));
    Ok(Json(control.import_keys(&caller.context, &import, &bytes).await?))
}

fn format(request: &Request) -> Result<RowFormat, Refusal> {
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = declared.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "text/csv" => Ok(RowFormat::Csv),
        "application/x-ndjson" | "application/jsonl" => Ok(RowFormat::Jsonl),
        _ => Err(Refusal::new(
            ErrorCode::Invalid,
            "the body is not declared as rows: send `Content-Type: text/csv`, or `application/x-ndjson` for JSON lines",
        )),
    }
}
