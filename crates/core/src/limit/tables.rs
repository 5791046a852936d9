//! Plans and prices as requests look them up.

use std::{cmp::Reverse, sync::Arc};

use hashbrown::HashMap;

use super::{
    Plan, Price,
    applied::{Applied, Place},
};
use crate::{money::Money, usage::Tokens};

/// All plans that were made here.
#[derive(Debug, Default)]
pub struct Plans {
    all: Vec<Plan>,
    by_name: HashMap<Box<str>, Box<[Applied]>>,
}

impl Plans {
    /// All plans.
    pub fn new(all: Vec<Plan>) -> Self {
        let applied = |plan: &Plan| {
            let name = plan.name.folded();
            (name.as_str().into(), Applied::all(&plan.limits, Place::Plan(&name)))
        };
        Self { by_name: all.iter().map(applied).collect(), all }
    }

    /// The plans.
    pub fn all(&self) -> &[Plan] {
        &self.all
    }

    /// The limits of the plan of this name, as names are compared.
    pub fn limits(&self, folded: &str) -> Option<&[Applied]> {
        self.by_name.get(folded).map(|limits| &**limits)
    }
}

/// What models cost.
#[derive(Debug, Default)]
pub struct Prices {
    all: Vec<Price>,
    by_name: HashMap<Box<str>, Arc<Price>>,
    /// Beginnings of names, the longest first.
    by_beginning: Vec<Arc<Price>>,
}

impl Prices {
    /// All prices.
    pub fn new(all: Vec<Price>) -> Self {
        let (mut by_name, mut by_beginning) = (HashMap::new(), Vec::new());
        for price in &all {
            let shared = Arc::new(price.clone());
            match price.model.as_str().strip_suffix('*') {
                Some(_) => by_beginning.push(shared),
                None => drop(by_name.insert(price.model.as_str().into(), shared)),
            }
        }
        by_beginning.sort_by_key(|price: &Arc<Price>| Reverse(price.model.as_str().len()));
        Self { all, by_name, by_beginning }
    }

    /// The prices.
    pub fn all(&self) -> &[Price] {
        &self.all
    }

    /// What a model costs: by its name, by its name in another case, or else by the longest beginning of it that is named.
    pub fn find(&self, model: &str) -> Option<&Arc<Price>> {
        let means = |price: &&Arc<Price>| price.model.matches(model);
        // Of several, always the same.
        let alike = || self.by_name.values().filter(means).min_by_key(|price| price.model.as_str());
        let longest = || self.by_beginning.iter().find(means);
        self.by_name.get(model).or_else(alike).or_else(longest)
    }
}

impl Price {
    /// What a request costs that used so much.
    pub fn of(&self, tokens: &Tokens) -> Money {
        let cached = tokens.cached.min(tokens.input);
        let cache_written = tokens.cache_written.min(tokens.input - cached);
        let reasoning = tokens.reasoning.min(tokens.output);
        let parts = [
            (self.input, tokens.input - cached - cache_written),
            (self.cached.unwrap_or(self.input), cached),
            (self.cache_written.unwrap_or(self.input), cache_written),
            (self.output, tokens.output - reasoning),
            (self.reasoning.unwrap_or(self.output), reasoning),
        ];
        parts
            .into_iter()
            .fold(self.request, |sum, (price, count)| sum.plus(price.per_million(count)))
    }

    /// The most that it can cost to write so many tokens more.
    pub fn more_at_most(&self, output: u64) -> Money {
        let dearest = self.reasoning.map_or(self.output, |reasoning| reasoning.max(self.output));
        dearest.per_million(output)
    }

    /// The most that a request can cost that uses so much at most, whatever part of it is cached or reasoning.
    pub fn at_most(&self, input: u64, output: u64) -> Money {
        let dearest = |usual: Money, others: [Option<Money>; 2]| {
            others.into_iter().flatten().fold(usual, Ord::max)
        };
        let input_price = dearest(self.input, [self.cached, self.cache_written]);
        let output_price = dearest(self.output, [self.reasoning, None]);
        // Each part is rounded up for itself.
        let rounding = Money::from_billionths(3);
        self.request
            .plus(input_price.per_million(input))
            .plus(output_price.per_million(output))
            .plus(rounding)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(json: &str) -> Price {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_most_particular_price_counts() {
        let prices = Prices::new(vec![
            price(r#"{"model":"*"}"#),
            price(r#"{"model":"gpt-4*"}"#),
            price(r#"{"model":"gpt-4o*"}"#),
            price(r#"{"model":"gpt-4o-mini"}"#),
        ]);
        for (model, found) in [
            ("gpt-4o-mini", "gpt-4o-mini"),
            ("gpt-4o-mini-2026", "gpt-4o*"),
            ("gpt-4", "gpt-4*"),
            ("claude", "*"),
            // Nor by another spelling.
            ("GPT-4o-Mini", "gpt-4o-mini"),
            ("GPT-4O-2026", "gpt-4o*"),
        ] {
            assert_eq!(prices.find(model).unwrap().model.as_str(), found, "{model}");
        }
        assert!(Prices::default().find("gpt-4").is_none());
    }

    #[test]
    fn parts_of_the_tokens_cost_their_own_price_once() {
        let price = price(
            r#"{"model":"m","input":"2","cached":"0.5","cache_written":"2.5","output":"8","reasoning":"4","request":"0.01"}"#,
        );
        let tokens =
            Tokens { input: 1000, cached: 400, cache_written: 100, output: 300, reasoning: 200 };
        // 500 × 2 + 400 × 0.5 + 100 × 2.5 + 100 × 8 + 200 × 4 = 3,050 millionths.
        assert_eq!(price.of(&tokens).to_string(), "0.01305");
        let damaged = Tokens { input: 1, cached: 5, cache_written: 5, output: 1, reasoning: 5 };
        assert_eq!(price.of(&damaged).to_string(), "0.0100045");
    }

    proptest! {
        #[test]
        fn nothing_costs_more_than_was_set_aside_for_it(
            prices in prop::array::uniform5(0_u64..100_000_000_000),
            counts in prop::array::uniform5(0_u64..1_000_000),
            more in 0_u64..1000,
        ) {
            let money = |at: usize| Money::from_billionths(prices[at]);
            let price = Price {
                model: "m".parse().unwrap(),
                input: money(0),
                cached: Some(money(1)),
                cache_written: Some(money(2)),
                output: money(3),
                reasoning: Some(money(4)),
                request: Money::from_billionths(5),
                most_output: None,
            };
            let [input, cached, cache_written, output, reasoning] = counts;
            let tokens = Tokens { input, cached, cache_written, output, reasoning };
            prop_assert!(price.of(&tokens) <= price.at_most(input + more, output + more));
        }
    }
}
