//! Rows of an import, read strictly: CSV with a header, or JSON lines.
//!
//! A row that cannot be read is told by its line and hurts no other. What is wrong is said without the row's values: among them
//! are keys in the clear, and a report is shown around.

use std::{collections::HashSet, iter, str};

use keyward_api::{LimitView, RowFormat};
use keyward_core::{key::Plaintext, limit::Limit};
use serde::Deserialize;

use crate::limits;

/// Longer than any row of keys.
const LONGEST_ROW: usize = 64 * 1024;
/// Each may be a key that is kept in memory until all are read.
const MOST_LINES: usize = 400_000;
/// Between the items of a list in a cell.
const BETWEEN: char = ';';
const COLUMNS: &[&str] = &[
    "name",
    "plaintext",
    "digest",
    "algorithm",
    "prefix",
    "permissions",
    "preset",
    "environment",
    "expires_at",
    "allowed_networks",
    "allowed_models",
    "owner",
    "limits",
];

/// A row as it was written. What was left out or empty is `None`.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) name: Option<String>,
    pub(crate) plaintext: Option<Plaintext>,
    pub(crate) digest: Option<Plaintext>,
    pub(crate) algorithm: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) preset: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) allowed_networks: Vec<String>,
    pub(crate) allowed_models: Option<Vec<String>>,
    pub(crate) owner: Option<String>,
    pub(crate) limits: Vec<Limit>,
}

/// A row, with the line it begins at.
pub(crate) type Read = (u64, Result<Row, String>);

/// Rows as they are asked for, one at a time: a row takes a hundred times the room of the two bytes it may be written in.
pub(crate) type Rows<'b> = Box<dyn Iterator<Item = Read> + Send + 'b>;

/// Reads the rows. An error says that none can be read.
pub(crate) fn read(format: RowFormat, bytes: &[u8]) -> Result<Rows<'_>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Either ends a line of CSV.
    let ends = |end| bytes.iter().filter(|byte| **byte == end).count();
    if ends(b'\n').max(ends(b'\r')) > MOST_LINES {
        return Err(format!("the import has more than {MOST_LINES} lines; send it in parts"));
    }
    match format {
        RowFormat::Csv => Ok(Box::new(csv(bytes)?)),
        RowFormat::Jsonl => Ok(Box::new(json_lines(bytes))),
    }
}

fn csv(bytes: &[u8]) -> Result<impl Iterator<Item = Read> + Send, String> {
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).has_headers(true).from_reader(bytes);
    let columns = columns(reader.byte_headers().map_err(|error| said(&error))?)?;
    let (mut record, mut broke_off) = (csv::ByteRecord::new(), false);
    Ok(iter::from_fn(move || {
        if broke_off {
            return None;
        }
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => None,
            Ok(true) => {
                // The reader stands behind the line before; empty lines are passed over.
                let line = record.position().map_or(line, csv::Position::line);
                Some((line, cells(&columns, &record)))
            }
            Err(error) => {
                broke_off = error.is_io_error();
                let line = error.position().map_or(line, csv::Position::line);
                Some((line, Err(said(&error))))
            }
        }
    }))
}

/// Never the text that was read.
fn said(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
            "the row has {len} cells and the header {expected_len}: give each row a cell for each column, and put cells with commas into quotes"
        ),
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8: save the file as UTF-8".to_owned(),
        _ => "it cannot be read as comma-separated values: see RFC 4180".to_owned(),
    }
}

fn columns(header: &csv::ByteRecord) -> Result<Vec<&'static str>, String> {
    let listed = COLUMNS.join(", ");
    let mut seen = HashSet::new();
    let mut columns = Vec::with_capacity(header.len());
    for cell in header {
        let known = COLUMNS.iter().find(|known| known.as_bytes() == cell).ok_or_else(|| {
            let shown: String = String::from_utf8_lossy(cell).chars().take(40).collect();
            format!(
                "the header has a column `{}` that is not known: use {listed}",
                shown.escape_default()
            )
        })?;
        if !seen.insert(*known) {
            return Err(format!("the header has the column `{known}` twice: leave one out"));
        }
        columns.push(*known);
    }
    if !seen.contains("name") {
        return Err(format!("the header has no column `name`: begin with a header of {listed}"));
    }
    Ok(columns)
}

