//! A store directory, and who owns it.

use std::path::PathBuf;

use rmq_testkit::{Broker, Flavor, NameServer};

use crate::client::Client;

/// How an owner goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// SIGTERM.
    Stopped,
    /// `kill -9`.
    Killed,
}

/// Units in a queue file.
pub(crate) const UNITS: i64 = 40;
/// Delay of the highest level, ms: level n waits n seconds.
pub(crate) const LAST_LEVEL_MS: i64 = 18_000;

/// One store for both brokers, with the same ports and the same config.
#[derive(Debug)]
pub(crate) struct House {
    // Dropped in this order: a broker says good-bye to a name server that is still there.
    broker: Broker,
    _namesrv: NameServer,
}

impl House {
    /// Nobody is in yet. The files are so small that a few messages roll them.
    pub(crate) fn new(config: &[(&str, &str)]) -> House {
        let namesrv = NameServer::start_new(Flavor::Ours);
        let levels: Vec<_> = (1..=LAST_LEVEL_MS / 1_000).map(|level| format!("{level}s")).collect();
        let mut broker = Broker::new(Flavor::Ours, &namesrv.addr())
            .set("mappedFileSizeCommitLog", 1 << 20)
            .set("mappedFileSizeConsumeQueue", 20 * UNITS)
            .set("maxHashSlotNum", 100)
            .set("maxIndexNum", 250)
            // After a crash Java goes back ten log files by default, and drops index entries in front of them.
            .set("commitLogRecoverMaxNum", 1_000)
            .set("messageIndexSafe", true)
            .set("messageDelayLevel", levels.join(" "));
        for (key, value) in config {
            broker = broker.set(key, value);
        }
        House { broker, _namesrv: namesrv }
    }

    /// The next owner moves in.
    #[track_caller]
    pub(crate) fn enter(&mut self, owner: Flavor) -> Client {
        self.broker.hand_over(owner);
        self.broker.start();
        self.client()
    }

    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::open(&self.broker.addr())
    }

    /// The owner moves out.
    #[track_caller]
    pub(crate) fn leave(&mut self, exit: Exit) {
        match exit {
            Exit::Stopped => {
                self.broker.stop();
                assert!(
                    !self.store().join("abort").exists(),
                    "an owner that left in order takes `abort` along"
                );
            }
            Exit::Killed => self.broker.kill(),
        }
    }

    /// The directory that trades places.
    pub(crate) fn store(&self) -> PathBuf {
        self.broker.store_dir()
    }
}
