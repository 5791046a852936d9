//! What is wrong with a configuration is said when the gateway starts, and nothing runs then.

use keyward_gateway::TlsFiles;

use crate::world::{World, client::Client, message::ok, tls::Authority, upstream::Upstream};

#[tokio::test]
async fn an_address_that_is_taken_is_told_and_not_shared() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::with(upstream.address, |setup| setup.workers = 2).await;
    for workers in [1, 2] {
        let taken = world.address;
        let second = World::try_with(upstream.address, |setup| {
            setup.address = taken;
            setup.workers = workers;
        });
        let error = second.await.err().unwrap().to_string();
        assert!(
            error.contains(&taken.to_string()) && error.contains("free the address"),
            "{error}"
        );
    }
    assert_eq!(world.client().await.ask(world.get("/v1/x")).await.status(), 200);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, foreign) = (authority.write(&["a.test"]), other.write(&["a.test"]));
    let missing = "/no/such/file".into();
    let empty = tempfile::NamedTempFile::new().unwrap();
    let upstream = Upstream::answering(|_| ok("fine")).await;
    for (certificate, key, named) in [
        (&missing, &good.key, "/no/such/file"),
        (&good.certificate, &missing, "/no/such/file"),
        (&empty.path().to_owned(), &good.key, "no certificate"),
        (&good.certificate, &empty.path().to_owned(), "key"),
        (&good.certificate, &foreign.key, "do not fit together"),
    ] {
        let files = TlsFiles { certificate: certificate.clone(), key: key.clone() };
        let started =
            World::try_with(upstream.address, |setup| setup.listeners = vec![Some(files)]).await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[tokio::test]
async fn an_ipv4_client_of_an_ipv6_listener_is_an_ipv4_client() {
    let upstream =
        Upstream::answering(|request| ok(request.head.get("x-forwarded-for").unwrap())).await;
    let started =
        World::try_with(upstream.address, |setup| setup.address = "[::]:0".parse().unwrap()).await;
    let Ok(world) = started else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let key = world.mint("bearer", |key| {
        key.permissions = vec!["read".to_owned()];
        key.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let request = world.get("/v1/x").replace(world.key("bearer"), &key.plaintext);
    let port = world.address.port();
    let mut client = Client::connect(format!("127.0.0.1:{port}").parse().unwrap()).await;
    assert_eq!(client.ask(&request).await.text(), "127.0.0.1");
    let mut client = Client::connect(format!("[::1]:{port}").parse().unwrap()).await;
    assert_eq!(client.ask(&request).await.status(), 403);
}
