//! The harness that every test with a real daemon stands on.
//!
//! A test names what it wants, a [`Cluster`], a single [`NameServer`] or [`Broker`], ours or the official Java one
//! (a [`Flavor`]), and gets running processes on free ports, with their stores in temporary directories and their output
//! captured. When the test ends, passes or panics or is killed, the processes and the directories are gone.
//!
//! ```no_run
//! use rmq_testkit::{Cluster, Flavor};
//!
//! let cluster = Cluster::start(Flavor::Ours);
//! println!("clients dial {}", cluster.namesrv().addr());
//! ```
//!
//! Three rules hold for everything in here:
//! - a wait has a condition and a deadline, never a fixed length ([`wait`]);
//! - a missing binary or tool fails the test and says what to install or build, it never skips it;
//! - whatever fails panics at once with a sentence; the output of all live processes follows it.

mod binaries;
mod broker;
mod cluster;
mod daemon;
mod golang;
mod guardian;
mod name_server;
mod official;
mod ports;
mod process;
mod properties;
mod volume;
pub mod wait;
pub mod wire;

pub use binaries::binary;
pub use broker::Broker;
pub use cluster::Cluster;
pub use daemon::{Daemon, Flavor};
pub use golang::go_program;
pub use guardian::temp_dir;
pub use name_server::NameServer;
pub use official::{OfficialJars, jvm, official_jars};
pub use ports::PortBlock;
pub use process::{Process, Stream};
pub use properties::Properties;
pub use volume::Volume;
