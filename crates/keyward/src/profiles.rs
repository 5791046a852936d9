//! The profiles there are: those that come with Keyward, and the operator's own beside or in place of them.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};
use keyward_core::profile::{self, File, Profile, ProfileError};

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../profiles");

/// What a profile's file ends with.
const ENDING: &str = "toml";

/// A profile's file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}; {}", path.display(), remedy(cause))]
pub struct Unreadable {
    path: PathBuf,
    cause: std::io::Error,
}

/// What helps where a file that an operator named cannot be read.
pub(crate) fn remedy(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::PermissionDenied => "give Keyward leave to read it",
        ErrorKind::InvalidData => "name a TOML file: this one is not UTF-8 text",
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            "name an existing TOML file"
        }
        _ => "look at the path and the disk, or name another file",
    }
}

/// Profiles by name.
#[derive(Clone, Debug)]
pub struct Profiles {
    files: BTreeMap<String, File>,
    /// Those that are not built in, and where they stand.
    own: BTreeMap<String, PathBuf>,
}

impl Profiles {
    /// Those that come with Keyward.
    pub fn built_in() -> Self {
        let files = BUILT_IN.files().filter_map(|file| {
            let name = profile_name(file.path())?;
            let shown = format!("profiles/{}", file.path().display());
            Some((name, File::new(&shown, file.contents_utf8()?)))
        });
        Self { files: files.collect(), own: BTreeMap::new() }
    }

    /// With every profile in `folder`; one with a built-in profile's name takes its place.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, Unreadable> {
        let unreadable = |cause| Unreadable { path: folder.to_owned(), cause };
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_file() && profile_name(&path).is_some() {
                self = self.with_file(&path)?;
            }
        }
        Ok(self)
    }

    /// With one file, whatever it ends with.
    pub fn with_file(mut self, path: &Path) -> Result<Self, Unreadable> {
        let unreadable = |cause| Unreadable { path: path.to_owned(), cause };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let name = profile_name_of_any(path);
        self.files.insert(name.clone(), File::new(&path.display().to_string(), &text));
        self.own.insert(name, path.to_owned());
        Ok(self)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The file of a profile that is not built in.
    pub fn own_file(&self, name: &str) -> Option<&Path> {
        self.own.get(name).map(PathBuf::as_path)
    }

    /// Whether there is a profile of this name.
    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Compiles the profile of this name.
    pub fn compile(&self, name: &str) -> Result<Profile, ProfileError> {
        profile::compile(name, &self.files)
    }
}

fn profile_name(path: &Path) -> Option<String> {
    (path.extension()? == ENDING).then(|| profile_name_of_any(path))
}

/// The name that a file gives to its profile.
pub fn profile_name_of_any(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_compiles() {
        let profiles = Profiles::built_in();
        assert!(profiles.has("default"));
        for name in profiles.names() {
            if let Err(error) = profiles.compile(name) {
                panic!("{error}");
            }
        }
    }

    #[test]
    fn an_own_profile_takes_a_built_in_one_s_place_and_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generic.toml");
        fs::write(&path, "title = \"Mine\"\n").unwrap();
        fs::write(folder.path().join("notes.txt"), "no profile").unwrap();
        let profiles = Profiles::built_in().with_folder(folder.path()).unwrap();
        assert_eq!(&*profiles.compile("generic").unwrap().title, "Mine");
        assert_eq!(profiles.own_file("generic"), Some(&*path));
        assert!(!profiles.has("notes"));

        fs::write(&path, "title = \"Mine\"\nkolour = 1\n").unwrap();
        let profiles = Profiles::built_in().with_folder(folder.path()).unwrap();
        let error = profiles.compile("generic").unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:2: unknown field `kolour`", path.display())));
    }
}
