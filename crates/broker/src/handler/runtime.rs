//! The broker's state and statistics: codes 28, 306, 315, 321 and 329.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rmq_proto::body::{ConsumeQueueEntry, ConsumeQueueReply, KvTable};
use rmq_proto::command::Command;
use rmq_proto::header::admin::{BrokerStats, ConsumeQueue};
use rmq_remoting::Limits;
use rmq_store::Store;
use tracing::info;

use super::answer;
use crate::clients::consumers::Consumers;
use crate::config::LiveConfig;
use crate::counters::{Counters, double};
use crate::delay::levels::Levels;
use crate::error::Rejection;
use crate::limits::MAX_QUEUE_ENTRIES;
use crate::meta::{Topics, now_ms};

/// Shows how the broker is.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct RuntimeHandler {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub consumers: Arc<Consumers>,
    pub counters: Arc<Counters>,
    pub store: Arc<Store>,
    pub levels: Arc<Levels>,
    /// Milliseconds since the epoch.
    pub started_ms: i64,
}

impl RuntimeHandler {
    /// GET_BROKER_RUNTIME_INFO (28): Java's keys, for clusterList, brokerStatus and the dashboard.
    pub fn info(&self, _request: &Command) -> Result<Command, Rejection> {
        let mut table = BTreeMap::new();
        self.counters.report(&mut table);
        self.report_store(&mut table);
        self.report_disk(&mut table);
        self.report_process(&mut table);
        answer(&KvTable { table })
    }

    fn report_process(&self, table: &mut BTreeMap<String, String>) {
        let config = self.config.get();
        let mut put = |key: &str, value: String| table.insert(key.to_owned(), value);
        put("bootTimestamp", self.started_ms.to_string());
        put("runtime", lasted(now_ms() - self.started_ms));
        put("brokerActive", "true".into());
        put("brokerVersionDesc", "V5_5_0".into());
        put("startAcceptSendRequestTimeStamp", config.start_accept_send_request_time_stamp.to_string());
        // Requests run on their connections' tasks: no thread pool has a queue in which they could wait. The capacity
        // is that of one connection.
        let in_flight = Limits::default().max_in_flight;
        for pool in ["send", "pull", "litePull", "query", "ack"] {
            put(&format!("{pool}ThreadPoolQueueSize"), "0".into());
            put(&format!("{pool}ThreadPoolQueueHeadWaitTimeMills"), "0".into());
            put(&format!("{pool}ThreadPoolQueueCapacity"), in_flight.to_string());
        }
        put("EndTransactionQueueSize", "0".into());
        put("EndTransactionThreadPoolQueueCapacity", in_flight.to_string());
    }

    fn report_store(&self, table: &mut BTreeMap<String, String>) {
        let store = &self.store;
        let mut put = |key: &str, value: String| table.insert(key.to_owned(), value);
        put("commitLogMinOffset", store.min_physical_offset().to_string());
        put("commitLogMaxOffset", store.max_physical_offset().to_string());
        put(
            "dispatchBehindBytes",
            (store.max_physical_offset() - store.dispatched_offset()).max(0).to_string(),
        );
        put("dispatchMaxBuffer", "0".into());
        put(
            "remainHowManyDataToFlush",
            bytes((store.max_physical_offset() - store.flushed_offset()).max(0) as u64),
        );
        // Java without a pool of buffers: the largest int.
        put("remainTransientStoreBufferNumbs", i32::MAX.to_string());
        // How long the append lock has been held; here it is never held over a wait.
        put("pageCacheLockTimeMills", "0".into());
        put("earliestMessageTimeStamp", store.earliest_time().unwrap_or(-1).to_string());
        for (level, offset, max) in self.levels.progress() {
            put(&format!("scheduleMessageOffset_{level}"), format!("{offset},{max}"));
        }
        for key in ["timerReadBehind", "timerOffsetBehind", "timerCongestNum"] {
            put(key, "0".into());
        }
        for key in ["timerEnqueueTps", "timerDequeueTps"] {
            put(key, "0.0".into());
        }
    }

    fn report_disk(&self, table: &mut BTreeMap<String, String>) {
        // Not a key of Java's, and only there when it has something to say.
        if let Some(refusal) = self.store.status().refusal {
            table.insert("sendsRefused".into(), refusal);
        }
        let config = self.config.get();
        let log = &config.store_path_commit_log;
        let log_disk = Disk::of(Path::new(log));
        let root_disk = Disk::of(Path::new(&config.store_path_root_dir));
        let ratio = |disk: &Option<Disk>| double(disk.as_ref().map_or(-1.0, Disk::used_ratio));
        table.insert(format!("commitLogDiskRatio_{log}"), ratio(&log_disk));
        table.insert("commitLogDiskRatio".into(), ratio(&log_disk));
        table.insert("consumeQueueDiskRatio".into(), ratio(&root_disk));
        if let Some(disk) = root_disk {
            let capacity = format!("Total : {}, Free : {}.", bytes(disk.total), bytes(disk.free));
            table.insert("commitLogDirCapacity".into(), capacity);
        }
    }

