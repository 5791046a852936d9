//! Money, exactly: whole billionths of one currency, so that a token's price can be written and sums never drift.
//!
//! Rejected: floating point (sums depend on their order), and a decimal library (a budget needs adding and comparing only).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const PER_UNIT: u64 = 1_000_000_000;
const DIGITS: usize = 9;

/// An amount in billionths of the currency: up to 18.4 thousand million of it. Written as a decimal: `12.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u64);

/// The text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of money: write digits with at most 9 behind a point, like 12.50")]
pub struct NotMoney(String);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From billionths.
    pub const fn from_billionths(billionths: u64) -> Self {
        Self(billionths)
    }

    /// In billionths.
    pub const fn billionths(self) -> u64 {
        self.0
    }

    /// Added; at its maximum it stays.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The price of `count` things of which a million cost this, rounded up: what is charged is never less than what it costs.
    #[must_use]
    pub fn per_million(self, count: u64) -> Self {
        let exact = u128::from(self.0) * u128::from(count);
        Self(u64::try_from(exact.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Money {
    /// At least two digits behind the point, and no zeros after them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % PER_UNIT);
        let shown = fraction.trim_end_matches('0').len().max(2);
        f.pad(&format!("{}.{}", self.0 / PER_UNIT, fraction.get(..shown).unwrap_or_default()))
    }
}

impl FromStr for Money {
    type Err = NotMoney;

    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let wrong = || NotMoney(text.chars().take(40).collect());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > DIGITS {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let fraction: u64 = format!("{fraction:0<DIGITS$}").parse().map_err(|_| wrong())?;
        let billionths = whole.checked_mul(PER_UNIT).and_then(|all| all.checked_add(fraction));
        billionths.map(Self).ok_or_else(wrong)
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_amount_reads_back_as_it_was_written(billionths: u64) {
            let money = Money::from_billionths(billionths);
            prop_assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
        }

        #[test]
        fn what_is_charged_is_never_less_than_the_cost_and_less_than_a_billionth_more(
            price in 0..u64::from(u32::MAX), count in 0..u64::from(u32::MAX),
        ) {
            let charged = u128::from(Money(price).per_million(count).0) * 1_000_000;
            let exact = u128::from(price) * u128::from(count);
            prop_assert!(charged >= exact && charged - exact < 1_000_000);
        }
    }

    #[test]
    fn amounts_are_written_as_people_write_them() {
        for (text, billionths, shown) in [
            ("12.5", 12_500_000_000, "12.50"),
            ("0.000000001", 1, "0.000000001"),
            ("7", 7_000_000_000, "7.00"),
            ("18446744073.709551615", u64::MAX, "18446744073.709551615"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!((money.billionths(), money.to_string().as_str()), (billionths, shown));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "0.0000000001",
            "18446744073.709551616",
            "ten",
        ] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }
}
