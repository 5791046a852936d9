//! Searching for keys where none may be: in the clear, in base64 at every alignment, and in hexadecimal, whole or in part.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};

/// How many characters in a row of a key betray it. Shorter pieces are shown on purpose: prefixes and hints.
const PIECE: usize = 14;

/// Pieces of every form of some secrets, to look for in bytes.
#[derive(Default)]
pub struct Search {
    pieces: HashMap<[u8; PIECE], usize>,
    secrets: usize,
}

impl Search {
    /// Adds a secret; the `public` characters at its front are its API's prefix and betray nothing.
    pub fn add(&mut self, secret: &str, public: usize) {
        let number = self.secrets;
        self.secrets += 1;
        let private = secret.as_bytes().get(public..).expect("a key is longer than its prefix");
        let hex: String = private.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![private.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        for lead in 0..3 {
            // What stands before and after decides the first and the last characters.
            let shifted = [&vec![b' '; lead], private].concat();
            let encoded = STANDARD_NO_PAD.encode(shifted).into_bytes();
            forms.push(encoded[(lead + 2)..encoded.len() - 2].to_vec());
            let url_safe = |byte: &u8| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            };
            forms.push(forms[forms.len() - 1].iter().map(url_safe).collect());
        }
        for form in forms {
            for piece in form.windows(PIECE) {
                self.pieces.insert(piece.try_into().expect("a window of this length"), number);
            }
        }
    }

    /// How many secrets are looked for.
    pub fn secrets(&self) -> usize {
        self.secrets
    }

    /// The number of the first secret of which something stands in `bytes`, and where.
    pub fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        bytes.windows(PIECE).enumerate().find_map(|(at, window)| {
            let piece: &[u8; PIECE] = window.try_into().ok()?;
            self.pieces.get(piece).map(|number| (*number, at))
        })
    }

    /// The first file below `folder` in which something of a secret stands, and how many files were read.
    pub fn find_in_files(&self, folder: &Path) -> (Option<(PathBuf, usize)>, usize) {
        let mut files = 0;
        for path in files_below(folder) {
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            files += 1;
            if let Some((secret, _)) = self.find(&bytes) {
                return (Some((path, secret)), files);
            }
        }
        (None, files)
    }
}

/// Base64, as Basic credentials are written.
pub fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.is_file() {
            // Sockets hold nothing.
            files.push(path);
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "kw_Zr9qT1x8Vb4LkPw3NcYe7JdHs2GfMa6U";

    fn found(text: &str) -> bool {
        let mut search = Search::default();
        search.add(SECRET, 3);
        search.find(text.as_bytes()).is_some()
    }

    #[test]
    fn a_key_is_found_in_every_form_and_at_every_alignment() {
        assert!(found(&format!("x {SECRET} y")));
        assert!(found(&SECRET[8..30]));
        let hex: String = SECRET.bytes().map(|b| format!("{b:02X}")).collect();
        assert!(found(&hex));
        for before in ["", "a", "ab", "user:"] {
            assert!(found(&STANDARD_NO_PAD.encode(format!("{before}{SECRET}:z"))), "{before}");
        }
    }

    #[test]
    fn hints_and_prefixes_are_not_found() {
        assert!(!found("kw_Zr…Ma6U, kw_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    }
}
