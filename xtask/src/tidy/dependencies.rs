//! Dependencies between our crates point one way, as ARCHITECTURE.md draws them. Read from the
//! manifests, because cargo only refuses cycles: it would gladly let the gateway see SQL.

use toml::{Table, Value};

use super::Finding;
use super::tree::{SourceFile, Tree};

/// What each crate may depend on, of ours. A crate that is not here is a finding: say first where
/// it stands.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("api", &[]),
    ("store", &["core"]),
    ("gateway", &["core"]),
    ("control", &["core", "api", "store"]),
    ("keyward", &["core", "api", "store", "gateway", "control"]),
    // It drives the binary from outside, as a user would: what it could import it could not test.
    ("testkit", &[]),
    // Not under `crates/`, and a workspace of its own.
    ("fuzz", &["gateway"]),
];

/// What the tests of any crate may add.
const ALLOWED_IN_TESTS: &[&str] = &["testkit", "core", "store"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests: Vec<_> = tree.files.iter().filter_map(Manifest::of).collect();
    let names: Vec<(String, &str)> =
        manifests.iter().filter_map(|m| Some((m.package_name()?, m.folder))).collect();
    manifests.iter().flat_map(|manifest| manifest.check(&names)).collect()
}

struct Manifest<'a> {
    file: &'a SourceFile,
    folder: &'a str,
    content: Result<Table, String>,
}

impl<'a> Manifest<'a> {
    fn of(file: &'a SourceFile) -> Option<Self> {
        let folder = file.path.strip_suffix("/Cargo.toml")?;
        let folder = match folder {
            "fuzz" => folder,
            _ => folder.strip_prefix("crates/")?,
        };
        let content = file.text.parse::<Table>().map_err(|error| error.message().to_owned());
        (!folder.contains('/')).then_some(Self { file, folder, content })
    }

    fn package_name(&self) -> Option<String> {
        let package = self.content.as_ref().ok()?.get("package")?;
        Some(package.get("name")?.as_str()?.to_owned())
    }

    fn check(&self, names: &[(String, &str)]) -> Vec<Finding> {
        let path = &self.file.path;
        let content = match &self.content {
            Ok(content) => content,
            Err(error) => {
                let problem = format!("the manifest cannot be read: {error}");
                return vec![Finding::error(path, 1, problem, "Write valid TOML.")];
            }
        };
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == self.folder) else {
            let problem = format!("`{}` is a crate without a place in the house", self.folder);
            let remedy = "Say in ARCHITECTURE.md and in ALLOWED (xtask/src/tidy/dependencies.rs) \
                          what it may depend on.";
            return vec![Finding::error(path, 1, problem, remedy)];
        };
        let mut findings = Vec::new();
        if self.folder != "fuzz" {
            findings.extend(self.turns_on_fuzzing());
        }
        for (section, dependency) in dependencies(content) {
            let Some((_, folder)) = names.iter().find(|(name, _)| *name == dependency) else {
                continue;
            };
            let in_tests = section == "dev-dependencies" && ALLOWED_IN_TESTS.contains(folder);
            if !in_tests && !allowed.contains(folder) {
                findings.push(self.forbidden(&section, &dependency, folder));
            }
        }
        findings
    }

    /// What is there for fuzzing alone is compiled into nothing else.
    fn turns_on_fuzzing(&self) -> Option<Finding> {
        let names_it = |line: &str| line.contains("\"fuzzing\"") || line.contains("/fuzzing\"");
        let (line, _) = self.file.lines().find(|(_, line)| names_it(line))?;
        let remedy = "Only fuzz/ turns it on; tests have what it turns on anyway.";
        Some(Finding::error(&self.file.path, line, "the feature `fuzzing` is turned on", remedy))
    }

    fn forbidden(&self, section: &str, dependency: &str, folder: &str) -> Finding {
        let line = self
            .file
            .lines()
            .find(|(_, line)| line.contains(dependency) && !line.trim_start().starts_with("name"))
            .map_or(1, |(number, _)| number);
        let problem = format!("{} may not depend on {folder} ([{section}])", self.folder);
        let remedy = format!(
            "Dependencies point one way (ARCHITECTURE.md). Move what is needed down to a crate that \
             both see, or let core define a port that {folder} implements."
        );
        Finding::error(&self.file.path, line, problem, remedy)
    }
}

