//! A limit as people write it, in profiles, configurations and the management API: flat, with what its kind needs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bound, Dimension, Limit, LimitName, Only, Period, Refill, TimeZone, Unit};
use crate::money::Money;

/// An amount: a whole number, or money as text (`"12.50"`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "an amount is a whole number, or of money a text like \"12.50\"")]
pub enum AmountSource {
    /// Requests or tokens.
    Count(u64),
    /// Money.
    Money(String),
}

/// See [`Refill`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefillSource {
    /// How much.
    pub amount: AmountSource,
    /// When.
    pub period: Period,
    /// A balance above this is not filled further; left out, the limit's own amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<AmountSource>,
}

/// See [`Limit`]. What its kind does not know must be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSource {
    /// Its name.
    pub name: String,
    /// `rate`, `concurrency`, `quota`, `credit` or `budget`.
    pub kind: String,
    /// What is counted; `requests` where left out, always `cost` for a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// How much.
    pub amount: AmountSource,
    /// A rate's window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
    /// A quota's or budget's period. A budget without one never begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// Where days begin, by its IANA name; UTC where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What a credit gets by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill: Option<RefillSource>,
    /// Whose use is counted together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per: Vec<Dimension>,
    /// Confined to these APIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apis: Vec<String>,
    /// Confined to these routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Confined to these models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Whether a stream that would pass it is ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_streams: bool,
}

/// What is wrong with a limit, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{limit}` {problem}")]
pub struct WrongLimit {
    /// Its name, as far as it has one.
    pub limit: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl LimitSource {
    fn wrong(&self, problem: impl Into<String>) -> WrongLimit {
        WrongLimit { limit: self.name.chars().take(60).collect(), problem: problem.into() }
    }

    /// Refuses what the kind does not know.
    fn check_fields(&self, known: &[&str]) -> Result<(), WrongLimit> {
        let given = [
            ("unit", self.unit.is_some()),
            ("window_seconds", self.window_seconds.is_some()),
            ("period", self.period.is_some()),
            ("time_zone", self.time_zone.is_some()),
            ("refill", self.refill.is_some()),
        ];
        match given.into_iter().find(|(name, given)| *given && !known.contains(name)) {
            Some((name, _)) => {
                Err(self.wrong(format!("is a {}, which has no `{name}`: leave it out", self.kind)))
            }
            None => Ok(()),
        }
    }

    fn amount(&self, amount: &AmountSource, unit: Unit) -> Result<u64, WrongLimit> {
        match (amount, unit) {
            (AmountSource::Money(text), Unit::Cost) => {
                let money: Money = text
                    .parse()
                    .map_err(|e| self.wrong(format!("has an amount that is none: {e}")))?;
                Ok(money.billionths())
            }
            (AmountSource::Count(_), Unit::Cost) => {
                Err(self.wrong("is of money: write its amount as text, like \"12.50\""))
            }
            (AmountSource::Money(_), _) => {
                Err(self
                    .wrong(format!("is of {}: write its amount as a whole number", unit.as_str())))
            }
            (AmountSource::Count(count), _) if i64::try_from(*count).is_err() => {
                Err(self
                    .wrong("has an amount that is too large: write less than 9223372036854775808"))
            }
            (AmountSource::Count(count), _) => Ok(*count),
        }
    }

    fn zone(&self) -> Result<TimeZone, WrongLimit> {
        match &self.time_zone {
            None => Ok(TimeZone::utc()),
            Some(name) => name
                .parse()
                .map_err(|error| self.wrong(format!("has a time zone that is none: {error}"))),
        }
    }

    fn bound(&self, unit: Unit) -> Result<Bound, WrongLimit> {
        let amount = self.amount(&self.amount, unit)?;
        match self.kind.as_str() {
            "rate" => {
                self.check_fields(&["unit", "window_seconds"])?;
                let longest = Limit::LONGEST_WINDOW.as_secs();
                let window = match self.window_seconds {
                    Some(seconds) if (1..=longest).contains(&seconds) => Duration::from_secs(seconds),
                    _ => return Err(self.wrong(format!("is a rate: write `window_seconds`, 1 to {longest}; what is longer is a quota"))),
                };
                if unit == Unit::Cost {
                    return Err(self.wrong("is a rate of money: make it a budget with a `period`"));
                }
                if amount > Limit::MOST_IN_A_WINDOW {
                    return Err(self.wrong(format!(
                        "is a rate: write an amount up to {}",
                        Limit::MOST_IN_A_WINDOW
                    )));
                }
                Ok(Bound::Rate { amount, window })
            }
            "concurrency" => {
                self.check_fields(&[])?;
                Ok(Bound::Concurrency { amount })
            }
            "quota" => {
                self.check_fields(&["unit", "period", "time_zone"])?;
                if self.period.is_none() {
                    return Err(self
                        .wrong("is a quota: write its `period`: hour, day, week, month or year"));
                }
                Ok(Bound::Quota { amount, period: self.period, zone: self.zone()? })
            }
            "budget" => {
                self.check_fields(&["unit", "period", "time_zone"])?;
                Ok(Bound::Quota { amount, period: self.period, zone: self.zone()? })
            }
            "credit" => {
                self.check_fields(&["unit", "refill", "time_zone"])?;
                let refill = self.refill.as_ref().map(|refill| {
                    let up_to =
                        refill.up_to.as_ref().map(|up_to| self.amount(up_to, unit)).transpose()?;
                    Ok(Refill {
                        amount: self.amount(&refill.amount, unit)?,
                        period: refill.period,
                        zone: self.zone()?,
                        up_to: up_to.unwrap_or(amount),
                    })
                });
                Ok(Bound::Credit { amount, refill: refill.transpose()? })
            }
            other => Err(self.wrong(format!(
                "is a `{}`: its kind is one of rate, concurrency, quota, credit and budget",
                other.chars().take(40).collect::<String>()
            ))),
        }
    }
}

impl TryFrom<LimitSource> for Limit {
    type Error = WrongLimit;

