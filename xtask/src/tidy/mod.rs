//! `cargo xtask tidy`: what ARCHITECTURE.md promises about the source, checked, so that the
//! document stays true without anyone remembering it. Each check is a pure function from the tree
//! to findings and is tested on small made-up trees; each finding says where, what is wrong, and
//! what to do.
//!
//! It reads text, not syntax. That is enough because rustfmt fixes the layout, and it keeps the
//! whole under a second. What it therefore cannot see: names put together by macros, and vendors
//! whose name is an ordinary word.

mod dependencies;
mod files;
mod lockfiles;
mod purity;
mod tree;
mod vendors;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace;
use tree::Tree;

/// One thing that is wrong at one place.
#[derive(Debug)]
struct Finding {
    is_warning: bool,
    path: String,
    line: usize,
    problem: String,
    remedy: String,
}

impl Finding {
    fn error(
        path: &str,
        line: usize,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (problem, remedy) = (problem.into(), remedy.into());
        Self { is_warning: false, path: path.to_owned(), line, problem, remedy }
    }

    fn warning(
        path: &str,
        line: usize,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { is_warning: true, ..Self::error(path, line, problem, remedy) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_warning, path, line, problem, remedy } = self;
        let kind = if *is_warning { "warning" } else { "error" };
        write!(f, "{path}:{line}: {kind}: {problem}\n    {remedy}")
    }
}

type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    dependencies::check,
    vendors::check,
    purity::check,
    files::module_docs,
    files::names,
    files::lengths,
    files::machine_paths,
    lockfiles::check,
];

/// Runs every check on the files git knows or would add; an error when there is a finding that is
/// not a warning.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::load(&workspace::root()?)?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for finding in &findings {
        println!("{finding}");
    }
    let warnings = findings.iter().filter(|finding| finding.is_warning).count();
    let errors = findings.len() - warnings;
    println!("tidy: {} files, {errors} errors, {warnings} warnings", tree.files.len());
    println!("tidy: {}", vendors::not_checked());
    if errors > 0 {
        bail!("tidy found {errors} errors: each says above what to do");
    }
    Ok(())
}
