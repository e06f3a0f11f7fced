//! HTTP as it comes: pipelined, cut, slow, too large, or no HTTP at all.

use std::time::Duration;

use landfall_cloud::config::Limits;
use landfall_cloud::listen::Over;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, advance};

use crate::client::{Peer, ask, post};
use crate::common::{World, link};

const CALL: &str = "/gw.json?a=s.gw.exist&gwId=0220&t=7&sign=0";

fn peer(world: &World) -> Peer {
    Peer::new(world, link(Over::Plain))
}

fn limits() -> Limits {
    Limits::default()
}

#[tokio::test]
async fn targets_with_raw_json_blanks_and_worse_are_heard() {
    let world = World::new().bound();
    for other in [
        r#"{"token":"00000000","region":"US"}"#,
        r#"{"netName": "my <net> #1", "p": "100%"}"#,
        "{\"netName\":\"B\u{fc}ro\"}",
        "%7B%22token%22%3A%2200000000%22%7D",
    ] {
        let target = format!("/gw.json?a=s.gw.exist&gwId=0220&other={other}&t=7&v=3.0&sign=0");
        for request in [post(&target, ""), post(&format!("http://a.tuyaus.com{target}"), "")] {
            let answer = ask(&world, request).await;
            assert_eq!(
                (answer.status, &answer.json()["result"]),
                (200, &serde_json::json!(true)),
                "{target}"
            );
        }
    }
}

#[tokio::test]
async fn sloppy_heads_are_heard() {
    let world = World::new().bound();
    for head in [
        format!("POST {CALL} HTTP/1.1\r\n\r\n"),
        format!("GET {CALL} HTTP/1.0\r\n\r\n"),
        format!("POST {CALL} HTTP/1.1\nHost: h\n\n"),
        format!("\r\n\r\nPOST {CALL} HTTP/1.1\r\nHost:h\r\nContent-Length:0\r\n\r\n"),
        format!("POST {CALL} HTTP/1.1\r\nHost: h\r\nHost: h\r\nUser-Agent: a\r\nUser-Agent: b\r\n\r\n"),
        format!("POST {CALL} HTTP/1.1\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\nx=1\n"),
        format!("POST {CALL} HTTP/1.1\r\nHost: h\r\nno header at all\r\nTy-Ua: HW\r\n\r\n"),
        format!("POST {CALL} HTTP/1.1\r\nConnection: keep-alive\r\nContent-Type: nonsense\r\n\r\n"),
        format!("POST {CALL} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nx=1\n\r\n0\r\n\r\n"),
    ] {
        assert_eq!(ask(&world, &head).await.status, 200, "{head}");
    }
}

