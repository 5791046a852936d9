//! Plans and prices, as deeds of a lane.

use keyward_core::limit::{Limit, Plan, Price};
use keyward_store::{Change, PlanChange, Subject};
use serde_json::json;

use crate::lane::{Lane, operator};

/// Limits of every kind there is.
pub(crate) fn limits(amount: u64) -> Vec<Limit> {
    serde_json::from_value(json!([
        { "name": "requests", "kind": "rate", "amount": amount, "window_seconds": 60 },
        { "name": "at-once", "kind": "concurrency", "amount": 4, "per": ["key"] },
        { "name": "tokens", "kind": "quota", "unit": "tokens", "amount": 9, "period": "day" },
        { "name": "money", "kind": "budget", "amount": "12.5", "period": "month" },
    ]))
    .unwrap()
}

impl Lane {
    pub(crate) fn a_plan(&mut self) {
        let name = format!("Plan {:x}", self.random.number());
        let subject = || Subject::Plan(name.parse().unwrap());
        let thing = format!("plan {name}");
        for action in ["plan.create", "plan.update"] {
            let amount = self.random.below(1_000_000);
            let plan = Plan { name: name.parse().unwrap(), limits: limits(amount) };
            let facts = vec![(thing.clone(), Some(json!(plan).to_string()))];
            let put = Change::Plan(PlanChange::Put { plan, seen: None });
            self.push(operator(), put, action, subject(), facts);
        }
        if self.random.below(2) == 0 {
            let name = name.parse().unwrap();
            let delete = PlanChange::Delete { name, seen: None, of_profile: false };
            let facts = vec![(thing, None)];
            self.push(operator(), Change::Plan(delete), "plan.delete", subject(), facts);
        }
    }

    pub(crate) fn a_price(&mut self) {
        let model = format!("model/{:x}*", self.random.number());
        let subject = || Subject::Price(model.parse().unwrap());
        let thing = format!("price {model}");
        for action in ["price.create", "price.update"] {
            let input = self.random.below(1_000_000).to_string();
            let price: Price =
                serde_json::from_value(json!({ "model": model, "input": input, "cached": "1.5" }))
                    .unwrap();
            let facts = vec![(thing.clone(), Some(json!(price).to_string()))];
            let put = Change::Plan(PlanChange::PutPrice { price, seen: None });
            self.push(operator(), put, action, subject(), facts);
        }
        if self.random.below(2) == 0 {
            let delete = PlanChange::DeletePrice { model: model.parse().unwrap(), seen: None };
            let facts = vec![(thing, None)];
            self.push(operator(), Change::Plan(delete), "price.delete", subject(), facts);
        }
    }
}
