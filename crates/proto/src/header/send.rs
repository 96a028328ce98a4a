//! Sending: codes 10 (long keys), 310 and 320 (one-letter keys).

use super::Header;

/// SEND_MESSAGE, SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE. Java accepts a missing producer group and default topic.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct SendRequest {
    /// Group of the sender.
    #[header(short = "a", default)]
    pub producer_group: String,
    /// Topic.
    #[header(short = "b")]
    pub topic: String,
    /// Topic whose settings an unknown topic is created from, mostly `TBW102`.
    #[header(short = "c", default)]
    pub default_topic: String,
    /// Queues that the sender wants in a topic created on the fly.
    #[header(short = "d", default)]
    pub default_topic_queue_nums: i32,
    /// Queue; negative lets the broker choose.
    #[header(short = "e")]
    pub queue_id: i32,
    /// System flags of the record.
    #[header(short = "f")]
    pub sys_flag: i32,
    /// Milliseconds since the epoch at the sender.
    #[header(short = "g")]
    pub born_timestamp: i64,
    /// The application's own flag.
    #[header(short = "h")]
    pub flag: i32,
    /// Properties in their 0x01/0x02 form.
    #[header(short = "i")]
    pub properties: Option<String>,
    /// How often the message has been consumed in vain.
    #[header(short = "j")]
    pub reconsume_times: Option<i32>,
    /// Unit mode.
    #[header(short = "k")]
    pub unit_mode: Option<bool>,
    /// Limit for `reconsume_times`.
    #[header(short = "l")]
    pub max_reconsume_times: Option<i32>,
    /// The body holds a batch of messages.
    #[header(short = "m")]
    pub batch: Option<bool>,
    /// Name of the addressed broker.
    #[header(name = "bname", short = "n")]
    pub broker_name: Option<String>,
}

/// Answer to a send.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct SendResponse {
    /// Offset message id; of a batch all ids, comma-separated.
    pub msg_id: String,
    /// Queue that the message went to.
    pub queue_id: i32,
    /// Queue offset of the (first) message.
    pub queue_offset: i64,
    /// The message's unique key.
    pub transaction_id: Option<String>,
    /// Unique keys of a batch stored as one record.
    pub batch_uniq_id: Option<String>,
    /// Handle to cancel a timed message.
    pub recall_handle: Option<String>,
}
