//! How connections begin and end, and who is told.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use rmq_proto::code::ResponseCode;
use rmq_proto::command::Command;
use rmq_remoting::{
    Client, ClientOptions, CloseReason, InvokeError, Limits, NoService, Server, ServerOptions,
};
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test]
async fn a_shutdown_lets_running_requests_finish() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let addr = server.local_addr();
    let mut raw = Raw::connect(&server).await;
    raw.send(&request(GATE, 1)).await;
    lab.until("it runs", |seen| seen.running == 1).await;
    let _idle = Raw::connect(&server).await;
    lab.until("two are connected", |seen| seen.connected == 2).await;
    let shutdown = tokio::spawn(async move { server.shutdown(PATIENCE).await });
    lab.until("the idle one is closed", |seen| seen.closed == [CloseReason::Drained]).await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "no longer accepting");
    // What comes during the shutdown is not started any more.
    raw.send(&request(ECHO, 2)).await;
    lab.gate.add_permits(1);
    assert_eq!(raw.receive().await.opaque, 1);
    raw.ended().await;
    timeout(PATIENCE, shutdown).await.unwrap().unwrap();
    assert_eq!(lab.seen(|seen| (seen.calls, seen.finished)), (1, 1));
}

#[tokio::test]
async fn a_shutdown_waits_no_longer_than_told() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let mut raw = Raw::connect(&server).await;
    raw.send(&request(GATE, 1)).await;
    lab.until("it runs", |seen| seen.running == 1).await;
    timeout(PATIENCE, server.shutdown(Duration::from_millis(20))).await.unwrap();
    raw.ended().await;
    assert_eq!(lab.seen(|seen| seen.closed.clone()), [CloseReason::Local]);
}

#[tokio::test]
async fn the_port_is_free_after_a_shutdown() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let addr = server.local_addr();
    let (client, name) = (client(), addr.to_string());
    client.invoke(&name, Command::request(ECHO), PATIENCE).await.unwrap();
    server.shutdown(PATIENCE).await;
    let again = Server::bind(&[addr], ServerOptions::default(), lab.clone()).unwrap();
    // The client notices by itself, and connects again.
    lab.until("the first is closed", |seen| seen.closed.len() == 1).await;
    while client.connected(&name).is_some() {
        tokio::task::yield_now().await;
    }
    client.invoke(&name, Command::request(ECHO), PATIENCE).await.unwrap();
    assert_eq!(again.connections(), 1);
    let taken = Server::bind(&[addr], ServerOptions::default(), lab.clone()).unwrap_err();
    assert!(taken.to_string().contains(&name), "{taken}");
}

#[tokio::test]
async fn a_started_request_is_finished_though_its_connection_is_gone() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let mut raw = Raw::connect(&server).await;
    raw.send(&request(GATE, 1).oneway()).await;
    lab.until("it runs", |seen| seen.running == 1).await;
    drop(raw);
    lab.until("the connection is gone", |seen| seen.closed == [CloseReason::Remote]).await;
    lab.gate.add_permits(1);
    lab.until("it is done", |seen| seen.finished == 1).await;
    drop(server);
}

#[tokio::test]
async fn a_lost_connection_fails_all_waiters_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let lab = Lab::new();
    let client = Client::new(ClientOptions::default(), lab.clone());
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let (client, addr) = (client.clone(), addr.clone());
            tokio::spawn(async move { client.invoke(&addr, Command::request(NEVER), PATIENCE * 10).await })
        })
        .collect();
    let mut raw = Raw::over(listener.accept().await.unwrap().0);
    for _ in 0..100 {
        raw.receive().await;
    }
    let peer = client.connected(&addr).unwrap();
    drop(raw);
    for waiter in waiting {
        let error = timeout(PATIENCE, waiter).await.unwrap().unwrap().unwrap_err();
        let expected =
            format!("the connection to {addr} ended before it answered 9007: the peer closed the connection");
        assert_eq!(error.to_string(), expected);
    }
    timeout(PATIENCE, peer.closed()).await.unwrap();
    assert!(peer.is_closed() && !peer.is_writable());
    lab.until("the service is told", |seen| seen.closed == [CloseReason::Remote]).await;
    let error = peer.invoke(Command::request(ECHO), PATIENCE).await.unwrap_err();
    assert!(matches!(error, InvokeError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn concurrent_invokes_share_one_connect_attempt() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let (client, addr) = (client(), server.local_addr().to_string());
    let asks = (0..100).map(|_| client.invoke(&addr, Command::request(ECHO), PATIENCE));
    for answer in futures::future::join_all(asks).await {
        assert_eq!(answer.unwrap().response_code(), ResponseCode::SUCCESS);
    }
    assert_eq!(lab.seen(|seen| seen.connected), 1);
}

#[tokio::test]
async fn a_failed_connect_says_where_and_why_and_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let name = addr.to_string();
    drop(listener);
    let client = client();
    let error = client.invoke(&name, Command::request(ECHO), PATIENCE).await.unwrap_err();
    assert!(matches!(&error, InvokeError::Connect { addr, .. } if *addr == name), "{error}");
    for bad in ["nonsense", "127.0.0.1", "127.0.0.1:99999", ""] {
        let error = client.peer(bad).await.unwrap_err();
        assert!(matches!(&error, InvokeError::Connect { .. }), "{error}");
    }
    let _server = Server::bind(&[addr], ServerOptions::default(), Lab::new()).unwrap();
    client.invoke(&name, Command::request(ECHO), PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_silent_peer_is_disconnected_after_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let client = Client::new(ClientOptions::default(), Arc::new(NoService));
    let invoke = client.invoke(&addr, Command::request(ECHO), Duration::from_millis(1100));
    assert!(matches!(invoke.await, Err(InvokeError::Timeout { .. })));
    let mut dead = Raw::over(listener.accept().await.unwrap().0);
    dead.ended().await;
    assert!(client.connected(&addr).is_none());
}

#[tokio::test]
async fn closing_and_dropping_a_client_closes_its_connections() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let (first, addr) = (client(), server.local_addr().to_string());
    first.peer(&addr).await.unwrap();
    first.close(&addr);
    lab.until("one closed", |seen| seen.closed.len() == 1).await;
    first.peer(&addr).await.unwrap();
    first.shutdown();
    lab.until("two closed", |seen| seen.closed.len() == 2).await;
    let error = first.invoke(&addr, Command::request(ECHO), PATIENCE).await.unwrap_err();
    assert!(matches!(error, InvokeError::Shutdown { .. }), "{error}");

    let second = client();
    second.peer(&addr).await.unwrap();
    drop(second);
    lab.until("three closed", |seen| seen.closed.len() == 3).await;
}

#[tokio::test]
async fn dropping_a_server_closes_its_connections() {
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let mut raw = Raw::connect(&server).await;
    raw.send(&request(ECHO, 1)).await;
    raw.receive().await;
    drop(server);
    raw.ended().await;
}
