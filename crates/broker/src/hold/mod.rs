//! Requests that wait for messages to arrive.

pub mod pulls;
