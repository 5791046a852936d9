//! A vendor's behaviour is data (PROFILES.md), so no vendor's name stands in code outside
//! `profiles/` and tests. The names are taken from the profiles themselves: a new profile is
//! guarded from the day it is added.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Finding;
use super::tree::{SourceFile, Tree};

/// Profiles whose name is an ordinary word, of which the code is rightly full, or our own.
const ORDINARY_WORDS: &[&str] = &["default", "generic", "keyward"];

/// Domains that RFC 2606 keeps for examples: they are nobody's.
const EXAMPLE_DOMAINS: &[&str] = &["example.com", "example.org", "example.net", "example"];

/// What this check leaves out, for those who rely on it.
pub(super) fn not_checked() -> String {
    format!(
        "vendor names are not checked for {} (ordinary words) and for hosts under example.com",
        ORDINARY_WORDS.join(", ")
    )
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let names = names(tree);
    let mut findings = Vec::new();
    for file in tree.crate_sources() {
        for (number, line) in file.lines_outside_tests() {
            if let Some(name) = names.iter().find(|name| contains_name(line, name)) {
                let problem = format!("the vendor name `{name}` in code");
                let remedy = "Describe the behaviour in words of HTTP and let a profile choose it, \
                              or move the name to profiles/ or a test.";
                findings.push(Finding::error(&file.path, number, problem, remedy));
            }
        }
    }
    findings
}

/// The profiles' names, and the hosts that their demos answer on, in lower case.
fn names(tree: &Tree) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in &tree.files {
        let Some(name) = profile_name(file) else { continue };
        if !ORDINARY_WORDS.contains(&name) {
            names.insert(name.to_ascii_lowercase());
        }
        names.extend(demo_hosts(&file.text));
    }
    names
}

fn profile_name(file: &SourceFile) -> Option<&str> {
    let name = file.path.strip_prefix("profiles/")?.strip_suffix(".toml")?;
    (!name.contains('/')).then_some(name)
}

/// An unreadable profile gives none here: loading it is tested, with better words, where profiles
/// are compiled.
fn demo_hosts(profile: &str) -> Vec<String> {
    let profile = profile.parse::<Table>().unwrap_or_default();
    let hosts = profile.get("demo").and_then(|demo| demo.get("hosts")).and_then(Value::as_array);
    let hosts = hosts.into_iter().flatten().filter_map(Value::as_str);
    hosts.map(str::to_ascii_lowercase).filter(|host| !is_example(host)).collect()
}

fn is_example(host: &str) -> bool {
    EXAMPLE_DOMAINS.iter().any(|domain| {
        host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Whether `name` (lower case) stands in `line` as a word: in any case, as part of `snake_case` or
/// `CamelCase`, but not inside another word.
fn contains_name(line: &str, name: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices(name).any(|(start, found)| {
        let (before, rest) = line.split_at(start);
        let (word, after) = rest.split_at(found.len());
        is_boundary(before.chars().next_back(), word.chars().next())
            && is_boundary(word.chars().next_back(), after.chars().next())
    })
}

fn is_boundary(left: Option<char>, right: Option<char>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return true };
    let is_hump = !left.is_uppercase() && right.is_uppercase();
    !left.is_alphanumeric() || !right.is_alphanumeric() || is_hump
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [(&str, &str); 3] = [
        ("profiles/acme.toml", "[demo]\nhosts = [\"api.acme.test\", \"api.example.com\"]"),
        ("profiles/generic.toml", ""),
        ("profiles/default.toml", ""),
    ];

    fn check_line(path: &str, line: &str) -> Vec<Finding> {
        let [acme, generic, default] = PROFILES;
        check(&Tree::of(&[acme, generic, default, (path, line)]))
    }

    #[test]
    fn a_vendor_is_found_in_any_case_and_in_identifiers() {
        for line in ["acme", "// ACME does so", "AcmeEnvelope", "acme_body", "isAcme()", "\"acme\""]
        {
            assert_eq!(check_line("crates/core/src/a.rs", line).len(), 1, "{line}");
        }
    }

    #[test]
    fn a_vendor_inside_another_word_is_not_a_vendor() {
        for line in ["pacmen", "acmeology", "a generic default", "Generic"] {
            assert!(check_line("crates/core/src/a.rs", line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_demo_host_is_found_and_an_example_host_is_nobodys() {
        assert_eq!(check_line("crates/keyward/src/a.rs", "\"api.acme.test\"").len(), 1);
        assert!(check_line("crates/keyward/src/a.rs", "\"api.example.com\"").is_empty());
    }

    #[test]
    fn tests_and_other_folders_may_name_vendors() {
        assert!(check_line("crates/core/tests/acme.rs", "acme").is_empty());
        assert!(check_line("crates/core/src/tests.rs", "acme").is_empty());
        assert!(check_line("README.md", "acme").is_empty());
        let module = "#[cfg(test)]\nmod tests {\n    acme\n}\n";
        assert!(check_line("crates/core/src/a.rs", module).is_empty());
    }
}
