//! What is derived from the log and can be made from it again: queues and the index by key.

pub(crate) mod consume_queue;
pub(crate) mod dispatch;
pub(crate) mod heal;
pub(crate) mod index;
pub(crate) mod index_file;
pub(crate) mod open_files;
pub(crate) mod queue_file;
pub(crate) mod queues;
pub(crate) mod roster;
