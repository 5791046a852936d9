//! Importing and exporting keys over the API: rows instead of JSON.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::Value;
use tower::ServiceExt as _;

use super::World;

const KEY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dcX9";

impl World {
    /// Sends rows, or nothing; gives the status, the declared kind, and the body.
    async fn send_rows(
        &self,
        token: &str,
        method: &str,
        path: &str,
        kind: &str,
        rows: &str,
    ) -> (StatusCode, String, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", kind)
            .body(Body::from(rows.to_owned()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        (status, kind, String::from_utf8(bytes.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn keys_are_imported_and_exported_in_both_forms() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, bob) = world.join(&ada, &organization, "bob", "developer").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let import = format!("{keys}/import?api=main");
    let csv =
        format!("name,plaintext,permissions,owner\none,{KEY}1,read,bob@example.com\ntwo,x,read,\n");
    let jsonl =
        format!("{{\"name\":\"three\",\"plaintext\":\"{KEY}3\",\"permissions\":[\"read\"]}}");
    for (dry_run, kind, rows, imported, refused) in [
        (true, "text/csv; charset=utf-8", &csv, 1, 1),
        (false, "text/csv", &csv, 1, 1),
        (false, "application/x-ndjson", &jsonl, 1, 0),
        (false, "application/jsonl", &jsonl, 0, 1),
    ] {
        let path = format!("{import}&dry_run={dry_run}");
        let (status, _, body) = world.send_rows(&ada, "POST", &path, kind, rows).await;
        let report: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, StatusCode::OK, "{report}");
        assert_eq!((&report["imported"], &report["refused"]), (&imported.into(), &refused.into()));
        assert!(!body.contains(KEY));
    }
    // The importer's own where nobody is named, as with keys that are made.
    let export = format!("{keys}/export");
    let (status, kind, text) = world.send_rows(&bob, "GET", &export, "", "").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/csv; charset=utf-8"));
    assert_eq!(text.lines().count(), 3);
    let owners: Vec<_> = text.lines().skip(1).map(|line| line.split(',').nth(9).unwrap()).collect();
    assert!(owners.iter().all(|owner| owner.starts_with("usr_")) && owners[0] != owners[1]);
    let (_, kind, text) =
        world.send_rows(&bob, "GET", &format!("{export}?format=jsonl"), "", "").await;
    assert_eq!(kind, "application/x-ndjson");
    let names: Vec<_> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names, ["one", "three"]);
    assert!(!text.contains(KEY));
}

#[tokio::test]
async fn what_is_no_import_is_told_how_it_would_be_right() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let import = format!("/v1/organizations/{organization}/keys/import");
    let large = "x".repeat(64 * 1024 * 1024 + 1);
    let (status, kind, body) =
        world.send_rows(&ada, "POST", &format!("{import}?api=main"), "text/csv", &large).await;
    assert_eq!((status.as_u16(), kind.as_str()), (413, "application/problem+json"));
    assert!(body.contains("67108864 bytes"), "{body}");
    for (query, kind, rows, told) in [
        ("", "text/csv", "name\n", "?api="),
        ("?api=none", "text/csv", "name\n", "use one of main"),
        ("?api=main", "application/json", "{}", "text/csv"),
        ("?api=main&dry=true", "text/csv", "name\n", "dry"),
        ("?api=main", "text/csv", "name,secret\n", "is not known"),
    ] {
        let (status, kind, body) =
            world.send_rows(&ada, "POST", &format!("{import}{query}"), kind, rows).await;
        assert_eq!((status, kind.as_str()), (StatusCode::BAD_REQUEST, "application/problem+json"));
        assert!(body.contains(told), "{query}: {body}");
    }
}
