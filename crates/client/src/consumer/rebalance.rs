//! Sharing a topic's queues among the members of a group: every member computes the same shares by itself.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rmq_proto::{
    body::{ConsumerList, MessageQueue},
    code::{RequestCode, ResponseCode},
    command::Command,
    header::client::ConsumerGroup,
    topic,
};

use super::{allocate, push::Shared};
use crate::{
    error::{Error, Result},
    exchange,
};

/// Java's period.
const PERIOD: Duration = Duration::from_secs(20);
/// After a failure we look again sooner, then later and later.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Rebalances at once, then every 20 s, and whenever a broker says that the members changed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut retry = FIRST_RETRY;
    loop {
        let next = if rebalance(&shared).await {
            retry = FIRST_RETRY;
            PERIOD
        } else {
            let now = retry;
            retry = (retry * 2).min(PERIOD);
            now
        };
        let _ = tokio::time::timeout(next, shared.rebalance_wanted.notified()).await;
    }
}

/// Returns whether every topic has its share.
async fn rebalance(shared: &Arc<Shared>) -> bool {
    let mut complete = true;
    for topic in shared.subscriptions.keys() {
        match rebalance_topic(shared, topic).await {
            Ok(all_taken) => complete &= all_taken,
            Err(error) => {
                complete = false;
                // A retry topic comes into being with the first heartbeat that reaches a broker.
                if topic::is_retry(topic) && matches!(error, Error::NoRoute { .. }) {
                    tracing::debug!(topic, %error, "nothing to share out yet");
                } else {
                    tracing::warn!(topic, group = shared.group, %error, "the queues could not be shared out");
                }
            }
        }
    }
    complete
}

async fn rebalance_topic(shared: &Arc<Shared>, topic: &str) -> Result<bool> {
    let route = shared.instance.route(topic).await?;
    let members = members(shared, topic).await?;
    let mine = allocate::averagely(&route.subscribe, &members, shared.instance.client_id());
    let mine: BTreeSet<MessageQueue> = mine.into_iter().collect();
    give_up(shared, topic, &mine).await;
    let mut all_taken = true;
    for queue in mine {
        if shared.has(&queue) {
            continue;
        }
        match shared.offsets.start_of(&queue, shared.settings.start_from).await {
            Ok(offset) => {
                tracing::info!(%queue, group = shared.group, offset, "took a queue");
                shared.take(queue, offset);
            }
            Err(error) => {
                all_taken = false;
                tracing::warn!(%queue, group = shared.group, %error, "no offset to start at");
            }
        }
    }
    Ok(all_taken)
}

/// Lets queues go that are another member's now, and those whose pull loop is stuck.
async fn give_up(shared: &Shared, topic: &str, mine: &BTreeSet<MessageQueue>) {
    for queue in shared.taken(topic) {
        let expired = queue.is_pull_expired();
        if mine.contains(queue.queue()) && !expired {
            continue;
        }
        tracing::info!(queue = %queue.queue(), group = shared.group, expired, "gave a queue up");
        shared.release(queue.queue());
        shared.offsets.commit(queue.queue()).await;
        shared.offsets.forget(queue.queue());
    }
}

/// The client ids of the group's members, sorted, from any broker of the topic: members register with all.
async fn members(shared: &Shared, topic: &str) -> Result<Vec<String>> {
    let code = RequestCode::GET_CONSUMER_LIST_BY_GROUP;
    let route = shared.instance.route(topic).await?;
    let header = ConsumerGroup { consumer_group: shared.group.clone() };
    let mut failure = Error::NoQueue { topic: topic.to_owned(), wanted: "read" };
    for address in route.brokers().filter_map(|(_, addresses)| addresses.values().next()) {
        let request = Command::request(code).with_header(&header);
        match shared.instance.invoke(address, request).await {
            Ok(answer) => {
                let mut members: Vec<String> =
                    exchange::parse_body::<ConsumerList>(address, code, &answer)?.consumer_id_list;
                members.sort_unstable();
                members.dedup();
                if !members.iter().any(|member| member == shared.instance.client_id()) {
                    shared.instance.shared().beat.notify_one();
                }
                return Ok(members);
            }
            Err(error) => {
                if error.is(ResponseCode::SYSTEM_ERROR) {
                    // The broker knows no member, not even us.
                    shared.instance.shared().beat.notify_one();
                }
                failure = error;
            }
        }
    }
    Err(failure)
}
