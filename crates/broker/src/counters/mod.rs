//! What went in and out: totals, rates and the statistics that mqadmin and the dashboard ask for.
//!
//! The rooms call in with what they did; [`crate::jobs`] calls the `sample_…` methods. Adding is a lookup and two
//! atomic additions; nothing here waits.

mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;
use rmq_proto::body::BrokerStatsData;
use rmq_proto::topic;

pub use window::Span;
use window::{Item, Latencies, Rates};

/// The broker's statistics.
#[derive(Debug)]
pub struct Counters {
    cluster: String,
    topics: DashMap<String, Arc<TopicItems>>,
    groups: DashMap<String, Arc<GroupItems>>,
    latencies: DashMap<String, Arc<Item>>,
    put: Item,
    put_of_users: Item,
    got: Item,
    got_of_users: Item,
    put_bytes: AtomicU64,
    put_failed: AtomicU64,
    found: AtomicU64,
    missed: AtomicU64,
    longest_pull_ms: AtomicU64,
    puts: Latencies,
    rates: Mutex<AllRates>,
    mornings: Mutex<Mornings>,
}

/// By topic.
#[derive(Debug, Default)]
struct TopicItems {
    put_nums: Item,
    put_size: Item,
}

/// By `topic@group`.
#[derive(Debug, Default)]
struct GroupItems {
    get_nums: Item,
    get_size: Item,
    sent_back: Item,
}

#[derive(Debug, Default)]
struct AllRates {
    put: Rates,
    found: Rates,
    missed: Rates,
    total: Rates,
    transferred: Rates,
}

/// Totals at the last two midnights.
#[derive(Clone, Copy, Debug, Default)]
struct Mornings {
    put_yesterday: u64,
    put_today: u64,
    got_yesterday: u64,
    got_today: u64,
}

/// A number as Java's `Double.toString` writes it, for the range that rates have.
pub(crate) fn double(value: f64) -> String {
    format!("{value:?}")
}

