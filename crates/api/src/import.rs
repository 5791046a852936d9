//! Importing keys of another system, and exporting keys.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// In which form rows of keys are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowFormat {
    /// Comma-separated values with a header (RFC 4180).
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl RowFormat {
    /// The media type it is sent as.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/x-ndjson",
        }
    }
}

/// What is imported, and how.
#[derive(Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportKeysQuery {
    /// Which API the keys open.
    pub api: Option<String>,
    /// Only tell what would become of each row.
    #[serde(default)]
    pub dry_run: bool,
}

/// What is exported, and how.
#[derive(Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportKeysQuery {
    /// In which form; CSV where left out.
    #[param(inline)]
    pub format: Option<RowFormat>,
    /// Only keys of this API.
    pub api: Option<String>,
}

/// Something that was found in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowNote {
    /// The line the row begins at; the first is 1.
    #[schema(example = 3)]
    pub line: u64,
    /// What was found, and what would be right.
    pub message: String,
}

/// What became of an import, row by row where something is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportReport {
    /// Whether nothing was kept, as was asked.
    pub dry_run: bool,
    /// How many rows were read.
    pub rows: u64,
    /// How many keys were made, or would have been.
    pub imported: u64,
    /// How many rows were refused.
    pub refused: u64,
    /// The refused rows, a thousand at most.
    pub problems: Vec<RowNote>,
    /// How many keys look as if they could be guessed; they were imported.
    pub guessable: u64,
    /// Those rows, a thousand at most.
    pub warnings: Vec<RowNote>,
    /// What is to be said of all rows.
    pub notes: Vec<String>,
}
