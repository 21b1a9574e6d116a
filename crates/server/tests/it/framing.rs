//! Requests that two servers could read differently: one answer at most, and the connection ends
//! (security H-1).

use tokio::io::AsyncWriteExt as _;

use crate::harness::TestServer;
use crate::wire::{Wire, exchange};

/// What would be a second request if the first were read otherwise than here.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: hidden\r\n\r\n";

/// Adds an object: 200 if the request is taken, and its body read.
fn add(server: &TestServer, headers: &str, body: &str) -> String {
    let (app, key) = (&server.app.id.0, &server.app.keys["JS"]);
    format!(
        "PUT /{app}/{key}/data/Note HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         {headers}\r\n{body}"
    )
}

#[tokio::test]
async fn h_01_a_body_whose_end_is_in_doubt_is_refused_and_hides_no_second_request() {
    let server = TestServer::compat().await;
    let chunked = "Transfer-Encoding: chunked\r\n";
    let empty = "0\r\n\r\n";
    // Headers, body, status of the one answer.
    let table = [
        ("Content-Length: 2\r\n", "{}", 200),
        (chunked, "2\r\n{}\r\n0\r\n\r\n", 200),
        ("Transfer-Encoding: CHUNKED\r\n", "2\r\n{}\r\n0\r\n\r\n", 200),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", "{}", 200), // RFC 9110, 8.6 allows it
        // Both lengths: hyper takes the chunks and hangs up, as RFC 9112, 6.3 allows.
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", empty, 200),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", empty, 200),
        ("Transfer-Encoding: chunked\r\nContent-Length: many\r\n", empty, 200),
        ("Content-Length: 2\r\nContent-Length: 3\r\n", "{}", 400),
        ("Content-Length: 2, 2\r\n", "{}", 400),
        ("Content-Length: 2,3\r\n", "{}", 400),
        ("Content-Length: +2\r\n", "{}", 400),
        ("Content-Length: -2\r\n", "{}", 400),
        ("Content-Length: 0x2\r\n", "{}", 400),
        ("Content-Length: 2.0\r\n", "{}", 400),
        ("Content-Length: 2 2\r\n", "{}", 400),
        ("Content-Length: \r\n", "{}", 400),
        ("Content-Length: two\r\n", "{}", 400),
        ("Content-Length: 18446744073709551618\r\n", "{}", 400),
        ("Content-Length : 2\r\n", "{}", 400),
        (" Content-Length: 2\r\n", "{}", 400),
        ("Content-Length\r\n", "{}", 400),
        ("Content-Length\0: 2\r\n", "{}", 400),
        ("Content-Length: 2\0\r\n", "{}", 400),
        ("Transfer-Encoding: gzip\r\n", empty, 400),
        ("Transfer-Encoding: gzip, chunked\r\n", empty, 400),
        ("Transfer-Encoding: chunked, gzip\r\n", empty, 400),
        ("Transfer-Encoding: chunked, chunked\r\n", empty, 400),
        ("Transfer-Encoding: chunked, identity\r\n", empty, 400),
        ("Transfer-Encoding: identity\r\n", empty, 400),
        ("Transfer-Encoding: xchunked\r\n", empty, 400),
        ("Transfer-Encoding: \"chunked\"\r\n", empty, 400),
        ("Transfer-Encoding: chunked;q=1\r\n", empty, 400),
        ("Transfer-Encoding:\x0bchunked\r\n", empty, 400),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", empty, 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", empty, 400),
        ("Transfer-Encoding : chunked\r\n", empty, 400),
        (" Transfer-Encoding: chunked\r\n", empty, 400),
        ("X: 1\r\n Transfer-Encoding: chunked\r\n", empty, 400), // folded
        ("X: 1\r\n\tfolded\r\n", "", 400),
        ("X: 1\rY: 2\r\n", "", 400), // a bare CR
        ("X: 1\r\r\nContent-Length: 2\r\n", "{}", 400),
        ("X Y: 1\r\n", "", 400),
        (": 1\r\n", "", 400),
        ("\u{e4}: 1\r\n", "", 400),
        // Chunks that are none.
        (chunked, "zz\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "-2\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "0x2\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, " 2\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "2\r\n{}0\r\n\r\n", 400),
        (chunked, "2\r\n{}\n0\r\n\r\n", 400),
        (chunked, "2\r{}\r\n0\r\n\r\n", 400),
        (chunked, "2\n{}\r\n0\r\n\r\n", 400),
        (chunked, "2;a\nb\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "10000000000000002\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "\r\n{}\r\n0\r\n\r\n", 400),
        (chunked, "2;name=value\r\n{}\r\n0\r\n\r\n", 200), // an extension, ignored
        (chunked, "2\r\n{}\r\n0\r\nHost: y\r\nTransfer-Encoding: x\r\n\r\n", 200), // trailers, too
    ];
    let mut odd = Vec::new();
    for (headers, body, status) in table {
        let request = add(&server, headers, body) + HIDDEN;
        let answers = exchange(server.address, &request).await;
        let statuses: Vec<u16> = answers.iter().map(|it| it.status).collect();
        if statuses != [status] {
            odd.push(format!("{headers:?} {body:?}: {answers:?}"));
        }
    }
    assert_eq!(odd, [""; 0]);

    let mut wire = Wire::open(server.address).await;
    wire.say(add(&server, "Content-Length: 9\r\n", "{}")).await;
    wire.stream.shutdown().await.unwrap();
    let answers = wire.hear_out().await;
    assert!(answers.iter().all(|it| it.status == 400), "cut off: {answers:?}");
}

