//! From a file and what it inherits to a [`Profile`], or to an error that says what would be right.

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use super::{
    Ceilings, Exposed, File, Https, Issuance, IssuanceMode, Limits, Profile, ProfileError,
    RequestId, refusal,
    source::{BindingSource, KeySource, RotationMode, RouteSource, SlotSource, Source},
};
use crate::{
    binding::{Binding, BindingKind, BindingPlace},
    credential::Slot,
    json::Pointer,
    key::{
        Rotation,
        format::{Alphabet, Checksum, KeyFormat},
    },
    limit::Limit,
    metering::{Metered, Metering},
    permission::{PermissionSet, Vocabulary},
    route::{Method, Methods, ParamName, PathPattern, Route},
};

/// What every profile inherits from unless it says otherwise.
const ROOT: &str = "default";
const LONGEST_CHAIN: usize = 8;

/// Compiles the profile called `name` out of `files`, which are found by their names without ending.
pub fn compile(name: &str, files: &BTreeMap<String, File>) -> Result<Profile, ProfileError> {
    let chain = inheritance(name, files)?;
    let chain = Chain { layers: chain };
    let own =
        chain.layers.first().map(|(file, _)| file.clone()).ok_or_else(ProfileError::no_layers)?;

    let vocabulary = chain.vocabulary()?;
    let slots = chain.slots()?;
    let realm = chain.realm()?;
    let layers: Vec<_> = chain
        .layers
        .iter()
        .map(|(file, source)| refusal::Layer { source: &source.refusals, file })
        .collect();
    let refusals = refusal::compile(&layers, &slots, &realm)?;
    let routes = match chain.find(|source| source.routes.as_ref()) {
        Some((file, routes)) => compile_routes(file, routes, &vocabulary)?,
        None => vec![],
    };
    let profile = Profile {
        name: name.into(),
        title: chain.first(|s| s.title.clone()).unwrap_or_else(|| name.to_owned()).into(),
        slots,
        key_format: chain.key_format()?,
        presets: chain.presets(&vocabulary)?,
        ceilings: chain.ceilings(&vocabulary)?,
        routes,
        refusals,
        https: chain.first(|s| s.transport.as_ref()?.https).unwrap_or(Https::Required),
        exposed: chain.first(|s| s.transport.as_ref()?.exposed).unwrap_or(Exposed::Mark),
        issuance: chain.issuance()?,
        request_id: chain.request_id()?,
        limits: chain.limits()?,
        metering: chain.metering()?.into(),
        demo: chain.demo(&own, &vocabulary)?,
        vocabulary,
    };
    Ok(profile)
}

fn inheritance(
    name: &str,
    files: &BTreeMap<String, File>,
) -> Result<Vec<(File, Source)>, ProfileError> {
    let mut chain: Vec<(File, Source)> = Vec::new();
    let mut next = Some((name.to_owned(), 0..0));
    while let Some((name, span)) = next {
        let Some(file) = files.get(&name) else {
            let known: Vec<_> = files.keys().map(String::as_str).collect();
            let asking =
                chain.last().map_or_else(|| File::new(&name, ""), |(file, _)| file.clone());
            return Err(asking.error(
                span,
                format!("there is no profile `{name}`"),
                format!("use one of {}", known.join(", ")),
            ));
        };
        if chain.len() == LONGEST_CHAIN {
            return Err(file.error(
                0..0,
                "profiles inherit in a circle".to_owned(),
                "let one inherit `default`".to_owned(),
            ));
        }
        let source: Source = file.parse()?;
        next = match &source.inherits {
            Some(parent) => Some((parent.get_ref().clone(), parent.span())),
            None if name == ROOT => None,
            None => Some((ROOT.to_owned(), 0..0)),
        };
        chain.push((file.clone(), source));
    }
    Ok(chain)
}

/// A profile's file, what it inherits, and what that inherits.
struct Chain {
    layers: Vec<(File, Source)>,
}

impl Chain {
    fn first<T>(&self, get: impl Fn(&Source) -> Option<T>) -> Option<T> {
        self.layers.iter().find_map(|(_, source)| get(source))
    }

    fn find<'s, T>(&'s self, get: impl Fn(&'s Source) -> Option<T>) -> Option<(&'s File, T)> {
        self.layers.iter().find_map(|(file, source)| Some((file, get(source)?)))
    }

