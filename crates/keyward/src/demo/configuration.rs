//! The demo's configuration, as a file: so that every command works on the demo, and so that there is one to learn from.

use std::net::SocketAddr;

use keyward_core::profile::{Demo, Profile};
use toml::Value;

use super::authority::{CERTIFICATE_FILE, KEY_FILE};

/// The one upstream, built in.
const UPSTREAM: &str = "demo";

/// A profile that says how it is shown.
pub(super) struct Demonstration {
    /// The profile's name, and its API's.
    pub(super) name: String,
    /// The profile.
    pub(super) profile: Profile,
    /// How it is shown.
    pub(super) demo: Demo,
}

/// What stands in the file.
pub(super) fn text(demonstrations: &[Demonstration], port: u16, upstream: SocketAddr) -> String {
    let mut text = format!(
        "# Written by `keyward demo` at each start: what is changed here is lost. keyward.example.toml shows every setting.\n\
         data_dir = \"data\"\n\n\
         [[listeners]]\naddress = \"127.0.0.1:{port}\"\n\
         tls = {{ certificate = \"{CERTIFICATE_FILE}\", key = \"{KEY_FILE}\" }}\n\n\
         [[upstreams]]\nname = \"{UPSTREAM}\"\nurl = \"http://{upstream}\"\npreserve_host = true\n"
    );
    for Demonstration { name, demo, .. } in demonstrations {
        text.push_str(&format!(
            "\n[[apis]]\nname = {}\nprofile = {}\nhosts = {}\nprefixes = {}\nupstream = \"{UPSTREAM}\"\n",
            Value::from(name.as_str()),
            Value::from(name.as_str()),
            Value::from(demo.hosts.clone()),
            Value::from(demo.prefixes.clone()),
        ));
    }
    text
}
