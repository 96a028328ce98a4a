//! A number that only grows, and what it grew by in the last minute, hour and day.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rmq_proto::body::BrokerStatsItem;

/// A sum of values and the number of times that something was added, sampled as Java's StatsItem.
#[derive(Debug, Default)]
pub(super) struct Item {
    value: AtomicU64,
    times: AtomicU64,
    windows: Mutex<[Window; 3]>,
}

/// Which window of an [`Item`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// A sample each 10 s.
    Minute,
    /// A sample each 10 minutes.
    Hour,
    /// A sample each hour.
    Day,
}

impl Span {
    /// Milliseconds between two samples.
    fn period_ms(self) -> i64 {
        match self {
            Self::Minute => 10_000,
            Self::Hour => 600_000,
            Self::Day => 3_600_000,
        }
    }

    fn samples(self) -> usize {
        match self {
            Self::Minute | Self::Hour => 7,
            Self::Day => 25,
        }
    }
}

impl Item {
    /// Adds to the sum, once.
    pub(super) fn add(&self, value: u64) {
        self.value.fetch_add(value, Ordering::Relaxed);
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    /// The sum since the start.
    pub(super) fn total(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Takes a sample for one of the windows.
    pub(super) fn sample(&self, span: Span, now_ms: i64) {
        let sample = Sample { at_ms: now_ms, value: self.total(), times: self.times.load(Ordering::Relaxed) };
        self.windows.lock()[span as usize].push(sample, span);
    }

    /// Sum, rate per second, and average per time within a window.
    pub(super) fn in_last(&self, span: Span) -> BrokerStatsItem {
        self.windows.lock()[span as usize].data()
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: i64,
    value: u64,
    times: u64,
}

#[derive(Debug, Default)]
struct Window(VecDeque<Sample>);

impl Window {
    fn push(&mut self, sample: Sample, span: Span) {
        if self.0.is_empty() {
            // Java: everything before the first sample happened within one period.
            self.0.push_back(Sample { at_ms: sample.at_ms - span.period_ms(), value: 0, times: 0 });
        }
        self.0.push_back(sample);
        if self.0.len() > span.samples() {
            self.0.pop_front();
        }
    }

    fn data(&self) -> BrokerStatsItem {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return BrokerStatsItem::default();
        };
        let sum = (last.value - first.value) as i64;
        let times = last.times - first.times;
        let elapsed_ms = (last.at_ms - first.at_ms).max(1);
        BrokerStatsItem {
            sum,
            tps: sum as f64 * 1000.0 / elapsed_ms as f64,
            avgpt: if times > 0 { sum as f64 / times as f64 } else { 0.0 },
        }
    }
}

/// Rates over the last 10, 60 and 600 seconds, sampled each second.
#[derive(Debug, Default)]
pub(super) struct Rates(VecDeque<(i64, u64)>);

impl Rates {
    const LONGEST: usize = 600;

    /// Takes the sample of a second.
    pub(super) fn sample(&mut self, now_ms: i64, total: u64) {
        self.0.push_back((now_ms, total));
        if self.0.len() > Self::LONGEST + 1 {
            self.0.pop_front();
        }
    }

    /// Java's form: three numbers separated by blanks; one that is not known yet is empty.
    pub(super) fn text(&self) -> String {
        [10, 60, Self::LONGEST]
            .map(|seconds| self.over(seconds).map_or(String::new(), super::double))
            .join(" ")
    }

    fn over(&self, seconds: usize) -> Option<f64> {
        let (last_ms, last) = *self.0.back()?;
        let (first_ms, first) = *self.0.get(self.0.len().checked_sub(seconds + 1)?)?;
        Some((last - first) as f64 / ((last_ms - first_ms).max(1)) as f64 * 1000.0)
    }
}

/// How long something took, by Java's buckets of milliseconds.
#[derive(Debug)]
pub(super) struct Latencies {
    fine: Box<[(u64, AtomicU64)]>,
    coarse: [AtomicU64; COARSE.len()],
    longest_ms: AtomicU64,
    /// The counts at the end of the last two minutes.
    marks: Mutex<[Vec<u64>; 2]>,
}

/// Upper bounds (exclusive, except the first) and names of the coarse buckets.
const COARSE: [(u64, &str); 13] = [
    (1, "[<=0ms]"),
    (10, "[0~10ms]"),
    (50, "[10~50ms]"),
    (100, "[50~100ms]"),
    (200, "[100~200ms]"),
    (500, "[200~500ms]"),
    (1_000, "[500ms~1s]"),
    (2_000, "[1~2s]"),
    (3_000, "[2~3s]"),
    (4_000, "[3~4s]"),
    (5_000, "[4~5s]"),
    (10_000, "[5~10s]"),
    (u64::MAX, "[10s~]"),
];

/// Width and number of the fine buckets, one group behind the other.
const FINE: [(u64, usize); 7] = [(1, 20), (2, 15), (5, 10), (10, 10), (50, 6), (100, 5), (1000, 9)];

impl Default for Latencies {
    fn default() -> Self {
        let widths = FINE.iter().flat_map(|(width, count)| std::iter::repeat_n(*width, *count));
        let bounds = widths.scan(0, |bound, width| {
            *bound += width;
            Some(*bound)
        });
        Self {
            fine: bounds.chain([u64::MAX]).map(|bound| (bound, AtomicU64::new(0))).collect(),
            coarse: Default::default(),
            longest_ms: AtomicU64::new(0),
            marks: Mutex::default(),
        }
    }
}

impl Latencies {
    /// Counts one.
    pub(super) fn add(&self, took_ms: u64) {
        let fine = self.fine.partition_point(|(bound, _)| *bound < took_ms);
        self.fine[fine].1.fetch_add(1, Ordering::Relaxed);
        let coarse = COARSE.partition_point(|(bound, _)| *bound <= took_ms).min(COARSE.len() - 1);
        self.coarse[coarse].fetch_add(1, Ordering::Relaxed);
        self.longest_ms.fetch_max(took_ms, Ordering::Relaxed);
    }

    /// The longest since the start, in milliseconds.
    pub(super) fn longest_ms(&self) -> u64 {
        self.longest_ms.load(Ordering::Relaxed)
    }

    /// Ends a minute: the answers below are of the last whole one.
    pub(super) fn end_minute(&self) {
        let counts = self.fine.iter().map(|(_, count)| count).chain(&self.coarse);
        let now = counts.map(|count| count.load(Ordering::Relaxed)).collect();
        let mut marks = self.marks.lock();
        marks[0] = std::mem::replace(&mut marks[1], now);
    }

    fn of_last_minute(&self) -> Vec<u64> {
        let marks = self.marks.lock();
        let before = marks[0].iter().copied().chain(std::iter::repeat(0));
        marks[1].iter().zip(before).map(|(end, begin)| end - begin).collect()
    }

    /// `[<=0ms]:n [0~10ms]:n …`
    pub(super) fn distribution(&self) -> String {
        let counts = self.of_last_minute();
        let of = |at: usize| counts.get(self.fine.len() + at).copied().unwrap_or(0);
        COARSE.iter().enumerate().map(|(at, (_, name))| format!("{name}:{} ", of(at))).collect()
    }

    /// Milliseconds within which this part (0 to 1) was done; interpolated within a bucket as Java does.
    pub(super) fn percentile(&self, part: f64) -> f64 {
        let counts = self.of_last_minute();
        let counts = counts.get(..self.fine.len()).unwrap_or_default();
        let wanted = (counts.iter().sum::<u64>() as f64 * part) as u64;
        let mut passed = 0;
        let mut lower = 0;
        for (count, (upper, _)) in counts.iter().zip(&self.fine) {
            if wanted <= passed + count {
                let within = if *count == 0 { 0.0 } else { (wanted - passed) as f64 / *count as f64 };
                return lower as f64 + (upper - lower) as f64 * within;
            }
            passed += count;
            lower = *upper;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides() {
        let item = Item::default();
        assert_eq!(item.in_last(Span::Minute), BrokerStatsItem::default());
        item.add(30);
        item.add(10);
        item.sample(Span::Minute, 10_000);
        let data = item.in_last(Span::Minute);
        assert_eq!((data.sum, data.tps, data.avgpt), (40, 4.0, 20.0));
        for second in 2..=8 {
            item.sample(Span::Minute, second * 10_000);
        }
        assert_eq!(item.in_last(Span::Minute).sum, 0);
        assert_eq!(item.total(), 40);
    }

    #[test]
    fn rates_are_empty_until_they_are_known() {
        let mut rates = Rates::default();
        assert_eq!(rates.text(), "  ");
        for second in 0..=10 {
            rates.sample(second * 1000, second as u64 * 5);
        }
        assert_eq!(rates.text(), "5.0  ");
    }

    #[test]
    fn latencies_of_the_last_minute() {
        let latencies = Latencies::default();
        for took in [0, 0, 3, 60, 20_000] {
            latencies.add(took);
        }
        assert_eq!(latencies.distribution().split(' ').next(), Some("[<=0ms]:0"));
        latencies.end_minute();
        let text = latencies.distribution();
        assert!(text.starts_with("[<=0ms]:2 [0~10ms]:1 [10~50ms]:0 [50~100ms]:1 "), "{text}");
        assert!(text.ends_with("[10s~]:1 "), "{text}");
        assert_eq!(latencies.percentile(0.6), 3.0);
        assert_eq!(latencies.longest_ms(), 20_000);
        latencies.end_minute();
        assert_eq!(latencies.percentile(0.99), 0.0);
    }
}