    fn vocabulary(&self) -> Result<Vocabulary, ProfileError> {
        let Some((file, permissions)) = self.find(|source| source.permissions.as_ref()) else {
            return Ok(Vocabulary::default());
        };
        let entries = permissions
            .get_ref()
            .iter()
            .map(|p| (p.name.clone(), p.description.clone(), p.implies.clone()));
        Vocabulary::new(entries).map_err(|error| {
            file.error(permissions.span(), error.to_string(), "mend the list".to_owned())
        })
    }

    fn slots(&self) -> Result<Vec<Slot>, ProfileError> {
        let slots = self.find(|s| s.credential.as_ref()?.slots.as_ref());
        let Some((file, slots)) = slots else { return Ok(vec![bearer()]) };
        if slots.get_ref().is_empty() {
            return Err(file.error(
                slots.span(),
                "`slots` is empty".to_owned(),
                "name at least one place for a key".to_owned(),
            ));
        }
        let mut compiled: Vec<Slot> = Vec::with_capacity(slots.get_ref().len());
        for source in slots.get_ref() {
            let slot = compile_slot(file, source)?;
            if compiled.contains(&slot) {
                return Err(file.error(
                    source.span(),
                    format!("slot `{slot}` stands twice"),
                    "keep one".to_owned(),
                ));
            }
            compiled.push(slot);
        }
        Ok(compiled)
    }

    fn key_format(&self) -> Result<KeyFormat, ProfileError> {
        let (file, span) =
            self.find(|s| s.key.as_ref().map(Spanned::span)).ok_or_else(ProfileError::no_layers)?;
        fn of<T>(chain: &Chain, get: impl Fn(&KeySource) -> Option<T>) -> Option<T> {
            chain.first(|source| get(source.key.as_ref()?.get_ref()))
        }
        KeyFormat::new(
            &of(self, |key| key.prefix.clone()).unwrap_or_default(),
            of(self, |key| key.length).unwrap_or(52),
            of(self, |key| key.alphabet).unwrap_or(Alphabet::Base62),
            of(self, |key| key.checksum).unwrap_or(Checksum::Crc32),
        )
        .map_err(|error| file.error(span, error.to_string(), "see [key]".to_owned()))
    }

    /// The layers that speak of one vocabulary: a file that states `permissions` does not inherit what stands for others.
    fn of_vocabulary(&self) -> impl Iterator<Item = &(File, Source)> {
        let own = self.layers.iter().position(|(_, source)| source.permissions.is_some());
        self.layers.iter().take(own.map_or(self.layers.len(), |at| at + 1))
    }

    /// Presets are of one vocabulary.
    fn presets(&self, vocabulary: &Vocabulary) -> Result<Vec<super::Preset>, ProfileError> {
        let found =
            self.of_vocabulary().find_map(|(file, source)| Some((file, source.presets.as_ref()?)));
        let Some((file, presets)) = found else { return Ok(vec![]) };
        for preset in presets {
            for name in &preset.get_ref().permissions {
                known_permission(file, preset.span(), name, vocabulary)?;
            }
            let environment = preset.get_ref().environment.as_deref();
            if let Some(Err(error)) = environment.map(str::parse::<crate::key::Environment>) {
                return Err(file.error(
                    preset.span(),
                    error.to_string(),
                    "mend `environment`".to_owned(),
                ));
            }
        }
        Ok(presets.iter().map(|preset| preset.get_ref().clone()).collect())
    }

    /// Like presets, ceilings are of one vocabulary.
    fn ceilings(&self, vocabulary: &Vocabulary) -> Result<Ceilings, ProfileError> {
        let found =
            self.of_vocabulary().find_map(|(file, source)| Some((file, source.roles.as_ref()?)));
        let Some((file, roles)) = found else { return Ok(Ceilings::default()) };
        let checked = |names: &Option<Spanned<Vec<String>>>| {
            let Some(names) = names else { return Ok(None) };
            for name in names.get_ref() {
                known_permission(file, names.span(), name, vocabulary)?;
            }
            Ok(Some(names.get_ref().clone()))
        };
        Ok(Ceilings {
            developer: checked(&roles.developer)?,
            administrator: checked(&roles.administrator)?,
            owner: checked(&roles.owner)?,
        })
    }

