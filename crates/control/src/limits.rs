//! Limits and prices, between what is kept and what is sent; and whether what they are confined to is there.

use keyward_api::{
    AmountView, LimitDimensionView, LimitKindView, LimitPeriodView, LimitStateView, LimitUnitView,
    LimitView, PriceView, PutPriceInput, RefillView,
};
use keyward_core::{
    limit::{
        AmountSource, Bound, Dimension, Limit, LimitSource, Period, Price, RefillSource, Unit,
        counters::Need,
    },
    money::Money,
    policy::{Api, Policy},
    reserve::Placed,
    rights::MANAGEMENT,
};
use keyward_store::PriceRecord;

use crate::{error::ControlError, keeper::Counting};

/// Limits as they are sent.
pub fn views(limits: &[Limit]) -> Vec<LimitView> {
    limits.iter().map(view).collect()
}

fn view(limit: &Limit) -> LimitView {
    let source = LimitSource::from(limit.clone());
    LimitView {
        kind: match source.kind.as_str() {
            "rate" => LimitKindView::Rate,
            "concurrency" => LimitKindView::Concurrency,
            "quota" => LimitKindView::Quota,
            "credit" => LimitKindView::Credit,
            _ => LimitKindView::Budget,
        },
        name: source.name,
        unit: source.unit.map(unit_view),
        amount: amount_view(source.amount),
        window_seconds: source.window_seconds,
        period: source.period.map(period_view),
        time_zone: source.time_zone,
        refill: source.refill.map(|refill| RefillView {
            amount: amount_view(refill.amount),
            period: period_view(refill.period),
            up_to: refill.up_to.map(amount_view),
        }),
        per: source.per.into_iter().map(dimension_view).collect(),
        apis: source.apis,
        routes: source.routes,
        models: source.models,
        cut_streams: source.cut_streams,
    }
}

/// How limits stand now, as it is sent: those of which it is known.
pub(crate) fn states(
    placed: &[Placed],
    counting: &Counting,
    is_known: impl Fn(&Bound) -> bool,
) -> Vec<LimitStateView> {
    let now = counting.now();
    let state = |one: &Placed| {
        let counter = one.counter.filter(|_| is_known(&one.limit.limit().bound));
        let standing = counter.map(|counter| {
            let mut need = [Need::new(&one.limit, counter, 0)];
            counting.counters.look(&mut need, now);
            let [Need { standing, .. }] = need;
            standing
        });
        let limit = one.limit.limit();
        let amount = |amount: u64| match limit.unit {
            Unit::Cost => AmountView::Money(Money::from_billionths(amount).to_string()),
            _ => AmountView::Count(amount),
        };
        let is_filled = !matches!(limit.bound, Bound::Concurrency { .. });
        let whole_in = standing.and_then(|one| one.whole_in).filter(|_| is_filled);
        LimitStateView {
            limit: view(limit),
            place: one.limit.stands_at().to_owned(),
            used: standing.map(|one| amount(one.amount.saturating_sub(one.left))),
            left: standing.map(|one| amount(one.left)),
            whole_at: whole_in.map(|wait| now.wall.plus(wait).to_precise_text()),
        }
    };
    placed.iter().map(state).collect()
}

/// Limits as they were sent. What is wrong with one says what would be right.
pub fn read(views: Vec<LimitView>) -> Result<Vec<Limit>, ControlError> {
    let limits = views.into_iter().map(|view| Limit::try_from(source(view)));
    limits.collect::<Result<_, _>>().map_err(|wrong| ControlError::Invalid {
        what: format!("the limit `{}` {}", wrong.limit, wrong.problem),
        remedy: "change that limit".to_owned(),
    })
}

fn source(view: LimitView) -> LimitSource {
    LimitSource {
        name: view.name,
        kind: view.kind.as_str().to_owned(),
        unit: view.unit.map(unit),
        amount: amount(view.amount),
        window_seconds: view.window_seconds,
        period: view.period.map(period),
        time_zone: view.time_zone,
        refill: view.refill.map(|refill| RefillSource {
            amount: amount(refill.amount),
            period: period(refill.period),
            up_to: refill.up_to.map(amount),
        }),
        per: view.per.into_iter().map(dimension).collect(),
        apis: view.apis,
        routes: view.routes,
        models: view.models,
        cut_streams: view.cut_streams,
    }
}

fn amount_view(amount: AmountSource) -> AmountView {
    match amount {
        AmountSource::Count(count) => AmountView::Count(count),
        AmountSource::Money(money) => AmountView::Money(money),
    }
}

