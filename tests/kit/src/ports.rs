//! Free ports for daemons that cannot bind port 0.
//!
//! A Java broker listens on `listenPort`, `listenPort - 2` and `haListenPort`, all named in its config: they have to be
//! known before it starts. So ports are leased in blocks below the kernel's ephemeral range. A lock file per block keeps
//! parallel test processes apart, a probing bind finds what others use.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

const FIRST: u16 = 20_000;
const LAST: u16 = 30_000;
const BLOCK: u16 = 8;

/// Eight consecutive ports that are this value's until it is dropped.
#[derive(Debug)]
pub struct PortBlock {
    base: u16,
    _lock: File,
}

impl PortBlock {
    /// Leases a block.
    ///
    /// # Panics
    /// When every block is taken.
    pub fn lease() -> PortBlock {
        let dir = std::env::temp_dir().join("rmq-test-ports");
        fs::create_dir_all(&dir).expect("the directory of port locks can be made");
        let blocks = (LAST - FIRST) / BLOCK;
        // Starting at different places spares most of the probing.
        let start = (std::process::id() % u32::from(blocks)) as u16;
        for i in 0..blocks {
            let base = FIRST + (start + i) % blocks * BLOCK;
            let lock = File::create(dir.join(base.to_string())).expect("a port lock file can be made");
            if lock.try_lock().is_ok() && (base..base + BLOCK).all(is_free) {
                return PortBlock { base, _lock: lock };
            }
        }
        panic!("no block of {BLOCK} free ports between {FIRST} and {LAST}");
    }

    /// The `n`th port of the block.
    pub fn port(&self, n: u16) -> u16 {
        assert!(n < BLOCK);
        self.base + n
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait;

    #[test]
    fn leases_do_not_overlap_and_end_with_their_value() {
        let first = PortBlock::lease();
        let second = PortBlock::lease();
        assert!(first.base.abs_diff(second.base) >= BLOCK);

        let base = first.base;
        drop(first);
        let lock = File::open(std::env::temp_dir().join("rmq-test-ports").join(base.to_string())).unwrap();
        // A child that another thread is just forking shares the lock until it has exec'ed.
        wait::until("the lock to end with the lease", Duration::from_secs(5), || lock.try_lock().is_ok());
    }
}
