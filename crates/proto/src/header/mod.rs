//! Typed custom headers: one struct per request or answer, one file per feature.
//!
//! `#[derive(Header)]` maps each field to one ext-field; see the derive crate for the rules.

pub mod admin;
pub mod client;
pub mod config;
pub mod group;
pub mod kv;
pub mod offset;
pub mod pull;
pub mod query;
pub mod register;
pub mod retry;
pub mod send;
pub mod topic;

use std::fmt;

pub use rmq_proto_derive::Header;

use crate::command::ExtFields;

/// A struct that can be carried in the ext-fields of a command.
pub trait Header: Sized {
    /// Reads the struct; unknown entries are ignored, as Java does.
    fn decode(ext: &ExtFields) -> Result<Self, HeaderError>;
    /// Adds the struct's entries.
    fn encode(&self, ext: &mut ExtFields);
}

/// Why a custom header could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A mandatory entry is not there.
    #[error("the header field `{0}` is missing")]
    Missing(&'static str),
    /// An entry is not of the expected type.
    #[error("the header field `{field}` has the value `{value}`, which is not a valid {expected}")]
    Invalid {
        /// The entry's key.
        field: &'static str,
        /// What was sent, cut to 64 characters.
        value: String,
        /// The type that was expected.
        expected: &'static str,
    },
}

pub(crate) fn put(ext: &mut ExtFields, key: &str, value: impl fmt::Display) {
    ext.insert(key, value);
}

pub(crate) fn mandatory<T: FieldValue>(ext: &ExtFields, field: &'static str) -> Result<T, HeaderError> {
    optional(ext, field)?.ok_or(HeaderError::Missing(field))
}

pub(crate) fn optional<T: FieldValue>(
    ext: &ExtFields,
    field: &'static str,
) -> Result<Option<T>, HeaderError> {
    let Some(value) = ext.get(field) else {
        return Ok(None);
    };
    T::parse(value).map(Some).ok_or_else(|| HeaderError::Invalid {
        field,
        value: value.chars().take(64).collect(),
        expected: T::NAME,
    })
}

/// A type that one ext-field can hold. Java writes each with `toString`.
pub(crate) trait FieldValue: Sized + fmt::Display {
    /// What to call it in an error.
    const NAME: &'static str;
    fn parse(text: &str) -> Option<Self>;
}

impl FieldValue for String {
    const NAME: &'static str = "text";
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FieldValue for i32 {
    const NAME: &'static str = "32-bit number";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FieldValue for i64 {
    const NAME: &'static str = "64-bit number";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Java's `Boolean.parseBoolean`: everything but "true" in any case is false.
impl FieldValue for bool {
    const NAME: &'static str = "boolean";
    fn parse(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::send::SendRequest;
    use super::*;

    fn send_request() -> SendRequest {
        SendRequest {
            producer_group: "g".into(),
            topic: "t".into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 4,
            queue_id: -1,
            born_timestamp: 1_700_000_000_000,
            batch: Some(true),
            ..SendRequest::default()
        }
    }

    #[test]
    fn a_header_has_a_long_and_a_short_form() {
        let header = send_request();
        let (mut long, mut short) = (ExtFields::default(), ExtFields::default());
        header.encode(&mut long);
        header.encode_short(&mut short);
        assert_eq!(long.get("defaultTopicQueueNums"), Some("4"));
        assert_eq!(short.get("d"), Some("4"));
        assert_eq!(short.get("m"), Some("true"));
        assert_eq!(short.get("i"), None);
        assert_eq!(SendRequest::decode(&long), Ok(header.clone()));
        assert_eq!(SendRequest::decode_short(&short), Ok(header));
    }

    #[test]
    fn a_bad_field_is_named() {
        let mut ext = ExtFields::default();
        send_request().encode(&mut ext);
        ext.insert("queueId", "five");
        let error = SendRequest::decode(&ext).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the header field `queueId` has the value `five`, which is not a valid 32-bit number"
        );
        ext.remove("queueId");
        assert_eq!(SendRequest::decode(&ext), Err(HeaderError::Missing("queueId")));
    }
}
