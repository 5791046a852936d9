//! Rows: good ones are in although others are bad, and each bad one is told by its line, without what stood in it.

use keyward_api::{ImportReport, RowFormat};
use keyward_core::key::SecretForm;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256, Sha512};

use super::{Import, rows};
use crate::{
    Context, ControlError,
    fixture::{Fixture, NOW, at, new_key, organization},
};

const KEY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dcX9";
const BCRYPT: &str = "$2b$04$EXRkfkdmXn2gzds2SSitu.MW9.gAVqa9eLS1//RYtYCmB1eLHg.9q";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn to(format: RowFormat, dry_run: bool) -> Import {
    Import { organization: organization("acme"), api: "main".parse().unwrap(), format, dry_run }
}

async fn import(fixture: &Fixture, text: &str) -> ImportReport {
    let csv = to(RowFormat::Csv, false);
    fixture.control().import_keys(&at(NOW), &csv, text.as_bytes()).await.unwrap()
}

fn problems(report: &ImportReport) -> Vec<(u64, &str)> {
    report.problems.iter().map(|note| (note.line, note.message.as_str())).collect()
}

#[tokio::test]
async fn keys_come_in_the_clear_and_by_every_digest() {
    let fixture = Fixture::with_organizations().await;
    let key = |number: u32| format!("{KEY}{number}");
    let sha256: [u8; 32] = Sha256::digest(key(2)).into();
    let sha512: [u8; 64] = Sha512::digest(key(3)).into();
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(key(4)))
    };
    let text = format!(
        "name,plaintext,digest,algorithm,prefix,permissions,expires_at,allowed_networks,allowed_models,environment\n\
         clear,{},,,,read;write,2030-01-01T00:00:00Z,10.0.0.0/8;203.0.113.7,a;b,staging\n\
         sha256,,{},sha256,,read,,,,\n\
         sha512,,{},sha512,sk_live_4e,read,,,,\n\
         base64,,{base64},sha256,,read,,,,\n\
         bcrypt,,{BCRYPT},bcrypt,sk_live_,read,,,,\n",
        key(1),
        hex(&sha256).to_uppercase(),
        hex(&sha512),
    );
    let report = import(&fixture, &text).await;
    assert_eq!((report.rows, report.imported, report.refused), (5, 5, 0), "{report:?}");
    assert_eq!((report.guessable, report.notes.len()), (0, 2), "{report:?}");
    let keys = fixture.control().list_keys(&at(NOW), &Default::default(), 10).await.unwrap().items;
    let hints: Vec<_> = keys.iter().map(|key| key.secrets[0].hint.as_str()).collect();
    assert_eq!(hints, ["sk_live_…cX91", "imported", "sk_live_4e…", "imported", "sk_live_…"]);
    assert_eq!(keys[0].permissions, ["read", "write"]);
    assert_eq!(keys[0].allowed_networks, ["10.0.0.0/8", "203.0.113.7/32"]);
    assert_eq!(keys[0].allowed_models, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(
        (keys[0].environment.as_str(), keys[1].environment.as_str()),
        ("staging", "production")
    );
    assert_eq!(keys[0].expires_at.as_deref(), Some("2030-01-01T00:00:00Z"));
    let id = keys[4].id.parse().unwrap();
    let record = fixture.folder.store().key(id).await.unwrap().unwrap();
    let SecretForm::Bcrypt(kept) = &record.secrets[0].form else { panic!("{record:?}") };
    let clear = BCRYPT.as_bytes();
    assert!(!kept.sealed.windows(clear.len()).any(|window| window == clear), "it is sealed");
    // Of no digest stands in the database what the other system kept.
    for (at, foreign) in [(1, sha256), (3, Sha256::digest(key(4)).into())] {
        let id = keys[at].id.parse().unwrap();
        let record = fixture.folder.store().key(id).await.unwrap().unwrap();
        assert_ne!(record.secrets[0].digest.as_bytes(), &foreign);
    }
}

