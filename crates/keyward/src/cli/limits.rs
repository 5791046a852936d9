//! Limits as they are typed and told: `requests=100/60s`, `tokens=1000000 tokens per day`, `spend=50.00 cost per month`.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use keyward_api::{AmountView, LimitKindView, LimitStateView, LimitView};
use keyward_core::limit::{AmountSource, Limit, LimitSource, Unit};
use serde::Deserialize;

use crate::{config::units, output::table};

const FORM: &str = "write NAME=AMOUNT [UNIT] and then /WINDOW for a rate (requests=100/60s, tokens=40000 tokens/1m), `at once` \
    (streams=4 at once), `per` hour, day, week, month or year (spend=50.00 cost per month), or nothing for a balance that is used up \
    (gift=1000); units are requests, tokens, input_tokens, output_tokens and cost";

/// Limits that stand somewhere, in the place of all that stood there.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct LimitArguments {
    /// A limit: `requests=100/60s`, `tokens=1000000 tokens per day`, `spend=50.00 cost per month`, `streams=4 at once`; may be given
    /// several times
    #[arg(long = "limit", id = "limits", value_parser = limit, value_name = "LIMIT")]
    limits: Vec<Limit>,
    /// A TOML or JSON file with `limits`, in the form of the configuration
    #[arg(long, conflicts_with = "limits", value_name = "FILE")]
    limits_file: Option<PathBuf>,
}

