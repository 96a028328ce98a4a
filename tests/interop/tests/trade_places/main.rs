//! A store directory trades places: one broker after the other owns it, Java's and ours, and each answers the same for
//! everything that any of them stored.
//!
//! Bodies of answers are compared as they came over the wire, so no codec of ours can hide its own mistake.

mod client;
mod derived;
mod exotic;
mod house;
mod java_only;
mod ledger;
mod ours_first;
mod record;
mod rotation;
mod traffic;