    fn try_from(source: LimitSource) -> Result<Self, WrongLimit> {
        let name: LimitName = source.name.parse().map_err(|e: super::NotALimitName| {
            source.wrong(format!("has a name that is none: {e}"))
        })?;
        let unit = match (source.kind.as_str(), source.unit) {
            ("budget", None | Some(Unit::Cost)) => Unit::Cost,
            ("budget", Some(_)) => {
                return Err(source.wrong("is a budget, which counts cost: leave `unit` out"));
            }
            ("quota", Some(Unit::Cost)) => {
                return Err(source.wrong("is a quota of money: make it a budget"));
            }
            (_, unit) => unit.unwrap_or(Unit::Requests),
        };
        let bound = source.bound(unit)?;
        let mut per = source.per.clone();
        per.sort_unstable();
        per.dedup();
        for model in &source.models {
            if let Err(error) = model.parse::<super::ModelPattern>() {
                return Err(source.wrong(format!("is confined to a model that is none: {error}")));
            }
        }
        let LimitSource { apis, routes, models, cut_streams, .. } = source;
        Ok(Self { name, unit, bound, per, only: Only { apis, routes, models }, cut_streams })
    }
}

impl From<Limit> for LimitSource {
    fn from(limit: Limit) -> Self {
        let unit = limit.unit;
        let amount_of = |amount: u64| match unit {
            Unit::Cost => AmountSource::Money(Money::from_billionths(amount).to_string()),
            _ => AmountSource::Count(amount),
        };
        let Only { apis, routes, models } = limit.only;
        let mut source = Self {
            name: limit.name.to_string(),
            kind: String::new(),
            unit: Some(unit),
            amount: AmountSource::Count(0),
            window_seconds: None,
            period: None,
            time_zone: None,
            refill: None,
            per: limit.per,
            apis,
            routes,
            models,
            cut_streams: limit.cut_streams,
        };
        let (kind, amount) = match limit.bound {
            Bound::Rate { amount, window } => {
                source.window_seconds = Some(window.as_secs());
                ("rate", amount)
            }
            Bound::Concurrency { amount } => {
                source.unit = None;
                ("concurrency", amount)
            }
            Bound::Quota { amount, period, zone } => {
                source.period = period;
                source.time_zone = Some(zone.to_string());
                (if unit == Unit::Cost { "budget" } else { "quota" }, amount)
            }
            Bound::Credit { amount, refill } => {
                source.refill = refill.map(|refill| {
                    source.time_zone = Some(refill.zone.to_string());
                    RefillSource {
                        amount: amount_of(refill.amount),
                        period: refill.period,
                        up_to: Some(amount_of(refill.up_to)),
                    }
                });
                ("credit", amount)
            }
        };
        source.kind = kind.to_owned();
        source.amount = amount_of(amount);
        source
    }
}