fn cells(columns: &[&'static str], record: &csv::ByteRecord) -> Result<Row, String> {
    if record.as_slice().len() > LONGEST_ROW {
        return Err(too_long());
    }
    let mut row = Row::default();
    for (column, cell) in columns.iter().zip(record) {
        let text = str::from_utf8(cell)
            .map_err(|_| format!("`{column}` is not UTF-8: save the file as UTF-8"))?;
        if text.is_empty() {
            continue;
        }
        let one = || Some(text.to_owned());
        let list = || {
            let items = text.split(BETWEEN).map(str::trim).filter(|item| !item.is_empty());
            items.map(str::to_owned).collect::<Vec<_>>()
        };
        match *column {
            "name" => row.name = one(),
            "plaintext" => row.plaintext = one().map(Plaintext::new),
            "digest" => row.digest = one().map(Plaintext::new),
            "algorithm" => row.algorithm = one(),
            "prefix" => row.prefix = one(),
            "permissions" => row.permissions = list(),
            "preset" => row.preset = one(),
            "environment" => row.environment = one(),
            "expires_at" => row.expires_at = one(),
            "allowed_networks" => row.allowed_networks = list(),
            "allowed_models" => row.allowed_models = Some(list()),
            "limits" => row.limits = limits_in(text)?,
            _ => row.owner = one(),
        }
    }
    Ok(row)
}

/// A cell with a JSON array.
fn limits_in(text: &str) -> Result<Vec<Limit>, String> {
    let read: Vec<LimitView> = serde_json::from_str(text).map_err(|_| {
        "`limits` is no JSON array of limits: write it as an export does".to_owned()
    })?;
    limits::read(read).map_err(|error| format!("`limits`: {error}"))
}

fn too_long() -> String {
    format!("the row is longer than {LONGEST_ROW} bytes: no row of keys is")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow {
    name: Option<String>,
    plaintext: Option<String>,
    digest: Option<String>,
    algorithm: Option<String>,
    prefix: Option<String>,
    #[serde(default)]
    permissions: Vec<String>,
    preset: Option<String>,
    environment: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    allowed_networks: Vec<String>,
    allowed_models: Option<Vec<String>>,
    owner: Option<String>,
    #[serde(default)]
    limits: Vec<LimitView>,
}

fn json_lines(bytes: &[u8]) -> impl Iterator<Item = Read> + Send {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    lines.map(|(line, number)| (number, json_line(line)))
}

fn json_line(line: &[u8]) -> Result<Row, String> {
    if line.len() > LONGEST_ROW {
        return Err(too_long());
    }
    let read: JsonRow = serde_json::from_slice(line).map_err(|error| {
        let told = error.to_string();
        let column = error.column();
        match error.classify() {
            // Of these, the message names a member and no value.
            serde_json::error::Category::Data
                if told.starts_with("unknown field") || told.starts_with("duplicate field") =>
            {
                let name: String = told.chars().take(60).collect();
                format!("{}…: use {}", name.escape_default(), COLUMNS.join(", "))
            }
            serde_json::error::Category::Data => format!(
                "a member before column {column} has another type than it should: lists are lists of texts, all others texts"
            ),
            _ => format!("it is no JSON object, from column {column} on: write one a line"),
        }
    })?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Row {
        name: some(read.name),
        plaintext: some(read.plaintext).map(Plaintext::new),
        digest: some(read.digest).map(Plaintext::new),
        algorithm: some(read.algorithm),
        prefix: some(read.prefix),
        permissions: read.permissions,
        preset: some(read.preset),
        environment: some(read.environment),
        expires_at: some(read.expires_at),
        allowed_networks: read.allowed_networks,
        allowed_models: read.allowed_models,
        owner: some(read.owner),
        limits: limits::read(read.limits).map_err(|error| format!("`limits`: {error}"))?,
    })
}
