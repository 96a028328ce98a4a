//! Official clients and servers as judges of ours: what the tests in `tests/` share.
//!
//! [`Java`] and [`Go`] are the official clients under remote control. A test calls them and gets [`Fact`]s back, one for
//! each send result or message, which it then judges. Every scenario runs unchanged against the official servers with
//! `RMQ_TEST_TARGET=java`: what fails there is a mistake of the test.

mod fact;
mod go;
mod java;
mod text;

use std::time::Duration;

pub use fact::{Fact, numbers, of_kind, texts};
pub use go::Go;
pub use java::{Java, Ongoing, Request};
pub use text::{bare_keys_quoted, masked};

/// How long anything may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);