impl LimitArguments {
    /// What was said; `None` where nothing was.
    pub(super) fn read(&self) -> anyhow::Result<Option<Vec<Limit>>> {
        match &self.limits_file {
            Some(path) => from_file(path).map(Some),
            None => Ok((!self.limits.is_empty()).then(|| self.limits.clone())),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    limits: Vec<Limit>,
}

fn from_file(path: &PathBuf) -> anyhow::Result<Vec<Limit>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let read = match text.trim_start().chars().next() {
        Some('{') => serde_json::from_str::<File>(&text).map_err(anyhow::Error::from),
        _ => toml::from_str::<File>(&text).map_err(anyhow::Error::from),
    };
    Ok(read.with_context(|| format!("{} holds no limits", path.display()))?.limits)
}

/// What stands behind an amount and its unit.
enum Within {
    Window(Duration),
    Period(String),
    AtOnce,
    Balance,
}

/// A limit in one argument.
pub(super) fn limit(text: &str) -> Result<Limit, String> {
    let source = source(text).ok_or_else(|| FORM.to_owned())?;
    Limit::try_from(source).map_err(|error| error.to_string())
}

fn source(text: &str) -> Option<LimitSource> {
    let (name, rest) = text.split_once('=')?;
    let (counted, window) = match rest.split_once('/') {
        Some((counted, window)) => (counted, Some(units::duration(window)?)),
        None => (rest, None),
    };
    let words: Vec<&str> = counted.split_whitespace().collect();
    let (amount, words) = words.split_first()?;
    let (unit, words) = match words.split_first() {
        Some((word, others)) if unit(word).is_some() => (unit(word), others),
        _ => (None, words),
    };
    let within = match (window, words) {
        (Some(window), []) => Within::Window(window),
        (None, ["at", "once"]) => Within::AtOnce,
        (None, ["per", period]) => Within::Period((*period).to_owned()),
        (None, []) => Within::Balance,
        _ => return None,
    };
    let is_money = unit == Some(Unit::Cost);
    let amount = match is_money {
        true => AmountSource::Money((*amount).to_owned()),
        false => AmountSource::Count(amount.parse().ok()?),
    };
    let kind = match &within {
        Within::Window(_) => "rate",
        Within::AtOnce => "concurrency",
        Within::Period(_) if is_money => "budget",
        Within::Period(_) => "quota",
        Within::Balance => "credit",
    };
    let period = match &within {
        Within::Period(period) => {
            Some(serde_json::from_value(serde_json::Value::String(period.clone())).ok()?)
        }
        _ => None,
    };
    let window_seconds = match within {
        Within::Window(window) if window.subsec_nanos() != 0 => return None,
        Within::Window(window) => Some(window.as_secs()),
        _ => None,
    };
    Some(LimitSource {
        name: name.trim().to_owned(),
        kind: kind.to_owned(),
        unit,
        amount,
        window_seconds,
        period,
        time_zone: None,
        refill: None,
        per: vec![],
        apis: vec![],
        routes: vec![],
        models: vec![],
        cut_streams: false,
    })
}

fn unit(word: &str) -> Option<Unit> {
    let units = [Unit::Requests, Unit::Tokens, Unit::InputTokens, Unit::OutputTokens, Unit::Cost];
    units.into_iter().find(|unit| unit.as_str() == word)
}

/// Limits on a line, in the form in which they are typed, with what that form cannot say behind.
pub(super) fn told(limits: &[LimitView]) -> String {
    match limits {
        [] => "none".to_owned(),
        limits => limits.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

/// How limits stand, a line each.
pub(super) fn states(states: &[LimitStateView]) -> String {
    let told = |amount: &Option<AmountView>| amount.as_ref().map_or("-".to_owned(), amount_text);
    let row = |state: &LimitStateView| {
        vec![
            one(&state.limit),
            state.place.clone(),
            told(&state.used),
            told(&state.left),
            state.whole_at.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let heading = ["limit", "stands at", "used", "left", "whole again"];
    let mut told = table(&heading, states.iter().map(row).collect(), "No limit holds.");
    let is_of_gateway = |state: &LimitStateView| {
        let kind = state.limit.kind;
        state.used.is_none() && matches!(kind, LimitKindView::Rate | LimitKindView::Concurrency)
    };
    if states.iter().any(is_of_gateway) {
        told.push_str(OF_GATEWAY);
    }
    told
}

const OF_GATEWAY: &str = "\n-: counted for each route or model, or by a gateway that runs and has not saved it: ask its server \
    (keyward login).";

fn amount_text(amount: &AmountView) -> String {
    match amount {
        AmountView::Count(count) => count.to_string(),
        AmountView::Money(money) => money.clone(),
    }
}

fn one(limit: &LimitView) -> String {
    let unit = limit.unit.map_or(String::new(), |unit| format!(" {}", unit.as_str()));
    let mut text = format!("{}={}", limit.name, amount_text(&limit.amount));
    match limit.kind {
        LimitKindView::Rate => {
            text.push_str(&format!("{unit}/{}s", limit.window_seconds.unwrap_or_default()));
        }
        LimitKindView::Concurrency => text.push_str(" at once"),
        LimitKindView::Quota | LimitKindView::Budget | LimitKindView::Credit => {
            text.push_str(&unit);
            if let Some(period) = limit.period {
                text.push_str(&format!(" per {}", period.as_str()));
            }
        }
    }
    let mut more = Vec::new();
    if let Some(refill) = &limit.refill {
        more.push(format!("and {} each {}", amount_text(&refill.amount), refill.period.as_str()));
    }
    if let Some(zone) = limit.time_zone.as_deref().filter(|zone| *zone != "UTC") {
        more.push(format!("days of {zone}"));
    }
    if !limit.per.is_empty() {
        let per: Vec<_> = limit.per.iter().map(|dimension| dimension.as_str()).collect();
        more.push(format!("for each {}", per.join(" and ")));
    }
    let only = [&limit.apis, &limit.routes, &limit.models];
    more.extend(
        only.into_iter().filter(|all| !all.is_empty()).map(|all| format!("at {}", all.join(" "))),
    );
    if limit.cut_streams {
        more.push("streams are cut".to_owned());
    }
    if !more.is_empty() {
        text.push_str(&format!(" ({})", more.join("; ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(limit: &Limit) -> serde_json::Value {
        serde_json::to_value(limit).unwrap()
    }

    #[test]
    fn a_limit_is_typed_in_a_few_words_and_told_in_the_same() {
        for (typed, kind, told_as) in [
            ("requests=100/60s", "rate", "requests=100 requests/60s"),
            ("tpm=40000 tokens/1m", "rate", "tpm=40000 tokens/60s"),
            ("streams=4 at once", "concurrency", "streams=4 at once"),
            ("day=1000 input_tokens per day", "quota", "day=1000 input_tokens per day"),
            ("n=5 per year", "quota", "n=5 requests per year"),
            ("spend=50 cost per month", "budget", "spend=50.00 cost per month"),
            ("gift=1000 tokens", "credit", "gift=1000 tokens"),
            ("gift=12.5 cost", "credit", "gift=12.50 cost"),
        ] {
            let read = limit(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!(json(&read)["kind"], kind, "{typed}");
            let view: LimitView = serde_json::from_value(json(&read)).unwrap();
            assert_eq!(one(&view), told_as);
            assert_eq!(limit(told_as).unwrap(), read, "what is told can be typed");
        }
    }

    #[test]
    fn a_rate_of_money_is_told_to_be_a_budget_and_not_how_many_billionths_it_may_be() {
        for typed in ["x=5.00 cost/60s", "x=0.01 cost/60s"] {
            let refused = limit(typed).unwrap_err().to_string();
            assert!(refused.contains("a rate of money: make it a budget"), "{typed}: {refused}");
        }
    }

    #[test]
    fn what_is_no_limit_is_told_how_it_would_be_one() {
        for wrong in [
            "100/60s",
            "a=",
            "a=many/60s",
            "a=1/soon",
            "a=1/500ms",
            "a=1 apples/60s",
            "a=1 per minute",
            "a=1 at twice",
            "a=1 at once/60s",
            "a=1.5 tokens per day",
        ] {
            assert_eq!(limit(wrong).unwrap_err(), FORM, "{wrong}");
        }
        assert!(limit("A=1/60s").unwrap_err().contains("lower-case"), "what the core says is told");
        assert!(limit("a=1/2d").unwrap_err().contains("what is longer is a quota"));
    }

    #[test]
    fn a_file_is_toml_or_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            LimitArguments { limits: vec![], limits_file: Some(path.clone()) }.read()
        };
        let toml = "[[limits]]\nname = \"a\"\nkind = \"concurrency\"\namount = 4\n";
        let same = r#"{"limits":[{"name":"a","kind":"concurrency","amount":4}]}"#;
        let expected = vec![limit("a=4 at once").unwrap()];
        assert_eq!(read(toml).unwrap(), Some(expected.clone()));
        assert_eq!(read(same).unwrap(), Some(expected));
        let wrong = format!(
            "{:#}",
            read("[[limits]]\nname = \"a\"\nkind = \"rate\"\namount = 4\n").unwrap_err()
        );
        assert!(wrong.contains("window_seconds"), "{wrong}");
        assert_eq!(LimitArguments::default().read().unwrap(), None);
    }
}
