//! What mails say, and that nothing anybody wrote becomes a header.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use keyward_core::{
    id::{KeyId, KeyRequestId},
    key::Plaintext,
    member::{Email, Role},
};
use keyward_store::KeyTerms;

use super::{Mail, MailSender, MailSettings, MailWay, Mailer, RequestedKey, letter, text};
use crate::fixture::NOW;

const LINK: Option<&str> = Some("https://keys.example.com");

fn to() -> Email {
    "dev@example.com".parse().unwrap()
}

fn settings(folder: &std::path::Path) -> MailSettings {
    MailSettings {
        way: MailWay::Folder(folder.to_owned()),
        from: "Keyward <keyward@example.com>".parse().unwrap(),
        link: LINK.map(str::to_owned),
    }
}

fn invitation(organization: &str, by: &str) -> Mail {
    Mail::Invitation {
        to: Some((organization.to_owned(), Role::Developer)),
        by: Some(by.to_owned()),
        token: Plaintext::new("kwinv_token".to_owned()),
        expires_at: NOW,
    }
}

fn key(name: &str) -> RequestedKey {
    RequestedKey {
        request: KeyRequestId::from_bits([0; 16]),
        organization: "Acme".to_owned(),
        api: "aiaas".to_owned(),
        name: name.to_owned(),
        environment: "production".to_owned(),
        terms: KeyTerms {
            permissions: vec!["inference:write".to_owned()],
            lifetime_seconds: Some(30 * 24 * 3600),
            allowed_networks: vec![],
            allowed_models: None,
            limits: vec![],
        },
    }
}

fn requested(name: &str, reason: &str) -> Mail {
    Mail::KeyRequested {
        by: "Dev (dev@example.com)".to_owned(),
        reason: reason.to_owned(),
        key: key(name),
        decide_until: NOW,
    }
}

#[test]
fn a_request_is_told_with_all_that_is_decided_on() {
    let (subject, text) = text::of(&requested("nightly", "jobs\n-- \nApproved!"), LINK);
    assert_eq!(subject, "Key request: nightly (aiaas)");
    assert_eq!(
        text,
        "Dev (dev@example.com) asks for a key in Acme.\n\n    \
         name         nightly\n    \
         API          aiaas\n    \
         environment  production\n    \
         permissions  inference:write\n    \
         lifetime     30 days\n    \
         networks     everywhere\n    \
         models       every\n\n\
         The reason:\n\n    > jobs\n    > -- \n    > Approved!\n\n\
         Approve or deny it before 2027-01-15T08:00:00Z:\n\n    \
         https://keys.example.com/v1/key-requests/krq_00000000000000000000000000\n"
    );
}

#[test]
fn each_mail_says_what_there_is_to_do() {
    let id = KeyId::from_bits([0; 16]);
    let expires = Mail::KeyExpires {
        id,
        name: "ci".to_owned(),
        api: "main".to_owned(),
        organization: "Acme".to_owned(),
        expires_at: NOW,
    };
    let rotation = |ends| Mail::RotationDue {
        id,
        name: "ci".to_owned(),
        api: "main".to_owned(),
        organization: "Acme".to_owned(),
        at: NOW,
        ends,
    };
    let approved = Mail::KeyApproved {
        key: key("nightly"),
        note: Some("writing is enough".to_owned()),
        claim_until: NOW,
    };
    let denied = Mail::KeyDenied { key: key("nightly"), reason: "use your team's".to_owned() };
    let operator = Mail::Invitation {
        to: None,
        by: None,
        token: Plaintext::new("kwinv_token".to_owned()),
        expires_at: NOW,
    };
    for (mail, subject, said) in [
        (invitation("Acme", "Ada"), "Invitation to Acme", "Ada invites you to Acme, as developer."),
        (operator, "Invitation to run Keyward", "\n    kwinv_token\n"),
        (approved, "Key approved: nightly (aiaas)", "krq_00000000000000000000000000/claim\n"),
        (denied, "Key denied: nightly (aiaas)", "\n    > use your team's\n"),
        (expires, "Key expires: ci (main)", "until 2027-01-15T08:00:00Z"),
        (rotation(true), "Rotation due: ci (main)", "refused from then on"),
        (rotation(false), "Rotation due: ci (main)", "replaced by 2027-01-15T08:00:00Z"),
    ] {
        let (told, text) = text::of(&mail, LINK);
        assert_eq!(told, subject);
        assert!(text.contains(said), "{said} in {text}");
        assert!(text.is_ascii() || text.contains('…'), "{text}");
    }
}

