//! The log: the truth that everything else is derived from.

pub(crate) mod commit_log;
pub(crate) mod cursor;
pub(crate) mod flush;
pub(crate) mod recover;
