//! How often something happened in the last minute, and how long it took.

use std::time::Instant;

use parking_lot::Mutex;

const SECONDS: usize = 60;

#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    slots: Mutex<[Slot; SECONDS]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: u64,
    count: u64,
    took_ms: u64,
}

/// Figures of the last minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LastMinute {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    pub(crate) average_ms: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { start: Instant::now(), slots: Mutex::new([Slot::default(); SECONDS]) }
    }
}

impl Pace {
    pub(crate) fn add(&self, count: u64, took_ms: u64) {
        self.add_at(self.start.elapsed().as_secs(), count, took_ms);
    }

    pub(crate) fn last_minute(&self) -> LastMinute {
        self.last_minute_at(self.start.elapsed().as_secs())
    }

    fn add_at(&self, second: u64, count: u64, took_ms: u64) {
        let slot = &mut self.slots.lock()[second as usize % SECONDS];
        if slot.second != second {
            *slot = Slot { second, ..Slot::default() };
        }
        slot.count += count;
        slot.took_ms += took_ms;
    }

    fn last_minute_at(&self, now: u64) -> LastMinute {
        let slots = self.slots.lock();
        let recent = slots.iter().filter(|slot| slot.second + SECONDS as u64 > now);
        let (count, took_ms) =
            recent.fold((0, 0), |(count, took), slot| (count + slot.count, took + slot.took_ms));
        LastMinute {
            count,
            per_second: count as f64 / SECONDS as f64,
            average_ms: if count == 0 { 0.0 } else { took_ms as f64 / count as f64 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_minute_counts() {
        let pace = Pace::default();
        pace.add_at(0, 6, 60);
        pace.add_at(30, 6, 0);
        assert_eq!(pace.last_minute_at(59), LastMinute { count: 12, per_second: 0.2, average_ms: 5.0 });
        assert_eq!(pace.last_minute_at(60).count, 6);
        pace.add_at(60, 1, 1);
        assert_eq!(pace.last_minute_at(60).count, 7);
        assert_eq!(pace.last_minute_at(200).count, 0);
    }
}
