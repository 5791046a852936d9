//! Who sends a body along with a wrong key is told so. A server that answers, and then closes or resets while the body is still
//! coming, makes the client's system throw the answer away: the caller sees a broken connection, and tries again for ever.

use std::io::Write as _;

use keyward_testkit::{Demo, Serve, Upstream, clients::Program};

use crate::{KEYWARD, api, connect};

/// A long conversation, or one with a picture in it.
const LONG: usize = 1 << 20;
/// The race between answer and body is lost now and then only.
const TIMES: usize = 20;

#[test]
fn a_client_that_writes_all_before_it_reads_gets_the_refusal() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    for _ in 0..TIMES {
        let mut connection = connect(&keyward);
        let length = LONG.to_string();
        let headers = [("Authorization", "Bearer wrong"), ("Content-Length", length.as_str())];
        connection.send_head("POST", "/write/x", &headers).unwrap();
        for block in vec![b'x'; LONG].chunks(1 << 14) {
            connection.stream().write_all(block).expect("the body is taken to its end");
        }
        assert_eq!(connection.answer().expect("the answer arrives").status(), 401);
    }
    assert_eq!(upstream.received(), b"", "and none of it reaches the upstream");
}

#[test]
fn curl_over_http_2_gets_the_refusal() {
    let demo = Demo::start(KEYWARD);
    let clients = demo.clients();
    let url = format!("https://{}/v1/chat/completions", demo.system("openai").host);
    let file = demo.folder().join("long");
    std::fs::write(&file, vec![b'x'; LONG]).unwrap();
    let long = format!("@{}", file.display());
    for body in ["{}", &long] {
        for _ in 0..TIMES {
            let answer = clients.curl(&["-H", "Authorization: Bearer wrong", "-d", body, &url]);
            assert_eq!(answer.status, 401);
            assert!(answer.body.contains("invalid_api_key"), "{}", answer.body);
        }
    }
}

#[test]
fn python_gets_the_refusal() {
    let demo = Demo::start(KEYWARD);
    let url = format!("https://{}/v1/chat/completions", demo.system("openai").host);
    let example = format!(
        "import requests\n\
         headers = {{'Authorization': 'Bearer wrong', 'Content-Type': 'application/json'}}\n\
         answers = [requests.post({url:?}, headers=headers, data=b'x' * {LONG}).status_code for _ in range({TIMES})]\n"
    );
    let epilogue = "keyward_result = answers.count(401) if 'answers' in globals() else 0";
    let program = Program { example: &example, epilogue, ..Program::default() };
    let ran = demo.clients().python(&program);
    assert_eq!((ran.error, ran.result), (None, TIMES.into()));
}
