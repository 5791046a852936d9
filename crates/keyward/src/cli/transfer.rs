//! `keyward keys import`, `keyward keys export`

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use keyward_api::{ImportReport, RowFormat, RowNote};
use keyward_control::app::{
    export::Export,
    import::{self, Import},
};
use keyward_core::id::{ApiName, OrganizationId};
use zeroize::Zeroizing;

use crate::{
    backend::Backend,
    output::{Output, table},
};

#[derive(Debug, Args)]
pub(super) struct ImportKeys {
    /// The rows: CSV with a header, or JSON lines; - for standard input
    file: PathBuf,
    /// Which API the keys open
    #[arg(long)]
    api: ApiName,
    /// Whose they are
    #[arg(long)]
    organization: OrganizationId,
    /// How the rows are written [default: by the file's name, else csv]
    #[arg(long)]
    format: Option<Format>,
    /// Only tell what would become of each row
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportKeys {
    /// Only keys of this organization
    #[arg(long)]
    organization: Option<OrganizationId>,
    /// Only keys of this API
    #[arg(long)]
    api: Option<ApiName>,
    /// How they are written
    #[arg(long, default_value = "csv")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

impl From<Format> for RowFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::Jsonl => Self::Jsonl,
        }
    }
}

/// Some rows were not imported: the others were.
#[derive(Debug, thiserror::Error)]
#[error("{0} of {1} rows were refused: mend them, and import them alone")]
pub(super) struct RowsRefused(u64, u64);

impl ImportKeys {
    pub(super) async fn run(self, backend: &Backend, output: Output) -> anyhow::Result<()> {
        let format = self.format.map_or_else(|| by_name(&self.file), RowFormat::from);
        let bytes = read(&self.file)?;
        let import = Import {
            organization: self.organization,
            api: self.api,
            format,
            dry_run: self.dry_run,
        };
        let report = backend.import_keys(import, bytes).await?;
        output.show(&report, said)?;
        match report.refused {
            0 => Ok(()),
            refused => Err(RowsRefused(refused, report.rows).into()),
        }
    }
}

fn by_name(file: &Path) -> RowFormat {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson") => RowFormat::Jsonl,
        _ => RowFormat::Csv,
    }
}

/// Keys in the clear may be among it: it is overwritten when dropped.
fn read(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let from: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin().lock()),
        _ => Box::new(
            File::open(file).with_context(|| format!("{} cannot be read", file.display()))?,
        ),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    let most = import::MOST_BYTES as u64;
    from.take(most + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    if bytes.len() as u64 > most {
        bail!("{} has more than {} MiB: import it in parts", file.display(), most >> 20);
    }
    Ok(bytes)
}

fn said(report: &ImportReport) -> String {
    let rows = |heading: &str, notes: &[RowNote], all: u64| {
        if notes.is_empty() {
            return String::new();
        }
        let cells = notes.iter().map(|note| vec![note.line.to_string(), note.message.clone()]);
        let left_out = match all.saturating_sub(notes.len() as u64) {
            0 => String::new(),
            more => format!("\nand {more} more"),
        };
        format!("{}{left_out}\n\n", table(&["line", heading], cells.collect(), ""))
    };
    let mut text = rows("refused, because", &report.problems, report.refused);
    text.push_str(&rows("look at", &report.warnings, report.guessable));
    let done = if report.dry_run { "would be imported" } else { "are imported" };
    text.push_str(&format!("{} of {} keys {done}.", report.imported, report.rows));
    for note in &report.notes {
        text.push_str(&format!("\n{note}"));
    }
    text
}

impl ExportKeys {
    pub(super) async fn run(self, backend: &Backend) -> anyhow::Result<()> {
        let export =
            Export { organization: self.organization, api: self.api, format: self.format.into() };
        let mut begun = Vec::new();
        // Whole lines, however they came: what is written out before somebody's eyes is never half a character.
        let take = |piece: &[u8]| {
            begun.extend_from_slice(piece);
            match begun.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => Output::rows(&begun.drain(..=end).collect::<Vec<_>>()),
                None => Ok(()),
            }
        };
        backend.export_keys(export, take).await?;
        Output::rows(&begun)
    }
}