#[tokio::test]
async fn json_lines_are_rows_as_well() {
    let fixture = Fixture::with_organizations().await;
    let text = format!(
        "{{\"name\":\"one\",\"plaintext\":\"{KEY}\",\"permissions\":[\"read\"]}}\n\n\
         {{\"name\":\"two\",\"plaintext\":\"{KEY}2\",\"preset\":\"Read-only\",\"allowed_models\":[]}}\n\
         {{\"name\":\"three\",\"plaintext\":7}}\n\
         {{\"name\":\"four\",\"key\":\"x\"}}\n\
         [1]\n\
         {{\"name\":\"five\""
    );
    let import = to(RowFormat::Jsonl, false);
    let report = fixture.control().import_keys(&at(NOW), &import, text.as_bytes()).await.unwrap();
    assert_eq!((report.rows, report.imported), (6, 2), "{report:?}");
    let told = problems(&report);
    for (found, (line, part)) in told.iter().zip([
        (4, "another type"),
        (5, "unknown field `key`"),
        (6, "another type"),
        (7, "no JSON object"),
    ]) {
        assert_eq!(found.0, line, "{told:?}");
        assert!(found.1.contains(part), "{told:?}");
    }
}

#[tokio::test]
async fn a_bad_row_is_told_by_its_line_and_hurts_no_other() {
    let fixture = Fixture::with_organizations().await;
    let stored = fixture.control().create_key(&at(NOW), new_key("stored")).await.unwrap();
    let digest = hex(&Sha256::digest(KEY));
    let cells = |name: &str, plaintext: &str, digest: &str, algorithm: &str, rest: &str| {
        format!("{name},{plaintext},{digest},{algorithm},{rest}\n")
    };
    let bad = [
        (cells("", &format!("{KEY}1"), "", "", ",read,,"), "`name` is missing"),
        (cells("none", "", "", "", ",read,,"), "the key is missing"),
        (cells("both", KEY, &digest, "sha256", ",read,,"), "give one of them"),
        (cells("how", "", &digest, "", ",read,,"), "write sha256, sha512 or bcrypt"),
        (cells("md5", "", &digest, "md5", ",read,,"), "write sha256, sha512 or bcrypt"),
        (cells("clear", KEY, "", "sha256", ",read,,"), "leave `algorithm` out"),
        (cells("length", "", &digest[1..], "sha256", ",read,,"), "64 hexadecimal digits"),
        (cells("other", "", &digest, "sha512", ",read,,"), "128 hexadecimal digits"),
        (cells("short", "secret", "", "", ",read,,"), "8 to 512"),
        (cells("space", "a key with spaces", "", "", ",read,,"), "not taken from requests"),
        (cells("semicolon", "a;key;with;semicolons", "", "", ",read,,"), "not taken from requests"),
        (cells("bcrypt", "", BCRYPT, "bcrypt", ",read,,"), "`prefix` is missing"),
        (cells("prefix", "", BCRYPT, "bcrypt", "sk_,read,,"), "first 4 to 32"),
        (cells("hash", "", "$2b$12$short", "bcrypt", "sk_live_,read,,"), "no bcrypt hash"),
        (cells("cost", "", &BCRYPT.replace("$04$", "$31$"), "bcrypt", "sk_live_,read,,"), "cost"),
        (cells("fly", &format!("{KEY}2"), "", "", ",fly,,"), "use some of"),
        (cells("nothing", &format!("{KEY}3"), "", "", ",,,"), "allowed nothing"),
        (cells("past", &format!("{KEY}4"), "", "", ",read,2020-01-01T00:00:00Z,"), "later moment"),
        (cells("when", &format!("{KEY}5"), "", "", ",read,soon,"), "RFC 3339"),
        (cells("whose", &format!("{KEY}6"), "", "", ",read,,eve@example.com"), "no member"),
        (cells("stored", &format!("{KEY}7"), "", "", ",read,,"), "choose another name"),
        (cells("known", stored.plaintext.expose(), "", "", ",read,,"), "another key has the same"),
        (cells("good", &format!("{KEY}8"), "", "", ",read,,"), "line 2 already"),
        (cells("twice", KEY, "", "", ",read,,"), "line 2 already"),
        (cells("digest", "", &digest, "sha256", ",read,,"), "line 2 already"),
        ("too,few\n".to_owned(), "cells"),
    ];
    let header = "name,plaintext,digest,algorithm,prefix,permissions,expires_at,owner\n";
    let mut text = header.to_owned() + &cells("good", KEY, "", "", ",read,,");
    text.extend(bad.iter().map(|(row, _)| row.as_str()));
    text += &cells("last", &format!("{KEY}9"), "", "", ",read,,");

    for dry_run in [true, false] {
        let import = to(RowFormat::Csv, dry_run);
        let report =
            fixture.control().import_keys(&at(NOW), &import, text.as_bytes()).await.unwrap();
        assert_eq!((report.imported, report.refused), (2, bad.len() as u64), "{report:?}");
        for ((line, (row, part)), (told_line, told)) in (3..).zip(&bad).zip(problems(&report)) {
            assert_eq!(told_line, line, "{row}");
            assert!(told.contains(part), "{row}: {told}");
        }
        let said = format!("{report:?}");
        assert!(!said.contains(KEY) && !said.contains(&digest[..16]), "{said}");
        let keys = fixture.control().list_keys(&at(NOW), &Default::default(), 10).await.unwrap();
        assert_eq!(keys.items.len(), if dry_run { 1 } else { 3 });
    }
    // The same file again: what stands is told, and nothing is made twice.
    let report = import(&fixture, &text).await;
    assert_eq!(report.imported, 0, "{report:?}");
}

