//! Requests that the broker sends to a client, on the client's own connection.

use std::time::Duration;

use rmq_proto::{
    code::{RequestCode, ResponseCode},
    command::Command,
    header::client::ConsumerGroup,
};
use rmq_remoting::{InvokeError, Peer};
use tracing::debug;

use crate::error::Rejection;

/// How long a client may take to answer a relayed request, as in Java.
pub const RELAY_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells a consumer that its group's members or subscriptions changed, so that it shares out the queues
/// anew. Oneway: a lost one is made up for by the client's own round every 20 s.
pub fn notify_consumers_changed(peer: &Peer, group: &str) {
    let request = Command::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED)
        .with_header(&ConsumerGroup { consumer_group: group.to_owned() })
        .oneway();
    if let Err(error) = peer.send(request) {
        debug!(%group, remote = %peer.remote_addr(), %error, "a consumer could not be told of a change");
    }
}

/// Asks a client and answers what it answered.
pub async fn relay(peer: &Peer, request: Command, timeout: Duration) -> Result<Command, Rejection> {
    peer.invoke(request, timeout).await.map_err(|error| {
        // Java answers 207 when the client stays silent, and 1 in all other cases.
        let code = if matches!(error, InvokeError::Timeout { .. }) {
            ResponseCode::CONSUME_MSG_TIMEOUT
        } else {
            ResponseCode::SYSTEM_ERROR
        };
        Rejection::new(code, format!("the client {} did not answer: {error}", peer.remote_addr()))
    })
}
