//! Every mistake says where it is and what would be right; every default is what the example says.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use keyward_core::profile::Https;
use keyward_gateway::Settings;
use toml::Value;

use super::{Config, CredentialOrigin};

const EXAMPLE: &str = include_str!("../../../../keyward.example.toml");

/// An upstream and an API that anybody may reach: what most mistakes are added to.
const SOUND: &str = r#"
[[upstreams]]
name = "main"
url = "http://127.0.0.1:9000"
[[apis]]
name = "api"
profile = "generic"
https = "optional"
"#;

fn read(text: &str) -> Result<Config, String> {
    Config::read(Path::new("keyward.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = read("").unwrap();
    assert_eq!(config.gateway.settings, Settings::default());
    assert_eq!(config.gateway.workers, 0);
    assert_eq!(config.gateway.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir, Path::new("keyward-data"));
    assert!(config.apis.is_empty() && config.upstreams.is_empty());
    // Keyward's own API is always there, and at no address.
    let policy = config.policy_without_credentials().unwrap();
    let own = policy.api("keyward").unwrap();
    assert_eq!((own.profile.key_format.prefix(), policy.apis().len()), ("kwm_", 1));
    assert!(policy.find("keyward", "/").is_none() && policy.find("", "").is_none());
    assert!(policy.upstream_of(own).is_none());
}

#[test]
fn what_is_left_out_of_an_api_has_a_default() {
    let config = read(SOUND).unwrap();
    let api = &config.apis[0];
    assert_eq!((&*api.hosts[0], &*api.prefixes[0], api.upstream), ("*", "/", 0));
    assert_eq!(config.plan().unwrap().stale_after, None);
    let upstream = &config.upstreams[0].upstream;
    assert!(!upstream.preserve_host && !upstream.tls && upstream.credential.is_none());
}

#[test]
fn every_mistake_says_where_it_is_and_what_would_be_right() {
    let cases = [
        (
            "data_dirr = \"x\"",
            "keyward.toml:1: unknown field `data_dirr`, expected one of `data_dir`, `profiles_dir`, `stale_after`, `listeners`, `gateway`, `management`, `mail`, `usage`, `webhooks`, `upstreams`, `apis`; correct this line",
        ),
        (
            "[[upstreams]]\nname = \"m\"\nurl = \"http://127.0.0.1:9\"\n[[apis]]\nname = \"a\"\nprofile = \"generic\"\nhttps = \"optional\"\nlimits = [{ name = \"a\", kind = \"rate\", amount = 1 }]",
            "keyward.toml:8: the limit `a` is a rate: write `window_seconds`, 1 to 86400; what is longer is a quota; mend this limit",
        ),
        (
            "[[upstreams]]\nname = \"m\"\nurl = \"http://127.0.0.1:9\"\n[[apis]]\nname = \"a\"\nprofile = \"generic\"\nhttps = \"optional\"\nlimits = [{ name = \"a\", kind = \"concurrency\", amount = 1, apis = [\"b\"] }]",
            "keyward.toml:8: the limit `a` stands at API `a` already; leave `apis` out",
        ),
        (
            "[[upstreams]]\nname = \"m\"\nurl = \"http://127.0.0.1:9\"\n[[apis]]\nname = \"a\"\nprofile = \"generic\"\nhttps = \"optional\"\nlimits = [{ name = \"a\", kind = \"concurrency\", amount = 1, routes = [\"/v9\"] }]",
            "keyward.toml:8: API `a` has no route `/v9`; write a route's path as it stands in `keyward routes`",
        ),
        (
            "[[upstreams]]\nname = \"m\"\nurl = \"http://127.0.0.1:9\"\n[[apis]]\nname = \"a\"\nprofile = \"generic\"\nhttps = \"optional\"\nlimits = [{ name = \"a\", kind = \"concurrency\", amount = 1 },\n{ name = \"a\", kind = \"concurrency\", amount = 2 }]",
            "keyward.toml:9: two limits are called `a`: give each a name of its own; mend `limits`",
        ),
        (
            "data_dir = 7",
            "keyward.toml:1: invalid type: integer `7`, expected a string; correct this line",
        ),
        (
            "[[upstreams]]\nname = \"m\"\nurl = \"http://127.0.0.1:9\"\n[[apis]]\nname = \"keyward\"\nprofile = \"generic\"\nhttps = \"optional\"",
            "keyward.toml:5: `keyward` is the API of Keyward itself, which is there without being configured; give this API another name; management keys are made with `--api keyward` as it is",
        ),
        (
            "[management]\naddress = \"0.0.0.0:8081\"",
            "keyward.toml:2: 0.0.0.0:8081 can be reached from other machines, and the management API would speak in the clear; set `tls`, or listen at a loopback address with a proxy with TLS in front of it",
        ),
        (
            "[management]\norigins = [\"https://keys.example.com/path\"]",
            "keyward.toml:2: `https://keys.example.com/path` is no origin; write one like https://keys.example.com, without a path; http only for this machine's own addresses",
        ),
        (
            "[management]\ntrusted_proxies = [\"0.0.0.0/0\"]",
            "keyward.toml:2: `0.0.0.0/0` is everybody: anyone could then claim any address, and HTTPS; name the networks that only your own proxies are in",
        ),
        (
            "[management]\nrequests_per_minute = 0",
            "keyward.toml:2: 0 would refuse every request; write 1 or more",
        ),
        (
            "[management.deadlines]\nhead = \"1ms\"",
            "keyward.toml:2: 1ms is too short a deadline; write 100ms or more",
        ),
        (
            "[[management.openid]]\nname = \"a b\"\nissuer = \"https://a\"\nclient_id = \"a\"",
            "keyward.toml:2: `a b` is not a provider's name; write 1 to 64 lower-case letters, digits or `-`",
        ),
        (
            "[[management.openid]]\nname = \"a\"\nissuer = \"http://a.example\"\nclient_id = \"a\"",
            "keyward.toml:3: `http://a.example` is not an issuer; write its https address as the provider gives it, without query or fragment; http only for this machine",
        ),
        (
            "[[management.openid]]\nname = \"a\"\nissuer = \"https://a\"\nclient_id = \"a\"\nclient_secret = \"s3cret\"",
            "keyward.toml:5: `client_secret` does not say where the secret is; write \"env:NAME\" or \"file:PATH\"; the secret itself never stands in this file",
        ),
        (
            "[[management.openid]]\nname = \"a\"\nissuer = \"https://a\"\nclient_id = \"a\"\nnewcomers = { organization = \"org_a\", role = \"owner\", domains = [\"a.b\"] }",
            "keyward.toml:5: newcomers cannot become `owner`; write \"viewer\" or \"developer\"",
        ),
        (
            "[[management.openid]]\nname = \"a\"\nissuer = \"https://a\"\nclient_id = \"a\"\nnewcomers = { organization = \"org_a\", role = \"viewer\", domains = [] }",
            "keyward.toml:5: `domains` does not say whose newcomers may come; write the domains of their addresses, like [\"example.com\"]",
        ),
        (
            "[management]\naddress = \"here\"",
            "keyward.toml:2: `here` is no IP address with a port; write one like 127.0.0.1:8081, or \"off\"",
        ),
        ("data_dir = \"\"", "keyward.toml:1: `data_dir` is empty; name a folder"),
        (
            "profiles_dir = \"nowhere\"",
            "keyward.toml:1: there is no folder nowhere; make it and put profiles into it, or leave `profiles_dir` out",
        ),
        (
            "\nstale_after = \"soon\"",
            "keyward.toml:2: `soon` is not a duration; write a whole number and a unit, like \"250ms\", \"10s\", \"5m\", \"12h\" or \"30d\", at most 1000 years",
        ),
        (
            "stale_after = \"1s\"",
            "keyward.toml:1: 1s is too short; write 10s or more: the store is asked every 2s, and a pause of it must not refuse requests",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a\"\ncredential = { from = \"store\", header = \"Host\" }",
            "keyward.toml:4: the header `host` says how requests are read; name the header in which the upstream expects its credential",
        ),
        (
            "[[listeners]]\naddress = \"localhost:80\"",
            "keyward.toml:2: `localhost:80` is not an address to listen on; write an IP address and a port, like \"0.0.0.0:443\" or \"[::]:443\"",
        ),
        (
            "[[listeners]]\naddress = \"1.2.3.4:80\"\n[[listeners]]\naddress = \"1.2.3.4:80\"",
            "keyward.toml:4: two listeners are on 1.2.3.4:80; give each an address or a port of its own",
        ),
        (
            "listeners = []",
            "keyward.toml:1: `listeners` is empty, so nobody could reach an API; name an address, or leave `listeners` out to listen on 127.0.0.1:8080",
        ),
        (
            "[[listeners]]\naddress = \"1.2.3.4:80\"\ntls = { certificate = \"no.pem\", key = \"no.key\" }",
            "keyward.toml:3: there is no file no.pem; put the certificate chain (PEM) there, or name where it is",
        ),
        (
            "[gateway]\nworkers = 9999",
            "keyward.toml:2: 9999 workers are more than any machine has cores; write 0 for one a core",
        ),
        (
            "[gateway]\ntrusted_proxies = [\"10.0.0.0/40\"]",
            "keyward.toml:2: `10.0.0.0/40` is not a network; write it like 203.0.113.0/24, 2001:db8::/32 or a single address",
        ),
        (
            "[gateway]\ntrusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]",
            "keyward.toml:2: `0.0.0.0/0` is everybody: anyone could then claim any address, and HTTPS; name the networks that only your own proxies are in",
        ),
        (
            "[gateway]\ntrusted_proxies = [\"::/0\"]",
            "keyward.toml:2: `::/0` is everybody: anyone could then claim any address, and HTTPS; name the networks that only your own proxies are in",
        ),
        (
            "[gateway]\ntrusted_proxies = [\"::ffff:0.0.0.0/96\"]",
            "keyward.toml:2: `::ffff:0.0.0.0/96` is everybody: anyone could then claim any address, and HTTPS; name the networks that only your own proxies are in",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a\"\ncredential = { from = \"store\", header = \"X-WHO\" }\n[gateway.identity_headers]\nkey_id = \"x-who\"",
            "keyward.toml:4: the header `x-who` is an identity header: it tells the upstream who calls; name the header in which the upstream expects its credential, or rename the one of `[gateway.identity_headers]`",
        ),
        (
            "[gateway]\nupstream_ca = \"no.pem\"",
            "keyward.toml:2: there is no file no.pem; put the certificates (PEM) there, or name where it is",
        ),
        (
            "[gateway.limits]\nhead_bytes = \"32 kb\"",
            "keyward.toml:2: \"32 kb\" is not a size; write a number of bytes, or one with a unit, like \"32 KiB\", \"10 MiB\" or \"1 GiB\"",
        ),
        (
            "[gateway.limits]\nhead_bytes = 10",
            "keyward.toml:2: a request head of 10 bytes is no sound bound; write 1 KiB to 1 MiB",
        ),
        (
            "[gateway.limits]\nuri_bytes = \"1 MiB\"",
            "keyward.toml:2: 1048576 bytes of a request target never fit in a head of 32768; lower `uri_bytes` or raise `head_bytes`",
        ),
        (
            "[gateway.limits]\nconnections = 0",
            "keyward.toml:2: 0 would refuse every request; write 1 or more, or leave it out for the default",
        ),
        (
            "[gateway.deadlines]\nhead = \"1ms\"",
            "keyward.toml:2: 1ms is too short a deadline; write 100ms or more",
        ),
        (
            "[gateway.identity_headers]\nkey_id = \"X_Key\"",
            "keyward.toml:2: `X_Key` is not a header's name; use letters, digits and `-`",
        ),
        (
            "[gateway.identity_headers]\nkey_id = \"Host\"",
            "keyward.toml:2: the header `Host` means something else; choose a name that nothing uses, like X-Keyward-Key-Id",
        ),
        (
            "[gateway.identity_headers]\nkey_id = \"x-a\"\npermissions = \"X-A\"",
            "keyward.toml:3: two identity headers are called `x-a`; give each a name of its own",
        ),
        (
            "[[upstreams]]\nname = \"a b\"\nurl = \"http://a\"",
            "keyward.toml:2: `a b` is not an upstream's name; write 1 to 64 letters, digits, `_`, `-` or `.`",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"http://a\"\n[[upstreams]]\nname = \"a\"\nurl = \"http://b\"",
            "keyward.toml:5: two upstreams are called `a`; give each a name of its own",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"ftp://a\"",
            "keyward.toml:3: the url is neither http nor https; write it like \"https://api.example.com\" or \"http://10.0.0.7:8000/base\"",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://user:word@a\"",
            "keyward.toml:3: the url holds a credential, which would stand in this file and in logs; remove it and say with `credential` where it comes from",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a/?x=1\"",
            "keyward.toml:3: the url has a query; remove everything from `?` on",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a/#x\"",
            "keyward.toml:3: the url has a fragment; remove everything from `#` on",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a:99999\"",
            "keyward.toml:3: the url's port is no number from 1 to 65535; write it like \"https://api.example.com\" or \"http://10.0.0.7:8000/base\"",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a b\"",
            "keyward.toml:3: this is not a url; write it like \"https://api.example.com\" or \"http://10.0.0.7:8000/base\"",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a/../b\"",
            "keyward.toml:3: in the url: The path has a dot segment (`.` or `..`); send the path that is meant",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a\"\ncredential = { from = \"sk-secret\" }",
            "keyward.toml:4: `from` does not say where the credential is; write \"store\", \"env:NAME\" or \"file:PATH\"; the credential itself never stands in this file",
        ),
        (
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a\"\ncredential = { from = \"store\", header = \"a b\" }",
            "keyward.toml:4: `a b` is not a header's name; use letters, digits and `-`",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(read(text).expect_err(text), message, "{text}");
    }
}

#[test]
fn every_mistake_in_an_api_says_where_it_is_and_what_would_be_right() {
    let profiles = crate::profiles::Profiles::built_in();
    let others = profiles.names().collect::<Vec<_>>().join(", ");
    let profile = format!("keyward.toml:11: there is no profile `gone`; use one of {others}");
    // Each stands behind `SOUND`, which ends in line 8.
    let cases = [
        (
            "[[apis]]\nname = \"a/b\"",
            "keyward.toml:10: `a/b` is not an API's name; write 1 to 64 letters, digits, `_`, `-` or `.`",
        ),
        ("[[apis]]\nname = \"b\"\nprofile = \"gone\"", &profile),
        (
            "[[apis]]\nname = \"b\"\nupstream = \"gone\"\nprofile = \"generic\"\nhttps = \"optional\"",
            "keyward.toml:11: there is no upstream `gone`; use one of main",
        ),
        (
            "[[apis]]\nname = \"b\"\nhttps = \"maybe\"",
            "keyward.toml:11: unknown variant `maybe`, expected `required` or `optional`; correct this line",
        ),
        (
            "[[apis]]\nname = \"b\"\nhttps = \"optional\"",
            "keyward.toml:10: API `b` has no route, so every request would be refused; add one with [[apis.routes]], or use a profile that brings its own; `default` has none",
        ),
        (
            "[[apis]]\nname = \"b\"\nprofile = \"generic\"",
            "keyward.toml:10: API `b` demands HTTPS, and no listener speaks it: every request would be refused; give a listener `tls`, or name the proxy that speaks HTTPS for it in `gateway.trusted_proxies`, or write `https = \"optional\"` for this API",
        ),
        (
            "hosts = []",
            "keyward.toml:6: `hosts` is empty, so nothing reaches the API; name a host, or leave `hosts` out for any",
        ),
        (
            "hosts = [\"https://a.test\"]",
            "keyward.toml:9: `https://a.test` is an address, not a host; write the host alone: schemes are for `listeners` and `https`",
        ),
        (
            "hosts = [\"a.test:80\"]",
            "keyward.toml:9: `a.test:80` has a port; write the host alone: requests are matched by it whatever port they came to",
        ),
        (
            "hosts = [\"a.test/v1\"]",
            "keyward.toml:9: `a.test/v1` has a path; write the host alone: paths are for `prefixes`",
        ),
        (
            "hosts = [\"a..test\"]",
            "keyward.toml:9: `a..test` is not a host; write it like \"api.example.com\", \"*.example.com\" for the names below it, or \"*\" for any",
        ),
        (
            "hosts = [\"a.test\", \"A.TEST\"]",
            "keyward.toml:9: host `a.test` stands twice; keep one",
        ),
        (
            "prefixes = []",
            "keyward.toml:6: `prefixes` is empty, so nothing reaches the API; name a path, or leave `prefixes` out for all",
        ),
        (
            "prefixes = [\"v1\"]",
            "keyward.toml:9: prefix `v1` does not begin with `/`; write \"/v1\"",
        ),
        (
            "prefixes = [\"/a//b\"]",
            "keyward.toml:9: prefix `/a//b`: The path has an empty segment (`//`); send each slash once",
        ),
        (
            "[[apis.routes]]\nmethods = [\"get\"]\npath = \"/x\"",
            "keyward.toml:9: `get` is not a method; use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
        ),
        (
            "[[apis.routes]]\nmethods = [\"GET\"]\npath = \"/x\"\npermission = \"fly\"",
            "keyward.toml:9: there is no permission `fly`; use one of read, write, admin, webhook",
        ),
        (
            "[[apis]]\nname = \"api\"\nprofile = \"generic\"\nhttps = \"optional\"\nhosts = [\"b.test\"]",
            "keyward.toml:10: two APIs are called `api`; give each a name of its own",
        ),
        (
            "[[apis]]\nname = \"b\"\nprofile = \"generic\"\nhttps = \"optional\"",
            "keyward.toml:10: APIs `api` and `b` are both at */; change a host or a prefix of one",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(read(&format!("{SOUND}{text}")).expect_err(text), message, "{text}");
    }
    let nameless = "[[apis]]\nname = \"api\"\nprofile = \"generic\"\nhttps = \"optional\"\n";
    assert_eq!(
        read(nameless).unwrap_err(),
        "keyward.toml:2: API `api` does not say which upstream it is forwarded to; name it with `upstream`; add one with [[upstreams]]"
    );
}

#[test]
fn every_mistake_about_mail_says_where_it_is_and_what_would_be_right() {
    const SERVER: &str = "write it like \"smtps://user@mail.example.com:465\" or \"smtp://user@mail.example.com:587\"";
    let server = |problem: &str| format!("keyward.toml:2: {problem}; {SERVER}");
    let password = "remove it and say with `password` where it is";
    let cases = [
        ("server = \"mail.example.com\"", server("the mail server is neither smtp nor smtps")),
        ("server = \"smtp://\"", server("this is not the address of a mail server")),
        ("server = \"smtp://a b\"", server("this is not the address of a mail server")),
        ("server = \"smtp://a/inbox\"", server("this is not the address of a mail server")),
        ("server = \"smtp://a:99999\"", server("the port is no number from 1 to 65535")),
        ("server = \"smtp://[::1]:99999\"", server("the port is no number from 1 to 65535")),
        (
            "server = \"smtp://user:hush@a\"",
            format!("keyward.toml:2: the mail server's address holds a password, which would stand in this file; {password}"),
        ),
        (
            "server = \"smtp://user@a\"",
            "keyward.toml:2: the mail server has a user and no password; say with `password` where it is, or remove the user".to_owned(),
        ),
        (
            "server = \"smtp://a\"\npassword = \"env:X\"",
            "keyward.toml:3: the mail server has a password and no user; name the user in `server`, like \"smtps://user@host:465\"".to_owned(),
        ),
        (
            "server = \"smtp://u@a\"\npassword = \"hush\"",
            "keyward.toml:3: `password` does not say where the password is; write \"env:NAME\" or \"file:PATH\"; the password itself never stands in this file".to_owned(),
        ),
        (
            "folder = \"mail\"",
            "keyward.toml:2: mails have no sender; say with `from` whom they are from, like keyward@example.com".to_owned(),
        ),
        (
            "folder = \"mail\"\nfrom = \"keyward\"",
            "keyward.toml:3: `keyward` is no sender; write it like keyward@example.com or \"Keyward <keyward@example.com>\"".to_owned(),
        ),
        (
            "folder = \"mail\"\nserver = \"smtp://a\"",
            "keyward.toml:2: mails cannot go to a server and into a folder; remove `server` or `folder`".to_owned(),
        ),
        ("folder = \"\"", "keyward.toml:2: `folder` is empty; name a folder".to_owned()),
        (
            "link = \"keys.example.com\"",
            "keyward.toml:2: `link` is no address that people could open; write one like \"https://keys.example.com\", or \"off\"".to_owned(),
        ),
    ];
    for (text, message) in cases {
        assert_eq!(read(&format!("[mail]\n{text}")).expect_err(text), message, "{text}");
    }
}

#[test]
fn people_are_reminded_of_their_keys_unless_that_is_turned_off() {
    for (setting, reminded) in
        [("", true), ("reminders = true", true), ("reminders = false", false)]
    {
        let text = format!("[mail]\nfolder = \"mail\"\nfrom = \"a@b.c\"\n{setting}");
        assert_eq!(read(&text).unwrap().mail.unwrap().reminders(), reminded, "{setting}");
    }
    assert!(read("[mail]\nreminders = true").unwrap().mail.is_none(), "there is no mail");
}

#[test]
fn a_mail_server_is_spoken_to_in_secret_unless_it_is_here() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("password"), "hush\n").unwrap();
    let settings = |server: &str| {
        let login = if server.contains('@') { "password = \"file:password\"" } else { "" };
        let text = format!(
            "[mail]\nserver = \"{server}\"\nfrom = \"a@b.c\"\nlink = \"https://k.test/\"\n{login}"
        );
        let config = Config::read(&folder.path().join("keyward.toml"), &text).unwrap();
        config.mail.unwrap().fetch().unwrap()
    };
    use keyward_control::mail::{
        MailSecurity::{Clear, StartTls, Tls},
        MailWay,
    };
    for (text, host, port, security, user) in [
        ("smtps://mail.test", "mail.test", 465, Tls, None),
        ("smtps://127.0.0.1:1", "127.0.0.1", 1, Tls, None),
        ("smtp://ops@mail.test", "mail.test", 587, StartTls, Some("ops")),
        ("smtp://ops%40mail.test@mail.test:25", "mail.test", 25, StartTls, Some("ops@mail.test")),
        ("smtp://ops@mail.test@10.0.0.1:25", "10.0.0.1", 25, StartTls, Some("ops@mail.test")),
        ("smtp://localhost:25", "localhost", 25, Clear, None),
        ("smtp://127.0.0.2:25", "127.0.0.2", 25, Clear, None),
        ("smtp://[::1]:25", "::1", 25, Clear, None),
        ("smtp://[2001:db8::1]", "2001:db8::1", 587, StartTls, None),
    ] {
        let settings = settings(text);
        assert_eq!(settings.link.as_deref(), Some("https://k.test"));
        let MailWay::Server(server) = settings.way else { panic!("{text}") };
        assert_eq!((&*server.host, server.port, server.security), (host, port, security), "{text}");
        let login = server.login.as_ref().map(|(user, password)| (&**user, password.expose()));
        assert_eq!(login, user.map(|user| (user, "hush")), "{text}");
    }
    let text = "[mail]\nserver = \"smtp://u@a\"\nfrom = \"a@b.c\"\npassword = \"env:KEYWARD_TEST_NOBODY_SETS_THIS\"";
    let unset = read(text).unwrap().mail.unwrap().fetch().map(drop).unwrap_err().to_string();
    assert_eq!(
        unset,
        "mail: the environment variable `KEYWARD_TEST_NOBODY_SETS_THIS` is not set; put the password of the mail server's user there"
    );
    let here = "[mail]\nfolder = \"mail\"\nfrom = \"a@b.c\"";
    let config = Config::read(Path::new("/etc/keyward/keyward.toml"), here).unwrap();
    let MailWay::Folder(path) = config.mail.unwrap().fetch().unwrap().way else { panic!() };
    assert_eq!(path, Path::new("/etc/keyward/mail"));
}

#[test]
fn https_may_be_spoken_by_a_proxy_in_front() {
    let demands = SOUND.replace("https = \"optional\"\n", "");
    assert!(read(&demands).is_err());
    let proxied = format!("[gateway]\ntrusted_proxies = [\"10.0.0.0/8\"]\n{demands}");
    assert_eq!(read(&proxied).unwrap().apis[0].https, Https::Required);
}

#[test]
fn a_route_of_the_configuration_takes_the_place_of_the_profile_s() {
    let route =
        "[[apis.routes]]\nmethods = [\"POST\"]\npath = \"/v1/generate\"\npermission = \"admin\"\n";
    let config = read(&format!("{SOUND}{route}")).unwrap();
    let method = Some(keyward_core::route::Method::Post);
    let found = config.apis[0].routes.find(method, "/v1/generate");
    let keyward_core::route::RouteMatch::Found(route) = found else { panic!("{found:?}") };
    assert_eq!(&*route.requires_name, "admin");
}

#[test]
fn an_api_has_the_limits_that_the_example_shows() {
    let shown = EXAMPLE.lines().find_map(|line| line.strip_prefix("# limits = ")).unwrap();
    let config = read(&format!("{SOUND}limits = {shown}\n")).unwrap();
    let names: Vec<&str> = config.apis[0].limits.iter().map(|limit| limit.name.as_str()).collect();
    assert_eq!(names, ["requests", "at-once-of-a-key"]);
    assert!(read(SOUND).unwrap().apis[0].limits.is_empty());
}

#[test]
fn paths_are_relative_to_the_file_and_credentials_are_fetched_late() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("conf/keyward.toml");
    fs::create_dir(folder.path().join("conf")).unwrap();
    let text = |from: &str| {
        format!(
            "data_dir = \"../data\"\n{}credential = {{ header = \"X-Up\", prefix = \"v \", from = \"{from}\" }}\n",
            "[[upstreams]]\nname = \"a\"\nurl = \"https://a/base/\"\n"
        )
    };
    let config = Config::read(&file, &text("file:secret")).unwrap();
    assert_eq!(config.data_dir, folder.path().join("conf/../data"));
    let (_, origin) = config.upstreams[0].credential.clone().unwrap();
    assert_eq!(origin, CredentialOrigin::File(folder.path().join("conf/secret")));
    let missing = config.plan().unwrap_err().to_string();
    assert!(missing.starts_with("upstream `a`: ") && missing.contains("conf/secret"), "{missing}");

    fs::write(folder.path().join("conf/secret"), "hush\n").unwrap();
    let plan = config.plan().unwrap();
    let credential = plan.upstreams[0].credential.as_ref().unwrap();
    assert_eq!((&*credential.header, credential.value.expose()), ("x-up", "v hush"));
    assert_eq!((&*plan.upstreams[0].base_path, plan.upstreams[0].port), ("/base", 443));

    let unset = Config::read(&file, &text("env:KEYWARD_TEST_NOBODY_SETS_THIS")).unwrap();
    assert_eq!(
        unset.plan().unwrap_err().to_string(),
        "upstream `a`: the environment variable `KEYWARD_TEST_NOBODY_SETS_THIS` is not set; set it to the credential \
         that the upstream is called with"
    );
}

#[test]
fn what_cannot_change_while_it_runs_stays_and_is_named() {
    let before = read(SOUND).unwrap();
    let text = format!(
        "data_dir = \"other\"\nstale_after = \"1m\"\n[[listeners]]\naddress = \"127.0.0.1:1\"\n\
         [mail]\nfolder = \"mail\"\nfrom = \"a@b.c\"\n{SOUND}"
    );
    let (after, changed) = read(&text).unwrap().with_fixed_of(&before);
    assert_eq!(changed, ["data_dir", "listeners", "mail"]);
    assert_eq!(after.mail, before.mail);
    assert_eq!(after.data_dir, before.data_dir);
    assert_eq!(after.gateway.listeners, before.gateway.listeners);
    assert_eq!(after.plan().unwrap().stale_after, Some(Duration::from_secs(60)));
}

#[test]
fn usage_is_kept_at_least_as_long_where_it_is_told_less_finely() {
    for (settings, wrong) in [
        ("keep_minutes = \"10m\"", "10m is too short; write 1h or more"),
        ("keep_days = \"1h\"", "1h is too short; write 24h or more"),
        (
            "keep_hours = \"1d\"",
            "1d is shorter than what is told more finely is kept; keep hours as long as minutes, and days as long as hours, or longer",
        ),
        ("currency = \"$\"", "`$` is no currency; write a code like \"USD\" or \"EUR\""),
    ] {
        let error = read(&format!("[usage]\n{settings}")).unwrap_err();
        assert_eq!(error, format!("keyward.toml:2: {wrong}"));
    }
    let usage = read("[usage]\nkeep_minutes = \"2000d\"").unwrap().usage;
    assert_eq!((usage.keep.hours, usage.keep.days), (usage.keep.minutes, usage.keep.minutes));
}

#[test]
fn the_example_says_the_defaults() {
    let config = read(EXAMPLE).unwrap();
    let default = read("").unwrap();
    assert_eq!(config.gateway.settings, default.gateway.settings);
    assert_eq!(config.gateway.workers, default.gateway.workers);
    assert_eq!(config.gateway.listeners, default.gateway.listeners);
    assert_eq!(config.data_dir, default.data_dir);
    assert!(config.mail.is_none() && default.mail.is_none());
    assert_eq!(config.usage, default.usage);
    assert_eq!(config.plan_without_credentials().stale_after, None);
    assert_eq!(
        config.profiles.names().collect::<Vec<_>>(),
        default.profiles.names().collect::<Vec<_>>()
    );

    let bare = read(
        "[[upstreams]]\nname = \"models\"\nurl = \"http://127.0.0.1:9000\"\ncredential = { from = \"store\" }\n\
         [[apis]]\nname = \"example\"\nhttps = \"optional\"\n\
         routes = [{ methods = [\"GET\"], path = \"/x\" }]",
    )
    .unwrap();
    assert_eq!(config.upstreams[0].credential, bare.upstreams[0].credential);
    assert_eq!(
        config.upstreams[0].upstream.preserve_host,
        bare.upstreams[0].upstream.preserve_host
    );
    let (api, bare) = (&config.apis[0], &bare.apis[0]);
    assert_eq!((&api.hosts, &api.prefixes), (&bare.hosts, &bare.prefixes));
    assert_eq!(api.profile.name, bare.profile.name);
}

/// The settings of a table, as the message for an unknown one lists them.
fn settings_of(table: &str, unknown: &str) -> BTreeSet<String> {
    let error = read(&format!("{table}\n{unknown}")).unwrap_err();
    assert!(error.contains("unknown field `zzz`"), "{error}");
    let (_, listed) = error.split_once("expected ").unwrap();
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn at<'v>(table: &'v Value, path: &str) -> &'v Value {
    path.split('.').filter(|name| !name.is_empty()).fold(table, |value, name| {
        let value = &value[name];
        value.as_array().and_then(|items| items.first()).unwrap_or(value)
    })
}

