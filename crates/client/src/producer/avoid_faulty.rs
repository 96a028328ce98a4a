//! Leaving brokers alone that were slow or failed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Java's table: an answer that took at least so many milliseconds, and how long its broker is left alone.
const ISOLATION_MS: [(u64, u64); 7] =
    [(15_000, 30_000), (5_000, 10_000), (3_000, 6_000), (1_800, 5_000), (550, 2_000), (100, 0), (50, 0)];
/// A failure counts as an answer that took so long.
const FAILURE_LATENCY: Duration = Duration::from_secs(10);

/// Which brokers are left alone, and until when.
#[derive(Debug)]
pub(crate) struct AvoidFaulty {
    enabled: bool,
    until: Mutex<HashMap<String, Instant>>,
}

impl AvoidFaulty {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, until: Mutex::default() }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Takes note of an answer. A later good answer does not end an isolation early, as in Java.
    pub(crate) fn answered(&self, broker: &str, latency: Duration, now: Instant) {
        if !self.enabled {
            return;
        }
        let isolation = isolation(latency);
        if isolation.is_zero() {
            return;
        }
        let end = now + isolation;
        let mut until = self.until.lock();
        let known = until.entry(broker.to_owned()).or_insert(end);
        *known = end.max(*known);
    }

    /// Takes note of a failure.
    pub(crate) fn failed(&self, broker: &str, now: Instant) {
        self.answered(broker, FAILURE_LATENCY, now);
    }

    pub(crate) fn is_available(&self, broker: &str, now: Instant) -> bool {
        !self.enabled || self.until.lock().get(broker).is_none_or(|until| now >= *until)
    }
}

fn isolation(latency: Duration) -> Duration {
    let latency_ms = latency.as_millis() as u64;
    let step = ISOLATION_MS.iter().find(|(at_least_ms, _)| latency_ms >= *at_least_ms);
    Duration::from_millis(step.map_or(0, |(_, isolation_ms)| *isolation_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_grows_with_latency_as_in_java() {
        let seconds = |latency_ms| isolation(Duration::from_millis(latency_ms)).as_secs();
        let seen: Vec<_> =
            [0, 50, 549, 550, 1_799, 1_800, 3_000, 5_000, 10_000, 15_000].into_iter().map(seconds).collect();
        assert_eq!(seen, [0, 0, 0, 2, 2, 5, 6, 10, 10, 30]);
    }

    #[test]
    fn a_failed_broker_comes_back_after_its_time() {
        let faults = AvoidFaulty::new(true);
        let start = Instant::now();
        assert!(faults.is_available("a", start));
        faults.failed("a", start);
        faults.answered("a", Duration::from_millis(600), start);
        assert!(!faults.is_available("a", start + Duration::from_millis(9_999)));
        assert!(faults.is_available("a", start + Duration::from_secs(10)));
        assert!(faults.is_available("b", start));
    }

    #[test]
    fn nothing_is_avoided_unless_wanted() {
        let faults = AvoidFaulty::new(false);
        faults.failed("a", Instant::now());
        assert!(faults.is_available("a", Instant::now()));
    }
}
