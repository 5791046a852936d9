//! Routes: which method and path asks for what. Deny by default: what no route names does not exist.
//!
//! A pattern is a path with parameters: `/v1/models/{model}`, `/v1beta/models/{model}:generateContent`,
//! `/files/{path...}` (the rest, one segment or more). Trailing slashes count. Of several patterns that match, the most specific wins,
//! segment by segment: text before a parameter with text behind it, before a parameter, before a rest;
//! so adding a wide route never takes requests from a narrow one.

use std::{borrow::Cow, fmt, str::FromStr};

use hashbrown::HashMap;

use crate::{
    binding::{Binding, BindingKind},
    metering::Metered,
    permission::PermissionSet,
    query,
};

/// A method that can be routed. CONNECT and TRACE cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the methods of RFC 9110, section 9, and RFC 5789")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// Every method that can be routed.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    /// Whether it asks for nothing but to read (RFC 9110, 9.2.1).
    pub const fn only_reads(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }

    /// As requests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

impl FromStr for Method {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|method| method.as_str() == text).ok_or(())
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// Whether it is in the set.
    pub const fn contains(self, method: Method) -> bool {
        self.0 & (1 << method as u8) != 0
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |method| self.contains(*method))
    }

    #[must_use]
    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Method> for Methods {
    /// GET brings HEAD with it (RFC 9110, 9.3.2: the same answer without its content).
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        methods.into_iter().fold(Self(0), |set, method| {
            let head = if method == Method::Get { 1 << Method::Head as u8 } else { 0 };
            Self(set.0 | 1 << method as u8 | head)
        })
    }
}

impl fmt::Display for Methods {
    /// As the `Allow` header writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Method::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

/// The name of a parameter in a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamName(Box<str>);

impl ParamName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A parameter of this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(Box<str>),
    Param { name: ParamName, suffix: Box<str> },
    Rest(ParamName),
}

impl Segment {
    /// What it matches, without the name of its parameter: how broadly (lower is more specific), and its text.
    fn shape(&self) -> (u8, &str) {
        match self {
            Self::Text(text) => (0, text),
            Self::Param { suffix, .. } if !suffix.is_empty() => (1, suffix),
            Self::Param { .. } => (2, ""),
            Self::Rest(_) => (3, ""),
        }
    }
}

/// A path with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Vec<Segment>,
}

/// The text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path pattern `{0}`: {1}")]
pub struct NotAPattern(String, &'static str);

impl FromStr for PathPattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let wrong = |why| NotAPattern(text.to_owned(), why);
        let rest = text.strip_prefix('/').ok_or_else(|| wrong("it must begin with `/`"))?;
        let mut segments = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let segment = read_segment(part).map_err(wrong)?;
            if part.is_empty() && parts.peek().is_some() {
                return Err(wrong("`//` is never forwarded: write each slash once"));
            }
            if matches!(segment, Segment::Rest(_)) && parts.peek().is_some() {
                return Err(wrong("`{name...}` takes the rest of the path: it must come last"));
            }
            segments.push(segment);
        }
        Ok(Self { text: text.into(), segments })
    }
}

fn read_segment(part: &str) -> Result<Segment, &'static str> {
    let Some(rest) = part.strip_prefix('{') else {
        if part.contains(['{', '}']) {
            return Err("a parameter begins its segment: `/{name}` or `/{name}:verb`");
        }
        return match crate::path::check(&format!("/{part}")) {
            Ok(()) => Ok(Segment::Text(part.into())),
            Err(_) => Err("it has characters or segments that no accepted request path has"),
        };
    };
    let (name, suffix) = rest.split_once('}').ok_or("a `{` is not closed by a `}`")?;
    let (name, is_rest) = name.strip_suffix("...").map_or((name, false), |name| (name, true));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("a parameter's name is made of letters, digits and `_`");
    }
    let name = ParamName::new(name);
    match (is_rest, suffix) {
        (true, "") => Ok(Segment::Rest(name)),
        (true, _) => Err("nothing may follow `{name...}`"),
        (false, _) if suffix.contains(['{', '}']) => Err("a segment has one parameter at most"),
        (false, _) => Ok(Segment::Param { name, suffix: suffix.into() }),
    }
}

