//! The one place that writes to standard output and standard error, so that whatever is printed is printed on purpose.
//!
//! Results go to standard output, as tables and sentences or, with `--json`, as one JSON value a line; what went wrong goes
//! to standard error. Logs are not printed from here (`serve::logging`).
//!
//! What is told comes from a server, or from people who named things: nothing of it may steer a terminal or stand on the screen in
//! another order than it is read. Controls and marks of direction are written out (`\u{1b}`), here and for everything.

use std::{
    borrow::Cow,
    io::{ErrorKind, IsTerminal as _, Write},
};

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
        write(format!("{}\n", json(value)?).as_bytes())
    }

    /// Writes a text, and ends its line.
    pub fn line(text: &str) -> anyhow::Result<()> {
        write(format!("{}\n", lines(text.trim_end_matches('\n'))).as_bytes())
    }

    /// Writes lines for a program as they are; only before somebody's eyes, what would steer their terminal is written out.
    pub fn rows(bytes: &[u8]) -> anyhow::Result<()> {
        if std::io::stdout().is_terminal() {
            return write(lines(&String::from_utf8_lossy(bytes)).as_bytes());
        }
        write(bytes)
    }

    /// Tells what went wrong. When even that cannot be written, there is nobody to tell.
    pub fn failure(&self, error: &anyhow::Error) {
        let view = error_view(error);
        let text = match self.json {
            true => json(&Failure { error: &view }).unwrap_or_default(),
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
        let _ = write!(stderr, "{}", lines(text)).and_then(|()| stderr.flush());
    }

    /// Writes to standard error.
    pub fn note(text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", lines(text));
    }
}

fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        written => Ok(written?),
    }
}

/// What a terminal would act on, or would show in another order than it stands (Unicode Standard Annex 9, 2; Trojan Source).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of several lines, of which none steers a terminal.
fn lines(text: &str) -> Cow<'_, str> {
    written_out(text, |c| steers(c) && c != '\n' && c != '\t', |c| c.escape_unicode().to_string())
}

/// The same for what stands in one line: a name with a line break does not look like two names.
fn one_line(text: &str) -> Cow<'_, str> {
    written_out(text, steers, |c| c.escape_default().to_string())
}

/// One JSON value. What steers stands in strings only, where JSON has an escape for it.
fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    Ok(written_out(&text, steers, |c| format!("\\u{:04x}", u32::from(c))).into_owned())
}

fn written_out(text: &str, which: fn(char) -> bool, how: fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(which) {
        return Cow::Borrowed(text);
    }
    let written = |c| if which(c) { how(c) } else { String::from(c) };
    Cow::Owned(text.chars().map(written).collect())
}

/// What went wrong, in a word and a sentence.
pub fn error_view(error: &anyhow::Error) -> ErrorView {
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
        .add_rows(
            rows.into_iter().map(|row| row.into_iter().map(|cell| one_line(&cell).into_owned())),
        );
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
    let lines = facts.iter().map(|(name, value)| format!("{name:<width$}  {}", one_line(value)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A title of the window, red, an eight-bit control, a mark that turns the reading around, a delete.
    const STEERING: &str = "\u{1b}]0;x\u{7}\u{1b}[31m \u{9b}2J \u{202e}gpj\u{7f} \r\u{8}";

    #[test]
    fn nothing_that_is_told_steers_a_terminal() {
        let rows = vec![vec![STEERING.to_owned(), "a\nb".to_owned()]];
        for told in [
            lines(STEERING).into_owned(),
            table(&["name", "other"], rows, ""),
            facts(&[("name", STEERING.to_owned())]),
            json(&STEERING).unwrap(),
        ] {
            assert!(!told.chars().any(|c| steers(c) && c != '\n'), "{told:?}");
            assert!(told.contains("[31m"), "what it was can be seen: {told:?}");
        }
        assert_eq!(serde_json::from_str::<String>(&json(&STEERING).unwrap()).unwrap(), STEERING);
        assert_eq!(lines("a\n\tb \u{e9}\u{1f511}"), "a\n\tb \u{e9}\u{1f511}");
    }

    #[test]
    fn what_stands_in_one_line_stays_in_it() {
        let rows = vec![vec!["one\nkey_2".to_owned()]];
        assert_eq!(table(&["name"], rows, "").lines().count(), 2);
        assert_eq!(facts(&[("name", "one\nstate  active".to_owned())]).lines().count(), 1);
    }
}