#[tokio::test]
async fn answers_are_short_and_exact() {
    let world = World::new().bound();
    let answer = ask(&world, post(CALL, "")).await;
    assert_eq!(answer.headers.len(), 2, "{answer:?}");
    assert_eq!(answer.header("Content-Length"), Some(answer.body.len().to_string().as_str()));
    let nothing = ask(&world, "GET /generate_204 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((nothing.status, nothing.body.len()), (404, 0));
    assert!(nothing.size() < 64, "{nothing:?}");
    assert_eq!(ask(&world, "DELETE /gw.json?a=x HTTP/1.1\r\nHost: h\r\n\r\n").await.status, 405);
    assert_eq!(ask(&world, post("/gw.json", "")).await.status, 400);
}

#[tokio::test]
async fn several_requests_in_one_connection_are_answered_in_order() {
    let world = World::new().bound();
    let mut peer = peer(&world);
    let quoted = post("/gw.json?a=tuya.device.info.sync&gwId=0&other={\"a\":\"b\"}", "data=00\r\n");
    let exists = post(CALL, "x=1");
    let gone = "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n".to_owned();
    // All at once, then byte by byte.
    let all = format!("{quoted}\r\n{exists}{gone}{quoted}");
    peer.send(all.as_bytes()).await;
    for byte in all.as_bytes() {
        peer.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        for (status, text) in [(200, "enable"), (200, "true"), (404, ""), (200, "enable")] {
            let answer = peer.answer().await.expect("an answer");
            assert_eq!(answer.status, status);
            assert!(answer.text().contains(text), "{}", answer.text());
        }
    }
    peer.stream.shutdown().await.unwrap();
    peer.closes().await;
}

#[tokio::test]
async fn a_peer_that_closes_its_half_is_still_answered() {
    let world = World::new().bound();
    let mut peer = peer(&world);
    peer.send(post(CALL, "").as_bytes()).await;
    peer.stream.shutdown().await.unwrap();
    assert_eq!(peer.answer().await.map(|a| a.status), Some(200));
    peer.closes().await;
}

#[tokio::test]
async fn garbage_and_truncation_are_answered_or_closed() {
    let world = World::new().bound();
    let whole = post(CALL, "data=0011");
    let mut all: Vec<Vec<u8>> = (0..whole.len()).map(|n| whole.as_bytes()[..n].to_vec()).collect();
    all.extend([
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec(),
        b"\x10\x2a\x00\x04MQTT\x04\xc2\x00\x78".to_vec(),
        vec![0; 5_000],
        vec![b'\n'; 5_000],
        b"GET".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"POST /d.json HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"POST /d.json HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".to_vec(),
        b"POST /d.json HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        b"POST /d.json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"CONNECT h:1 HTTP/1.1\r\n\r\n".to_vec(),
        b"GET * HTTP/1.1\r\n\r\n".to_vec(),
    ]);
    for bytes in all {
        let mut peer = peer(&world);
        peer.send(&bytes).await;
        // Some are refused before the end is read.
        let _closed_already = peer.stream.shutdown().await;
        if let Some(answer) = peer.answer().await {
            assert!(
                matches!(answer.status, 400..=431 | 505),
                "{answer:?}: {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
        peer.closes().await;
    }
}

#[tokio::test]
async fn heads_and_bodies_have_limits() {
    let world = World::with(|c| c.limits.http_body = 1_000).bound();
    let long = "x".repeat(20_000);
    let lines: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    for head in [
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nCookie: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{lines}\r\n"),
        long.clone(),
    ] {
        let mut peer = peer(&world);
        // It may be refused before all is written.
        let _refused_early = peer.stream.write_all(head.as_bytes()).await;
        let _closed_already = peer.stream.shutdown().await;
        if let Some(answer) = peer.answer().await {
            assert!(matches!(answer.status, 400..=431), "{answer:?}");
        }
        peer.closes().await;
    }
    for body in [1_001, 5_000] {
        let answer = ask(&world, post(CALL, &"x".repeat(body))).await;
        assert_eq!(answer.status, 413, "{body}");
    }
    let chunked = format!(
        "POST {CALL} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{}\r\n0\r\n\r\n",
        "x".repeat(4096)
    );
    assert_eq!(ask(&world, chunked).await.status, 413);
    assert_eq!(ask(&world, post(CALL, &"x".repeat(1_000))).await.status, 200);
}

/// Lets the server notice what happened.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_cut() {
    let world = World::new().bound();
    let started = Instant::now();
    peer(&world).closes().await;
    assert_eq!(started.elapsed().as_secs(), limits().patience.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_head_or_body_that_trickles_is_cut_in_time() {
    let world = World::new().bound();
    let starts = [
        format!("POST {CALL} HTTP/1.1\r\nX-Slow: "),
        "POST /d.json?a=".to_owned(),
        format!("POST {CALL} HTTP/1.1\r\nContent-Length: 90000\r\n\r\n"),
        format!("POST {CALL} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n"),
    ];
    for start in starts {
        let mut peer = peer(&world);
        let started = Instant::now();
        peer.send(start.as_bytes()).await;
        while !peer.server.is_finished() {
            settle().await;
            advance(Duration::from_secs(1)).await;
            let _cut = peer.stream.write_all(b"x").await;
            assert!(started.elapsed() < limits().patience * 2 + Duration::from_secs(2), "{start:?} goes on");
        }
        assert!(started.elapsed() >= limits().patience, "{start:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_is_waited_for() {
    let world = World::new().bound();
    let mut peer = peer(&world);
    let request = post(CALL, "x=1");
    let (head, body) = request.split_at(request.len() - 3);
    for part in [&head[..20], &head[20..], body] {
        advance(limits().patience / 2).await;
        peer.send(part.as_bytes()).await;
        settle().await;
    }
    assert_eq!(peer.answer().await.map(|a| a.status), Some(200));
    // It keeps the connection, asks again after a while, and is cut when it does not.
    advance(limits().patience * 3).await;
    peer.send(post(CALL, "").as_bytes()).await;
    assert_eq!(peer.answer().await.map(|a| a.status), Some(200));
    let started = Instant::now();
    peer.closes().await;
    assert_eq!(started.elapsed(), limits().patience * 4);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_served_as_long_as_it_moves() {
    let world = World::new().bound();
    let size = 200_000;
    let image = landfall_cloud::backend::ApprovedImage {
        kind: 0,
        version: "9.0.0".into(),
        bytes: vec![7; size].into(),
        token: "t0ken".into(),
    };
    world.backend.approve("bf00", image);
    let get = b"GET /firmware/t0ken.bin HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut peer = Peer::with_room(&world, link(Over::Plain), 1024);
    peer.send(get).await;
    let started = Instant::now();
    let mut got = 0;
    let mut buffer = [0; 1024];
    while got < size {
        advance(limits().write_patience / 2).await;
        let n = peer.stream.read(&mut buffer).await.expect("not cut");
        assert_ne!(n, 0, "cut after {got} bytes");
        got += n;
        settle().await;
    }
    assert!(started.elapsed() > Duration::from_secs(1_000), "it took long");

    // One that stops reading is cut.
    let mut peer = Peer::with_room(&world, link(Over::Plain), 1024);
    peer.send(get).await;
    let started = Instant::now();
    let ended = tokio::time::timeout(limits().write_patience * 2, peer.server).await;
    ended.expect("cut").expect("no panic");
    assert_eq!(started.elapsed(), limits().write_patience);
}
