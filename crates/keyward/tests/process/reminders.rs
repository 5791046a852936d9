//! Reminders: a running Keyward tells the owner of a key that ends soon, once, by a mail that is there.

use std::{fs, path::Path, time::Duration};

use keyward::{clock, site::Site};
use keyward_control::{Context, app::keys::NewKey};
use keyward_core::key::Labels;
use keyward_store::Interface;
use keyward_testkit::{Management, Serve, Upstream, wait};

use crate::{KEYWARD, api};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A key of ada's, made three weeks ago, that ends in five days: nobody can wait for it here.
#[tokio::main(flavor = "current_thread")]
async fn make_old_key(config: &Path, name: &str) {
    let control = Site::open(config).await.unwrap().control();
    let long_ago = clock::now().minus(21 * DAY);
    let machine = Context::machine("test", Interface::CommandLine, long_ago);
    let organizations = control.list_organizations(&machine).await.unwrap();
    let organization = organizations[0].id.parse().unwrap();
    let members = control.list_members(&machine, &organization).await.unwrap();
    let new = NewKey {
        api: "main".parse().unwrap(),
        organization,
        name: name.to_owned(),
        environment: None,
        permissions: vec!["read".to_owned()],
        preset: None,
        expires_at: Some(clock::now().plus(5 * DAY)),
        allowed_networks: vec![],
        allowed_models: None,
        labels: Labels::default(),
        rotation: None,
        owner: Some(members[0].user.id.parse().unwrap()),
        limits: vec![],
    };
    control.create_key(&machine, new).await.unwrap();
}

fn mails(folder: &Path) -> Vec<String> {
    let whole = |path: &Path| path.extension().is_some_and(|extension| extension == "eml");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| whole(path)).map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn the_owner_of_a_key_that_ends_soon_gets_one_mail_however_often_keyward_starts() {
    let upstream = Upstream::json("{}");
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    let settings = format!(
        "\n[management]\naddress = \"127.0.0.1:0\"\nsign_up = true\n\
         [mail]\nfolder = \"{}\"\nfrom = \"keyward@example.com\"\nlink = \"https://keys.example.com\"\n",
        mail.display()
    );
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).settings(&settings).start();
    Management::of(&keyward).sign_up("ada");
    let config = keyward.config().to_owned();
    let (status, stopped) = keyward.terminate();
    assert!(status.success());
    assert_eq!(mails(&mail), [""; 0]);
    let told_of = |name: &str| {
        let about = format!("Subject: Key expires: {name} (main)");
        mails(&mail).into_iter().filter(|text| text.contains(&about)).collect::<Vec<_>>()
    };
    make_old_key(&config, "nightly");
    let keyward = stopped.start();
    let told = wait::until("the mail is there", wait::LONG, || told_of("nightly").pop());
    assert!(told.contains("To: ada@example.com"), "{told}");
    assert!(told.contains("https://keys.example.com/v1/keys/key_"), "{told}");
    // The next look tells of what is new alone. What ends first is told first, so it has looked at both.
    let stopped = keyward.terminate().1;
    make_old_key(&config, "weekly");
    let keyward = stopped.start();
    wait::until("the second mail is there", wait::LONG, || told_of("weekly").pop());
    assert!(keyward.terminate().0.success());
    assert_eq!((told_of("nightly").len(), mails(&mail).len()), (1, 2));
}
