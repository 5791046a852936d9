//! Where the tests find what is not in the tree: the published guides, and the Python that `cargo xtask test` provides.

use std::path::{Path, PathBuf};

/// The workspace's root: the folder above the current one whose manifest says so. Cargo runs tests in their package's.
pub fn workspace() -> PathBuf {
    let here = std::env::current_dir().expect("the current folder cannot be read");
    let is_root = |folder: &&Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.trim() == "[workspace]")
    };
    let root = here.ancestors().find(is_root);
    root.unwrap_or_else(|| panic!("no workspace above {}", here.display())).to_owned()
}

/// The folder of the published guides: where `KEYWARD_REFERENCES` points, else `../shared/references` beside the workspace,
/// else `references` in it.
pub fn references() -> PathBuf {
    if let Some(folder) = std::env::var_os("KEYWARD_REFERENCES") {
        let folder = PathBuf::from(folder);
        assert!(
            folder.is_dir(),
            "KEYWARD_REFERENCES is {}, which is no folder: set it to the one that holds the guides",
            folder.display()
        );
        return folder;
    }
    let root = workspace();
    let places = [root.join("../shared/references"), root.join("references")];
    places.into_iter().find(|folder| folder.is_dir()).unwrap_or_else(|| {
        panic!("the guides are not here: set KEYWARD_REFERENCES to the folder that holds them")
    })
}

/// The Python with the packages of `xtask/requirements.txt`: in the environment `KEYWARD_VENV` points to, else in `target/venv`.
pub fn python() -> PathBuf {
    let environment = std::env::var_os("KEYWARD_VENV")
        .map_or_else(|| workspace().join("target/venv"), PathBuf::from);
    let python = environment.join("bin/python");
    assert!(
        python.is_file(),
        "no Python at {}: run cargo xtask test, which makes it",
        python.display()
    );
    python
}

/// Where Debian keeps servers; not in everyone's `PATH`.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program in `PATH` or in the system's folders, or the message that says which is missing.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run cargo xtask test, which does it"))
}
