//! Files: of fixed size, one behind the other, mapped for reading.

pub(crate) mod allocator;
pub(crate) mod checkpoint;
pub(crate) mod lock;
pub(crate) mod mapped_file;
pub(crate) mod mapped_files;
