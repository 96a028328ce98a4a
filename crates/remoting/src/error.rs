//! What can go wrong, and who did it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rmq_proto::code::RequestCode;
use rmq_proto::codec::CodecError;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Remote,
    /// [`crate::Peer::close`], or a shutdown that could not wait any longer.
    #[error("closed from this side")]
    Local,
    /// A shutdown, after all requests were answered.
    #[error("closed by a shutdown")]
    Drained,
    /// No byte came or went for this time.
    #[error("idle for {0:?}")]
    Idle(Duration),
    /// A frame was started and not completed within this time.
    #[error("a frame was not complete after {0:?}")]
    SlowFrame(Duration),
    /// The peer did not take what was sent to it.
    #[error("{waiting_bytes} bytes were not read by the peer within {deadline:?}")]
    SlowReader {
        /// What was still waiting to be written.
        waiting_bytes: usize,
        /// The deadline that passed.
        deadline: Duration,
    },
    /// A request timed out and nothing at all was heard meanwhile: the peer is taken for dead.
    #[error("nothing was heard for {0:?} while a request waited")]
    Silent(Duration),
    /// The peer speaks, but not this protocol: the text says what it looks like.
    #[error("this port speaks RocketMQ remoting without TLS, but the peer sent {0}")]
    Foreign(&'static str),
    /// The peer sent something that is not a command.
    #[error("malformed frame: {0}")]
    Malformed(#[from] CodecError),
    /// The socket failed.
    #[error("{0}")]
    Io(String),
}

impl CloseReason {
    /// Did the peer break the protocol?
    pub(crate) fn is_violation(&self) -> bool {
        matches!(self, Self::Foreign(_) | Self::Malformed(_))
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Why a command was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is gone.
    #[error("the connection to {addr} is closed")]
    Closed {
        /// The peer.
        addr: SocketAddr,
    },
    /// The peer does not read, and enough waits for it already.
    #[error("{waiting_bytes} bytes wait for {addr}, which does not read them")]
    Full {
        /// The peer.
        addr: SocketAddr,
        /// What waits to be written to it.
        waiting_bytes: usize,
    },
    /// The command is longer than a peer would accept.
    #[error("a command of {len} bytes is above the frame limit of {limit}")]
    TooLong {
        /// Its length in bytes, about.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// There is no connection, the request was not sent.
    #[error("cannot connect to {addr}: {reason}")]
    Connect {
        /// The address as it was asked for.
        addr: String,
        /// What the system said.
        reason: String,
    },
    /// No answer came in time; whether the request was carried out is not known.
    #[error("{addr} did not answer {code} within {timeout_ms} ms")]
    Timeout {
        /// The peer.
        addr: String,
        /// What was asked.
        code: RequestCode,
        /// The caller's patience.
        timeout_ms: u64,
    },
    /// The connection ended before the answer came; whether the request was carried out is not known.
    #[error("the connection to {addr} ended before it answered {code}: {reason}")]
    Closed {
        /// The peer.
        addr: String,
        /// What was asked.
        code: RequestCode,
        /// Why it ended.
        reason: CloseReason,
    },
    /// The request was not sent because no peer would accept it.
    #[error("the request {code} of {len} bytes is above the frame limit of {limit}")]
    TooLong {
        /// What was asked.
        code: RequestCode,
        /// Its length in bytes, about.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The client was shut down.
    #[error("the client is shut down, nothing is sent to {addr}")]
    Shutdown {
        /// The address as it was asked for.
        addr: String,
    },
}

/// A server could not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct BindError {
    /// The address that is taken, or not ours.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}
