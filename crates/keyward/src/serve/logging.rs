//! Logs: to standard error, as sentences with fields, or as JSON. What is logged is decided where it is logged; how much
//! is shown is decided here.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The variable that says how much is shown, in `tracing`'s words: `debug`, `keyward_gateway=debug,info`.
const FILTER: &str = "KEYWARD_LOG";

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum LogFormat {
    /// Sentences, for people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Logs of a server.
pub fn for_server(format: LogFormat) {
    start(format, "info");
}

/// Logs of a command that ends soon: only what went wrong.
pub fn for_commands() {
    start(LogFormat::Text, "warn");
}

fn start(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error says that logging was started before, which is as good.
    let _ = match format {
        LogFormat::Text => subscriber
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}
