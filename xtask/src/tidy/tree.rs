//! The source tree as the checks see it: paths and text, held in memory, so that a check can be
//! tested without a disk. Here also stands what counts as a test, in one place for all checks.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// One text file; `path` is relative to the root, with `/`.
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) text: String,
}

pub(super) struct Tree {
    pub(super) files: Vec<SourceFile>,
}

impl Tree {
    /// Every text file that git tracks or would track: a finding should come before the commit, not
    /// after it.
    pub(super) fn load(root: &Path) -> Result<Self> {
        let output = Command::new("git")
            .current_dir(root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("git cannot be started: tidy asks it which files belong to the tree")?;
        if !output.status.success() {
            bail!("`git ls-files` failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let listed = String::from_utf8(output.stdout).context("a path is not UTF-8")?;
        let mut files = Vec::new();
        for path in listed.split_terminator('\0') {
            // A file that is deleted but not yet staged is listed and absent; a binary file is not
            // UTF-8.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.push(SourceFile { path: path.to_owned(), text });
            }
        }
        Ok(Self { files })
    }

    /// The Rust sources of our crates: `crates/*/src/**/*.rs`.
    pub(super) fn crate_sources(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.is_rust() && file.crate_name().is_some())
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| SourceFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self { files: files.iter().map(file).collect() }
    }
}

impl SourceFile {
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The folder under `crates/` when the file is one of that crate's sources.
    pub(super) fn crate_name(&self) -> Option<&str> {
        let (name, inside) = self.path.strip_prefix("crates/")?.split_once('/')?;
        inside.starts_with("src/").then_some(name)
    }

    /// Files that hold nothing but tests: below a `tests` folder, or named `tests.rs`.
    pub(super) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The numbered lines outside `#[cfg(test)]` items; none for a test file.
    pub(super) fn lines_outside_tests(&self) -> Vec<(usize, &str)> {
        if self.is_test() {
            return Vec::new();
        }
        let mut skip = Skip::Nothing;
        self.lines().filter(|(_, line)| skip.keeps(line)).collect()
    }
}

/// Follows `#[cfg(test)]` to the end of the item it stands on. The end is found by indentation,
/// which rustfmt fixes.
enum Skip {
    Nothing,
    UntilItem { indentation: usize },
    UntilBrace { indentation: usize },
}

impl Skip {
    fn keeps(&mut self, line: &str) -> bool {
        let code = line.trim_start();
        let indentation = line.len() - code.len();
        match *self {
            Self::Nothing if is_test_attribute(code) => *self = Self::UntilItem { indentation },
            Self::Nothing => return true,
            Self::UntilItem { .. } if code.starts_with("#[") || code.starts_with("//") => {}
            Self::UntilItem { .. } if code.ends_with(';') || code.ends_with('}') => {
                *self = Self::Nothing;
            }
            Self::UntilItem { indentation } => *self = Self::UntilBrace { indentation },
            Self::UntilBrace { indentation: of_item } => {
                if indentation == of_item && code.starts_with('}') {
                    *self = Self::Nothing;
                }
            }
        }
        false
    }
}

fn is_test_attribute(code: &str) -> bool {
    code.starts_with("#[cfg(test)]") || code.starts_with("#[cfg(all(test")
}

/// A line without its comment. A `//` after a space opens one; in `https://` it does not.
pub(super) fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split_once(" //").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Vec<usize> {
        let file = SourceFile { path: "crates/core/src/lib.rs".into(), text: text.into() };
        file.lines_outside_tests().into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn a_test_module_ends_at_its_own_brace() {
        let text = "a\n#[cfg(test)]\nmod tests {\n    fn x() {\n    }\n}\nb";
        assert_eq!(kept(text), [1, 7]);
    }

    #[test]
    fn a_test_module_in_its_own_file_hides_one_line() {
        assert_eq!(kept("#[cfg(test)]\nmod tests;\nb"), [3]);
    }

    #[test]
    fn attributes_and_comments_between_belong_to_the_test() {
        assert_eq!(kept("#[cfg(test)]\n#[path = \"x\"]\n// why\nmod tests {\n}\nb"), [6]);
    }

    #[test]
    fn files_under_tests_have_no_lines_outside_tests() {
        for path in ["crates/core/src/tests.rs", "crates/core/src/tests/a.rs"] {
            let file = SourceFile { path: path.into(), text: "a".into() };
            assert!(file.lines_outside_tests().is_empty(), "{path}");
        }
    }

    #[test]
    fn a_comment_is_cut_and_an_address_is_not() {
        assert_eq!(without_comment("  // all of it"), "");
        assert_eq!(without_comment("let a = 1; // why"), "let a = 1;");
        assert_eq!(without_comment("\"https://x\""), "\"https://x\"");
    }
}
