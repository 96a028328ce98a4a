//! What can go wrong: refusing to start, and refusing a request.

use std::net::SocketAddr;
use std::path::PathBuf;

use rmq_proto::code::ResponseCode;
use rmq_proto::header::HeaderError;

/// Why a request was not done. Dispatch, and nothing else, turns it into an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The code of the answer.
    pub(crate) code: ResponseCode,
    /// The reason, for people.
    pub(crate) remark: String,
}

impl Rejection {
    /// A rejection with this code and reason.
    pub(crate) fn new(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self { code, remark: remark.into() }
    }

    /// Something failed here, or the request made no sense: code 1, as Java answers both.
    pub(crate) fn failed(remark: impl Into<String>) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, remark)
    }
}

impl From<HeaderError> for Rejection {
    fn from(error: HeaderError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<rmq_proto::fastjson::Error> for Rejection {
    fn from(error: rmq_proto::fastjson::Error) -> Self {
        Self::failed(error.to_string())
    }
}

/// Why the name server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The address to listen on is not one of this machine.
    #[error("bindAddress={host} cannot be resolved: {cause}")]
    Address {
        /// What the configuration says.
        host: String,
        /// What the resolver said.
        cause: std::io::Error,
    },
    /// The port cannot be listened on.
    #[error(
        "cannot listen on {address}: {reason}. If another name server or program uses port {}, stop it, \
         or set listenPort to a free port in the file given with -c (bindAddress chooses the interface)",
        address.port()
    )]
    Bind {
        /// Where the name server wanted to listen.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The file of the key-value configuration is not readable, and neither is its backup.
    #[error(
        "the key-value configuration {path} is not usable: {reason}. Repair or remove the file, or set \
         kvConfigPath to another one"
    )]
    Kv {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
