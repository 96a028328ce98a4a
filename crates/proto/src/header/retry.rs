//! Sending a message back: code 36.

use super::Header;

/// CONSUMER_SEND_MSG_BACK.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct SendBack {
    /// Place of the message in the log.
    pub offset: i64,
    /// Consumer group.
    pub group: String,
    /// Level of delay before the message comes again; 0 lets the broker choose, below 0 gives up.
    pub delay_level: i32,
    /// The message's id.
    pub origin_msg_id: Option<String>,
    /// The message's topic.
    pub origin_topic: Option<String>,
    /// Unit mode.
    pub unit_mode: Option<bool>,
    /// How often it may be tried before it goes to the dead letters.
    pub max_reconsume_times: Option<i32>,
    /// Name of the addressed broker.
    #[header(name = "bname")]
    pub broker_name: Option<String>,
}
