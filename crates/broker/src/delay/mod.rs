//! Messages that are delivered later.

pub mod levels;
mod progress;
