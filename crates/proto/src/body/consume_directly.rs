//! What came of handing one message to a consumer.

use serde::{Deserialize, Serialize};

use super::names::java_names;

/// A consumer's answer to CONSUME_MESSAGE_DIRECTLY.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeDirectlyResult {
    pub auto_commit: bool,
    pub consume_result: ConsumeResult,
    pub order: bool,
    pub remark: Option<String>,
    /// Milliseconds.
    pub spent_time_mills: i64,
}

impl Default for ConsumeDirectlyResult {
    fn default() -> Self {
        Self {
            auto_commit: true,
            consume_result: ConsumeResult::default(),
            order: false,
            remark: None,
            spent_time_mills: 0,
        }
    }
}

java_names! {
    /// How a listener ended.
    pub enum ConsumeResult {
        Success = "CR_SUCCESS",
        Later = "CR_LATER",
        Rollback = "CR_ROLLBACK",
        Commit = "CR_COMMIT",
        ThrowException = "CR_THROW_EXCEPTION",
        #[default]
        ReturnNull = "CR_RETURN_NULL",
    }
}
