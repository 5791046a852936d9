//! `keyward prices …`

use clap::{Args, Subcommand};
use keyward_api::{Page, PriceView, PutPriceInput};
use keyward_core::{limit::ModelPattern, money::Money};

use crate::{
    backend::Place,
    output::{Output, table},
};

#[derive(Debug, Subcommand)]
pub(super) enum Prices {
    /// List what models cost
    List,
    /// Say what a model costs, in the place of what it cost so far. Prices of tokens are for a million of them
    Set(Set),
    /// Forget what a model costs
    Delete {
        /// The model, as the price writes it
        model: ModelPattern,
    },
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The model's name as requests write it; with a `*` at its end, all that begin so
    model: ModelPattern,
    /// Tokens read [default: nothing]
    #[arg(long, value_name = "MONEY")]
    input: Option<Money>,
    /// Tokens read from a cache [default: as others]
    #[arg(long, value_name = "MONEY")]
    cached: Option<Money>,
    /// Tokens put into a cache [default: as others]
    #[arg(long, value_name = "MONEY")]
    cache_written: Option<Money>,
    /// Tokens written [default: nothing]
    #[arg(long, value_name = "MONEY")]
    output: Option<Money>,
    /// Tokens of reasoning [default: as others that are written]
    #[arg(long, value_name = "MONEY")]
    reasoning: Option<Money>,
    /// Each request, besides its tokens [default: nothing]
    #[arg(long, value_name = "MONEY")]
    request: Option<Money>,
    /// The most tokens that the model writes for one request: what is set aside where a request does not say less
    #[arg(long, value_name = "TOKENS")]
    most_output: Option<u64>,
}

impl Set {
    fn input(&self) -> PutPriceInput {
        let text = |money: Option<Money>| money.map(|money| money.to_string());
        PutPriceInput {
            model: self.model.to_string(),
            input: text(self.input),
            cached: text(self.cached),
            cache_written: text(self.cache_written),
            output: text(self.output),
            reasoning: text(self.reasoning),
            request: text(self.request),
            most_output: self.most_output,
        }
    }
}

impl Prices {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        match self {
            Self::List => {
                let all = Page::whole(backend.list_prices().await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::Set(set) => {
                let view = backend.put_price(set.input()).await?;
                output.show(&view, |price| listed(std::slice::from_ref(price)))
            }
            Self::Delete { model } => {
                backend.delete_price(&model).await?;
                output.done(&format!("`{model}` has no price any more."))
            }
        }
    }
}

fn listed(prices: &[PriceView]) -> String {
    let or_same = |price: &Option<String>| price.clone().unwrap_or_else(|| "same".to_owned());
    let row = |price: &PriceView| {
        vec![
            price.model.clone(),
            price.input.clone(),
            or_same(&price.cached),
            or_same(&price.cache_written),
            price.output.clone(),
            or_same(&price.reasoning),
            price.request.clone(),
            price.most_output.map_or_else(|| "-".to_owned(), |most| most.to_string()),
        ]
    };
    table(
        &[
            "model",
            "input",
            "cached",
            "into cache",
            "output",
            "reasoning",
            "request",
            "most output",
        ],
        prices.iter().map(row).collect(),
        "No prices, so nothing costs anything. Set one with `keyward prices set`.",
    )
}
