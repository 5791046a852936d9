//! The one place that writes to standard output and standard error, so that whatever is printed is printed on purpose.
//!
//! Results go to standard output, as tables and sentences or, with `--json`, as one JSON value a line; what went wrong goes
//! to standard error. Logs are not printed from here (`serve::logging`).

use std::io::{ErrorKind, Write};

use comfy_table::{ContentArrangement, Table, presets};
use keyward_api::{ErrorCode, ErrorView};
use serde::Serialize;

/// Nobody reads on: `keyward keys list | head`.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub struct Closed;

/// How results are written.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Whether programs read it.
    pub json: bool,
}

#[derive(Serialize)]
struct Failure<'e> {
    error: &'e ErrorView,
}

impl Output {
    /// Writes a value: as JSON, or as `text` makes it for people.
    pub fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            return Self::json(value);
        }
        Self::line(&text(value))
    }

    /// Writes one JSON value in a line of its own.
    pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
        Self::line(&serde_json::to_string(value)?)
    }

    /// Writes a text, and ends its line.
    pub fn line(text: &str) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        let written =
            writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
            written => Ok(written?),
        }
    }

    /// Tells what went wrong. When even that cannot be written, there is nobody to tell.
    pub fn failure(&self, error: &anyhow::Error) {
        let view = error_view(error);
        let text = match self.json {
            true => serde_json::to_string(&Failure { error: &view }).unwrap_or_default(),
            false => format!("error: {}", view.message),
        };
        Self::note(&text);
    }

    /// Tells that something was done of which there is nothing to show. Programs read an empty object.
    pub fn done(&self, text: &str) -> anyhow::Result<()> {
        self.show(&serde_json::json!({}), |_| text.to_owned())
    }

    /// Asks for something on standard error, on the line where it will be typed.
    pub fn prompt(text: &str) {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// Writes to standard error.
    pub fn note(text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

fn error_view(error: &anyhow::Error) -> ErrorView {
    use keyward_control::{ControlError, PropagationError};
    let code = error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<ControlError>() {
            return Some(error.code());
        }
        if let Some(error) = cause.downcast_ref::<keyward_store::StoreError>() {
            return Some(ControlError::from(error.clone()).code());
        }
        if let Some(error) = cause.downcast_ref::<crate::remote::RemoteError>() {
            return Some(error.code());
        }
        let is_configuration = cause.is::<crate::config::ConfigError>()
            || cause.is::<crate::config::Unfetched>()
            || cause.is::<crate::config::NoMailPassword>()
            || cause.is::<keyward_core::profile::ProfileError>()
            || cause.is::<keyward_core::policy::PolicyError>()
            || cause.is::<keyward_gateway::StartError>();
        if is_configuration {
            return Some(ErrorCode::Configuration);
        }
        if cause.is::<crate::cli::AuditBroken>() {
            return Some(ErrorCode::Internal);
        }
        cause.is::<PropagationError>().then_some(ErrorCode::Unavailable)
    });
    ErrorView { code: code.unwrap_or(ErrorCode::Invalid), message: format!("{error:#}") }
}

/// A table with a heading. Without rows, `empty` is said instead.
pub fn table(heading: &[&str], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(heading.iter().map(|name| name.to_uppercase()))
        .add_rows(rows);
    // The preset pads both sides: what begins every line is not needed, and what ends it would break snapshots.
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Facts, one a line, their names in a column.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let lines = facts.iter().map(|(name, value)| format!("{name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}