#[tokio::test]
async fn a_file_that_says_what_is_not_known_is_refused_as_a_whole() {
    let fixture = Fixture::with_organizations().await;
    for (text, told) in [
        ("", "no column `name`"),
        ("plaintext\nx\n", "no column `name`"),
        ("name,secret\na,b\n", "`secret` that is not known"),
        ("name,name\na,b\n", "twice"),
    ] {
        let csv = to(RowFormat::Csv, false);
        let refused = fixture.control().import_keys(&at(NOW), &csv, text.as_bytes()).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, ControlError::Invalid { .. }), "{refused}");
        assert!(refused.to_string().contains(told), "{text:?}: {refused}");
    }
    let nowhere = Import { api: "none".parse().unwrap(), ..to(RowFormat::Csv, false) };
    let refused = fixture.control().import_keys(&at(NOW), &nowhere, b"name\n").await.unwrap_err();
    assert!(refused.to_string().contains("use one of main"), "{refused}");
    let nobody = Import { organization: organization("nobody"), ..to(RowFormat::Csv, false) };
    assert!(fixture.control().import_keys(&at(NOW), &nobody, b"name\n").await.is_err());
}

#[tokio::test]
async fn what_could_be_guessed_is_in_and_told_of() {
    let fixture = Fixture::with_organizations().await;
    let text = format!("name,plaintext,permissions\nweak,hunter2-hunter2,read\ngood,{KEY},read\n");
    let report = import(&fixture, &text).await;
    assert_eq!((report.imported, report.guessable), (2, 1));
    assert_eq!(report.warnings[0].line, 2);
    assert!(!format!("{report:?}").contains("hunter2"));
}

