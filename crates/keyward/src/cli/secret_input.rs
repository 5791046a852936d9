//! Secrets that are given to a command: from standard input or the environment, never from an argument.

use std::io::{IsTerminal, Read};

use anyhow::{Context as _, bail};
use keyward_core::key::Plaintext;
use zeroize::Zeroizing;

use crate::output::Output;

/// Longer than any key or credential.
const LONGEST: u64 = 64 * 1024;

/// One line from standard input, without what ends it.
pub(super) fn from_stdin(what: &str) -> anyhow::Result<Plaintext> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        Output::note(&format!("Type {what}, then Enter and Ctrl-D. It will be shown as you type."));
    }
    let mut text = Zeroizing::new(String::with_capacity(512));
    stdin
        .lock()
        .take(LONGEST)
        .read_to_string(&mut text)
        .with_context(|| format!("{what} cannot be read from standard input"))?;
    let line = text.trim_end_matches(['\n', '\r']);
    if line.is_empty() {
        bail!(
            "nothing came on standard input: send {what} there, like `printf %s \"$SECRET\" | keyward …`"
        );
    }
    Ok(Plaintext::new(line.to_owned()))
}

/// What an environment variable holds, if it is set.
pub(super) fn from_environment(name: &str) -> Option<Plaintext> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(Plaintext::new)
}
