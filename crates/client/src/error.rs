//! What can go wrong, named after its cause and with a way out.

use rmq_proto::code::{RequestCode, ResponseCode};
use rmq_remoting::InvokeError;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No name server address was given.
    #[error("no name server is configured; give its address, e.g. 127.0.0.1:9876, or set NAMESRV_ADDR")]
    NoNameServer,
    /// None of the name servers could be asked.
    #[error("none of the name servers [{tried}] answered; check the addresses and that they run ({source})")]
    NameServersSilent {
        /// All addresses, separated by `;`.
        tried: String,
        /// The failure of the last one.
        source: Box<Error>,
    },
    /// No answer came.
    #[error("{address} did not answer {request}: {source}")]
    Unanswered {
        /// Whom we asked.
        address: String,
        /// What we asked.
        request: RequestCode,
        /// Why no answer came.
        source: InvokeError,
    },
    /// The answer says that the request failed.
    #[error("{address} refused {request} with {code}: {remark}")]
    Refused {
        /// Whom we asked.
        address: String,
        /// What we asked.
        request: RequestCode,
        /// The answer's code.
        code: ResponseCode,
        /// The answer's reason.
        remark: String,
    },
    /// The answer could not be read.
    #[error("{address} answered {request} with something unreadable: {reason}")]
    Unreadable {
        /// Whom we asked.
        address: String,
        /// What we asked.
        request: RequestCode,
        /// What is wrong with it.
        reason: String,
    },
    /// The name servers do not know the topic.
    #[error(
        "the name servers [{name_servers}] know no route for topic `{topic}`; create it, or check that its broker runs and is registered there"
    )]
    NoRoute {
        /// The topic.
        topic: String,
        /// Who was asked.
        name_servers: String,
    },
    /// The topic has a route but no usable queue.
    #[error(
        "topic `{topic}` has no queue that may be {wanted}; check its permission and that its master broker runs"
    )]
    NoQueue {
        /// The topic.
        topic: String,
        /// `written` or `read`.
        wanted: &'static str,
    },
    /// No address is known for a broker.
    #[error("broker `{broker}` has no known {wanted}; is it running and registered at the name servers?")]
    NoBroker {
        /// The broker's name.
        broker: String,
        /// `master` or `address`.
        wanted: &'static str,
    },
    /// The message breaks a rule and was not sent.
    #[error("the message cannot be sent: {0}")]
    Message(String),
    /// A builder's setting is wrong.
    #[error("{0}")]
    Setting(String),
    /// A group of this kind is already running in the same instance.
    #[error(
        "group `{group}` is already used by a {kind} of this instance; use another group or another instance"
    )]
    GroupInUse {
        /// The group.
        group: String,
        /// `producer` or `consumer`.
        kind: &'static str,
    },
    /// All attempts to send failed.
    #[error(
        "sending to topic `{topic}` failed after {attempts} attempt(s) in {elapsed_ms} ms on [{brokers}]: {source}"
    )]
    SendFailed {
        /// The topic.
        topic: String,
        /// Attempts made.
        attempts: u32,
        /// Time spent on all of them.
        elapsed_ms: u64,
        /// Names of the brokers that were tried, in order.
        brokers: String,
        /// The last failure.
        source: Box<Error>,
    },
    /// The client was shut down.
    #[error("the client has been shut down")]
    Closed,
}

impl Error {
    /// The response code, if a server refused the request.
    pub fn response_code(&self) -> Option<ResponseCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::SendFailed { source, .. } | Self::NameServersSilent { source, .. } => {
                source.response_code()
            }
            _ => None,
        }
    }

    /// Whether a server refused the request with this code.
    pub fn is(&self, code: ResponseCode) -> bool {
        self.response_code() == Some(code)
    }

    /// Whether no answer came at all, so that another server may do better.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unanswered { .. })
    }
}
