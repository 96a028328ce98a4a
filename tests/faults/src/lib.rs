//! Faults on purpose: processes killed, power cut, bits flipped, disks that fail or are slow.
//!
//! ```text
//!  load ─▶ store or broker ─▶ fault ─▶ start again ─▶ read everything ─▶ history says what is wrong
//! ```
//! What was sent and acknowledged is kept in a [`history`], which judges what is read afterwards. A
//! [`lab`] drives a store in this process; [`image`] copies what a killed process leaves, [`power`] makes
//! what a power cut leaves; [`fleet`] drives real daemons.

pub mod crash_loop;
pub mod fleet;
pub mod flips;
pub mod history;
pub mod image;
pub mod lab;
pub mod message;
pub mod power;