#[tokio::test]
async fn no_more_keys_are_imported_than_the_api_allows() {
    let fixture = Fixture::with_organizations().await;
    let text = format!("name,plaintext,permissions\none,{KEY}1,speak\ntwo,{KEY}2,speak\n");
    for dry_run in [true, false] {
        let staff = Import { api: "staff".parse().unwrap(), ..to(RowFormat::Csv, dry_run) };
        let report =
            fixture.control().import_keys(&at(NOW), &staff, text.as_bytes()).await.unwrap();
        assert_eq!((report.imported, report.refused), (1, 1), "{report:?}");
    }
    let visitor = Context::visitor("eve", keyward_store::Interface::ManagementApi, NOW);
    let refused = fixture.control().import_keys(&visitor, &to(RowFormat::Csv, false), b"").await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn more_rows_than_are_made_at_once_are_all_made() {
    let fixture = Fixture::with_organizations().await;
    let rows = 1500;
    let mut text = "name,plaintext,permissions\n".to_owned();
    text.extend((0..rows).map(|number| format!("key {number},{KEY}{number},read\n")));
    let before = fixture.folder.store().revision().await.unwrap();
    let dry = to(RowFormat::Csv, true);
    let report = fixture.control().import_keys(&at(NOW), &dry, text.as_bytes()).await.unwrap();
    assert_eq!((report.imported, report.refused), (rows, 0));
    assert_eq!(fixture.folder.store().revision().await.unwrap(), before);
    let report = import(&fixture, &text).await;
    assert_eq!((report.imported, report.refused), (rows, 0));
    let after = fixture.folder.store().revision().await.unwrap();
    assert_eq!(after.get(), before.get() + rows, "each is a change of its own");
}

#[tokio::test]
async fn what_would_take_far_more_room_than_it_is_long_is_refused_as_a_whole() {
    let fixture = Fixture::with_organizations().await;
    let many = |line: &str| line.repeat(400_001);
    for (format, text) in [
        (RowFormat::Csv, format!("name{}", many("\n"))),
        (RowFormat::Csv, format!("name{}", many("\r"))),
        (RowFormat::Jsonl, many("{}\n")),
    ] {
        let import = to(format, true);
        let refused = fixture.control().import_keys(&at(NOW), &import, text.as_bytes()).await;
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("more than 400000 lines"), "{told}");
    }
    let mut text = "name,plaintext,permissions,allowed_models\n".to_owned();
    for row in 0..4_000 {
        text.push_str(&format!("n{row},{KEY}{row},read,{}\n", "m;".repeat(500)));
    }
    let csv = to(RowFormat::Csv, true);
    let refused = fixture.control().import_keys(&at(NOW), &csv, text.as_bytes()).await;
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("more than 2000000 permissions"), "{told}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        for format in [RowFormat::Csv, RowFormat::Jsonl] {
            let _ = rows::read(format, &bytes).map(Iterator::count);
        }
    }

    #[test]
    fn no_rows_that_look_right_make_it_panic_either(
        cells in proptest::collection::vec("[ -~\n\"äß,;$0-9a-f]{0,80}", 0..24),
    ) {
        let header = "name,plaintext,digest,algorithm,prefix,permissions\n";
        let csv = cells.chunks(6).map(|row| row.join(",")).collect::<Vec<_>>().join("\n");
        let format = keyward_core::key::KeyFormat::new(
            "kw_",
            52,
            keyward_core::key::format::Alphabet::Base62,
            keyward_core::key::format::Checksum::Crc32,
        ).unwrap();
        let json = cells.iter().map(|cell| {
            serde_json::json!({ "name": "a", "digest": cell, "algorithm": "bcrypt", "prefix": cell }).to_string()
        }).collect::<Vec<_>>().join("\n");
        let csv = format!("{header}{csv}");
        let csv: Vec<_> = rows::read(RowFormat::Csv, csv.as_bytes()).unwrap().collect();
        let lines: Vec<u64> = csv.iter().map(|(line, _)| *line).collect();
        prop_assert!(lines.is_sorted());
        for (_, row) in csv.into_iter().chain(rows::read(RowFormat::Jsonl, json.as_bytes()).unwrap()) {
            let Ok(mut row) = row else { continue };
            for algorithm in [None, Some("sha256"), Some("sha512"), Some("bcrypt")] {
                let mut copy = rows::Row {
                    plaintext: row.plaintext.clone().filter(|_| algorithm.is_none()),
                    digest: row.digest.clone().filter(|_| algorithm.is_some()),
                    algorithm: algorithm.map(str::to_owned),
                    prefix: row.prefix.clone(),
                    ..rows::Row::default()
                };
                if let Ok(known) = super::secret::known(&mut copy) {
                    let _ = super::secret::hint(&known, copy.prefix.as_deref(), &format);
                }
            }
            let _ = super::secret::known(&mut row);
        }
    }
}
