//! Apache RocketMQ's protocol and data formats: bytes in, values out.
//!
//! Nothing here does I/O, waits, or asks for the time. What enters is a frame from a socket or a
//! record from a log; what leaves is a typed value, and back again, byte for byte as Java does it.
//!
//! ```text
//!  socket ─ frame ─▶ codec ─▶ command ─▶ header (custom header fields)
//!                                └─────▶ body   (JSON bodies, via fastjson)
//!  log or pull body ───────────▶ message (record, properties, ids)
//! ```
//!
//! ```
//! use rmq_proto::{code::RequestCode, codec, command::Command};
//!
//! let mut ask = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC);
//! ask.ext.insert("topic", "orders");
//! let frame = codec::encode(&ask).freeze();
//! let read = codec::decode(frame).unwrap();
//! assert_eq!(read.ext.get("topic"), Some("orders"));
//! ```

extern crate self as rmq_proto;

pub mod body;
pub mod code;
pub mod codec;
pub mod command;
pub mod fastjson;
pub mod header;
pub mod message;
pub mod properties_file;
pub mod topic;
