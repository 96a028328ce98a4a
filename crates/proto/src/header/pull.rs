//! Pulling: codes 11 and 361.

use super::Header;

/// PULL_MESSAGE.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequest {
    /// Consumer group.
    pub consumer_group: String,
    /// Topic.
    pub topic: String,
    /// Queue within the topic.
    pub queue_id: i32,
    /// First queue offset wanted.
    pub queue_offset: i64,
    /// Most messages wanted.
    pub max_msg_nums: i32,
    /// Bits of [`flag`].
    pub sys_flag: i32,
    /// Offset to commit, if the flag says so.
    pub commit_offset: i64,
    /// Longest time to hold the request, in milliseconds.
    pub suspend_timeout_millis: i64,
    /// Subscription expression, if the flag says so.
    pub subscription: Option<String>,
    /// Version of the subscription.
    #[header(default)]
    pub sub_version: i64,
    /// `TAG` or `SQL92`.
    pub expression_type: Option<String>,
    /// Most bytes wanted.
    pub max_msg_bytes: Option<i32>,
}

/// Answer to a pull.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct PullResponse {
    /// Broker id to pull from next time.
    pub suggest_which_broker_id: i64,
    /// Queue offset to go on at.
    pub next_begin_offset: i64,
    /// Smallest offset of the queue.
    pub min_offset: i64,
    /// Offset behind the newest message of the queue.
    pub max_offset: i64,
    /// System flag of the topic.
    pub topic_sys_flag: Option<i32>,
    /// System flag of the group.
    pub group_sys_flag: Option<i32>,
    /// Why the pull was forbidden.
    pub forbidden_type: Option<i32>,
}

/// Bits of [`PullRequest::sys_flag`].
pub mod flag {
    /// `commit_offset` is to be committed.
    pub const COMMIT_OFFSET: i32 = 1;
    /// Hold the request until a message arrives.
    pub const SUSPEND: i32 = 1 << 1;
    /// The subscription is in the header.
    pub const SUBSCRIPTION: i32 = 1 << 2;
    /// The filter is a class (not served since 4.x).
    pub const CLASS_FILTER: i32 = 1 << 3;
    /// A lite pull consumer asks.
    pub const LITE_PULL: i32 = 1 << 4;
}
