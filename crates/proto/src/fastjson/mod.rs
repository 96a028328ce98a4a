//! Java's JSON, both directions: the one place that knows its quirks.
//!
//! RocketMQ's bodies and config files are written by fastjson, whose text is nearly JSON:
//!
//! - a `Map<Long, _>` has bare keys: `{0:"10.0.0.1:10911"}`
//! - a `Map<MessageQueue, _>` has objects as keys: `{{"brokerName":"b","queueId":0,"topic":"T"}:{…}}`
//! - members that are null are left out, members come in alphabetical order
//!
//! Java refuses the second form when such a key is written as a string, and one client finds the
//! numbers of the first by splitting text: so these forms must be written exactly, without spaces.
//! The order of members is the order of struct fields, hence bodies declare them alphabetically.
//!
//! Reading follows fastjson's leniency, because clients in other languages lean on it: numbers and
//! booleans may be text, text may be a number, enums may be ordinals, unknown members are skipped,
//! and null members count as missing.

mod read;
mod write;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// Why a body could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct Error {
    reason: String,
    at: usize,
}

impl Error {
    fn new(reason: impl Into<String>, at: usize) -> Self {
        Self { reason: reason.into(), at }
    }
}

impl serde::de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), 0)
    }
}

impl serde::ser::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), 0)
    }
}

/// How text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// What Java sends.
    Compact,
    /// What Java sends to those who asked for standard JSON: number keys are quoted.
    Standard,
    /// What Java keeps in files: indented with tabs.
    Pretty,
}

/// Writes `value` as Java sends it: compact, with bare and object keys.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    write::to_vec(value, Form::Compact)
}

/// Writes `value` with number keys quoted. Only for routes that are asked for by newer clients: in
/// every other body Java keeps number keys bare.
pub fn to_standard_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    write::to_vec(value, Form::Standard)
}

/// Writes `value` as Java keeps it in config files: indented with tabs, keys as in [`to_vec`].
pub fn to_string_pretty<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let bytes = write::to_vec(value, Form::Pretty)?;
    String::from_utf8(bytes).map_err(|error| Error::new(error.to_string(), 0))
}

/// Reads a value from any of the forms above, or from plain JSON.
///
/// Never panics; time and memory are linear in the input; nesting beyond 64 levels is an error.
pub fn from_slice<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, Error> {
    read::from_slice(input)
}
