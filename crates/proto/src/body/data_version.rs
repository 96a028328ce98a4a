//! The version of a table that a broker keeps.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Which state of a table somebody has. Two are the same only if all three numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// How often the table changed.
    pub counter: i64,
    /// The controller's epoch of the master that changed the table; 0 without a controller.
    pub state_version: i64,
    /// When the table changed, in milliseconds since 1970.
    pub timestamp: i64,
}

impl DataVersion {
    /// The table changed at `now_ms`.
    pub fn advance(&mut self, now_ms: i64) {
        self.advance_in_state(0, now_ms);
    }

    /// The table changed at `now_ms` while `state_version` was the controller's epoch.
    pub fn advance_in_state(&mut self, state_version: i64, now_ms: i64) {
        self.timestamp = now_ms;
        self.state_version = state_version;
        self.counter += 1;
    }
}

/// Newer is greater. Java looks at the state version first, then the counter, then the time.
impl Ord for DataVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |version: &Self| (version.state_version, version.counter, version.timestamp);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for DataVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for DataVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DataVersion[timestamp={}, counter={}]", self.timestamp, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_means_state_then_counter_then_time() {
        let version = |state_version, counter, timestamp| DataVersion { counter, state_version, timestamp };
        assert!(version(1, 0, 0) > version(0, 9, 9));
        assert!(version(1, 2, 0) > version(1, 1, 9));
        assert!(version(1, 2, 4) > version(1, 2, 3));
        let mut moved = version(4, 2, 1);
        moved.advance(10);
        assert_eq!(moved, version(0, 3, 10));
    }
}
