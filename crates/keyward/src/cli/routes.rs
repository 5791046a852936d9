//! `keyward routes`

use std::path::Path;

use anyhow::bail;
use clap::Args;
use keyward_api::{BindingView, Page, RouteView};
use keyward_core::{
    binding::{Binding, BindingKind, BindingPlace},
    id::ApiName,
    policy::Api,
    route::{Method, Route},
};

use crate::{
    config::Config,
    output::{Output, table},
};

#[derive(Debug, Args)]
pub(super) struct Routes {
    /// Only routes of this API
    #[arg(long)]
    api: Option<ApiName>,
}

impl Routes {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let config = Config::load(config)?;
        let apis: Vec<&Api> = config
            .apis
            .iter()
            .filter(|api| self.api.as_ref().is_none_or(|name| *name == api.name))
            .collect();
        if let (true, Some(name)) = (apis.is_empty(), &self.api) {
            let known: Vec<_> = config.apis.iter().map(|api| api.name.as_str()).collect();
            bail!("there is no API `{name}`: use one of {}", known.join(", "));
        }
        let routes =
            apis.into_iter().flat_map(|api| api.routes.iter().map(|route| view(api, route)));
        output.show(&Page::whole(routes.collect()), |page| listed(&page.items))
    }
}

fn view(api: &Api, route: &Route) -> RouteView {
    RouteView {
        api: api.name.to_string(),
        methods: route.methods.iter().map(|method| method.as_str().to_owned()).collect(),
        path: route.pattern.as_str().to_owned(),
        permission: Some(route.requires_name.to_string()).filter(|name| !name.is_empty()),
        bindings: route.bindings.iter().map(binding).collect(),
        body_limit: route.body_limit,
    }
}

fn binding(binding: &Binding) -> BindingView {
    let kind = match binding.kind {
        BindingKind::Organization => "organization",
        BindingKind::ModelId => "model_id",
        BindingKind::Model => "model",
    };
    let (place, at) = match &binding.place {
        BindingPlace::Body(pointer) => ("body", pointer.to_string()),
        BindingPlace::Query(parameter) => ("query", parameter.to_string()),
        BindingPlace::Path(parameter) => ("path", parameter.as_str().to_owned()),
    };
    BindingView { kind: kind.to_owned(), place: place.to_owned(), at, required: binding.required }
}

fn listed(routes: &[RouteView]) -> String {
    let bound = |binding: &BindingView| {
        let optional = if binding.required { "" } else { "?" };
        format!("{}{optional} in {} {}", binding.kind, binding.place, binding.at)
    };
    let row = |route: &RouteView| {
        // HEAD comes with GET and says nothing of its own.
        let head = Method::Head.as_str();
        let with_get = route.methods.iter().any(|method| method == Method::Get.as_str());
        let methods: Vec<_> = route
            .methods
            .iter()
            .filter(|method| !with_get || *method != head)
            .map(String::as_str)
            .collect();
        let bindings: Vec<_> = route.bindings.iter().map(bound).collect();
        vec![
            route.api.clone(),
            methods.join(", "),
            route.path.clone(),
            route.permission.clone().unwrap_or_else(|| "any key".to_owned()),
            bindings.join(", "),
        ]
    };
    table(
        &["api", "methods", "path", "permission", "bindings"],
        routes.iter().map(row).collect(),
        "No routes. Add APIs to the configuration with [[apis]].",
    )
}