#[tokio::test]
async fn h_01_a_head_that_is_not_http_is_refused() {
    let server = TestServer::start().await;
    let head = |line: &str, headers: &str| format!("{line}\r\n{headers}\r\n");
    let plain = "Host: x\r\nConnection: close\r\n";
    let many = "x: 1\r\n".repeat(99);
    let table = [
        (head("GET /healthz HTTP/1.1", plain), 200),
        (head("GET /healthz HTTP/1.0", "Host: x\r\n"), 200),
        (head("GET /healthz HTTP/1.0", ""), 200),
        (head("GET http://x/healthz HTTP/1.1", plain), 200),
        (head("GET http://X/healthz HTTP/1.1", plain), 200),
        (head("GET /healthz HTTP/1.1", &format!("Host:\r\n{}", "Connection: close\r\n")), 200),
        (format!("\r\n{}", head("GET /healthz HTTP/1.1", plain)), 200),
        // hyper takes a bare LF for the end of a line, as RFC 9112, 2.2 allows; no proxy that
        // passes it on sees another request in it.
        ("GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n".to_owned(), 200),
        // Hosts.
        (head("GET /healthz HTTP/1.1", "Connection: close\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: x\r\nHost: x\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: x\r\nHost: y\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: x, y\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: x y\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: x/y\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: y@x\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: x?y\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: \u{e4}\r\n"), 400),
        (head("GET /healthz HTTP/1.1", "Host: x\r\n y\r\n"), 400),
        (head("GET http://y/healthz HTTP/1.1", plain), 400),
        (head("GET http://x@y/healthz HTTP/1.1", "Host: y\r\n"), 400),
        // Lines.
        (head("GET /healthz", plain), 400),
        (head("GET /healthz HTTP/0.9", plain), 400),
        (head("GET /healthz HTTP/2.0", plain), 400),
        (head("GET /healthz HTTP/11", plain), 400),
        (head("GET /healthz http/1.1", plain), 400),
        (head("GET /healthz HTTP/1.1 x", plain), 400),
        (head("GET  /healthz HTTP/1.1", plain), 400),
        (head("GET /healthz  HTTP/1.1", plain), 400),
        (head("GET\t/healthz HTTP/1.1", plain), 400),
        (head(" GET /healthz HTTP/1.1", plain), 400),
        (head("/healthz HTTP/1.1", plain), 400),
        (head("G@T /healthz HTTP/1.1", plain), 400),
        (head("GET /a b HTTP/1.1", plain), 400),
        (head("GET healthz HTTP/1.1", plain), 400),
        ("GET /healthz\r\n".to_owned(), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03 a hello of TLS\r\n\r\n".to_owned(), 400),
        // Sizes.
        (head(&format!("GET /healthz?{} HTTP/1.1", "a".repeat(16_000)), plain), 200),
        (head(&format!("GET /healthz?{} HTTP/1.1", "a".repeat(16 << 10)), plain), 414),
        (head(&format!("GET /healthz?{} HTTP/1.1", "a".repeat(65 << 10)), plain), 431),
        (head("GET /healthz HTTP/1.1", &format!("{plain}{}", "x: 1\r\n".repeat(98))), 200),
        (head("GET /healthz HTTP/1.1", &format!("{plain}{many}")), 431),
        (head("GET /healthz HTTP/1.1", &format!("{plain}x: {}\r\n", "a".repeat(60_000))), 200),
        (head("GET /healthz HTTP/1.1", &format!("{plain}x: {}\r\n", "a".repeat(65 << 10))), 431),
    ];
    let mut odd = Vec::new();
    for (request, status) in table {
        let answers = exchange(server.address, format!("{request}{HIDDEN}")).await;
        let statuses: Vec<u16> = answers.iter().map(|it| it.status).collect();
        let shown = &request[..request.len().min(100)];
        if statuses != [status] {
            odd.push(format!("{shown:?}: {answers:?}"));
        }
    }
    assert_eq!(odd, [""; 0]);
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert!(exchange(server.address, preface).await.is_empty(), "HTTP/2 is not spoken");
}

#[tokio::test]
async fn requests_that_follow_one_another_are_answered_one_by_one() {
    let server = TestServer::start().await;
    let mut wire = Wire::open(server.address).await;
    let last = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    wire.say(format!("{HIDDEN}{HIDDEN}{last}")).await;
    let bodies: Vec<String> = wire.hear_out().await.into_iter().map(|it| it.body).collect();
    assert_eq!(bodies, ["alive\n", "alive\n", "ready\n"]);
}
