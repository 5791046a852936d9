//! Secrets that are given to a command: from standard input or the environment, never from an argument.

use std::io::{BufRead as _, IsTerminal, Read};

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

/// A secret of a person's: typed without being shown, or where standard input is no terminal, the next line of it.
pub(super) fn asked(what: &str) -> anyhow::Result<Plaintext> {
    let stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        rpassword::prompt_password(format!("{what}: "))
            .with_context(|| format!("the {what} cannot be asked for"))?
    } else {
        let mut text = String::with_capacity(512);
        stdin
            .lock()
            .take(LONGEST)
            .read_line(&mut text)
            .with_context(|| format!("the {what} cannot be read from standard input"))?;
        text
    };
    let text = Zeroizing::new(text);
    let line = text.trim_end_matches(['\n', '\r']);
    if line.is_empty() {
        bail!("no {what} came: type it, or send it on standard input in a line of its own");
    }
    Ok(Plaintext::new(line.to_owned()))
}

/// A new password. Whoever types it types it twice.
pub(super) fn new_password() -> anyhow::Result<Plaintext> {
    let password = asked("new password")?;
    if std::io::stdin().is_terminal() && asked("same again")?.expose() != password.expose() {
        bail!("the two are not the same: nothing was changed");
    }
    Ok(password)
}

/// Something of a person's that is no secret: typed where they see it.
pub(super) fn shown(what: &str) -> anyhow::Result<String> {
    Output::prompt(&format!("{what}: "));
    let mut text = String::new();
    let read = std::io::stdin().lock().take(LONGEST).read_line(&mut text);
    read.with_context(|| format!("the {what} cannot be read"))?;
    Ok(text.trim().to_owned())
}
