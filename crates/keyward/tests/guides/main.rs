//! The five published guides as tests: every curl, Python and JavaScript example is taken from the document itself and run,
//! unmodified but for the key, by real curl, Python and Node against a running `keyward demo`; every documented refusal is
//! provoked and compared. A document that changes breaks the test that was written for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test may fail where it stands, and says what it counted"
)]

mod aiaas;
mod anunzi;
mod document;
mod freddy;
mod generic;
mod guide;
mod manifest;
mod mindo;
mod refusals;

use keyward_testkit::{Clients, Demo, places, wait};

use crate::{
    guide::Guide,
    manifest::{GUIDES, Use},
};

/// The binary under test.
const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");

#[test]
fn every_guide_reads_as_the_manifest_says() {
    let folder = std::fs::read_dir(places::references()).expect("the folder of guides is read");
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = names.filter(|name| name.ends_with(".md")).collect();
    found.sort();
    let known: Vec<_> = GUIDES.iter().map(|guide| guide.file).collect();
    assert_eq!(found, known, "the guides in the folder, and those in the manifest");

    for expected in &GUIDES {
        Guide::load(expected.file);
        let run = |languages: &[&str]| {
            let blocks = expected.blocks.iter();
            blocks
                .filter(|(language, _, of)| *of == Use::Run && languages.contains(language))
                .count()
        };
        assert_eq!(
            [run(&["bash"]), run(&["python"]), run(&["javascript"])],
            expected.run,
            "{}: examples run of bash, Python, JavaScript",
            expected.file
        );
        let all_run: usize = expected.run.iter().sum();
        let of = |wanted: Use| expected.blocks.iter().filter(|(_, _, of)| *of == wanted).count();
        println!(
            "{}: {} blocks, run: {} bash, {} Python, {} JavaScript; sent in requests: {}; answers compared: {}; not run: {}",
            expected.file,
            expected.blocks.len(),
            expected.run[0],
            expected.run[1],
            expected.run[2],
            of(Use::Sent),
            of(Use::Provoked),
            expected.blocks.len() - all_run - of(Use::Sent) - of(Use::Provoked),
        );
        for (_, name, of) in expected.blocks {
            if let Use::NotRun(why) = of {
                println!("  `{name}` is not run: {why}");
            }
        }
    }
}

/// Waits until the running gateway knows every change that was made before: it takes them in order, so a key that is made last
/// is known last.
fn settle(demo: &Demo, clients: &Clients) {
    let (marker_id, marker) = demo
        .cli
        .create_key("--api generic --organization org_generic --name marker --permission read");
    let authorization = format!("Authorization: Bearer {marker}");
    wait::until("the gateway follows", wait::LONG, || {
        let answer = clients.curl(&["-H", &authorization, "https://api.example.com/v1/models"]);
        (answer.status == 200).then_some(())
    });
    // Its name is free for the next.
    demo.cli.json(&format!("keys revoke {marker_id}"));
}