    fn issuance(&self) -> Result<Issuance, ProfileError> {
        let days = self.find(|s| s.issuance.as_ref()?.rotate_after_days.as_ref());
        let mode = self.first(|s| s.issuance.as_ref()?.rotation);
        let rotation = match days {
            Some((file, days)) if !(1..=Rotation::MOST_DAYS).contains(days.get_ref()) => {
                return Err(file.error(
                    days.span(),
                    format!("`rotate_after_days` is {}", days.get_ref()),
                    format!("write 1 to {}", Rotation::MOST_DAYS),
                ));
            }
            Some((_, days)) => Some(Rotation {
                after_days: *days.get_ref(),
                required: mode == Some(RotationMode::Require),
            }),
            None => None,
        };
        Ok(Issuance {
            mode: self.first(|s| s.issuance.as_ref()?.mode).unwrap_or(IssuanceMode::SelfService),
            keys_per_organization: self.first(|s| s.issuance.as_ref()?.keys_per_organization),
            rotation,
        })
    }

    fn realm(&self) -> Result<String, ProfileError> {
        let realm = self.find(|s| s.credential.as_ref()?.realm.as_ref());
        let Some((file, realm)) = realm else { return Ok("keyward".to_owned()) };
        // It stands between quotes in a header (RFC 9110, 11.5).
        let plain = |b: u8| b == b' ' || (b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if realm.get_ref().bytes().all(plain) {
            return Ok(realm.get_ref().clone());
        }
        Err(file.error(
            realm.span(),
            "`realm` has characters that a challenge cannot hold".to_owned(),
            "write it in plain ASCII without quotes and backslashes".to_owned(),
        ))
    }

    fn request_id(&self) -> Result<RequestId, ProfileError> {
        let header = self.find(|s| Some((s.request_id.as_ref()?.get_ref().header.as_ref()?, s)));
        let prefix = self.find(|s| Some((s.request_id.as_ref()?.get_ref().prefix.as_ref()?, s)));
        let fail = |file: &File, source: &Source, problem: String, remedy: &str| {
            let span = source.request_id.as_ref().map(Spanned::span).unwrap_or_default();
            Err(file.error(span, problem, remedy.to_owned()))
        };
        if let Some((file, (header, source))) = header
            && !refusal::is_header_name(header)
        {
            let problem = format!("`{header}` is no header's name");
            return fail(file, source, problem, "mend `header` in [request_id]");
        }
        if let Some((file, (prefix, source))) = prefix
            && !(prefix.len() <= 24 && prefix.bytes().all(|b| b.is_ascii_graphic() && b != b'"'))
        {
            let problem = format!("no request id can begin with `{prefix}`");
            return fail(file, source, problem, "write at most 24 letters, digits, `_` or `-`");
        }
        let header = header.map_or("x-request-id", |(_, (header, _))| header);
        let prefix = prefix.map_or("req_", |(_, (prefix, _))| prefix);
        Ok(RequestId { header: header.to_ascii_lowercase().into(), prefix: prefix.into() })
    }

    fn limits(&self) -> Result<Limits, ProfileError> {
        let Some((file, limits)) = self.find(|s| s.limits.as_ref()) else {
            return Ok(Limits::default());
        };
        let kinds = [&limits.get_ref().requests, &limits.get_ref().tokens];
        let names = kinds.into_iter().flatten().flat_map(|h| [&h.limit, &h.remaining, &h.reset]);
        for name in names {
            if !refusal::is_header_name(name) {
                return Err(file.error(
                    limits.span(),
                    format!("`{name}` is no header's name"),
                    "mend the name in [limits]".to_owned(),
                ));
            }
        }
        check_plans(limits.get_ref())
            .map_err(|(problem, remedy)| file.error(limits.span(), problem, remedy.to_owned()))?;
        Ok(limits.get_ref().clone())
    }

    fn metering(&self) -> Result<Metering, ProfileError> {
        let Some((file, source)) = self.find(|s| s.metering.as_ref()) else {
            return Ok(Metering::default());
        };
        source.get_ref().compile().map_err(|wrong| {
            file.error(source.span(), wrong.to_string(), "mend [metering]".to_owned())
        })
    }

    /// A demo shows the file's own system: it is not inherited.
    fn demo(
        &self,
        own: &File,
        vocabulary: &Vocabulary,
    ) -> Result<Option<super::Demo>, ProfileError> {
        let Some(demo) = self.layers.first().and_then(|(_, source)| source.demo.as_ref()) else {
            return Ok(None);
        };
        for name in &demo.get_ref().permissions {
            known_permission(own, demo.span(), name, vocabulary)?;
        }
        for answer in &demo.get_ref().answers {
            if let Err(error) = answer.path.parse::<PathPattern>() {
                return Err(own.error(
                    demo.span(),
                    error.to_string(),
                    "mend the answer's path".to_owned(),
                ));
            }
        }
        Ok(Some(demo.get_ref().clone()))
    }
}

fn bearer() -> Slot {
    Slot::Scheme { header: "authorization".into(), scheme: "Bearer".into() }
}

fn compile_slot(file: &File, source: &Spanned<SlotSource>) -> Result<Slot, ProfileError> {
    let slot = source.get_ref();
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let parts = [&slot.header, &slot.scheme, &slot.query, &slot.subprotocol];
    if parts.into_iter().flatten().any(|part| !is_token(part)) {
        return Err(file.error(
            source.span(),
            "a slot's names are made of letters, digits, `-`, `_` and `.`".to_owned(),
            "mend the name".to_owned(),
        ));
    }
    match (&slot.header, &slot.scheme, &slot.query, &slot.subprotocol) {
        (Some(header), Some(scheme), None, None) if header.eq_ignore_ascii_case("authorization") => {
            Ok(Slot::Scheme { header: "authorization".into(), scheme: scheme.as_str().into() })
        }
        (Some(header), None, None, None) => Ok(Slot::Header {
            header: header.to_ascii_lowercase().into(),
            shown: header.as_str().into(),
        }),
        (None, None, Some(parameter), None) => Ok(Slot::Query { parameter: parameter.as_str().into() }),
        (None, None, None, Some(prefix)) => Ok(Slot::Subprotocol { prefix: prefix.as_str().into() }),
        _ => Err(file.error(
            source.span(),
            "this is not one place for a key".to_owned(),
            "write { header = \"Authorization\", scheme = \"Bearer\" }, { header = \"X-API-Key\" }, { query = \"key\" } or { subprotocol = \"prefix\" }".to_owned(),
        )),
    }
}

/// Plans are found by their names, and the default one is among them.
fn check_plans(limits: &Limits) -> Result<(), (String, &'static str)> {
    for (at, plan) in limits.plans.iter().enumerate() {
        if limits.plans.iter().take(at).any(|earlier| earlier.name == plan.name) {
            return Err((format!("two plans are called `{}`", plan.name), "keep one of them"));
        }
        if let Err(error) = Limit::check_together(&plan.limits) {
            return Err((format!("plan `{}`: {error}", plan.name), "mend its limits"));
        }
        if let Some(limit) = plan.limits.iter().find(|limit| !limit.only.apis.is_empty()) {
            return Err((
                format!(
                    "the limit `{}` of plan `{}` names APIs, which a profile does not know",
                    limit.name, plan.name
                ),
                "leave `apis` out: it holds at every API of this profile",
            ));
        }
    }
    match &limits.default_plan {
        Some(name) if limits.plans.iter().all(|plan| plan.name != *name) => Err((
            format!("`default_plan` is `{name}`, and no plan is called that"),
            "name one of `plans`",
        )),
        _ => Ok(()),
    }
}

fn known_permission(
    file: &File,
    span: Range<usize>,
    name: &str,
    vocabulary: &Vocabulary,
) -> Result<PermissionSet, ProfileError> {
    vocabulary.requirement(name).ok_or_else(|| {
        let listed = vocabulary.listed();
        file.error(span, format!("there is no permission `{name}`"), format!("use one of {listed}"))
    })
}

/// Compiles routes as profiles and configurations write them.
pub fn compile_routes(
    file: &File,
    sources: &[Spanned<RouteSource>],
    vocabulary: &Vocabulary,
) -> Result<Vec<Route>, ProfileError> {
    let mut routes: Vec<Route> = Vec::with_capacity(sources.len());
    for source in sources {
        let route = compile_route(file, source, vocabulary)?;
        let same = routes.iter().find(|other| {
            other.pattern.same_paths(&route.pattern)
                && route
                    .methods
                    .iter()
                    .any(|method| other.methods.contains(method) && method != Method::Head)
        });
        if same.is_some() {
            return Err(file.error(
                source.span(),
                format!("another route has the same path `{}` and method", route.pattern.as_str()),
                "keep one of them".to_owned(),
            ));
        }
        match source.get_ref().metered {
            Some(_) => routes.push(route),
            None => routes.extend(apart(route)),
        }
    }
    Ok(routes)
}

/// A route that takes POST beside other methods, as one for it and one for the others: whoever only reads calls no model.
fn apart(route: Route) -> impl Iterator<Item = Route> {
    let (calls, others): (Vec<_>, Vec<_>) =
        route.methods.iter().partition(|method| *method == Method::Post);
    let of = |methods: Vec<Method>, metered| {
        let methods: Methods = methods.into_iter().collect();
        (methods.iter().next().is_some()).then_some((methods, metered))
    };
    let both = [of(calls, route.metered), of(others, Metered::No)];
    both.into_iter().flatten().map(move |(methods, metered)| Route {
        methods,
        metered,
        ..route.clone()
    })
}

fn compile_route(
    file: &File,
    spanned: &Spanned<RouteSource>,
    vocabulary: &Vocabulary,
) -> Result<Route, ProfileError> {
    let source = spanned.get_ref();
    let fail =
        |problem: String, remedy: &str| file.error(spanned.span(), problem, remedy.to_owned());
    let mut methods = Vec::with_capacity(source.methods.len());
    for name in &source.methods {
        let method = name.parse::<Method>().map_err(|()| {
            fail(
                format!("`{name}` is not a method"),
                "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
            )
        })?;
        methods.push(method);
    }
    if methods.is_empty() {
        return Err(fail("a route without methods matches nothing".to_owned(), "name one or more"));
    }
    let pattern: PathPattern =
        source.path.parse().map_err(|error| fail(format!("{error}"), "mend `path`"))?;
    let requires = match &source.permission {
        Some(name) => known_permission(file, spanned.span(), name, vocabulary)?,
        None => PermissionSet::EMPTY,
    };
    let bindings = source
        .bindings
        .iter()
        .map(|binding| {
            compile_binding(binding, &pattern).map_err(|(problem, remedy)| fail(problem, remedy))
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_overlap(&bindings).map_err(|problem| fail(problem, "keep one of the two"))?;
    let metered = source.metered.unwrap_or_else(|| usual_metering(&methods, &bindings));
    Ok(Route {
        methods: methods.into_iter().collect(),
        pattern,
        requires,
        requires_name: source.permission.as_deref().unwrap_or_default().into(),
        bindings,
        body_limit: source.body_limit,
        metered,
        limits_told: source.limit_headers,
    })
}

/// Whoever names a model calls it; whoever only reads is told of calls that were counted before.
fn usual_metering(methods: &[Method], bindings: &[Binding]) -> Metered {
    match methods.contains(&Method::Post) {
        true if bindings.iter().any(|binding| binding.kind == BindingKind::Model) => Metered::Both,
        true => Metered::Told,
        false => Metered::No,
    }
}

fn check_overlap(bindings: &[Binding]) -> Result<(), String> {
    let pointers: Vec<&Pointer> = bindings
        .iter()
        .filter_map(|binding| match &binding.place {
            BindingPlace::Body(pointer) => Some(pointer),
            _ => None,
        })
        .collect();
    for (at, pointer) in pointers.iter().enumerate() {
        if let Some(other) = pointers.iter().take(at).find(|other| pointer.overlaps(other)) {
            return Err(format!("bindings `{other}` and `{pointer}` stand in each other"));
        }
    }
    Ok(())
}

fn compile_binding(
    source: &BindingSource,
    pattern: &PathPattern,
) -> Result<Binding, (String, &'static str)> {
    let place = match (&source.body, &source.query, &source.path) {
        (Some(pointer), None, None) => BindingPlace::Body(
            pointer.parse().map_err(|error| (format!("{error}"), "mend the binding's `body`"))?,
        ),
        (None, Some(parameter), None) => BindingPlace::Query(parameter.as_str().into()),
        (None, None, Some(name)) if pattern.has_param(name) => {
            BindingPlace::Path(ParamName::new(name))
        }
        (None, None, Some(name)) => {
            return Err((
                format!("the path has no parameter `{name}` to bind"),
                "write it into the path as a segment in braces",
            ));
        }
        _ => {
            return Err((
                "a binding stands in exactly one place".to_owned(),
                "give one of `body` (a JSON pointer), `query` or `path` (a parameter)",
            ));
        }
    };
    Ok(Binding { kind: source.kind, place, required: source.required })
}