impl Counters {
    /// All zero. The cluster's name is the key of the broker-wide statistics.
    pub fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            topics: DashMap::new(),
            groups: DashMap::new(),
            latencies: DashMap::new(),
            put: Item::default(),
            put_of_users: Item::default(),
            got: Item::default(),
            got_of_users: Item::default(),
            put_bytes: AtomicU64::new(0),
            put_failed: AtomicU64::new(0),
            found: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            longest_pull_ms: AtomicU64::new(0),
            puts: Latencies::default(),
            rates: Mutex::default(),
            mornings: Mutex::default(),
        }
    }

    /// Messages were stored.
    pub fn stored(&self, topic: &str, messages: u64, bytes: u64) {
        let items = entry(&self.topics, topic);
        items.put_nums.add(messages);
        items.put_size.add(bytes);
        self.put.add(messages);
        self.put_bytes.fetch_add(bytes, Ordering::Relaxed);
        if !topic::is_system(topic) {
            self.put_of_users.add(messages);
        }
    }

    /// A message could not be stored.
    pub fn put_failed(&self) {
        self.put_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Storing took this long.
    pub fn put_took(&self, ms: u64) {
        self.puts.add(ms);
    }

    /// Messages went to a consumer.
    pub fn fetched(&self, group: &str, topic: &str, messages: u64, bytes: u64) {
        let items = entry(&self.groups, &format!("{topic}@{group}"));
        items.get_nums.add(messages);
        items.get_size.add(bytes);
        self.got.add(messages);
        if !topic::is_system(topic) {
            self.got_of_users.add(messages);
        }
    }

    /// A pull found messages.
    pub fn pull_found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    /// A pull found nothing.
    pub fn pull_missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// A pull took this long.
    pub fn pull_latency(&self, group: &str, topic: &str, queue_id: i32, ms: u64) {
        entry(&self.latencies, &format!("{queue_id}@{topic}@{group}")).add(ms);
        self.longest_pull_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// A consumer gave messages back.
    pub fn sent_back(&self, group: &str, topic: &str, messages: u64) {
        entry(&self.groups, &format!("{topic}@{group}")).sent_back.add(messages);
    }

    /// Messages stored in a topic per second, over the last minute.
    pub fn put_tps(&self, topic: &str) -> f64 {
        self.topics.get(topic).map_or(0.0, |items| items.put_nums.in_last(Span::Minute).tps)
    }

    /// Messages that a group got of a topic per second, over the last minute.
    pub fn get_tps(&self, group: &str, topic: &str) -> f64 {
        let items = self.groups.get(&format!("{topic}@{group}"));
        items.map_or(0.0, |items| items.get_nums.in_last(Span::Minute).tps)
    }

    /// A statistic by Java's name and key; `None` if nothing was counted under them.
    pub fn find(&self, name: &str, key: &str) -> Option<BrokerStatsData> {
        let of_broker = |item: &Item| (key == self.cluster).then(|| data(item));
        let of_topic = |pick: fn(&TopicItems) -> &Item| self.topics.get(key).map(|items| data(pick(&items)));
        let of_group = |pick: fn(&GroupItems) -> &Item| self.groups.get(key).map(|items| data(pick(&items)));
        match name {
            "TOPIC_PUT_NUMS" => of_topic(|items| &items.put_nums),
            "TOPIC_PUT_SIZE" => of_topic(|items| &items.put_size),
            "GROUP_GET_NUMS" => of_group(|items| &items.get_nums),
            "GROUP_GET_SIZE" => of_group(|items| &items.get_size),
            "SNDBCK_PUT_NUMS" => of_group(|items| &items.sent_back),
            "GROUP_GET_LATENCY" => self.latencies.get(key).map(|item| data(&item)),
            "BROKER_PUT_NUMS" => of_broker(&self.put),
            "BROKER_GET_NUMS" => of_broker(&self.got),
            "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC" => of_broker(&self.put_of_users),
            "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC" => of_broker(&self.got_of_users),
            _ => None,
        }
    }

    /// A deleted topic is not counted any more.
    pub fn forget_topic(&self, topic: &str) {
        self.topics.remove(topic);
        let part = format!("@{topic}@");
        self.groups.retain(|key, _| key.split_once('@').is_none_or(|(of, _)| of != topic));
        self.latencies.retain(|key, _| !key.contains(&part));
    }

    /// A deleted group is not counted any more.
    pub fn forget_group(&self, group: &str) {
        let part = format!("@{group}");
        self.groups.retain(|key, _| !key.ends_with(&part));
        self.latencies.retain(|key, _| !key.ends_with(&part));
    }

    /// Each second.
    pub fn sample_second(&self, now_ms: i64) {
        let (found, missed) = (self.found.load(Ordering::Relaxed), self.missed.load(Ordering::Relaxed));
        let mut rates = self.rates.lock();
        rates.put.sample(now_ms, self.put.total());
        rates.found.sample(now_ms, found);
        rates.missed.sample(now_ms, missed);
        rates.total.sample(now_ms, found + missed);
        rates.transferred.sample(now_ms, self.got.total());
    }

    /// Each period of a window.
    pub fn sample(&self, span: Span, now_ms: i64) {
        for items in &self.topics {
            items.put_nums.sample(span, now_ms);
            items.put_size.sample(span, now_ms);
        }
        for items in &self.groups {
            items.get_nums.sample(span, now_ms);
            items.get_size.sample(span, now_ms);
            items.sent_back.sample(span, now_ms);
        }
        for item in &self.latencies {
            item.sample(span, now_ms);
        }
        for item in [&self.put, &self.put_of_users, &self.got, &self.got_of_users] {
            item.sample(span, now_ms);
        }
    }

    /// Each minute.
    pub fn end_minute(&self) {
        self.puts.end_minute();
    }

    /// Each midnight.
    pub fn end_day(&self) {
        let mut mornings = self.mornings.lock();
        *mornings = Mornings {
            put_yesterday: mornings.put_today,
            put_today: self.put_of_users.total(),
            got_yesterday: mornings.got_today,
            got_today: self.got_of_users.total(),
        };
    }

    /// The numbers of GET_BROKER_RUNTIME_INFO, under Java's names.
    pub fn report(&self, table: &mut BTreeMap<String, String>) {
        let times = self.put.total().max(1);
        let bytes = self.put_bytes.load(Ordering::Relaxed);
        let mornings = *self.mornings.lock();
        let rates = self.rates.lock();
        let mut put = |key: &str, value: String| table.insert(key.to_owned(), value);
        put("putMessageEntireTimeMax", self.puts.longest_ms().to_string());
        put("putMessageTimesTotal", times.to_string());
        put("putMessageFailedTimes", self.put_failed.load(Ordering::Relaxed).to_string());
        put("putMessageSizeTotal", bytes.to_string());
        put("putMessageDistributeTime", self.puts.distribution());
        put("putMessageAverageSize", double(bytes as f64 / times as f64));
        put("putLatency99", format!("{:.2}", self.puts.percentile(0.99)));
        put("putLatency999", format!("{:.2}", self.puts.percentile(0.999)));
        put("getMessageEntireTimeMax", self.longest_pull_ms.load(Ordering::Relaxed).to_string());
        put("putTps", rates.put.text());
        put("getFoundTps", rates.found.text());
        put("getMissTps", rates.missed.text());
        put("getTotalTps", rates.total.text());
        put("getTransferredTps", rates.transferred.text());
        put("msgPutTotalYesterdayMorning", mornings.put_yesterday.to_string());
        put("msgPutTotalTodayMorning", mornings.put_today.to_string());
        put("msgPutTotalTodayNow", self.put_of_users.total().to_string());
        put("msgGetTotalYesterdayMorning", mornings.got_yesterday.to_string());
        put("msgGetTotalTodayMorning", mornings.got_today.to_string());
        put("msgGetTotalTodayNow", self.got_of_users.total().to_string());
    }
}

fn entry<T: Default>(map: &DashMap<String, Arc<T>>, key: &str) -> Arc<T> {
    if let Some(found) = map.get(key) {
        return found.clone();
    }
    map.entry(key.to_owned()).or_default().clone()
}

fn data(item: &Item) -> BrokerStatsData {
    BrokerStatsData {
        stats_minute: item.in_last(Span::Minute),
        stats_hour: item.in_last(Span::Hour),
        stats_day: item.in_last(Span::Day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_found_by_javas_names() {
        let counters = Counters::new("c");
        counters.stored("t", 3, 300);
        counters.stored("SCHEDULE_TOPIC_XXXX", 1, 10);
        counters.fetched("g", "t", 2, 200);
        counters.sent_back("g", "t", 1);
        counters.pull_latency("g", "t", 0, 5);
        counters.sample(Span::Minute, 10_000);
        let minute = |name, key| counters.find(name, key).map(|data| data.stats_minute.sum);
        assert_eq!(minute("TOPIC_PUT_NUMS", "t"), Some(3));
        assert_eq!(minute("TOPIC_PUT_SIZE", "t"), Some(300));
        assert_eq!(minute("GROUP_GET_NUMS", "t@g"), Some(2));
        assert_eq!(minute("GROUP_GET_LATENCY", "0@t@g"), Some(5));
        assert_eq!(minute("BROKER_PUT_NUMS", "c"), Some(4));
        assert_eq!(minute("BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC", "c"), Some(3));
        assert_eq!(minute("TOPIC_PUT_NUMS", "nowhere"), None);
        assert_eq!(counters.put_tps("t"), 0.3);

        counters.forget_group("g");
        assert_eq!(minute("GROUP_GET_NUMS", "t@g"), None);
        counters.forget_topic("t");
        assert_eq!(minute("TOPIC_PUT_NUMS", "t"), None);
    }

    #[test]
    fn yesterday_is_what_came_between_two_midnights() {
        let counters = Counters::new("c");
        counters.stored("t", 5, 1);
        counters.end_day();
        counters.stored("t", 2, 1);
        let mut table = BTreeMap::new();
        counters.report(&mut table);
        assert_eq!(table["msgPutTotalTodayMorning"], "5");
        assert_eq!(table["msgPutTotalTodayNow"], "7");
        assert_eq!(table["putTps"], "  ");
        counters.end_day();
        counters.report(&mut table);
        assert_eq!(
            (table["msgPutTotalYesterdayMorning"].as_str(), table["msgPutTotalTodayMorning"].as_str()),
            ("5", "7")
        );
    }
}
