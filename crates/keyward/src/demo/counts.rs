//! What the built-in upstream says that a request used. It has no model: the counts follow from the request's texts, so that two
//! requests differ in them, and whoever asks again gets the same.

use serde_json::Value;

/// What is written, over and over.
const WORDS: [&str; 7] = ["Hello!", " How", " can", " I", " help", " you", " today?"];

/// The counts of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tokens read, with the next two.
    pub(super) read: usize,
    /// From a cache.
    pub(super) cached: usize,
    /// Put into one.
    pub(super) cache_written: usize,
    /// Tokens written, with the next.
    pub(super) written: usize,
    /// That were not text.
    pub(super) reasoning: usize,
}

impl Counts {
    /// For a request with this JSON body.
    pub(super) fn of(body: &Value) -> Self {
        let (words, characters) = texts(body);
        let read = words + 3;
        Self {
            read,
            cached: read / 3,
            cache_written: read / 5,
            written: 2 + characters % 12,
            reasoning: read % 2,
        }
    }

    /// The words of the answer.
    pub(super) fn words(&self) -> impl Iterator<Item = &'static str> {
        WORDS.into_iter().cycle().take(self.written - self.reasoning)
    }

    /// The number that a hole of this name stands for.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        Some(match name {
            "read" => self.read,
            "cached" => self.cached,
            "cache_written" => self.cache_written,
            "uncached" => self.read - self.cached - self.cache_written,
            "written" => self.written,
            "reasoning" => self.reasoning,
            "text_tokens" => self.written - self.reasoning,
            "total" => self.read + self.written,
            _ => return None,
        })
    }
}

/// Words and characters of all texts in it.
fn texts(value: &Value) -> (usize, usize) {
    let add = |(a, b): (usize, usize), (c, d)| (a + c, b + d);
    match value {
        Value::String(text) => (text.split_whitespace().count(), text.chars().count()),
        Value::Array(items) => items.iter().map(texts).fold((0, 0), add),
        Value::Object(members) => members.values().map(texts).fold((0, 0), add),
        _ => (0, 0),
    }
}
