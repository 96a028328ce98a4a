//! Finding messages: codes 12 and 33.

use super::Header;

/// QUERY_MESSAGE. The ext-field [`UNIQUE_KEY_QUERY`] asks for a unique key.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryMessage {
    /// Topic.
    pub topic: String,
    /// Key.
    pub key: String,
    /// Most messages wanted.
    pub max_num: i32,
    /// Earliest store time, milliseconds since the epoch.
    pub begin_timestamp: i64,
    /// Latest store time, milliseconds since the epoch.
    pub end_timestamp: i64,
    /// Kind of index: `K` keys, `U` unique key, `T` tag.
    pub index_type: Option<String>,
    /// Where a former query stopped.
    pub last_key: Option<String>,
}

/// Answer to QUERY_MESSAGE.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryMessageAnswer {
    /// Store time of the newest indexed message.
    pub index_last_update_timestamp: i64,
    /// Log offset of the newest indexed message.
    pub index_last_update_phyoffset: i64,
}

/// VIEW_MESSAGE_BY_ID.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewMessage {
    /// Topic.
    pub topic: Option<String>,
    /// Log offset of the record.
    pub offset: i64,
}

/// Ext-field of QUERY_MESSAGE: "true" asks for a unique key.
pub const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
