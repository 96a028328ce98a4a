//! The bounds of the broker that are not configuration: each resource a peer can use up has one.

use std::time::Duration;

/// Pulls parked for messages to come, in all queues.
pub const MAX_PARKED_PULLS: usize = 100_000;

/// Pulls parked on one queue.
pub const MAX_PARKED_PULLS_PER_QUEUE: usize = 4_096;

/// Admin requests that run at the same time off the connections' tasks. Java's pool for them has 16 threads.
pub const MAX_ADMIN_REQUESTS: usize = 16;

/// Admin requests that wait for one of those places; more are told that the broker is busy.
pub const MAX_WAITING_ADMIN_REQUESTS: usize = 10_000;

/// Longest wait of a topic's creation for the name servers to know it. Java waits up to 24 s, also on the send path.
pub const ANNOUNCE_WAIT: Duration = Duration::from_secs(3);

/// Topics that one incremental registration carries; more become a full one.
pub const MAX_ANNOUNCED_TOPICS: usize = 256;

/// Answer time of a client to which a request is relayed.
pub const RELAY_WAIT: Duration = Duration::from_secs(10);

/// Queues of one topic. Java has no bound; each queue costs a directory and a route entry is counted per client.
pub const MAX_QUEUES_PER_TOPIC: i32 = 65_536;

/// Entries of a consume queue that one QUERY_CONSUME_QUEUE returns.
pub const MAX_QUEUE_ENTRIES: i32 = 4_096;
