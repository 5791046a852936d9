//! What a crate must never reach for: the core decides without sockets, SQL, runtime or clock, and
//! the gateway without SQL. The manifests alone cannot say so, since half of it is in the standard
//! library.

use super::Finding;
use super::tree::{Tree, without_comment};

struct Ban {
    folder: &'static str,
    /// Matched where an identifier or path may begin, in code outside comments and tests.
    needles: &'static [&'static str],
    problem: &'static str,
    remedy: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        folder: "core",
        needles: &["tokio", "async fn"],
        problem: "core uses a runtime",
        remedy: "The core is synchronous: take what was awaited as an argument.",
    },
    Ban {
        folder: "core",
        needles: &["std::net::Tcp", "std::net::Udp", "TcpStream", "TcpListener", "UdpSocket"],
        problem: "core opens sockets",
        remedy: "Move it to the gateway, or define a port here that the gateway implements.",
    },
    Ban {
        folder: "core",
        needles: &["SystemTime::now", "Instant::now"],
        problem: "core reads the clock",
        remedy: "Take the time as an argument, so that tables can test it.",
    },
    Ban {
        folder: "core",
        needles: &["std::fs", "fs::"],
        problem: "core reads files",
        remedy: "Take the text as an argument; the binary reads files.",
    },
    Ban {
        folder: "core",
        needles: SQL,
        problem: "core knows SQL",
        remedy: "Put it behind the Store trait in crates/store.",
    },
    Ban {
        folder: "gateway",
        needles: SQL,
        problem: "the gateway knows SQL",
        remedy: "Read it from the snapshot, or define a port in core that the store implements.",
    },
];

const SQL: &[&str] = &[
    "rusqlite",
    "tokio_postgres",
    "SELECT ",
    "INSERT INTO ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "PRAGMA ",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.crate_sources() {
        let bans = BANS.iter().filter(|ban| file.crate_name() == Some(ban.folder));
        for ban in bans {
            for (number, line) in file.lines_outside_tests() {
                let code = without_comment(line);
                if let Some(needle) = ban.needles.iter().find(|needle| stands_in(code, needle)) {
                    let problem = format!("{}: `{}`", ban.problem, needle.trim());
                    findings.push(Finding::error(&file.path, number, problem, ban.remedy));
                }
            }
        }
    }
    findings
}

/// Whether `needle` stands in `code` and is not the tail of a longer identifier (nor, if it is a
/// bare word, its head).
fn stands_in(code: &str, needle: &str) -> bool {
    let is_word = needle.chars().all(|c| c.is_alphanumeric() || c == '_');
    let in_identifier = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(needle).any(|(start, found)| {
        let (before, rest) = code.split_at(start);
        let after = rest.split_at(found.len()).1;
        let is_tail = in_identifier(before.chars().next_back());
        let is_head = is_word && in_identifier(after.chars().next());
        !is_tail && !is_head
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn core_reaches_for_nothing_outside() {
        for line in [
            "use tokio::sync::mpsc;",
            "let s = std::net::TcpStream::connect(a);",
            "let t = SystemTime::now();",
            "use std::fs;",
            "let text = fs::read_to_string(path);",
            "use rusqlite::Connection;",
        ] {
            assert_eq!(problems("crates/core/src/a.rs", line), 1, "{line}");
        }
    }

    #[test]
    fn core_may_speak_of_it_and_test_with_it() {
        assert_eq!(problems("crates/core/src/a.rs", "//! No tokio, std::fs or clock here."), 0);
        assert_eq!(problems("crates/core/src/a.rs", "use std::net::IpAddr;"), 0);
        assert_eq!(problems("crates/core/src/a.rs", "let tokio_like = ifs::x;"), 0);
        let module = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(problems("crates/core/src/a.rs", module), 0);
    }

    #[test]
    fn the_gateway_never_sees_sql_and_the_store_does() {
        let line = "db.query(\"SELECT id FROM keys\")";
        assert_eq!(problems("crates/gateway/src/a.rs", line), 1);
        assert_eq!(problems("crates/store/src/a.rs", line), 0);
    }
}
