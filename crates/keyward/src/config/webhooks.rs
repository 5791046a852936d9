//! `[webhooks]`: where webhooks may lead, and how long is kept what was sent to them.

use std::time::Duration;

use keyward_control::{WebhookSettings, webhooks::Guard};
use keyward_core::{network::Network, profile::ProfileError};

use super::{Reader, source::WebhooksSource};

/// Retries go on for longer than a day.
const SHORTEST_KEEP: Duration = Duration::from_secs(2 * 24 * 3600);

pub(super) fn compile(
    reader: &Reader,
    source: WebhooksSource,
) -> Result<WebhookSettings, ProfileError> {
    let default = WebhookSettings::default();
    let networks = source.allowed_networks.unwrap_or_default();
    let networks = networks.iter().map(|text| {
        text.get_ref().parse::<Network>().map_err(|error| {
            let sentence = error.to_string();
            let (problem, remedy) = sentence.split_once(": ").unwrap_or((&sentence, "mend it"));
            reader.wrong(text, problem, remedy)
        })
    });
    let ca = source.ca.as_ref();
    let ca = ca.map(|path| reader.existing_file(path, "the certificate authority (PEM)"));
    let keep = match &source.keep {
        None => default.keep,
        Some(text) => match reader.duration(text)? {
            short if short < SHORTEST_KEEP => {
                let problem = format!("{} is shorter than deliveries are tried", text.get_ref());
                return Err(reader.wrong(text, problem, "write 2d or more"));
            }
            keep => keep,
        },
    };
    Ok(WebhookSettings {
        guard: Guard::with(networks.collect::<Result<_, _>>()?),
        ca: ca.transpose()?,
        keep,
    })
}
