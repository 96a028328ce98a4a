//! How a request ends: answered, answered later, or turned down with a code and a reason.
//!
//! Handlers return these; only [`crate::dispatch`] makes wire answers of them.

use std::fmt;

use rmq_proto::code::ResponseCode;
use rmq_proto::command::Command;
use rmq_proto::fastjson;
use rmq_proto::header::HeaderError;

/// A request that was not carried out, with the reason that the asker is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The code of the answer.
    pub code: ResponseCode,
    /// The reason, for people.
    pub remark: String,
}

impl Rejection {
    /// A rejection with any code.
    pub fn new(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self { code, remark: remark.into() }
    }

    /// Something went wrong inside (code 1).
    pub fn system(remark: impl Into<String>) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, remark)
    }

    /// The broker can't take it now; the client may try again (code 2).
    pub fn busy(remark: impl Into<String>) -> Self {
        Self::new(ResponseCode::SYSTEM_BUSY, remark)
    }

    /// The request itself is wrong (code 29).
    pub fn illegal(remark: impl Into<String>) -> Self {
        Self::new(ResponseCode::INVALID_PARAMETER, remark)
    }

    /// The asker may not do this (code 16).
    pub fn no_permission(remark: impl Into<String>) -> Self {
        Self::new(ResponseCode::NO_PERMISSION, remark)
    }

    /// An admin request names a topic that is not here (code 17).
    pub fn topic_missing(topic: &str) -> Self {
        Self::new(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist"))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.remark)
    }
}

impl std::error::Error for Rejection {}

/// Java turns every exception of a handler into SYSTEM_ERROR, a header that can't be read included.
impl From<HeaderError> for Rejection {
    fn from(error: HeaderError) -> Self {
        Self::system(error.to_string())
    }
}

impl From<fastjson::Error> for Rejection {
    fn from(error: fastjson::Error) -> Self {
        Self::system(format!("the body is not the expected JSON: {error}"))
    }
}

impl From<Rejection> for Command {
    fn from(rejection: Rejection) -> Self {
        Self::failure(rejection.code, rejection.remark)
    }
}

/// A request that was accepted.
#[derive(Debug)]
pub enum Outcome {
    /// Here is the answer.
    Answer(Command),
    /// The room that took the request answers later through the connection, or never.
    Later,
}

impl From<Command> for Outcome {
    fn from(answer: Command) -> Self {
        Self::Answer(answer)
    }
}

/// Why the broker could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A configuration value is not usable.
    #[error("{0}")]
    Config(#[from] crate::config::ConfigError),
    /// A file of the `config` directory can't be read or written.
    #[error("{0}")]
    Meta(#[from] crate::meta::MetaError),
    /// The message store can't be opened.
    #[error("the store in {dir} can't be opened: {reason}")]
    Store {
        /// `storePathRootDir`.
        dir: String,
        /// What the store said.
        reason: String,
    },
    /// A port can't be listened on.
    #[error("can't listen on {address}: {reason}; choose another port with the key `{key}`")]
    Listen {
        /// Address and port.
        address: String,
        /// What the system said.
        reason: String,
        /// The key that changes the port.
        key: &'static str,
    },
    /// The name server that runs in this process did not start.
    #[error("the name server of --with-namesrv did not start: {0}")]
    Namesrv(String),
}
