//! The JSON bodies of requests and answers, and of the broker's config files.
//!
//! Each struct has Java's member names in camel case, declared in alphabetical order because that is
//! the order in which Java writes them. Missing members take Java's field defaults, which are also
//! what `Default` gives. Write and read them with [`crate::fastjson`].

pub mod assignment;
pub mod auth;
pub mod batch_ack;
pub mod broker_stats;
pub mod cluster;
pub mod connection;
pub mod consume_directly;
pub mod consume_queue;
pub mod consume_stats;
pub mod controller;
pub mod data_version;
pub mod filter_data;
pub mod group_config;
pub mod ha;
pub mod heartbeat;
pub mod list;
pub mod lite;
pub mod lock;
pub mod message_queue;
pub mod metrics;
mod names;
pub mod offset_table;
pub mod offsets;
pub mod order_info;
pub mod queue_mapping;
pub mod registration;
pub mod route;
pub mod running_info;
pub mod subscription;
pub mod time_span;
pub mod topic_config;
pub mod topic_stats;

#[cfg(test)]
mod tests;

pub use self::{
    assignment::*, auth::*, batch_ack::*, broker_stats::*, cluster::*, connection::*, consume_directly::*,
    consume_queue::*, consume_stats::*, controller::*, data_version::*, filter_data::*, group_config::*,
    ha::*, heartbeat::*, list::*, lite::*, lock::*, message_queue::*, metrics::*, offset_table::*,
    offsets::*, order_info::*, queue_mapping::*, registration::*, route::*, running_info::*, subscription::*,
    time_span::*, topic_config::*, topic_stats::*,
};
