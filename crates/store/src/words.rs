//! The words by which keys are found: what is written on a key as a set of words, and a search as beginnings of words.
//!
//! An index of words rather than of any part of a text: it is an ordinary table in every engine, its cost is known, and people look
//! for words. A tag is kept whole as well, behind a `#`, so that keys can be narrowed to exactly one tag.

use std::collections::BTreeSet;

use keyward_core::key::Key;

/// Characters of a word that count; what is longer is cut, in the index and in a search.
const LONGEST: usize = 64;
/// Words of a search that count.
const MOST_ASKED: usize = 8;

/// A word, or the beginning of one, as it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    text: String,
    whole: bool,
}

impl Word {
    /// A tag, whole.
    pub fn tag(tag: &str) -> Self {
        Self { text: marked(tag), whole: true }
    }

    /// The words of a search: a key is found that has, for each, a word which begins so.
    pub fn asked(search: &str) -> Vec<Self> {
        let begin = |text| Self { text, whole: false };
        words(search).take(MOST_ASKED).map(begin).collect()
    }

    /// From where the words that fit stand in their order, and from where on they no longer do.
    pub(crate) fn range(&self) -> (String, String) {
        // No text begins with this character: it is no letter, and the last one there is.
        let end = if self.whole { '\0' } else { char::MAX };
        (self.text.clone(), format!("{}{end}", self.text))
    }
}

fn marked(tag: &str) -> String {
    format!("#{}", tag.to_lowercase())
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().flat_map(char::to_lowercase).take(LONGEST).collect())
}

/// The words on a key: of its name, its environment, its tags and metadata.
pub(crate) fn of_key(key: &Key) -> BTreeSet<String> {
    let labels = &key.labels;
    let metadata = labels.metadata.iter().flat_map(|(name, value)| [name, value]);
    let texts = labels.tags.iter().chain(metadata).map(String::as_str);
    let texts = [key.name.as_str(), key.environment.as_str()].into_iter().chain(texts);
    texts.flat_map(words).chain(labels.tags.iter().map(|tag| marked(tag))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_the_beginnings_of_words_in_any_case() {
        let texts: Vec<_> = Word::asked("Billing  Prod-EU!").into_iter().map(|w| w.text).collect();
        assert_eq!(texts, ["billing", "prod", "eu"]);
        assert!(Word::asked(" -- ").is_empty());
        assert_eq!(Word::asked(&"a ".repeat(100)).len(), MOST_ASKED);
    }

    #[test]
    fn a_range_holds_what_begins_so_and_nothing_else() {
        let (from, until) = Word::asked("pro").remove(0).range();
        let within = |word: &str| *word >= *from && *word < *until;
        assert!(["pro", "prod", "pro\u{10fffd}"].into_iter().all(within));
        assert!(!["pr", "prp", "prn"].into_iter().any(within));
        let (from, until) = Word::tag("EU").range();
        let within = |word: &str| *word >= *from && *word < *until;
        assert!(within("#eu") && !within("#eus") && !within("eu"));
    }
}