/// What forgiving servers compare of a segment.
fn loose(segment: &str) -> Cow<'_, str> {
    if !segment.contains(['%', '+']) {
        return Cow::Borrowed(segment);
    }
    let decoded = query::decode(segment).unwrap_or_else(|| segment.to_owned());
    Cow::Owned(decoded.trim().to_owned())
}

fn same_loosely(text: &str, part: &str) -> bool {
    loose(part).eq_ignore_ascii_case(&loose(text))
}

/// Whether a parameter with this text behind it could be seen in the segment.
fn ends_loosely(part: &str, suffix: &str) -> bool {
    let (part, suffix) = (loose(part), loose(suffix));
    let before = part.len().checked_sub(suffix.len()).filter(|before| *before > 0);
    let end = before.and_then(|before| part.get(before..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(&suffix))
}

impl PathPattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern has this parameter, so that a binding can stand there.
    pub fn has_param(&self, wanted: &str) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Param { name, .. } => name.as_str() == wanted,
            _ => false,
        })
    }

    /// Whether the path is one of the pattern's.
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::Text(text), Some(part)) if **text == *part => {}
                (Segment::Param { suffix, .. }, Some(part))
                    if part.len() > suffix.len() && part.ends_with(&**suffix) => {}
                (Segment::Rest(_), Some(_)) => return true,
                _ => return false,
            }
        }
        parts.next().is_none()
    }

    /// Whether some server could take the path for one of the pattern's: it ignores case, a trailing slash, whitespace
    /// at a segment's ends, or how a character is encoded.
    fn matches_loosely(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut parts = path.strip_suffix('/').unwrap_or(path).split('/');
        for segment in self.without_slash() {
            match (segment, parts.next()) {
                (Segment::Text(text), Some(part)) if same_loosely(text, part) => {}
                (Segment::Param { suffix, .. }, Some(part)) if ends_loosely(part, suffix) => {}
                (Segment::Rest(_), _) => return true,
                _ => return false,
            }
        }
        parts.next().is_none()
    }

    /// The segments without the empty one that a trailing slash makes.
    fn without_slash(&self) -> &[Segment] {
        match self.segments.split_last() {
            Some((Segment::Text(last), rest)) if last.is_empty() => rest,
            _ => &self.segments,
        }
    }

    fn has_params(&self) -> bool {
        self.segments.iter().any(|segment| !matches!(segment, Segment::Text(_)))
    }

    /// Whether both have text and parameters at the same places: neither then hides the other.
    fn as_broad_as(&self, other: &Self) -> bool {
        let breadths = |pattern: &'_ Self| -> Vec<u8> {
            pattern.without_slash().iter().map(|segment| segment.shape().0).collect()
        };
        breadths(self) == breadths(other)
    }

    /// What stands at a parameter of a path that matches.
    pub fn param<'p>(&self, path: &'p str, wanted: &ParamName) -> Option<&'p str> {
        let parts = path.strip_prefix('/').unwrap_or(path).split('/');
        self.segments.iter().zip(parts).find_map(|(segment, part)| match segment {
            Segment::Param { name, suffix } if name == wanted => part.strip_suffix(&**suffix),
            _ => None,
        })
    }

    /// Whether both match the same paths: what their parameters are called makes no difference.
    pub fn same_paths(&self, other: &Self) -> bool {
        self.segments.iter().map(Segment::shape).eq(other.segments.iter().map(Segment::shape))
    }

    /// Sorts the more specific first, and patterns for the same paths beside each other.
    fn specificity(&self) -> (Vec<u8>, usize, Vec<Box<str>>) {
        let shapes = || self.segments.iter().map(Segment::shape);
        // Among equals the longer comes first.
        let breadths = shapes().map(|(breadth, _)| breadth).collect();
        let texts = shapes().map(|(_, text)| text.into()).collect();
        (breadths, usize::MAX - self.segments.len(), texts)
    }
}

/// Whose limits clients are told of in the answers of an upstream that are passed on. Never of both in headers of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitsTold {
    /// Where a limit of ours applies, ours; elsewhere what the upstream says passes.
    #[default]
    Ours,
    /// What the upstream says, or nothing.
    Upstream,
}

