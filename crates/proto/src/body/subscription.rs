//! What a consumer wants of a topic.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::message::hash::string_hash;

/// A filter on one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    pub class_filter_mode: bool,
    /// The hashes of `tags_set`.
    pub code_set: BTreeSet<i32>,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    pub sub_string: String,
    /// When the subscription was made, in milliseconds since 1970; a newer one replaces an older one.
    pub sub_version: i64,
    /// The wanted tags; empty if every message is wanted.
    pub tags_set: BTreeSet<String>,
    pub topic: String,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        Self {
            class_filter_mode: false,
            code_set: BTreeSet::new(),
            expression_type: SubscriptionData::TAG.into(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: BTreeSet::new(),
            topic: String::new(),
        }
    }
}

/// Why an expression is not a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// Only `||` and nothing between.
    #[error("subString split error")]
    NoTags,
    /// A type other than TAG needs an expression.
    #[error("Expression can't be null! {0}")]
    NoExpression(String),
}

impl SubscriptionData {
    /// The expression that wants every message.
    pub const ALL: &'static str = "*";
    /// The expression type of tags: `A || B`.
    pub const TAG: &'static str = "TAG";
    /// The expression type of SQL conditions.
    pub const SQL92: &'static str = "SQL92";

    /// A subscription by tags, `A || B`; nothing and `*` want every message.
    pub fn tags(topic: &str, expression: &str, version: i64) -> Result<Self, SubscriptionError> {
        let mut subscription = Self { topic: topic.into(), sub_version: version, ..Self::default() };
        if expression.is_empty() || expression == Self::ALL {
            subscription.sub_string = Self::ALL.into();
            return Ok(subscription);
        }
        // Java drops empty parts at the end before it counts, so only bars leave nothing to split.
        if expression.split("||").all(str::is_empty) {
            return Err(SubscriptionError::NoTags);
        }
        // Java's trim takes all control characters too.
        let parts = expression.split("||").map(|tag| tag.trim_matches(|letter| letter <= ' '));
        for tag in parts.filter(|tag| !tag.is_empty()) {
            subscription.tags_set.insert(tag.into());
            subscription.code_set.insert(string_hash(tag));
        }
        subscription.sub_string = expression.into();
        Ok(subscription)
    }

    /// A subscription by an expression of some type; no type means tags.
    pub fn expression(
        topic: &str,
        expression: &str,
        expression_type: Option<&str>,
        version: i64,
    ) -> Result<Self, SubscriptionError> {
        let Some(other) = expression_type.filter(|name| *name != Self::TAG) else {
            return Self::tags(topic, expression, version);
        };
        if expression.is_empty() {
            return Err(SubscriptionError::NoExpression(other.into()));
        }
        Ok(Self {
            topic: topic.into(),
            sub_string: expression.into(),
            expression_type: other.into(),
            sub_version: version,
            ..Self::default()
        })
    }

    /// Whether it selects by tags. Java takes a missing type for tags.
    pub fn is_tag(&self) -> bool {
        self.expression_type.is_empty() || self.expression_type == Self::TAG
    }

    /// Whether it wants every message of the topic.
    pub fn is_all(&self) -> bool {
        self.sub_string == Self::ALL
    }

    /// Whether a message with this code may be wanted; a hash can match a tag that is not.
    /// Java compares only the low 32 bits.
    pub fn matches_tags_code(&self, tags_code: i64) -> bool {
        self.is_all() || self.code_set.contains(&(tags_code as i32))
    }
}

/// Asks a broker whether it can compile a subscription's expression.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClient {
    pub client_id: String,
    pub group: String,
    pub namespace: Option<String>,
    pub subscription_data: SubscriptionData,
}

/// Answer to QUERY_SUBSCRIPTION_BY_CONSUMER.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupSubscription {
    pub group: String,
    pub subscription_data: Option<SubscriptionData>,
    pub topic: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_split_trimmed_and_hashed() {
        let two = SubscriptionData::tags("T", " TagA ||标签||", 5).unwrap();
        assert_eq!(two.tags_set, BTreeSet::from(["TagA".into(), "标签".into()]));
        assert_eq!(two.code_set, BTreeSet::from([2598919, 857175]));
        assert_eq!((two.sub_string.as_str(), two.sub_version), (" TagA ||标签||", 5));
        assert!(two.is_tag() && two.matches_tags_code(2598919) && !two.matches_tags_code(1));
    }

    #[test]
    fn nothing_and_star_want_everything() {
        for expression in ["", "*"] {
            let all = SubscriptionData::tags("T", expression, 0).unwrap();
            assert!(all.is_all() && all.tags_set.is_empty() && all.matches_tags_code(7));
        }
    }

    #[test]
    fn expressions_without_content_are_refused() {
        assert_eq!(SubscriptionData::tags("T", "||||", 0), Err(SubscriptionError::NoTags));
        // Java sees one part here, a blank, and is content with no tags at all.
        assert!(SubscriptionData::tags("T", " || ", 0).unwrap().tags_set.is_empty());
        let sql = |text| SubscriptionData::expression("T", text, Some("SQL92"), 0);
        assert!(sql("").is_err());
        assert!(!sql("a > 1").unwrap().is_tag());
    }
}