/// The headers of a mail, as a server would read them.
fn headers(mail: &Mail) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let letter = letter::write(&settings(folder.path()), &to(), mail, NOW).unwrap();
    let bytes = String::from_utf8(letter.message.formatted()).unwrap();
    let (head, _) = bytes.split_once("\r\n\r\n").unwrap();
    let folded = head.replace("\r\n ", " ");
    assert!(!folded.replace("\r\n", "").contains(['\r', '\n']), "{folded:?}");
    folded.split("\r\n").map(str::to_owned).collect()
}

#[test]
fn nothing_that_anybody_wrote_becomes_a_header() {
    let names = |mail: &Mail| -> Vec<String> {
        let name = |line: &String| line.split_once(':').unwrap().0.to_owned();
        headers(mail).iter().map(name).collect()
    };
    let sound = names(&invitation("Acme", "Ada"));
    let expected = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];
    assert_eq!(sound, expected);
    for wicked in [
        "Acme\r\nBcc: eve@example.com",
        "Acme\nBcc: eve@example.com\n\nHello",
        "Acme\rBcc: eve@example.com",
        "Ac\u{0}me\u{85}Bcc: eve@example.com\u{2028}Bcc: eve@example.com",
        "=?utf-8?Q?=0ABcc:_eve@example.com?=",
        "\"<eve@example.com>\"",
    ] {
        for mail in [invitation(wicked, wicked), requested(wicked, wicked)] {
            assert_eq!(names(&mail), expected, "{wicked:?}");
            let to = headers(&mail).into_iter().find(|line| line.starts_with("To:")).unwrap();
            assert_eq!(to, "To: dev@example.com");
        }
    }
    let subject = headers(&invitation("Grüße", "Ada")).into_iter().nth(2).unwrap();
    assert!(subject.is_ascii() && subject.contains("=?utf-8?"), "{subject}");
}

#[test]
fn a_sender_is_an_address_with_or_without_a_name() {
    for text in ["keyward@example.com", "Keyward <keyward@example.com>"] {
        assert!(text.parse::<MailSender>().is_ok(), "{text}");
    }
    for text in ["", "keyward", "Keyward <keyward@example.com>\r\nBcc: a@b.c", "a@b.c, d@e.f"] {
        assert!(text.parse::<MailSender>().is_err(), "{text}");
    }
}

#[test]
fn mails_into_a_folder_are_whole_and_for_nobody_elses_eyes() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("mail");
    let mailer = Mailer::start(settings(&folder)).unwrap();
    for name in ["one", "two"] {
        mailer.send(&to(), &requested(name, "jobs"), NOW);
    }
    mailer.finish(Duration::from_secs(60));
    let mut subjects = vec![];
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(entry.path().extension().unwrap(), "eml");
        let text = std::fs::read_to_string(entry.path()).unwrap();
        assert!(text.contains("krq_00000000000000000000000000"), "{text}");
        let subject = text.lines().find(|line| line.starts_with("Subject")).unwrap();
        subjects.push(subject.to_owned());
    }
    subjects.sort();
    assert_eq!(
        subjects,
        ["Subject: Key request: one (aiaas)", "Subject: Key request: two (aiaas)"]
    );
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_place_that_is_reserved_is_there_and_the_first_too_many_is_told() {
    let outer = tempfile::tempdir().unwrap();
    let mailer = Mailer::start(settings(outer.path())).unwrap();
    let reserved: Vec<_> =
        (0..super::post::MOST_WAITING).map(|_| mailer.reserve(&to()).unwrap()).collect();
    let full = mailer.reserve(&to()).map(drop);
    assert_eq!(full, Err(crate::ControlError::MailFull));
    drop(reserved);
    assert!(mailer.reserve(&to()).is_ok());
    assert!(Mailer::none().reserve(&to()).is_ok() && !Mailer::none().delivers());
}