    /// VIEW_BROKER_STATS_DATA (315).
    pub fn stats(&self, request: &Command) -> Result<Command, Rejection> {
        let BrokerStats { stats_name, stats_key } = request.header()?;
        let found = self
            .counters
            .find(&stats_name, &stats_key)
            .ok_or_else(|| Rejection::system(format!("The stats <{stats_name}> <{stats_key}> not exist")))?;
        answer(&found)
    }

    /// QUERY_CONSUME_QUEUE (321): entries of a queue as they are stored.
    pub fn consume_queue(&self, request: &Command) -> Result<Command, Rejection> {
        let ask: ConsumeQueue = request.header()?;
        let (min, max) = self.store.queue_range(&ask.topic, ask.queue_id);
        let known = self.topics.get(&ask.topic).is_some_and(|topic| {
            (0..topic.read_queue_nums.max(topic.write_queue_nums)).contains(&ask.queue_id)
        });
        if !known && max == 0 {
            return Err(Rejection::system(format!("{}@{} is not exist!", ask.queue_id, ask.topic)));
        }
        let subscription =
            ask.consumer_group.as_deref().map(|group| self.consumers.subscription(group, &ask.topic));
        let mut body =
            ConsumeQueueReply { max_queue_index: max, min_queue_index: min, ..ConsumeQueueReply::default() };
        match subscription {
            Some(Some(found)) => {
                body.subscription_data = Some((*found).clone());
                // Java prints the compiled expression of an SQL92 subscription here, and this for a tag.
                body.filter_data = Some("null".into());
            }
            Some(None) => {
                let group = ask.consumer_group.unwrap_or_default();
                body.filter_data = Some(format!("{group}@{} is not online!", ask.topic));
            }
            None => {}
        }
        if ask.index < min || ask.index >= max {
            // Java: found, but nothing to show; without a body the official tool says so.
            let remark = format!("Index {} of {}@{} is not exist!", ask.index, ask.queue_id, ask.topic);
            return Ok(Command { remark: Some(remark), ..Command::success() });
        }
        let count = ask.count.clamp(0, MAX_QUEUE_ENTRIES) as usize;
        let units = self.store.queue_units(&ask.topic, ask.queue_id, ask.index, count);
        let entry = |unit: rmq_store::Unit| ConsumeQueueEntry {
            physic_offset: unit.physical_offset,
            physic_size: unit.size,
            tags_code: unit.tags_code,
            ..ConsumeQueueEntry::default()
        };
        body.queue_data = Some(units.into_iter().map(entry).collect());
        answer(&body)
    }

    /// DELETE_EXPIRED_COMMITLOG (329) and CLEAN_EXPIRED_CONSUMEQUEUE (306): what the retention would do at its hour.
    pub fn clean(&self, request: &Command) -> Result<Command, Rejection> {
        info!("expired files are deleted now, as {} asks", request.request_code());
        self.store.clean_now();
        Ok(Command::success())
    }
}

/// Bytes of a file system.
struct Disk {
    total: u64,
    free: u64,
    /// Free for ordinary users.
    available: u64,
}

impl Disk {
    fn of(path: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(path).ok()?;
        let of = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(Self { total: of(stat.f_blocks), free: of(stat.f_bfree), available: of(stat.f_bavail) })
    }

    /// Java: whole percents, rounded up, of what ordinary users can have.
    fn used_ratio(&self) -> f64 {
        let used = self.total.saturating_sub(self.free);
        let all = used.saturating_add(self.available);
        if all == 0 { -1.0 } else { (used as f64 * 100.0 / all as f64).ceil() / 100.0 }
    }
}

fn lasted(ms: i64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {} seconds ]", seconds % 60)
}

/// `1.5 GiB`, as Java's humanReadableByteCount.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let power = count.ilog2() / 10;
    format!("{:.1} {}", count as f64 / 1024_f64.powi(power as i32), UNITS[power as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(lasted(90_061_000), "[ 1 days, 1 hours, 1 minutes, 1 seconds ]");
    }

    #[test]
    fn a_disk_counts_what_users_can_have() {
        assert_eq!(Disk { total: 100, free: 40, available: 20 }.used_ratio(), 0.75);
        assert_eq!(Disk { total: 1000, free: 999, available: 999 }.used_ratio(), 0.01);
    }
}
