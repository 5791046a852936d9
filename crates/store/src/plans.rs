//! Plans and prices: bundles of limits that organizations can be on, and what models cost.
//!
//! Both belong to who runs this Keyward. A profile may bring plans of its own, which stand in no store: one that is made here takes the
//! place of a profile's of the same name. What organizations are on is kept by name, so that a plan can be changed under them at once.
//!
//! Rejected: versions of a plan, with organizations on each. Who shall keep what they had has a plan, or limits, of their own.

use keyward_core::{
    limit::{ModelPattern, Plan, PlanName, Price},
    snapshot::Revision,
};

/// A plan as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRecord {
    /// The plan.
    pub plan: Plan,
    /// The revision of the last change to it.
    pub revision: Revision,
    /// How many organizations are on it.
    pub organizations: u64,
}

/// A price as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceRecord {
    /// The price.
    pub price: Price,
    /// The revision of the last change to it.
    pub revision: Revision,
}

/// The plan that an organization shall be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanChoice {
    /// Its name.
    pub name: PlanName,
    /// Whether a profile brings it: such a plan need not stand in the store.
    pub of_profile: bool,
}

impl PlanChoice {
    /// The plan of this name, wherever it stands.
    pub const fn named(name: PlanName) -> Self {
        Self { name, of_profile: false }
    }
}

/// What can be done to plans and prices. Like every change: one transaction, one audit entry, one revision.
#[derive(Clone, Debug)]
pub enum PlanChange {
    /// A new plan, or another content for the one of this name.
    Put {
        /// The plan.
        plan: Plan,
        /// The state of it that was seen; another than the present one is refused. `None` takes any.
        seen: Option<Revision>,
    },
    /// Forgets a plan that no organization is on.
    Delete {
        /// Which.
        name: PlanName,
        /// The state of it that was seen; another than the present one is refused. `None` takes any.
        seen: Option<Revision>,
        /// Whether a profile has a plan of this name: organizations may stay on that one.
        of_profile: bool,
    },
    /// What a model costs, in the place of what it cost so far.
    PutPrice {
        /// The price.
        price: Price,
        /// The state of it that was seen; another than the present one is refused. `None` takes any.
        seen: Option<Revision>,
    },
    /// Forgets a price.
    DeletePrice {
        /// Of which model.
        model: ModelPattern,
        /// The state of it that was seen; another than the present one is refused. `None` takes any.
        seen: Option<Revision>,
    },
}
