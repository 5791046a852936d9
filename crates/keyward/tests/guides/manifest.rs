//! What each guide holds and what becomes of it. A block that is not here, or a guide that reads differently, breaks the
//! tests: nothing in a guide is left out in silence.

/// What a test does with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is run as it stands, by the real client of its language.
    Run,
    /// It is no program but a part of a request, and is sent as that.
    Sent,
    /// It is an answer, which is provoked and compared.
    Provoked,
    /// It cannot be run here, for this reason.
    NotRun(&'static str),
}

/// One guide.
#[derive(Debug)]
pub struct Expected {
    /// Its file.
    pub file: &'static str,
    /// Its SHA-256: the text that the tests were written for.
    pub sha256: &'static str,
    /// Its examples that are run: curl and bash, Python, JavaScript.
    pub run: [usize; 3],
    /// Every fenced block in order: language, the name that the tests use, and what becomes of it.
    pub blocks: &'static [(&'static str, &'static str, Use)],
}

use Use::{NotRun, Provoked, Run, Sent};

const WINDOWS: Use = NotRun("it sets a variable in a shell of Windows");

/// The published guides.
pub const GUIDES: [Expected; 5] = [
    Expected {
        file: "aiaas.md",
        sha256: "36c37e27d8ef640017cfd7aeeedb85c767ad949c6b73294a6c97dafab311f840",
        run: [1, 2, 0],
        blocks: &[
            ("bash", "authentication header", Sent),
            ("bash", "basic usage", Run),
            ("python", "SDK usage", Run),
            ("python", "handling errors", Run),
        ],
    },
    Expected {
        file: "anunzi.md",
        sha256: "2b0908a9e013296de7e956334f0b675571d6ef9fb85a53f2f2b919bff8668619",
        run: [1, 0, 0],
        blocks: &[
            ("bash", "authentication in a request", Run),
            ("json", "model id in a request", Sent),
            (
                "",
                "asking the documentation",
                NotRun("it asks the documentation's host, not the API"),
            ),
        ],
    },
    Expected {
        file: "freddy.md",
        sha256: "602ee6977f2677f3e322f647469cd754fcb49ba1906b6cfd34dca67eb3926a6c",
        run: [2, 4, 2],
        blocks: &[
            ("", "key format", Sent),
            ("python", "Python SDK", Run),
            ("bash", "cURL", Run),
            ("python", "Python", Run),
            ("javascript", "JavaScript", Run),
            ("bash", ".env file", Run),
            ("python", "environment variable in Python", Run),
            ("javascript", "environment variable in Node.js", Run),
            ("json", "401 Unauthorized", Provoked),
            ("json", "403 Forbidden", Provoked),
            ("python", "error handling code", Run),
            (
                "",
                "rate limit headers",
                NotRun("Keyward does not enforce limits yet, so it tells none"),
            ),
        ],
    },
    Expected {
        file: "generic.md",
        sha256: "a60f0824ebffe061a987272e0b34cd7cc287d4251920527f0e3ab9c3e525545b",
        run: [2, 2, 3],
        blocks: &[
            ("bash", "authorization header", Sent),
            ("bash", "cURL", Run),
            ("javascript", "JavaScript", Run),
            ("python", "Python", Run),
            ("bash", "environment variable in Unix", Run),
            ("cmd", "environment variable in cmd", WINDOWS),
            ("powershell", "environment variable in PowerShell", WINDOWS),
            ("javascript", "JavaScript with the variable", Run),
            ("python", "Python with the variable", Run),
            ("json", "invalid API key", Provoked),
            ("json", "expired API key", Provoked),
            ("json", "missing API key", Provoked),
            ("javascript", "error handling", Run),
        ],
    },
    Expected {
        file: "mindo.md",
        sha256: "a266968d87980cea4f7dacb8b2dd6d75e673b7f876b515b606ae4af78886f3c3",
        run: [1, 1, 1],
        blocks: &[
            ("", "authentication header", Sent),
            ("bash", "cURL", Run),
            ("python", "Python", Run),
            ("javascript", "JavaScript", Run),
        ],
    },
];
