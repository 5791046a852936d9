//! What a newcomer relies on when reading the tree: every module says why it exists, no file is a
//! drawer for odds and ends, none is too long to read, and none only works on the machine it was
//! written on.

use super::Finding;
use super::tree::{SourceFile, Tree};

/// A file past this many lines is asking to be split by meaning.
const LONG: usize = 700;

/// Names that say nothing of what is inside.
const DRAWERS: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc"];

/// Folders that exist on one person's machine. Put together here so that this file does not find
/// itself.
const MACHINE_FOLDERS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

pub(super) fn module_docs(tree: &Tree) -> Vec<Finding> {
    let ours = tree.files.iter().filter(|file| {
        file.is_rust() && (file.crate_name().is_some() || file.path.starts_with("xtask/"))
    });
    ours.filter(|file| !begins_with_doc(file))
        .map(|file| {
            let remedy =
                "Begin with `//!`: why this module exists, what it promises, what was rejected.";
            Finding::error(&file.path, 1, "no module documentation in the first line", remedy)
        })
        .collect()
}

/// A `//!` without a word in it says nothing.
fn begins_with_doc(file: &SourceFile) -> bool {
    let first = file.text.lines().next().unwrap_or_default();
    first.strip_prefix("//!").is_some_and(|doc| doc.contains(char::is_alphabetic))
}

pub(super) fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_source(file)) {
        let drawer = file.path.split('/').find(|part| {
            let stem = part.split('.').next().unwrap_or(part);
            DRAWERS.contains(&stem.to_ascii_lowercase().as_str())
        });
        if let Some(drawer) = drawer {
            let problem = format!("`{drawer}` says nothing of what is inside");
            let remedy = "Name it by what it holds, or move each item to the module that means it.";
            findings.push(Finding::error(&file.path, 1, problem, remedy));
        }
    }
    findings
}

pub(super) fn lengths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_source(file)) {
        let length = file.text.lines().count();
        if length > LONG {
            let problem = format!("{length} lines, past {LONG}");
            let remedy = "Split it by meaning, not by length.";
            findings.push(Finding::warning(&file.path, LONG + 1, problem, remedy));
        }
    }
    findings
}

fn is_source(file: &SourceFile) -> bool {
    [".rs", ".ts", ".tsx", ".js", ".py", ".svelte"].iter().any(|end| file.path.ends_with(end))
}

pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines() {
            if let Some(folder) = MACHINE_FOLDERS.iter().find(|folder| opens_path(line, folder)) {
                let problem = format!("a path of one machine: `{folder}`");
                let remedy = "Make it relative to the workspace, or take it as an argument.";
                findings.push(Finding::error(&file.path, number, problem, remedy));
            }
        }
    }
    findings
}

/// Whether `folder` stands where an absolute path begins: `a/work/b` and `https://host/work/` are
/// not machine paths.
fn opens_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(start, _)| {
        let before = line.split_at(start).0.chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~}*/".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_a_reason_is_found() {
        for text in ["fn main() {}", "//! .\nfn main() {}", "", "\n//! Late."] {
            assert_eq!(module_docs(&Tree::of(&[("crates/a/src/b.rs", text)])).len(), 1, "{text:?}");
        }
        assert!(module_docs(&Tree::of(&[("xtask/src/a.rs", "//! Why.")])).is_empty());
        assert!(module_docs(&Tree::of(&[("crates/a/tests/b.rs", "fn x() {}")])).is_empty());
    }

    #[test]
    fn drawers_are_found_as_files_and_folders() {
        for path in
            ["crates/a/src/utils.rs", "crates/a/tests/common/mod.rs", "dashboard/helpers.ts"]
        {
            assert_eq!(names(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
        assert!(names(&Tree::of(&[("crates/a/src/uncommon.rs", "")])).is_empty());
    }

    #[test]
    fn a_long_file_is_a_warning() {
        let findings = lengths(&Tree::of(&[("a.rs", &"x\n".repeat(LONG + 1))]));
        assert!(matches!(findings.as_slice(), [finding] if finding.is_warning));
        assert!(lengths(&Tree::of(&[("a.rs", &"x\n".repeat(LONG))])).is_empty());
    }

    #[test]
    fn machine_paths_are_found_and_addresses_are_not() {
        let [first, second] = [MACHINE_FOLDERS[0], MACHINE_FOLDERS[1]];
        for line in [format!("cd {first}main"), format!("\"{second}.cargo\"")] {
            assert_eq!(machine_paths(&Tree::of(&[("a.md", &line)])).len(), 1, "{line}");
        }
        for line in [format!("https://host{first}"), format!("team{first}x"), "work/".to_owned()] {
            assert!(machine_paths(&Tree::of(&[("a.md", &line)])).is_empty(), "{line}");
        }
    }
}