/// What a matched request must satisfy.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which methods.
    pub methods: Methods,
    /// Which paths.
    pub pattern: PathPattern,
    /// What the key must be allowed.
    pub requires: PermissionSet,
    /// The required permission as the profile names it; empty where every valid key may.
    pub requires_name: Box<str>,
    /// Fields that must belong to the key.
    pub bindings: Vec<Binding>,
    /// Most bytes of a request body, `None` for no limit.
    pub body_limit: Option<u64>,
    /// What of its requests' language-model tokens is counted.
    pub metered: Metered,
    /// Whose limits its answers tell of.
    pub limits_told: LimitsTold,
}

impl Route {
    /// Whether its requests name a model.
    pub fn names_a_model(&self) -> bool {
        self.bindings.iter().any(|binding| binding.kind == BindingKind::Model)
    }

    /// Whether a request by this method that names this model, or none, could call any: one that names none where it could have, or
    /// that does more than read. What is not metered calls none, but behind an upgrade nobody sees what is called.
    pub fn calls_any_model(
        &self,
        method: Option<Method>,
        upgrades: bool,
        model: Option<&str>,
    ) -> bool {
        let only_reads = method.is_some_and(Method::only_reads);
        let is_call = self.metered != Metered::No && (self.names_a_model() || !only_reads);
        model.is_none() && (is_call || upgrades)
    }

    /// Whether the body must be read before deciding.
    pub fn reads_body(&self) -> bool {
        self.bindings.iter().any(Binding::in_body)
    }
}

/// The routes of an API.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Most specific first, those for the same paths beside each other.
    routes: Vec<Route>,
    /// Patterns without parameters, each with its first route's place: nothing is more specific on its one path.
    literal: HashMap<Box<str>, usize>,
}

/// What the routes say of a method and a path.
#[derive(Clone, Copy, Debug)]
pub enum RouteMatch<'r> {
    /// This one.
    Found(&'r Route),
    /// The path exists, for these methods.
    OtherMethods(Methods),
    /// No route names the path.
    Nothing,
}

