//! Requests and answers, in both directions.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use rmq_proto::code::{RequestCode, ResponseCode};
use rmq_proto::command::{Command, HeaderEncoding};
use rmq_remoting::{Client, ClientOptions, InvokeError, Limits, NoService, Server, ServerOptions};

#[tokio::test]
async fn an_echo_of_any_size_comes_back() {
    let server = serve(&Lab::new(), Limits::default());
    let (client, addr) = (client(), server.local_addr().to_string());
    for size in [0, 1, 3000, 70_000, 5_000_000, 16 * 1024 * 1024 - 300] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let mut ask = Command::request(ECHO).with_body(body.clone());
        ask.ext.insert("size", size);
        let answer = client.invoke(&addr, ask, PATIENCE).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
        assert_eq!(answer.ext.get("size"), Some(size.to_string().as_str()));
        assert!(answer.body.bytes() == body, "{size} bytes");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn ten_thousand_requests_in_one_pipeline_are_all_answered() {
    const COUNT: i32 = 10_000;
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let (read, write) = Raw::connect(&server).await.stream.into_split();
    let asking = tokio::spawn(async move {
        let mut write = write;
        let mut frames = Vec::new();
        for opaque in 0..COUNT {
            let ask = request(ECHO, opaque).with_body(opaque.to_string());
            frames.extend_from_slice(&rmq_proto::codec::encode(&ask));
        }
        tokio::io::AsyncWriteExt::write_all(&mut write, &frames).await.unwrap();
        write
    });
    let mut read = tokio::io::BufReader::new(read);
    let mut answered = vec![false; COUNT as usize];
    for _ in 0..COUNT {
        use tokio::io::AsyncReadExt;
        let len = read.read_u32().await.unwrap();
        let mut frame = len.to_be_bytes().to_vec();
        (&mut read).take(u64::from(len)).read_to_end(&mut frame).await.unwrap();
        let answer = rmq_proto::codec::decode(frame.into()).unwrap();
        assert!(answer.is_response());
        assert_eq!(answer.body.bytes(), answer.opaque.to_string());
        assert!(!std::mem::replace(&mut answered[answer.opaque as usize], true));
    }
    drop(asking.await.unwrap());
    lab.until("all are done", |seen| seen.finished == COUNT as usize).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_invokes_share_one_connection_and_get_their_own_answers() {
    let server = serve(&Lab::new(), Limits::default());
    let (client, addr) = (client(), server.local_addr().to_string());
    let asks = (0..2000).map(|n: u32| {
        let (client, addr) = (client.clone(), addr.clone());
        tokio::spawn(async move {
            let ask = Command::request(ECHO).with_body(n.to_string());
            let answer = client.invoke(&addr, ask, PATIENCE).await.unwrap();
            assert_eq!(answer.body.bytes(), n.to_string());
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_server_asks_the_client_on_the_clients_connection() {
    let server = serve(&Lab::new(), Limits::default());
    let (client, addr) = (client(), server.local_addr().to_string());
    let ask = Command::request(CALL_BACK).with_body("who is there".to_owned());
    let answer = client.invoke(&addr, ask, PATIENCE).await.unwrap();
    assert_eq!(answer.body.bytes(), "who is there");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn both_ends_may_use_the_same_opaque_at_once() {
    let server = serve(&Lab::new(), Limits::default());
    let mut raw = Raw::connect(&server).await;
    raw.send(&request(CALL_BACK, 0)).await;
    let question = raw.receive().await;
    assert_eq!((question.request_code(), question.opaque), (ECHO, 0));
    let mut answer = Command::success().with_body("here".to_owned());
    answer.opaque = question.opaque;
    raw.send(&answer).await;
    let answer = raw.receive().await;
    assert!(answer.is_response());
    assert_eq!(answer.body.bytes(), "here");
}

#[tokio::test]
async fn an_answer_carries_the_opaque_and_the_encoding_of_its_request() {
    let server = serve(&Lab::new(), Limits::default());
    let mut raw = Raw::connect(&server).await;
    for (opaque, encoding) in [(i32::MIN, HeaderEncoding::Json), (-1, HeaderEncoding::Binary)] {
        for code in [ECHO, LATER, PANIC, RequestCode(5)] {
            let ask = Command { encoding, ..request(code, opaque) };
            raw.send(&ask).await;
            let answer = raw.receive().await;
            assert_eq!((answer.opaque, answer.encoding), (opaque, encoding), "{code}");
            assert!(answer.is_response());
        }
    }
}

#[tokio::test]
async fn oneway_requests_are_carried_out_and_not_answered() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let mut raw = Raw::connect(&server).await;
    for code in [ECHO, LATER, PANIC, RequestCode(5)] {
        raw.send(&request(code, 1).oneway()).await;
    }
    raw.send(&request(ECHO, 2)).await;
    assert_eq!(raw.receive().await.opaque, 2);
    assert_eq!(lab.seen(|seen| seen.calls), 5);

    let (client, addr) = (client(), server.local_addr().to_string());
    client.oneway(&addr, Command::request(ECHO), PATIENCE).await.unwrap();
    lab.until("the client's came", |seen| seen.calls == 6).await;
}

#[tokio::test]
async fn a_panic_becomes_an_error_and_harms_nobody() {
    let server = serve(&Lab::new(), Limits::default());
    let (client, addr) = (client(), server.local_addr().to_string());
    let answer = client.invoke(&addr, Command::request(PANIC), PATIENCE).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark.unwrap().contains("9002"));
    let answer = client.invoke(&addr, Command::request(ECHO), PATIENCE).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn unsupported_requests_are_answered_in_javas_words() {
    let any_port = [SocketAddr::from(([127, 0, 0, 1], 0))];
    let server = Server::bind(&any_port, ServerOptions::default(), Arc::new(NoService)).unwrap();
    let (client, addr) = (client(), server.local_addr().to_string());
    let answer = client.invoke(&addr, Command::request(RequestCode(77)), PATIENCE).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    assert_eq!(answer.remark.as_deref(), Some(" request type 77 not supported"));
}

#[tokio::test]
async fn a_request_times_out_with_a_clear_error_and_a_late_answer_is_ignored() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let (client, addr) = (client(), server.local_addr().to_string());
    let ask = client.invoke(&addr, Command::request(GATE), Duration::from_millis(50));
    let error = ask.await.unwrap_err();
    assert_eq!(error.to_string(), format!("{addr} did not answer 9003 within {} ms", timeout_ms(&error)));
    lab.gate.add_permits(1);
    lab.until("the late one is answered", |seen| seen.finished == 1).await;
    let answer = client.invoke(&addr, Command::request(ECHO), PATIENCE).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    assert_eq!(lab.seen(|seen| seen.connected), 1);
}

fn timeout_ms(error: &InvokeError) -> u64 {
    match error {
        InvokeError::Timeout { timeout_ms, .. } if *timeout_ms <= 50 => *timeout_ms,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn ipv6_and_names_are_addresses_too() {
    let addrs = ["127.0.0.1:0", "[::1]:0"].map(|addr| addr.parse().unwrap());
    let Ok(server) = Server::bind(&addrs, ServerOptions::default(), Lab::new()) else {
        return; // no IPv6 on this machine
    };
    let [v4, v6] = server.local_addrs() else { panic!("two addresses") };
    let client = Client::new(ClientOptions::default(), Arc::new(NoService));
    for addr in [v4.to_string(), v6.to_string(), format!("localhost:{}", v4.port())] {
        let answer = client.invoke(&addr, Command::request(ECHO), PATIENCE).await;
        assert!(answer.is_ok(), "{addr}: {answer:?}");
    }
}

#[tokio::test]
async fn what_no_peer_would_accept_is_not_sent() {
    let limits = Limits { max_sent_frame_bytes: 100_000, ..Limits::default() };
    let server = serve(&Lab::new(), limits.clone());
    let options = ClientOptions { limits, ..ClientOptions::default() };
    let client = Client::new(options, Arc::new(NoService));
    let addr = server.local_addr().to_string();
    let ask = Command::request(ECHO).with_body(vec![0; 100_000]);
    let error = client.invoke(&addr, ask, PATIENCE).await.unwrap_err();
    assert!(matches!(error, InvokeError::TooLong { limit: 100_000, .. }), "{error}");
    let answer = client.invoke(&addr, Command::request(BIG), PATIENCE).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(server.connections(), 1);
}
