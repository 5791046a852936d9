//! `[metering]` as profiles write it, and what comes of it.

use serde::Deserialize;

use super::{
    Entry, IncludeUsage, Kind, Masks, Metering, Of, Usage,
    request::What,
    tree::{NotAPath, Path, Tree},
};

/// Where an answer tells what it used, and where a request says what it may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeteringSource {
    /// In a JSON answer. An API whose answers spell it in several ways has one entry for each; those that point at
    /// nothing say nothing.
    #[serde(default)]
    response: Vec<UsagePointers>,
    /// In the events of a stream, or the elements of a list. A later count replaces an earlier one.
    #[serde(default)]
    stream: Vec<UsagePointers>,
    /// Text that was written, in events: what is counted where nothing is told.
    #[serde(default)]
    text: Vec<String>,
    request: Option<RequestSource>,
    /// Where a request says what of its answer is to come; then what it used may be left out.
    #[serde(default)]
    masks: Masks,
    include_usage: Option<IncludeUsageSource>,
    /// The event that ends a stream midway; `{{body}}` is the body of the refusal.
    stream_error: Option<String>,
}

/// JSON pointers to counts of language-model tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsagePointers {
    /// The event's name, where only one kind of event tells it.
    event: Option<String>,
    /// Tokens read, those from a cache and those put into one included.
    input: Option<Pointers>,
    /// Tokens written, those of reasoning included.
    output: Option<Pointers>,
    /// Of the tokens read, those from a cache.
    cached: Option<Pointers>,
    /// Of the tokens read, those put into a cache.
    cache_written: Option<Pointers>,
    /// Of the tokens written, those of reasoning.
    reasoning: Option<Pointers>,
}

/// One pointer, or several whose numbers are added.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Pointers {
    One(String),
    Several(Vec<String>),
}

impl Pointers {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// What a request says about its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestSource {
    /// `true` where a stream is asked for.
    stream: Option<String>,
    /// `true` where it is worked on when the answer has long come, which then tells nothing of what is used.
    background: Option<String>,
    /// The most tokens that may be written. Of several, the largest counts; what readers could disagree on counts only where it is more
    /// than what holds where nothing is said.
    #[serde(default)]
    most_output: Vec<MostOutput>,
    /// How many answers are asked for at once.
    #[serde(default)]
    choices: Vec<String>,
    /// A list of texts, each of which is answered.
    #[serde(default)]
    prompts: Vec<String>,
    /// How many bytes make a token at least, where it is estimated what is read.
    bytes_per_token: Option<u64>,
    /// Where images may stand, and references to what is read from elsewhere.
    #[serde(default)]
    inline: Vec<InlineSource>,
    /// What each of them counts as.
    inline_tokens: Option<u64>,
    /// Tokens that are written at most where neither the request nor the model's price says it.
    default_output: Option<u64>,
}

/// A pointer to the most that may be written. Where the upstream may not know it, it only counts where it is more than what holds
/// without it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum MostOutput {
    /// On all routes.
    Anywhere(String),
    At(MostOutputAt),
}

/// On these routes, by their patterns.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct MostOutputAt {
    pointer: String,
    routes: Vec<String>,
}

/// A place of what may be no text: a `data:` URL of an image, or a reference; with a `kind`, an image's data.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct InlineSource {
    data: String,
    /// The name of the member beside it that says it is an image, like `image/png`.
    kind: Option<String>,
}

/// How usage is asked for that a stream would not tell otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct IncludeUsageSource {
    /// The member of the request and its own member that asks, like `/stream_options/include_usage`.
    member: String,
    /// The routes whose upstream understands it, by their patterns.
    routes: Vec<String>,
    /// What the event that comes for it has nothing of, like `/choices/*`. Where the usage comes in another event, that one stays.
    unless: String,
}

/// Why a `[metering]` is none, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongMetering {
    #[error(transparent)]
    Path(#[from] NotAPath),
    #[error("a count is the sum of at most {} values, and at least one", Of::MOST_PARTS)]
    Parts,
    #[error("there are more pointers than can be followed at once")]
    TooMany,
    #[error("`{0}` is too small: it must be 1 at least")]
    Zero(&'static str),
    #[error(
        "`member` of `include_usage` names a member and one inside of it, like `/stream_options/include_usage`"
    )]
    Member,
    #[error(
        "`stream_error` is an event with `{{{{body}}}}` in its data, once, like `data: {{{{body}}}}`"
    )]
    StreamError,
}

