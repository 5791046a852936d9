//! A guide, checked against the manifest, that keeps account of which of its blocks a test has used.

use std::{cell::RefCell, collections::BTreeSet};

use keyward_testkit::{digest, places};

use crate::{
    document::{self, Block},
    manifest::{Expected, GUIDES, Use},
};

/// A guide that reads as the manifest says.
pub struct Guide {
    expected: &'static Expected,
    text: String,
    blocks: Vec<Block>,
    used: RefCell<BTreeSet<&'static str>>,
}

impl Guide {
    /// Reads it. Panics, saying which, if it is not the text that the tests were written for.
    pub fn load(file: &str) -> Self {
        let expected = GUIDES.iter().find(|guide| guide.file == file);
        let expected = expected.unwrap_or_else(|| panic!("{file} is not in the manifest"));
        let path = places::references().join(file);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let digest = digest::sha256(text.as_bytes());
        assert_eq!(
            digest, expected.sha256,
            "{file} has changed since the tests were written for it: read what changed, let the tests follow, and write \
             the new SHA-256 into tests/guides/manifest.rs"
        );
        let blocks = document::blocks(&text);
        let found: Vec<_> = blocks.iter().map(|block| block.language.as_str()).collect();
        let known: Vec<_> = expected.blocks.iter().map(|(language, ..)| *language).collect();
        assert_eq!(found, known, "the fenced blocks of {file}, by language");
        Self { expected, text, blocks, used: RefCell::default() }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A block by the manifest's name for it, as it stands. From here on it counts as used.
    pub fn block(&self, name: &str) -> &str {
        let entries = self.expected.blocks.iter().zip(&self.blocks);
        let mut named = entries.filter(|((_, own, _), _)| *own == name);
        let ((_, own, _), block) = named.next().unwrap_or_else(|| panic!("no block `{name}`"));
        self.used.borrow_mut().insert(own);
        &block.text
    }

    /// A block with a real key where the guide has its placeholder, and no other change.
    pub fn with_key(&self, name: &str, placeholder: &str, key: &str) -> String {
        let text = self.block(name);
        assert!(text.contains(placeholder), "`{name}` has no {placeholder}");
        text.replace(placeholder, key)
    }

    /// Asserts that every block of these uses was used.
    pub fn finish(&self, uses: &[Use]) {
        let used = self.used.borrow();
        for ((_, name, of), block) in self.expected.blocks.iter().zip(&self.blocks) {
            let missed = uses.contains(of) && !used.contains(name);
            assert!(!missed, "{}:{} `{name}` was not used", self.expected.file, block.line);
        }
    }

    /// Asserts that every example was run, and every part of a request was sent.
    pub fn all_examples_ran(&self) {
        self.finish(&[Use::Run, Use::Sent]);
    }

    /// Asserts that every answer the guide shows was provoked.
    pub fn all_answers_provoked(&self) {
        self.finish(&[Use::Provoked]);
    }
}
