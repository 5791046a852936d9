//! Waiting for something outside this process (a port, a child's end) with an upper bound. Asking
//! again every few milliseconds is all the operating system offers for these without `unsafe`; the
//! bound makes a hang an error.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{Instant, MissedTickBehavior};

const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Asks until there is an answer (`Some`), an error, or `limit` has passed (`None`).
pub(crate) fn until<T>(
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .context("a runtime to wait in cannot be made")?;
    runtime.block_on(async {
        let deadline = Instant::now() + limit;
        let mut ticks = tokio::time::interval(BETWEEN_TRIES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(answer) = ask()? {
                return Ok(Some(answer));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_first_answer() {
        let mut tries = 0;
        let answer = until(Duration::from_secs(5), || {
            tries += 1;
            Ok((tries == 3).then_some(tries))
        });
        assert_eq!(answer.unwrap(), Some(3));
    }

    #[test]
    fn gives_up_at_the_limit() {
        let answer = until(Duration::from_millis(30), || Ok(None::<()>));
        assert_eq!(answer.unwrap(), None);
    }
}