fn amount(view: AmountView) -> AmountSource {
    match view {
        AmountView::Count(count) => AmountSource::Count(count),
        AmountView::Money(money) => AmountSource::Money(money),
    }
}

const fn unit_view(unit: Unit) -> LimitUnitView {
    match unit {
        Unit::Requests => LimitUnitView::Requests,
        Unit::Tokens => LimitUnitView::Tokens,
        Unit::InputTokens => LimitUnitView::InputTokens,
        Unit::OutputTokens => LimitUnitView::OutputTokens,
        Unit::Cost => LimitUnitView::Cost,
    }
}

const fn unit(view: LimitUnitView) -> Unit {
    match view {
        LimitUnitView::Requests => Unit::Requests,
        LimitUnitView::Tokens => Unit::Tokens,
        LimitUnitView::InputTokens => Unit::InputTokens,
        LimitUnitView::OutputTokens => Unit::OutputTokens,
        LimitUnitView::Cost => Unit::Cost,
    }
}

const fn period_view(period: Period) -> LimitPeriodView {
    match period {
        Period::Hour => LimitPeriodView::Hour,
        Period::Day => LimitPeriodView::Day,
        Period::Week => LimitPeriodView::Week,
        Period::Month => LimitPeriodView::Month,
        Period::Year => LimitPeriodView::Year,
    }
}

const fn period(view: LimitPeriodView) -> Period {
    match view {
        LimitPeriodView::Hour => Period::Hour,
        LimitPeriodView::Day => Period::Day,
        LimitPeriodView::Week => Period::Week,
        LimitPeriodView::Month => Period::Month,
        LimitPeriodView::Year => Period::Year,
    }
}

const fn dimension_view(dimension: Dimension) -> LimitDimensionView {
    match dimension {
        Dimension::Plan => LimitDimensionView::Plan,
        Dimension::Organization => LimitDimensionView::Organization,
        Dimension::Key => LimitDimensionView::Key,
        Dimension::Api => LimitDimensionView::Api,
        Dimension::Route => LimitDimensionView::Route,
        Dimension::Model => LimitDimensionView::Model,
    }
}

const fn dimension(view: LimitDimensionView) -> Dimension {
    match view {
        LimitDimensionView::Plan => Dimension::Plan,
        LimitDimensionView::Organization => Dimension::Organization,
        LimitDimensionView::Key => Dimension::Key,
        LimitDimensionView::Api => Dimension::Api,
        LimitDimensionView::Route => Dimension::Route,
        LimitDimensionView::Model => Dimension::Model,
    }
}

/// A price as it is sent.
pub(crate) fn price_view(record: &PriceRecord) -> PriceView {
    let price = &record.price;
    let told = |money: Option<Money>| money.map(|money| money.to_string());
    PriceView {
        model: price.model.as_str().to_owned(),
        input: price.input.to_string(),
        cached: told(price.cached),
        cache_written: told(price.cache_written),
        output: price.output.to_string(),
        reasoning: told(price.reasoning),
        request: price.request.to_string(),
        most_output: price.most_output,
        revision: record.revision.get(),
    }
}

/// A price as it was sent.
pub fn read_price(input: PutPriceInput) -> Result<Price, ControlError> {
    let money = |field: &str, text: Option<String>| {
        let parsed = text.map(|text| text.parse::<Money>()).transpose();
        parsed.map_err(|error| {
            ControlError::invalid(
                format!("`{field}` is no price ({error})"),
                "write it as text, like \"2.50\"",
            )
        })
    };
    let model = input
        .model
        .parse()
        .map_err(|error| ControlError::invalid(format!("{error}"), "mend `model`"))?;
    Ok(Price {
        model,
        input: money("input", input.input)?.unwrap_or_default(),
        cached: money("cached", input.cached)?,
        cache_written: money("cache_written", input.cache_written)?,
        output: money("output", input.output)?.unwrap_or_default(),
        reasoning: money("reasoning", input.reasoning)?,
        request: money("request", input.request)?.unwrap_or_default(),
        most_output: input.most_output,
    })
}

/// Whether limits can stand at a plan or an organization: what they are confined to is there.
pub(crate) fn check(policy: &Policy, limits: &[Limit]) -> Result<(), ControlError> {
    check_together(limits)?;
    let all = || policy.apis().iter().filter(|api| api.name.as_str() != MANAGEMENT);
    for limit in limits {
        let named = |api: &&Api| {
            limit.only.apis.is_empty()
                || limit.only.apis.iter().any(|name| *name == api.name.as_str())
        };
        for name in &limit.only.apis {
            if all().all(|api| api.name.as_str() != name) {
                let known: Vec<_> = all().map(|api| api.name.as_str()).collect();
                return Err(ControlError::invalid(
                    format!(
                        "the limit `{}` is confined to an API `{name}`, and there is none",
                        limit.name
                    ),
                    format!("use some of {}", known.join(", ")),
                ));
            }
        }
        let apis: Vec<&Api> = all().filter(named).collect();
        check_routes(limit, &apis)?;
    }
    Ok(())
}

