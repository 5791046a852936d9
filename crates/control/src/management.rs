//! The API that management keys are keys of: Keyward's own.
//!
//! Its keys are keys like any other: made, rotated, revoked, bound to networks and time, told of in the same lists. It is in every
//! plan, whatever the configuration says, and at no host, so that no request at a gateway reaches it; a key of another API is
//! as unknown here as a management key is there.

use std::sync::Arc;

use keyward_core::{
    id::{ApiName, NotAnId},
    policy::Api,
    profile::{Https, Profile},
    rights::MANAGEMENT,
    route::Routes,
};

/// The API, on its profile (`profiles/keyward.toml`).
pub fn api(profile: Arc<Profile>) -> Result<Api, NotAnId> {
    let name: ApiName = MANAGEMENT.parse()?;
    Ok(Api {
        number: name.number(),
        name,
        profile,
        routes: Routes::new(vec![]),
        hosts: vec![],
        prefixes: vec![],
        // It is forwarded to nowhere: without a host it is never found.
        upstream: usize::MAX,
        https: Https::Required,
        limits: vec![],
        ask_for_usage: true,
    })
}
