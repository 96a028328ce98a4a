//! A service whose requests do what a test needs, and a peer that speaks raw bytes.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part of it

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rmq_proto::code::RequestCode;
use rmq_proto::codec;
use rmq_proto::command::Command;
use rmq_remoting::{
    Client, ClientOptions, CloseReason, Limits, NoService, Peer, Server, ServerOptions, Service,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

/// Longer than any test may take: reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Answers with the request's body and ext-fields.
pub const ECHO: RequestCode = RequestCode(9001);
/// Panics.
pub const PANIC: RequestCode = RequestCode(9002);
/// Answers once the test opens the gate for it.
pub const GATE: RequestCode = RequestCode(9003);
/// Answers with 1 MiB.
pub const BIG: RequestCode = RequestCode(9004);
/// Asks the sender to echo, and answers with what it said.
pub const CALL_BACK: RequestCode = RequestCode(9005);
/// Answers from another task.
pub const LATER: RequestCode = RequestCode(9006);
/// Never answers.
pub const NEVER: RequestCode = RequestCode(9007);

/// What the service saw so far.
#[derive(Debug, Default)]
pub struct Seen {
    pub connected: usize,
    pub closed: Vec<CloseReason>,
    pub calls: usize,
    pub running: usize,
    pub peak: usize,
    pub finished: usize,
}

#[derive(Debug)]
pub struct Lab {
    pub gate: Semaphore,
    seen: watch::Sender<Seen>,
}

impl Lab {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { gate: Semaphore::new(0), seen: watch::Sender::default() })
    }

    /// Waits until what was seen fits.
    pub async fn until(&self, what: &str, fits: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(fits)).await;
        let waited = waited.map(|result| drop(result.unwrap()));
        waited.unwrap_or_else(|_| panic!("waited in vain until {what}: {:?}", *self.seen.borrow()));
    }

    pub fn seen<T>(&self, get: impl FnOnce(&Seen) -> T) -> T {
        get(&self.seen.borrow())
    }
}

impl Service for Lab {
    async fn call(&self, peer: &Arc<Peer>, request: Command) -> Option<Command> {
        self.seen.send_modify(|seen| {
            seen.calls += 1;
            seen.running += 1;
            seen.peak = seen.peak.max(seen.running);
        });
        let answer = match request.request_code() {
            ECHO => {
                let mut answer = Command::success().with_body(request.body);
                answer.ext = request.ext;
                Some(answer)
            }
            PANIC => panic!("as the test wanted"),
            GATE => {
                self.gate.acquire().await.unwrap().forget();
                Some(Command::success())
            }
            BIG => Some(Command::success().with_body(vec![7; 1024 * 1024])),
            CALL_BACK => {
                let question = Command::request(ECHO).with_body(request.body);
                Some(peer.invoke(question, PATIENCE).await.unwrap())
            }
            LATER => {
                let reply = peer.reply_to(&request);
                tokio::spawn(async move { reply.send(Command::success()).unwrap() });
                None
            }
            NEVER => None,
            _ => NoService.call(peer, request).await,
        };
        self.seen.send_modify(|seen| {
            seen.running -= 1;
            seen.finished += 1;
        });
        answer
    }

    fn connected(&self, _peer: &Arc<Peer>) {
        self.seen.send_modify(|seen| seen.connected += 1);
    }

    fn closed(&self, peer: &Arc<Peer>) {
        let reason = peer.close_reason().cloned().expect("a closed peer has a reason");
        self.seen.send_modify(|seen| seen.closed.push(reason));
    }
}

pub fn serve(lab: &Arc<Lab>, limits: Limits) -> Server {
    let any_port = [SocketAddr::from(([127, 0, 0, 1], 0))];
    Server::bind(&any_port, ServerOptions { limits }, lab.clone()).unwrap()
}

pub fn client() -> Client {
    Client::new(ClientOptions::default(), Lab::new())
}

/// The other end of a connection, without any of our client's code.
pub struct Raw {
    pub stream: TcpStream,
    received: BytesMut,
}

impl Raw {
    pub async fn connect(server: &Server) -> Self {
        Self::over(TcpStream::connect(server.local_addr()).await.unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        Self { stream, received: BytesMut::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, command: &Command) {
        self.write(&codec::encode(command)).await;
    }

    /// The next command.
    pub async fn receive(&mut self) -> Command {
        let frame = tokio::time::timeout(PATIENCE, self.frame()).await;
        codec::decode(frame.expect("a frame in time").expect("a frame before the end")).unwrap()
    }

    /// Waits for the end of the stream, whatever comes before.
    pub async fn ended(&mut self) {
        let drain = async { while self.frame().await.is_some() {} };
        tokio::time::timeout(PATIENCE, drain).await.expect("the server closes");
    }

    async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(len) = codec::frame_len(&self.received, codec::MAX_FRAME_LEN).unwrap()
                && self.received.len() >= len
            {
                return Some(self.received.split_to(len).freeze());
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

pub fn request(code: RequestCode, opaque: i32) -> Command {
    Command { opaque, ..Command::request(code) }
}
