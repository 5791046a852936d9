//! `[usage]`: for how long usage is kept, and what costs are in.

use std::time::Duration;

use keyward_control::app::usage::{Keep, UsageTerms};
use keyward_core::profile::ProfileError;
use toml::Spanned;

use super::{Reader, source::UsageSource};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const LONGEST_CURRENCY: usize = 16;

pub(super) fn compile(reader: &Reader, source: &UsageSource) -> Result<UsageTerms, ProfileError> {
    let terms = UsageTerms::default();
    let keep = |asked: &Option<Spanned<String>>, default, least: Duration| match asked {
        None => Ok(default),
        Some(text) => match reader.duration(text)? {
            short if short < least => {
                let problem = format!("{} is too short", text.get_ref());
                let remedy = format!("write {}h or more", least.as_secs() / HOUR.as_secs());
                Err(reader.wrong(text, problem, remedy))
            }
            long => Ok(long),
        },
    };
    let keep = Keep {
        minutes: keep(&source.keep_minutes, terms.keep.minutes, HOUR)?,
        hours: keep(&source.keep_hours, terms.keep.hours, DAY)?,
        days: keep(&source.keep_days, terms.keep.days, DAY)?,
    };
    for (finer, coarser, name) in
        [(keep.minutes, keep.hours, &source.keep_hours), (keep.hours, keep.days, &source.keep_days)]
    {
        if let (Some(text), true) = (name, coarser < finer) {
            let problem =
                format!("{} is shorter than what is told more finely is kept", text.get_ref());
            let remedy = "keep hours as long as minutes, and days as long as hours, or longer";
            return Err(reader.wrong(text, problem, remedy));
        }
    }
    let currency = match &source.currency {
        None => terms.currency,
        Some(text) => {
            let name = text.get_ref();
            let fits = (1..=LONGEST_CURRENCY).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !fits {
                let remedy = "write a code like \"USD\" or \"EUR\"";
                return Err(reader.wrong(text, format!("`{name}` is no currency"), remedy));
            }
            name.clone()
        }
    };
    Ok(UsageTerms { currency, keep: widened(keep) })
}

/// Where only the finer was set, the coarser is kept as long: a range is never told as less than what it was.
fn widened(keep: Keep) -> Keep {
    let hours = keep.hours.max(keep.minutes);
    Keep { hours, days: keep.days.max(hours), ..keep }
}