/// Whether limits can stand on a key of this API.
pub(crate) fn check_of_key(api: &Api, limits: &[Limit]) -> Result<(), ControlError> {
    check_together(limits)?;
    if api.name.as_str() == MANAGEMENT && !limits.is_empty() {
        return Err(ControlError::invalid(
            "a management key has no limits",
            "leave them out: the management API has its own bounds, for everybody alike",
        ));
    }
    check_not_of_plan(limits)?;
    for limit in limits {
        if !limit.only.apis.is_empty() {
            return Err(ControlError::invalid(
                format!("the limit `{}` is confined to APIs, and a key opens one", limit.name),
                "leave `apis` out",
            ));
        }
        check_routes(limit, &[api])?;
    }
    Ok(())
}

/// Whether limits that stand outside of plans say nothing of plans.
pub(crate) fn check_not_of_plan(limits: &[Limit]) -> Result<(), ControlError> {
    match limits.iter().find(|limit| limit.per.contains(&Dimension::Plan)) {
        Some(limit) => Err(ControlError::invalid(
            format!("the limit `{}` counts per plan, and stands in none", limit.name),
            "leave `plan` out of `per`",
        )),
        None => Ok(()),
    }
}

fn check_together(limits: &[Limit]) -> Result<(), ControlError> {
    Limit::check_together(limits)
        .map_err(|unfit| ControlError::invalid(unfit.to_string(), "change the limits"))
}

fn check_routes(limit: &Limit, apis: &[&Api]) -> Result<(), ControlError> {
    let known = |pattern: &str| {
        let mut routes = apis.iter().flat_map(|api| api.routes.iter());
        routes.any(|route| route.pattern.as_str() == pattern)
    };
    match limit.only.routes.iter().find(|pattern| !known(pattern)) {
        Some(unknown) => Err(ControlError::invalid(
            format!(
                "the limit `{}` is confined to a route `{unknown}`, and there is none",
                limit.name
            ),
            "write a route's path as it stands in the API's routes, like /v1/models/{model}",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_kept_and_what_is_sent_have_one_form() {
        for limit in [
            json!({ "name": "a", "kind": "rate", "unit": "tokens", "amount": 9, "window_seconds": 60,
                "per": ["organization", "key", "api", "route", "model"], "apis": ["main"],
                "routes": ["/v1"], "models": ["large*"], "cut_streams": true }),
            json!({ "name": "a", "kind": "concurrency", "amount": 9 }),
            json!({ "name": "a", "kind": "quota", "unit": "input_tokens", "amount": 9,
                "period": "hour", "time_zone": "Europe/Berlin" }),
            json!({ "name": "a", "kind": "quota", "unit": "output_tokens", "amount": 9,
                "period": "week", "time_zone": "UTC" }),
            json!({ "name": "a", "kind": "quota", "unit": "requests", "amount": 9,
                "period": "year", "time_zone": "UTC" }),
            json!({ "name": "a", "kind": "budget", "unit": "cost", "amount": "9.00",
                "period": "month", "time_zone": "UTC" }),
            json!({ "name": "a", "kind": "budget", "unit": "cost", "amount": "9.00", "time_zone": "UTC" }),
            json!({ "name": "a", "kind": "credit", "unit": "cost", "amount": "9.00", "time_zone": "UTC",
                "refill": { "amount": "1.50", "period": "day", "up_to": "3.00" } }),
        ] {
            let sent: LimitView = serde_json::from_value(limit.clone()).unwrap();
            let kept = read(vec![sent]).unwrap();
            assert_eq!(serde_json::to_value(&kept[0]).unwrap(), limit);
            assert_eq!(serde_json::to_value(views(&kept)).unwrap(), Value::Array(vec![limit]));
        }
    }

    #[test]
    fn a_wrong_limit_is_told_with_what_would_be_right() {
        let wrong = json!([{ "name": "a", "kind": "rate", "amount": 9 }]);
        let error = read(serde_json::from_value(wrong).unwrap()).unwrap_err().to_string();
        assert_eq!(
            error,
            "the limit `a` is a rate: write `window_seconds`, 1 to 86400; what is longer is a quota: change that limit"
        );
    }
}