impl Routes {
    /// Puts routes in the order in which they are tried.
    pub fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_cached_key(|route| route.pattern.specificity());
        let mut literal = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            if !route.pattern.has_params() {
                literal.entry(route.pattern.as_str().into()).or_insert(at);
            }
        }
        Self { routes, literal }
    }

    /// All routes, most specific first.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The place of a route of these routes, for counters.
    pub fn get(&self, at: usize) -> Option<&Route> {
        self.routes.get(at)
    }

    /// The route for a request; `method` is `None` for one that cannot be routed.
    ///
    /// A narrow pattern hides wider ones for all methods: a route for `POST /v1/admin` is not walked around by
    /// `GET /v1/{rest...}`. Nor is it by a spelling that some servers take for it: `/v1/Admin`, `/v1/admin/` and
    /// `/v1/admin%20` are nothing, unless a route lists them in exactly these characters.
    pub fn find(&self, method: Option<Method>, path: &str) -> RouteMatch<'_> {
        let Some(first) = self.first(path) else { return RouteMatch::Nothing };
        let mut routes = self.routes.iter().skip(first);
        let mut others = Methods::default();
        let mut hit: Option<&PathPattern> = None;
        while let Some(route) = routes.next()
            && hit.is_none_or(|pattern| pattern.same_paths(&route.pattern))
        {
            if method.is_some_and(|method| route.methods.contains(method)) {
                return RouteMatch::Found(route);
            }
            hit = Some(&route.pattern);
            others = others.union(route.methods);
        }
        RouteMatch::OtherMethods(others)
    }

    /// The place of the most specific route whose pattern matches, unless another is walked around.
    fn first(&self, path: &str) -> Option<usize> {
        if let Some(at) = self.literal.get(path) {
            return Some(*at);
        }
        let at = self.routes.iter().position(|route| route.pattern.matches(path))?;
        let hit = &self.routes.get(at)?.pattern;
        // A more specific pattern matches too, for a forgiving server.
        let walked_around = self
            .routes
            .iter()
            .take(at)
            .map(|route| &route.pattern)
            .any(|narrow| narrow.matches_loosely(path) && !narrow.as_broad_as(hit));
        (!walked_around).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(methods: &[Method], pattern: &str) -> Route {
        Route {
            methods: methods.iter().copied().collect(),
            pattern: pattern.parse().unwrap(),
            requires: PermissionSet::EMPTY,
            requires_name: "".into(),
            bindings: vec![],
            body_limit: None,
            metered: Metered::No,
            limits_told: LimitsTold::Ours,
        }
    }

    fn found<'r>(routes: &'r Routes, method: Method, path: &str) -> &'r str {
        match routes.find(Some(method), path) {
            RouteMatch::Found(route) => route.pattern.as_str(),
            RouteMatch::OtherMethods(_) => "405",
            RouteMatch::Nothing => "404",
        }
    }

    #[test]
    fn what_names_no_model_could_call_any_unless_it_only_reads_or_is_not_metered() {
        use Method::*;
        let binding = Binding {
            kind: BindingKind::Model,
            place: crate::binding::BindingPlace::Query("model".into()),
            required: false,
        };
        for (method, metered, binds, calls_any) in [
            (Post, Metered::Told, false, true),
            (Delete, Metered::Unknown, false, true),
            (Get, Metered::Told, false, false),
            (Head, Metered::Unknown, false, false),
            (Options, Metered::Told, false, false),
            (Get, Metered::Unknown, true, true),
            (Post, Metered::Both, true, true),
            (Post, Metered::No, false, false),
            (Post, Metered::No, true, false),
        ] {
            let bindings = binds.then(|| binding.clone()).into_iter().collect();
            let route = Route { metered, bindings, ..route(&Method::ALL, "/v1/x") };
            let of = |upgrades, model| route.calls_any_model(Some(method), upgrades, model);
            assert_eq!(of(false, None), calls_any, "{method:?} {metered:?}");
            assert!(of(true, None), "{method:?} {metered:?}");
            assert!(!of(true, Some("small")) && !of(false, Some("small")));
        }
    }

    #[test]
    fn the_most_specific_pattern_wins_whatever_the_order() {
        use Method::*;
        let patterns = [
            "/v1/{rest...}",
            "/v1/models/{model}",
            "/v1/models/{model}:run",
            "/v1/models/best",
            "/v1/models/",
            "/v1/models",
        ];
        for turn in 0..patterns.len() {
            let mut order = patterns.to_vec();
            order.rotate_left(turn);
            let routes = Routes::new(order.into_iter().map(|p| route(&[Get], p)).collect());
            for (path, expected) in [
                ("/v1/models", "/v1/models"),
                ("/v1/models/", "/v1/models/"),
                ("/v1/models/best", "/v1/models/best"),
                ("/v1/models/other", "/v1/models/{model}"),
                ("/v1/models/other:run", "/v1/models/{model}:run"),
                ("/v1/models/a/b", "/v1/{rest...}"),
                ("/v1", "404"),
                ("/v2/models", "404"),
                ("/", "404"),
            ] {
                assert_eq!(found(&routes, Get, path), expected, "{path}");
            }
        }
    }

    #[test]
    fn a_narrow_route_is_not_walked_around_by_another_method() {
        use Method::*;
        let routes = Routes::new(vec![
            route(&[Get, Post], "/v1/{rest...}"),
            route(&[Post], "/v1/admin"),
            route(&[Delete], "/v1/admin"),
        ]);
        assert_eq!(found(&routes, Get, "/v1/admin"), "405");
        let RouteMatch::OtherMethods(allowed) = routes.find(Some(Get), "/v1/admin") else {
            panic!()
        };
        assert_eq!(allowed.to_string(), "POST, DELETE");
        assert!(matches!(routes.find(None, "/v1/admin"), RouteMatch::OtherMethods(_)));
    }

    #[test]
    fn a_narrow_route_is_not_walked_around_by_another_spelling() {
        use Method::*;
        let patterns = [
            "/f/admin",
            "/f/{rest...}",
            "/m/{model}:run",
            "/m/{model}",
            "/m/{model}/",
            "/m/best",
            "/m/list",
            "/m/list/",
            "/s/{id}/secret/{rest...}",
            "/s/{rest...}",
            "/M2/{x}",
            "/m2/{x}",
        ];
        let routes = Routes::new(patterns.into_iter().map(|p| route(&[Get], p)).collect());
        for (path, expected) in [
            ("/f/admin", "/f/admin"),
            ("/f/admins", "/f/{rest...}"),
            ("/f/admin/a", "/f/{rest...}"),
            ("/f/a/admin", "/f/{rest...}"),
            ("/f/", "/f/{rest...}"),
            ("/f/admin/", "404"),
            ("/f/Admin", "404"),
            ("/f/ADMIN/", "404"),
            ("/f/admin%20", "404"),
            ("/f/%20admin", "404"),
            ("/f/admin%09", "404"),
            ("/f/admin+", "404"),
            ("/f/admin%C2%A0", "404"),
            ("/m/Mixed-Case", "/m/{model}"),
            ("/m/x/", "/m/{model}/"),
            ("/m/x%20y", "/m/{model}"),
            ("/m/x:run", "/m/{model}:run"),
            ("/m/X:run", "/m/{model}:run"),
            ("/m/x:RUN", "404"),
            ("/m/x%3Arun", "404"),
            ("/m/x:runs", "/m/{model}"),
            ("/m/\u{e9}:r", "/m/{model}"),
            ("/m/best", "/m/best"),
            ("/m/best/", "404"),
            ("/m/Best", "404"),
            ("/m/list", "/m/list"),
            ("/m/list/", "/m/list/"),
            ("/s/1/secret/a", "/s/{id}/secret/{rest...}"),
            ("/s/1/Secret/a", "404"),
            ("/s/1/secret", "404"),
            ("/s/1/secrets", "/s/{rest...}"),
            ("/M2/a", "/M2/{x}"),
            ("/m2/a", "/m2/{x}"),
        ] {
            assert_eq!(found(&routes, Get, path), expected, "{path}");
            let other = if expected == "404" { "404" } else { "405" };
            assert_eq!(found(&routes, Delete, path), other, "{path}");
        }
    }

    #[test]
    fn every_method_of_a_path_is_found_whatever_stands_between_and_however_parameters_are_called() {
        use Method::*;
        let routes = Routes::new(vec![
            route(&[Get], "/a/{x}"),
            route(&[Get], "/b/{x}"),
            route(&[Post], "/a/{y}"),
            route(&[Get], "/a"),
            route(&[Get], "/b"),
            route(&[Post], "/a"),
        ]);
        for (method, path, expected) in [
            (Get, "/a/1", "/a/{x}"),
            (Post, "/a/1", "/a/{y}"),
            (Get, "/b/1", "/b/{x}"),
            (Post, "/b/1", "405"),
            (Post, "/a", "/a"),
            (Post, "/b", "405"),
        ] {
            assert_eq!(found(&routes, method, path), expected, "{method:?} {path}");
        }
    }

    #[test]
    fn get_brings_head() {
        let routes = Routes::new(vec![route(&[Method::Get], "/a")]);
        assert_eq!(found(&routes, Method::Head, "/a"), "/a");
        assert_eq!(found(&routes, Method::Post, "/a"), "405");
    }

    #[test]
    fn parameters_are_read_from_the_path() {
        let pattern: PathPattern = "/v1/models/{model}:run".parse().unwrap();
        assert_eq!(pattern.param("/v1/models/gpt:run", &ParamName::new("model")), Some("gpt"));
        assert!(pattern.has_param("model") && !pattern.has_param("v1"));
        assert!(!pattern.matches("/v1/models/:run"), "an empty parameter is none");
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (pattern, part) in [
            ("v1", "begin with `/`"),
            ("/a//b", "`//`"),
            ("/{rest...}/a", "come last"),
            ("/a{b}", "begins its segment"),
            ("/{b", "not closed"),
            ("/{a}{b}", "one parameter"),
            ("/{}", "name is made of"),
            ("/../a", "no accepted request path"),
            ("/a b", "no accepted request path"),
        ] {
            let error = pattern.parse::<PathPattern>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_without_parameters_matches_itself_alone(path in "(/[a-z]{1,3}){1,4}", other in "(/[a-z]{1,3}){1,4}") {
            let pattern: PathPattern = path.parse().unwrap();
            prop_assert!(pattern.matches(&path));
            prop_assert_eq!(pattern.matches(&other), path == other);
        }
    }
}