#[test]
fn no_setting_is_missing_from_the_example_and_each_is_explained() {
    // A line like `# name = …` is a setting without a default.
    let is_setting = |line: &str| {
        let name = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = "));
        name.is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let lines: Vec<&str> =
        EXAMPLE.lines().map(|line| if is_setting(line) { &line[2..] } else { line }).collect();
    let whole: Value = toml::from_str(&lines.join("\n")).unwrap();

    let upstream = "[[upstreams]]\nname = \"a\"\nurl = \"http://a\"";
    let api = "[[apis]]\nname = \"a\"";
    let route = "[[apis.routes]]\nmethods = [\"GET\"]\npath = \"/x\"";
    let openid = "[[management.openid]]\nname = \"a\"\nissuer = \"https://a\"\nclient_id = \"a\"";
    let newcomers = "newcomers = { zzz = 1 }";
    let tables: [(&str, &str, &str); 19] = [
        ("", "", "zzz = 1"),
        ("listeners", "[[listeners]]\naddress = \"1.2.3.4:5\"", "zzz = 1"),
        ("listeners.tls", "[[listeners]]\naddress = \"1.2.3.4:5\"", "tls = { zzz = 1 }"),
        ("gateway", "[gateway]", "zzz = 1"),
        ("gateway.limits", "[gateway.limits]", "zzz = 1"),
        ("gateway.deadlines", "[gateway.deadlines]", "zzz = 1"),
        ("gateway.identity_headers", "[gateway.identity_headers]", "zzz = 1"),
        ("mail", "[mail]", "zzz = 1"),
        ("usage", "[usage]", "zzz = 1"),
        ("management", "[management]", "zzz = 1"),
        ("management.tls", "[management]", "tls = { zzz = 1 }"),
        ("management.limits", "[management.limits]", "zzz = 1"),
        ("management.deadlines", "[management.deadlines]", "zzz = 1"),
        ("management.openid", openid, "zzz = 1"),
        ("management.openid.newcomers", openid, newcomers),
        ("upstreams", upstream, "zzz = 1"),
        ("upstreams.credential", upstream, "credential = { zzz = 1 }"),
        ("apis", api, "zzz = 1"),
        ("apis.routes", &format!("{api}\n{route}"), "zzz = 1"),
    ];
    let mut all = BTreeSet::new();
    for (path, table, unknown) in tables {
        let known = settings_of(table, unknown);
        let shown = at(&whole, path).as_table().unwrap_or_else(|| panic!("no table `{path}`"));
        let shown: BTreeSet<String> = shown.keys().cloned().collect();
        assert_eq!(shown, known, "in `{path}`");
        all.extend(known);
    }
    for binding in settings_of(&format!("{api}\n{route}"), "bindings = [{ zzz = 1 }]") {
        assert!(
            EXAMPLE.contains(&format!("`{binding}`")) || EXAMPLE.contains(&format!("{binding} = "))
        );
    }

    for (before, line) in lines.iter().zip(&lines[1..]) {
        let is_table = line.starts_with('[');
        let is_setting = line.split_once(" = ").is_some_and(|(name, _)| all.contains(name));
        if is_setting || is_table && !line.starts_with("[gateway]") {
            let explained = before.starts_with("# ") && before.ends_with('.');
            assert!(explained, "nothing explains `{line}`");
        }
    }
}

#[test]
fn an_upstream_whose_credential_is_not_there_is_marked_as_lacking_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "s3cret").unwrap();
    let missing = |credential: &str, kept: &[(&str, &str)]| {
        let text = format!("[[upstreams]]\nname = \"up\"\nurl = \"http://a\"\n{credential}\n");
        let config = Config::read(&folder.path().join("keyward.toml"), &text).unwrap();
        let kept = kept.iter().map(|(name, secret)| {
            ((*name).to_owned(), keyward_core::key::Plaintext::new((*secret).to_owned()))
        });
        let plan = config.plan().unwrap();
        let policy = plan.policy(&kept.collect()).unwrap();
        let upstream = &policy.upstreams()[0];
        assert!(upstream.credential.is_none() || !upstream.credential_missing);
        upstream.credential_missing
    };
    let stored = "credential = { from = \"store\" }";
    assert!(missing(stored, &[]));
    assert!(missing(stored, &[("other", "s")]));
    assert!(!missing(stored, &[("up", "s")]));
    assert!(!missing("credential = { from = \"file:secret\" }", &[]));
    assert!(!missing("", &[]), "one that wants none lacks none");
}
