//! Lock files name the public registries and nothing else. A mirror's address that slips in from
//! someone's machine breaks every clean clone, and is a way in for another's packages.

use super::Finding;
use super::tree::{SourceFile, Tree};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
const NPM: &str = "https://registry.npmjs.org/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let is_foreign: fn(&str) -> bool = match name {
        "Cargo.lock" => |line| value(line, "source = \"").is_some_and(|found| found != CRATES_IO),
        "package-lock.json" => {
            |line| value(line, "\"resolved\": \"").is_some_and(|found| !found.starts_with(NPM))
        }
        _ => return Vec::new(),
    };
    let foreign = file.lines().filter(|(_, line)| is_foreign(line));
    let finding = |(number, line): (usize, &str)| {
        let problem = format!("another registry than the public one: {}", line.trim());
        let remedy =
            "Make the lock file again without a mirror or git source in the configuration.";
        Finding::error(&file.path, number, problem, remedy)
    };
    foreign.map(finding).collect()
}

/// What stands between `key` and the next quote.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.trim_start().strip_prefix(key)?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_registries_pass() {
        let cargo = format!("name = \"a\"\nsource = \"{CRATES_IO}\"\n");
        let npm = format!("  \"resolved\": \"{NPM}a/-/a-1.0.0.tgz\",\n");
        let tree = Tree::of(&[("Cargo.lock", &cargo), ("dashboard/package-lock.json", &npm)]);
        assert!(check(&tree).is_empty());
    }

    #[test]
    fn mirrors_and_git_sources_are_found() {
        let cargo = "source = \"git+https://host/x#1\"\nsource = \"sparse+https://mirror/\"\n";
        let npm = "\n\"resolved\": \"https://mirror/a.tgz\"\n";
        let tree = Tree::of(&[("fuzz/Cargo.lock", cargo), ("package-lock.json", npm)]);
        let lines: Vec<_> = check(&tree).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 2]);
    }
}