/// All dependencies as (section, package name): platform-specific and renamed ones too.
fn dependencies(manifest: &Table) -> Vec<(String, String)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables =
        targets.into_iter().flat_map(|targets| targets.values()).filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(tables) {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let entries = table.get(section).and_then(Value::as_table);
            for (name, value) in entries.into_iter().flatten() {
                let package = value.get("package").and_then(Value::as_str).unwrap_or(name);
                found.push((section.to_owned(), package.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: (&str, &str) = ("crates/core/Cargo.toml", "[package]\nname = \"keyward-core\"\n");
    const STORE: (&str, &str) =
        ("crates/store/Cargo.toml", "[package]\nname = \"keyward-store\"\n");

    fn check_gateway(rest: &str) -> Vec<Finding> {
        let text = format!("[package]\nname = \"keyward-gateway\"\n{rest}");
        check(&Tree::of(&[CORE, STORE, ("crates/gateway/Cargo.toml", &text)]))
    }

    #[test]
    fn the_drawn_direction_passes() {
        assert!(check_gateway("[dependencies]\nkeyward-core.workspace = true\n").is_empty());
    }

    #[test]
    fn the_gateway_never_sees_the_store() {
        let findings =
            check_gateway("[dependencies]\nbytes = \"1\"\nkeyward-store.workspace = true");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 5);
        assert!(findings[0].problem.contains("gateway may not depend on store"));
    }

    #[test]
    fn renamed_and_platform_dependencies_are_seen() {
        let renamed = "[dependencies]\ndb = { package = \"keyward-store\", path = \"../store\" }";
        assert_eq!(check_gateway(renamed).len(), 1);
        let platform = "[target.'cfg(unix)'.dependencies]\nkeyward-store.workspace = true";
        assert_eq!(check_gateway(platform).len(), 1);
    }

    #[test]
    fn tests_may_use_the_store_but_a_build_script_may_not() {
        assert!(check_gateway("[dev-dependencies]\nkeyward-store.workspace = true").is_empty());
        assert_eq!(check_gateway("[build-dependencies]\nkeyward-store.workspace = true").len(), 1);
    }

    #[test]
    fn fuzzing_sees_the_gateway_and_turns_on_what_nobody_else_does() {
        let gateway = ("crates/gateway/Cargo.toml", "[package]\nname = \"keyward-gateway\"\n");
        let with = |more: &str| {
            format!("[dependencies]\nkeyward-gateway = {{ {more}features = [\"fuzzing\"] }}\n")
        };
        let problems =
            |path: &str, text: &str| check(&Tree::of(&[CORE, STORE, gateway, (path, text)])).len();
        let own = with("path = \"../crates/gateway\", ");
        assert_eq!(problems("fuzz/Cargo.toml", &own), 0);
        assert_eq!(problems("fuzz/Cargo.toml", "[dependencies]\nkeyward-store = \"1\"\n"), 1);
        assert_eq!(problems("crates/keyward/Cargo.toml", &with("workspace = true, ")), 1);
        let passed_on = "[features]\ndefault = [\"keyward-gateway/fuzzing\"]\n";
        assert_eq!(problems("crates/keyward/Cargo.toml", passed_on), 1);
    }

    #[test]
    fn a_new_crate_must_say_where_it_stands() {
        let tree = Tree::of(&[("crates/extra/Cargo.toml", "[package]\nname = \"keyward-extra\"")]);
        assert!(check(&tree)[0].problem.contains("without a place"));
    }
}