impl MeteringSource {
    /// Compiles it.
    pub(crate) fn compile(&self) -> Result<Metering, WrongMetering> {
        let mut metering = Metering { masks: self.masks.clone(), ..Metering::default() };
        for source in &self.response {
            metering.response.add(source)?;
        }
        for source in &self.stream {
            metering.stream.add(source)?;
        }
        for pointer in &self.text {
            metering.stream.tree.text(&pointer.parse()?).ok_or(WrongMetering::TooMany)?;
        }
        if let Some(include) = &self.include_usage {
            metering.include_usage = Some(metering.include(include)?);
        }
        if let Some(request) = &self.request {
            metering.request(request)?;
        }
        if let Some(event) = &self.stream_error {
            let (before, behind) =
                event.trim().split_once("{{body}}").ok_or(WrongMetering::StreamError)?;
            let is_in_data = before.lines().last().is_some_and(|line| line.starts_with("data:"));
            if !is_in_data || behind.contains("{{") || event.contains("\n\n") {
                return Err(WrongMetering::StreamError);
            }
            metering.stream_error = Some((before.into(), behind.into()));
        }
        Ok(metering)
    }
}

impl Usage {
    fn add(&mut self, source: &UsagePointers) -> Result<(), WrongMetering> {
        let kinds = [
            (Kind::Input, &source.input),
            (Kind::Cached, &source.cached),
            (Kind::CacheWritten, &source.cache_written),
            (Kind::Output, &source.output),
            (Kind::Reasoning, &source.reasoning),
        ];
        let mut of = Vec::new();
        for (kind, pointers) in kinds {
            let Some(pointers) = pointers else { continue };
            let pointers = pointers.all();
            if !(1..=Of::MOST_PARTS).contains(&pointers.len()) {
                return Err(WrongMetering::Parts);
            }
            for (part, pointer) in pointers.iter().enumerate() {
                let slot = slot(&mut self.tree, pointer)?;
                of.push(Of { kind, part, slot });
            }
        }
        let event = source.event.as_deref().map(|name| name.as_bytes().into());
        self.entries.push(Entry { event, of });
        Ok(())
    }
}

impl Metering {
    fn include(&mut self, source: &IncludeUsageSource) -> Result<IncludeUsage, WrongMetering> {
        let _: Path = source.member.parse()?;
        let inner = source.member.strip_prefix('/').and_then(|member| member.split_once('/'));
        let (member, inner) = inner.ok_or(WrongMetering::Member)?;
        // Written into a body as they are.
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain(member) || !plain(inner) {
            return Err(WrongMetering::Member);
        }
        let unless =
            self.stream.tree.presence(&source.unless.parse()?).ok_or(WrongMetering::TooMany)?;
        Ok(IncludeUsage {
            member: member.into(),
            inner: inner.into(),
            routes: source.routes.clone(),
            unless,
        })
    }

    fn request(&mut self, source: &RequestSource) -> Result<(), WrongMetering> {
        let wants = &mut self.requests.wants;
        let pointers = [
            (What::Stream, source.stream.as_slice()),
            (What::Background, source.background.as_slice()),
            (What::Choices, &source.choices),
            (What::Prompts, &source.prompts),
        ];
        for (what, pointers) in pointers {
            for pointer in pointers {
                wants.add(pointer.parse()?, what, &[]).ok_or(WrongMetering::TooMany)?;
            }
        }
        for most_output in &source.most_output {
            let (pointer, routes) = match most_output {
                MostOutput::Anywhere(pointer) => (pointer, &[][..]),
                MostOutput::At(MostOutputAt { pointer, routes }) => (pointer, &routes[..]),
            };
            let added = wants.add(pointer.parse()?, What::MostOutput, routes);
            added.ok_or(WrongMetering::TooMany)?;
        }
        for InlineSource { data, kind } in &source.inline {
            wants.add_inline(data.parse()?, kind.as_deref()).ok_or(WrongMetering::TooMany)?;
        }
        let settings = [
            ("bytes_per_token", source.bytes_per_token, &mut self.requests.bytes_per_token),
            ("inline_tokens", source.inline_tokens, &mut self.requests.inline_tokens),
            ("default_output", source.default_output, &mut self.requests.default_output),
        ];
        for (name, given, place) in settings {
            match given {
                Some(0) => return Err(WrongMetering::Zero(name)),
                Some(given) => *place = given,
                None => {}
            }
        }
        Ok(())
    }
}

fn slot(tree: &mut Tree, pointer: &str) -> Result<u8, WrongMetering> {
    tree.number(&pointer.parse()?).ok_or(WrongMetering::TooMany)
}
