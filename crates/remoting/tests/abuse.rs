//! Peers that break the rules, or are slow: they are cut off, and others do not notice.

mod common;

use std::time::Duration;

use common::*;
use rmq_proto::codec::CodecError;
use rmq_proto::command::Command;
use rmq_remoting::{CloseReason, Limits, NoService, SendError, Server, Service};

/// A frame of the given encoding byte, announced header length, and content.
fn frame(kind: u8, header_len: u32, content: &[u8]) -> Vec<u8> {
    let mut frame = (content.len() as u32 + 4).to_be_bytes().to_vec();
    frame.extend((u32::from(kind) << 24 | header_len).to_be_bytes());
    frame.extend(content);
    frame
}

fn json(header: &str) -> Vec<u8> {
    frame(0, header.len() as u32, header.as_bytes())
}

async fn works(server: &Server) {
    let (client, addr) = (client(), server.local_addr().to_string());
    let answer = client.invoke(&addr, Command::request(ECHO), PATIENCE);
    answer.await.unwrap();
}

#[tokio::test]
async fn malformed_frames_end_their_connection_and_no_other() {
    let deep = format!("{{\"code\":34,\"extFields\":{}1{}}}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("oversize", vec![0x01, 0, 0, 0]),
        ("one byte above the cap", (16 * 1024 * 1024u32 - 3).to_be_bytes().to_vec()),
        ("zero length", vec![0; 8]),
        ("length three", vec![0, 0, 0, 3, 0, 0, 0]),
        ("negative length", vec![0xFF; 8]),
        ("smallest negative length", vec![0x80, 0, 0, 0]),
        ("no header", vec![0, 0, 0, 4, 0, 0, 0, 0]),
        ("header longer than the frame", frame(0, 3, b"{}")),
        ("header of 16 MiB", frame(0, 0xFF_FFFF, b"{}")),
        ("unknown encoding", frame(7, 2, b"{}")),
        ("cut JSON", json("{\"code\":34")),
        ("JSON with a tail", json("{\"code\":34}}")),
        ("deep JSON", json(&deep)),
        ("an array", json("[1,2]")),
        ("not UTF-8", frame(0, 14, b"{\"code\":\"\xC3\x28\"}")),
        ("a code that is no number", json("{\"code\":\"x\"}")),
        ("a code above 32 bits", json("{\"code\":4294967296}")),
        ("cut binary header", frame(1, 5, &[0, 34, 0, 2, 1])),
        (
            "binary remark past the end",
            frame(1, 21, &[0, 34, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "binary remark of negative length",
            frame(1, 17, &[0, 34, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0, 0, 0]),
        ),
        ("TLS", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]),
        ("PROXY", b"PROXY TCP4 10.0.0.1 10.0.0.2 5000 10911\r\n".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("text", b"hello broker\n".to_vec()),
    ];
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let mut innocent = Raw::connect(&server).await;
    for (at, (name, bytes)) in cases.iter().enumerate() {
        let mut raw = Raw::connect(&server).await;
        // A good request before the bad frame is still carried out.
        let mut stream = rmq_proto::codec::encode(&request(ECHO, 5).oneway()).to_vec();
        stream.extend_from_slice(bytes);
        raw.write(&stream).await;
        raw.ended().await;
        lab.until(name, |seen| seen.closed.len() == at + 1).await;
        let reason = lab.seen(|seen| seen.closed[at].clone());
        let expected = match *name {
            "TLS" | "PROXY" | "HTTP" => matches!(reason, CloseReason::Foreign(_)),
            "oversize" | "text" => matches!(reason, CloseReason::Malformed(CodecError::TooLong { .. })),
            _ => matches!(reason, CloseReason::Malformed(_)),
        };
        assert!(expected, "{name}: {reason}");
        innocent.send(&request(ECHO, at as i32)).await;
        assert_eq!(innocent.receive().await.opaque, at as i32);
    }
    lab.until("the good ones are done", |seen| seen.finished == 2 * cases.len()).await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn odd_but_readable_headers_are_served() {
    let server = serve(&Lab::new(), Limits::default());
    let mut raw = Raw::connect(&server).await;
    for header in [
        r#" {"code":9001,"opaque":1,"unknown":[{"deep":[1,2]}],"flag":0} "#,
        r#"{"code":5,"code":9001,"opaque":7,"opaque":1,"extFields":{"a":"1","a":"2"}}"#,
        r#"{"opaque":"1","code":"9001","language":"KLINGON","version":null,"extFields":null}"#,
    ] {
        raw.write(&json(header)).await;
        let answer = raw.receive().await;
        assert_eq!((answer.code, answer.opaque), (0, 1), "{header}");
    }
}

#[tokio::test]
async fn a_frame_must_be_complete_by_its_deadline() {
    let lab = Lab::new();
    let limits = Limits { frame_deadline: Duration::from_millis(150), ..Limits::default() };
    let server = serve(&lab, limits);
    let mut raw = Raw::connect(&server).await;
    let bytes = rmq_proto::codec::encode(&request(ECHO, 1).with_body(vec![0; 1000]));
    // Byte after byte, each in time for any idle timeout, but never done in time.
    let mut drops = bytes.iter();
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    while lab.seen(|seen| seen.closed.is_empty()) {
        pace.tick().await;
        let drop = drops.next().expect("closed before the frame is complete");
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &[*drop]).await;
    }
    assert_eq!(lab.seen(|seen| seen.closed.clone()), [CloseReason::SlowFrame(Duration::from_millis(150))]);
    works(&server).await;
}

#[tokio::test]
async fn slow_frames_are_fine_within_the_deadline() {
    let limits = Limits { frame_deadline: PATIENCE, ..Limits::default() };
    let server = serve(&Lab::new(), limits);
    let mut raw = Raw::connect(&server).await;
    for byte in rmq_proto::codec::encode(&request(ECHO, 1)).iter() {
        raw.write(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.receive().await.opaque, 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let lab = Lab::new();
    let limits = Limits { idle_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = serve(&lab, limits);
    let mut raw = Raw::connect(&server).await;
    raw.send(&request(ECHO, 1)).await;
    raw.ended().await;
    lab.until("closed", |seen| seen.closed == [CloseReason::Idle(Duration::from_millis(100))]).await;
    drop(server);
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answers_is_closed() {
    let lab = Lab::new();
    let limits = Limits {
        write_deadline: Duration::from_millis(200),
        max_outgoing_bytes: 256 * 1024,
        ..Limits::default()
    };
    let server = serve(&lab, limits);
    let mut raw = Raw::connect(&server).await;
    for opaque in 0..100 {
        raw.send(&request(BIG, opaque)).await;
    }
    works(&server).await;
    let slow = |seen: &Seen| {
        seen.closed.iter().find_map(|reason| match reason {
            CloseReason::SlowReader { waiting_bytes, .. } => Some(*waiting_bytes),
            _ => None,
        })
    };
    lab.until("closed", |seen| slow(seen).is_some()).await;
    // One answer of 1 MiB at a time waits beside what the system's socket buffers took.
    let waiting_bytes = lab.seen(slow).unwrap();
    assert!(waiting_bytes < 1024 * 1024 + 256 * 1024, "{waiting_bytes}");
    works(&server).await;
}

#[tokio::test]
async fn a_slow_but_steady_reader_gets_everything() {
    let limits = Limits { max_outgoing_bytes: 64 * 1024, ..Limits::default() };
    let server = serve(&Lab::new(), limits);
    let mut raw = Raw::connect(&server).await;
    for opaque in 0..20 {
        raw.send(&request(BIG, opaque)).await;
    }
    for opaque in 0..20 {
        let answer = raw.receive().await;
        assert_eq!((answer.opaque, answer.body.len()), (opaque, 1024 * 1024));
    }
}

#[tokio::test]
async fn sending_to_a_peer_that_does_not_read_is_refused_and_invoking_waits() {
    let lab = Lab::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let options = rmq_remoting::ClientOptions {
        limits: Limits { max_outgoing_bytes: 1024 * 1024, ..Limits::default() },
        ..Default::default()
    };
    let client = rmq_remoting::Client::new(options, lab.clone());
    let peer = client.peer(&addr).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let note = || Command::request(ECHO).oneway().with_body(vec![0; 100_000]);
    let mut sent = 0;
    let refused = loop {
        match peer.send(note()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(refused, SendError::Full { waiting_bytes, .. } if waiting_bytes >= 1024 * 1024));
    assert!(!peer.is_writable());

    // The peer begins to read: what waited arrives, and so does a request that had to wait for room.
    let invoke = tokio::spawn({
        let peer = peer.clone();
        async move { peer.invoke(note(), PATIENCE).await }
    });
    let mut raw = Raw::over(stream);
    for _ in 0..sent {
        assert!(raw.receive().await.is_oneway());
    }
    let ask = raw.receive().await;
    raw.send(&Command { opaque: ask.opaque, ..Command::success() }).await;
    invoke.await.unwrap().unwrap();
    assert!(peer.is_writable());
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_at_once() {
    let lab = Lab::new();
    let limits = Limits { max_connections: 3, ..Limits::default() };
    let server = serve(&lab, limits);
    let mut held = Vec::new();
    for at in 1..=3 {
        held.push(Raw::connect(&server).await);
        lab.until("accepted", |seen| seen.connected == at).await;
    }
    for _ in 0..5 {
        Raw::connect(&server).await.ended().await;
    }
    assert_eq!(server.connections(), 3);
    for (opaque, raw) in held.iter_mut().enumerate() {
        raw.send(&request(ECHO, opaque as i32)).await;
        assert_eq!(raw.receive().await.opaque, opaque as i32);
    }
    // A place that becomes free is given away again.
    held.pop();
    lab.until("one left", |seen| seen.closed.len() == 1).await;
    while server.connections() == 3 {
        tokio::task::yield_now().await;
    }
    works(&server).await;
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let lab = Lab::new();
    let limits = Limits { max_in_flight: 4, ..Limits::default() };
    let server = serve(&lab, limits);
    let mut raw = Raw::connect(&server).await;
    for opaque in 0..50 {
        raw.send(&request(GATE, opaque)).await;
    }
    lab.until("four run", |seen| seen.running == 4).await;
    lab.gate.add_permits(50);
    for _ in 0..50 {
        raw.receive().await;
    }
    assert_eq!(lab.seen(|seen| seen.peak), 4);
}

#[tokio::test]
async fn bytes_in_flight_are_bounded() {
    let lab = Lab::new();
    let limits = Limits { max_in_flight_bytes: 250_000, ..Limits::default() };
    let server = serve(&lab, limits);
    let (mut read, mut write) = Raw::connect(&server).await.stream.into_split();
    let asking = tokio::spawn(async move {
        for opaque in 0..20 {
            let ask = request(GATE, opaque).with_body(vec![0; 100_000]);
            tokio::io::AsyncWriteExt::write_all(&mut write, &rmq_proto::codec::encode(&ask)).await.unwrap();
        }
        write
    });
    lab.until("three run", |seen| seen.running == 3).await;
    lab.gate.add_permits(20);
    lab.until("all are done", |seen| seen.finished == 20).await;
    assert_eq!(lab.seen(|seen| seen.peak), 3);
    drop(asking.await.unwrap());
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut rest).await;
}

#[tokio::test]
async fn frames_can_be_limited_until_a_peer_is_trusted() {
    struct Gatekeeper;
    impl Service for Gatekeeper {
        async fn call(&self, peer: &std::sync::Arc<rmq_remoting::Peer>, request: Command) -> Option<Command> {
            peer.limit_frames(1_000_000);
            NoService.call(peer, request).await
        }
        fn connected(&self, peer: &std::sync::Arc<rmq_remoting::Peer>) {
            peer.limit_frames(1000);
        }
    }
    let any_port = ["127.0.0.1:0".parse().unwrap()];
    let server = Server::bind(&any_port, Default::default(), std::sync::Arc::new(Gatekeeper)).unwrap();
    let large = request(ECHO, 2).with_body(vec![0; 5000]);
    let mut stranger = Raw::connect(&server).await;
    stranger.send(&large).await;
    stranger.ended().await;
    let mut known = Raw::connect(&server).await;
    known.send(&request(ECHO, 1)).await;
    assert_eq!(known.receive().await.opaque, 1);
    known.send(&large).await;
    assert_eq!(known.receive().await.opaque, 2);
}
