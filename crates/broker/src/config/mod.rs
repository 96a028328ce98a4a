//! The broker's configuration: one table that drives reading, printing, checking and changing.
//!
//! A file is Java's `.properties` format with Java's keys. Each row of [`table`](BrokerConfig) says the key,
//! what it means, its default, its bounds, and whether it may change while the broker runs. Defaults are the
//! same with and without a file: some forks set keys that a file does not mention to zero.

mod file;
mod host;
mod known;

mod field;

use std::sync::Arc;

use parking_lot::RwLock;
use rmq_proto::body::DataVersion;
use rmq_proto::properties_file::Properties;
use rmq_store::Retention;

pub use field::{BrokerRole, Field, FlushDiskType};
pub use file::ConfigFile;
pub use host::{Addresses, Environment};

use field::Value;

/// Declares the struct, its defaults and the table of its fields.
macro_rules! table {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ty = $default:expr, $key:literal $(, $mark:ident $(($($bound:expr),*))?)*;)*) => {
        /// The values of all keys that mean something to this broker. Units are in the key's meaning.
        #[derive(Clone, Debug, PartialEq)]
        pub struct BrokerConfig {
            $($(#[doc = $doc])+ pub $field: $kind,)*
        }

        impl Default for BrokerConfig {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl BrokerConfig {
            /// The table: one row per key.
            pub const FIELDS: &'static [Field] = &[$(
                Field::new(
                    $key,
                    concat!($($doc),+),
                    <$kind as Value>::ALLOWED,
                    |config| config.$field.print(),
                    |config, text| <$kind as Value>::parse(text).map(|value| config.$field = value).is_some(),
                )$(.$mark($($($bound),*)?))*,
            )*];
        }
    };
}

table! {
    // Who and where.
    /// Name servers to register with, `host:port` separated by `;`.
    namesrv_addr: String = String::new(), "namesrvAddr", important, live;
    /// Name of the cluster.
    broker_cluster_name: String = "DefaultCluster".into(), "brokerClusterName", important;
    /// Name shared by a master and its slaves; the host's name if empty.
    broker_name: String = String::new(), "brokerName", important;
    /// 0 for a master, above 0 for a slave.
    broker_id: i64 = 0, "brokerId", important, at_least(0);
    /// Part in replication.
    broker_role: BrokerRole = BrokerRole::AsyncMaster, "brokerRole", important;
    /// Address or name of this host that clients dial; found by itself if empty.
    broker_ip1: String = String::new(), "brokerIP1", important;
    /// Address or name of this host that slaves dial; as brokerIP1 if empty.
    broker_ip2: String = String::new(), "brokerIP2";
    /// Local address to listen on.
    bind_address: String = "0.0.0.0".into(), "bindAddress";
    /// Port that clients dial; two below it is the port for old clients' fast channel.
    listen_port: i32 = 10911, "listenPort", important, range(3, 65535);
    /// Port that slaves dial; listenPort + 1 if 0.
    ha_listen_port: i32 = 0, "haListenPort", range(0, 65535);
    /// Region put into each message's MSG_REGION.
    region_id: String = "DefaultRegion".into(), "regionId", live;

    // Registration.
    /// Milliseconds between registrations; kept between 10,000 and 60,000.
    register_name_server_period: i32 = 30_000, "registerNameServerPeriod", live, at_least(0);
    /// Longest wait for a name server's answer to a registration, in milliseconds.
    register_broker_timeout_mills: i32 = 24_000, "registerBrokerTimeoutMills", live, at_least(1);
    /// Register without asking first whether anything changed.
    force_register: bool = true, "forceRegister", live;
    /// Compress the body of a registration.
    compressed_register: bool = false, "compressedRegister", live;
    /// Permission of the whole broker: 6 read and write, 4 read, 2 write, 0 none.
    broker_permission: i32 = 6, "brokerPermission", live, range(0, 7);

    // Topics and groups.
    /// Create an unknown topic on the first send.
    auto_create_topic_enable: bool = true, "autoCreateTopicEnable", important, live;
    /// Most queues of a topic that is created on a send.
    default_topic_queue_nums: i32 = 8, "defaultTopicQueueNums", live, at_least(1);
    /// Allow reading and writing the topic that is named as the cluster.
    cluster_topic_enable: bool = true, "clusterTopicEnable";
    /// Allow reading and writing the topic that is named as the broker.
    broker_topic_enable: bool = true, "brokerTopicEnable";
    /// Create an unknown consumer group on first use.
    auto_create_subscription_group: bool = true, "autoCreateSubscriptionGroup", important, live;
    /// Create an unknown system group even if others are not created.
    enable_create_sys_group: bool = true, "enableCreateSysGroup", live;
    /// Have a topic for message traces.
    trace_topic_enable: bool = false, "traceTopicEnable", important;
    /// Name of the topic for message traces.
    msg_trace_topic_name: String = "RMQ_SYS_TRACE_TOPIC".into(), "msgTraceTopicName", important;
    /// Queues of the topic that holds pop checkpoints.
    revive_queue_num: i32 = 8, "reviveQueueNum", at_least(1);
    /// Refuse admin changes to system topics.
    validate_system_topic_when_update_topic: bool = true, "validateSystemTopicWhenUpdateTopic", live;
    /// Allow the message type MIXED.
    enable_mixed_message_type: bool = false, "enableMixedMessageType", live;
    /// Delete a topic's pop retry topics with it.
    clear_retry_topic_when_delete_topic: bool = true, "clearRetryTopicWhenDeleteTopic", live;
    /// Answer the tables of topics and groups in pages if asked for pages.
    enable_split_metadata: bool = true, "enableSplitMetadata", live;
    /// Most entries of such a page.
    split_metadata_size: i32 = 2_000, "splitMetadataSize", live, at_least(1);

    // Sending.
    /// Largest body of a message, in bytes.
    max_message_size: i32 = 4 * 1024 * 1024, "maxMessageSize", range(1, 16 * 1024 * 1024);
    /// Refuse sends before this time, milliseconds since the epoch.
    start_accept_send_request_time_stamp: i64 = 0, "startAcceptSendRequestTimeStamp", live;
    /// Refuse transactional messages.
    reject_transaction_message: bool = false, "rejectTransactionMessage", important, live;
    /// Put TRACE_ON=true into each message.
    trace_on: bool = true, "traceOn", live;
    /// Delays of the delay levels 1, 2, …; units s m h d.
    message_delay_level: String = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h".into(), "messageDelayLevel";
    /// Milliseconds between writes of the delay levels' progress.
    flush_delay_offset_interval: i64 = 10_000, "flushDelayOffsetInterval", at_least(100);
    /// Have the topic for messages timed to the second.
    timer_wheel_enable: bool = true, "timerWheelEnable";

    // Consuming.
    /// Hold a pull until a message comes.
    long_polling_enable: bool = true, "longPollingEnable", live;
    /// Longest hold of a pull if long polling is off, in milliseconds.
    short_polling_time_mills: i64 = 1_000, "shortPollingTimeMills", live, at_least(0);
    /// Serve lite pull consumers.
    lite_pull_message_enable: bool = true, "litePullMessageEnable", live;
    /// Refuse consumers that pull by themselves.
    reject_pull_consumer_enable: bool = false, "rejectPullConsumerEnable", live;
    /// Send slow consumers to a slave.
    slave_read_enable: bool = false, "slaveReadEnable", live;
    /// Percent of the memory that counts as cache of the newest messages.
    access_message_in_memory_max_ratio: i32 = 40, "accessMessageInMemoryMaxRatio", important, range(1, 100);
    /// Most bytes of a pull of cached messages.
    max_transfer_bytes_on_message_in_memory: i32 = 256 * 1024, "maxTransferBytesOnMessageInMemory", important, at_least(1);
    /// Most messages of a pull of cached messages.
    max_transfer_count_on_message_in_memory: i32 = 32, "maxTransferCountOnMessageInMemory", important, at_least(1);
    /// Most bytes of a pull of messages that are not cached.
    max_transfer_bytes_on_message_in_disk: i32 = 64 * 1024, "maxTransferBytesOnMessageInDisk", important, at_least(1);
    /// Most messages of a pull of messages that are not cached.
    max_transfer_count_on_message_in_disk: i32 = 8, "maxTransferCountOnMessageInDisk", important, at_least(1);
    /// Most messages that a query by key answers.
    default_query_max_num: i32 = 32, "defaultQueryMaxNum", live, at_least(1);
    /// Tell consumers of a group when another one comes or goes.
    notify_consumer_ids_changed_enable: bool = true, "notifyConsumerIdsChangedEnable", live;
    /// Filter by SQL92 expressions.
    enable_property_filter: bool = false, "enablePropertyFilter", live;
    /// Reset a group's offsets here instead of asking its clients to.
    use_server_side_reset_offset: bool = true, "useServerSideResetOffset", live;
    /// Commits of consumer offsets between two steps of their version.
    consumer_offset_update_version_step: i64 = 500, "consumerOffsetUpdateVersionStep", live, at_least(1);
    /// Milliseconds between writes of the consumer offsets.
    flush_consumer_offset_interval: i32 = 5_000, "flushConsumerOffsetInterval", at_least(100);

    // Store.
    /// Directory of everything that is stored; `store` in the home directory if empty.
    store_path_root_dir: String = String::new(), "storePathRootDir", important;
    /// Directory of the message log; `commitlog` in the root directory if empty.
    store_path_commit_log: String = String::new(), "storePathCommitLog", important;
    /// Size of a file of the message log, in bytes.
    mapped_file_size_commit_log: i32 = 1024 * 1024 * 1024, "mappedFileSizeCommitLog", at_least(64 * 1024);
    /// Size of a file of a queue, in bytes.
    mapped_file_size_consume_queue: i32 = 6_000_000, "mappedFileSizeConsumeQueue", at_least(20);
    /// When a send is answered.
    flush_disk_type: FlushDiskType = FlushDiskType::AsyncFlush, "flushDiskType", important;
    /// Milliseconds between flushes of the log.
    flush_interval_commit_log: i32 = 500, "flushIntervalCommitLog", important, at_least(1);
    /// Changed pages of 4 KiB below which a flush waits for the next one, but not beyond
    /// flushCommitLogThoroughInterval. Java has 4, which can leave messages unsynced for that long.
    flush_commit_log_least_pages: i32 = 0, "flushCommitLogLeastPages", at_least(0);
    /// Milliseconds after which a flush waits no longer.
    flush_commit_log_thorough_interval: i32 = 10_000, "flushCommitLogThoroughInterval", at_least(1);
    /// Milliseconds between flushes of the queues.
    flush_interval_consume_queue: i32 = 1_000, "flushIntervalConsumeQueue", at_least(1);
    /// Milliseconds between checkpoints, up to which a crash has nothing to be recovered. Java has 60,000.
    flush_consume_queue_thorough_interval: i32 = 10_000, "flushConsumeQueueThoroughInterval", at_least(100);
    /// Compare each body with its checksum when recovering after a crash.
    check_crc_on_recover: bool = true, "checkCRCOnRecover";
    /// Hours of the day, two digits each, at which expired files are deleted; separated by `;`.
    delete_when: String = "04".into(), "deleteWhen", important, live;
    /// Hours that messages are kept.
    file_reserved_time: i32 = 72, "fileReservedTime", important, live, at_least(1);
    /// Percent of the disk above which expired files are deleted at any hour.
    disk_max_used_space_ratio: i32 = 75, "diskMaxUsedSpaceRatio", live, range(10, 95);
    /// Percent of the disk above which files are deleted before they expire.
    disk_space_clean_forcibly_ratio: i32 = 85, "diskSpaceCleanForciblyRatio", live, range(10, 99);
    /// Percent of the disk above which sends are refused.
    disk_space_warning_level_ratio: i32 = 90, "diskSpaceWarningLevelRatio", live, range(10, 100);
    /// Bytes of the disk that sends leave free for queues, offsets and reads; 0 for none.
    disk_reserved_bytes: i64 = 64 * 1024 * 1024, "diskReservedBytes", live, at_least(0);
    /// Bytes of the message log above which its oldest files are deleted at any hour; 0 for no limit.
    commit_log_max_bytes: i64 = 0, "commitLogMaxBytes", live, at_least(0);
    /// Delete files before they expire when the disk gets full.
    clean_file_forcibly_enable: bool = true, "cleanFileForciblyEnable", important, live;
    /// Most log files that are deleted in one run, each 10 seconds.
    delete_file_batch_max: i32 = 10, "deleteFileBatchMax", important, live, at_least(1);
    /// Keep an index by key.
    message_index_enable: bool = true, "messageIndexEnable", important;

    /// End each record with a CRC of all that is in it.
    enabled_append_prop_crc: bool = false, "enabledAppendPropCRC";
    /// Compare records with the CRC of all that is in them, where they have one.
    force_verify_prop_crc: bool = false, "forceVerifyPropCRC";
    /// Records may also be in light queues, with `enableMultiDispatch`.
    enable_lmq: bool = false, "enableLmq";
    /// Records may also be in other queues.
    enable_multi_dispatch: bool = false, "enableMultiDispatch";
    /// Slots of an index file.
    max_hash_slot_num: i32 = 5_000_000, "maxHashSlotNum", at_least(1);
    /// Entries of an index file.
    max_index_num: i32 = 20_000_000, "maxIndexNum", at_least(2);
    /// Most messages that the index returns for one key.
    max_msgs_num_batch: i32 = 64, "maxMsgsNumBatch", at_least(1);
    /// Bytes of a queue that one pull looks at while filtering.
    max_filter_message_size: i32 = 16_000, "maxFilterMessageSize", at_least(20);

    // Network.
    /// Silence after which a connection is closed, in seconds.
    server_channel_max_idle_time_seconds: i32 = 120, "serverChannelMaxIdleTimeSeconds", at_least(1);
    /// Longest wait for a connection to another server, in milliseconds.
    connect_timeout_millis: i32 = 3_000, "connectTimeoutMillis", at_least(1);

    // Changing these values.
    /// Keys that UPDATE_BROKER_CONFIG may not change, separated by `;`.
    config_black_list: String = "configBlackList;brokerConfigPath".into(), "configBlackList";
    /// Home directory of an installation; not needed.
    rocketmq_home: String = String::new(), "rocketmqHome";
}

/// A value that can't be used; names the key, the value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key has a value outside what is allowed.
    #[error("configuration key `{key}` has the value `{value}`; allowed is {allowed}")]
    Value {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What is allowed, in words.
        allowed: String,
    },
    /// The file can't be read.
    #[error("configuration file {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// A change that may not be made while the broker runs.
    #[error("{0}")]
    NotChangeable(String),
}

/// What a file held besides known keys with values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Keys that neither this broker nor Java's knows.
    pub unknown: Vec<String>,
    /// Keys that Java's broker knows and that have no meaning here.
    pub unused: Vec<String>,
}

impl BrokerConfig {
    /// The row of a key.
    pub fn field(key: &str) -> Option<&'static Field> {
        Self::FIELDS.iter().find(|field| field.key == key)
    }

    /// Takes the values of a file; tells the keys that it has no use for.
    pub fn read(&mut self, properties: &Properties) -> Result<Leftovers, ConfigError> {
        let mut leftovers = Leftovers::default();
        for (key, value) in properties.iter() {
            match Self::field(key) {
                Some(field) => self.assign(field, value)?,
                None if known::is_javas(key) => leftovers.unused.push(key.to_owned()),
                None => leftovers.unknown.push(key.to_owned()),
            }
        }
        Ok(leftovers)
    }

    /// Sets one value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        match Self::field(key) {
            Some(field) => self.assign(field, value),
            None => Err(ConfigError::NotChangeable(format!("there is no configuration key `{key}`"))),
        }
    }

    fn assign(&mut self, field: &Field, value: &str) -> Result<(), ConfigError> {
        field.assign(self, value).map_err(|allowed| ConfigError::Value {
            key: field.key.to_owned(),
            value: value.to_owned(),
            allowed,
        })
    }

    /// Checks what no single row can say.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, value: &str, allowed: &str| {
            Err(ConfigError::Value { key: key.into(), value: value.into(), allowed: allowed.into() })
        };
        // Both become topic names, and a topic name becomes a directory.
        for (key, name) in
            [("brokerName", &self.broker_name), ("brokerClusterName", &self.broker_cluster_name)]
        {
            if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
                return wrong(key, name, "a name without `/`, not beginning with `.`");
            }
        }
        match (self.broker_role, self.broker_id) {
            (BrokerRole::Slave, 0) => {
                return wrong("brokerId", "0", "a number above 0, because brokerRole is SLAVE");
            }
            (BrokerRole::AsyncMaster | BrokerRole::SyncMaster, id) if id != 0 => {
                return wrong("brokerId", &id.to_string(), "0, because brokerRole is not SLAVE");
            }
            _ => {}
        }
        // Java's splitter of several directories.
        if self.store_path_commit_log.contains(',') {
            let allowed = "one directory: a log in several is not supported yet";
            return wrong("storePathCommitLog", &self.store_path_commit_log, allowed);
        }
        let is_hour = |part: &str| part.trim().parse::<u8>().is_ok_and(|hour| hour < 24);
        if !self.delete_when.split(';').all(is_hour) {
            return wrong(
                "deleteWhen",
                &self.delete_when,
                "hours of the day from 00 to 23, separated by `;`",
            );
        }
        Ok(())
    }

    /// All values as Java prints them, `key=value`, sorted by key; secrets are not among the keys.
    pub fn lines(&self) -> String {
        let mut lines: Vec<_> =
            Self::FIELDS.iter().map(|field| format!("{}={}\n", field.key, field.value(self))).collect();
        lines.sort();
        lines.concat()
    }

    /// How long and how much the store keeps. The table has checked that no number is negative.
    pub fn retention(&self) -> Retention {
        Retention {
            delete_when: self.delete_when.clone(),
            file_reserved_time_h: self.file_reserved_time as u64,
            max_log_bytes: self.commit_log_max_bytes as u64,
            disk_max_used_percent: self.disk_max_used_space_ratio as u8,
            disk_clean_forcibly_percent: self.disk_space_clean_forcibly_ratio as u8,
            disk_warning_percent: self.disk_space_warning_level_ratio as u8,
            disk_reserved_bytes: self.disk_reserved_bytes as u64,
            clean_forcibly: self.clean_file_forcibly_enable,
            delete_files_max: self.delete_file_batch_max as usize,
        }
    }

    /// Is this a copy of another broker?
    pub fn is_slave(&self) -> bool {
        self.broker_role == BrokerRole::Slave
    }

    /// Port that slaves dial.
    pub fn ha_port(&self) -> i32 {
        // Java: 0 means the port above the main one.
        if self.ha_listen_port > 0 { self.ha_listen_port } else { self.listen_port + 1 }
    }
}

/// The configuration as rooms see it: values that may change under them.
#[derive(Debug)]
pub struct LiveConfig {
    current: RwLock<(Arc<BrokerConfig>, DataVersion)>,
    file: Option<ConfigFile>,
}

impl LiveConfig {
    /// Starts with these values; changes are written back to the file, if there is one.
    pub fn new(config: BrokerConfig, file: Option<ConfigFile>, now_ms: i64) -> Self {
        let version = DataVersion { timestamp: now_ms, ..DataVersion::default() };
        Self { current: RwLock::new((Arc::new(config), version)), file }
    }

    /// Values without a file, for tests.
    pub fn fixed(config: BrokerConfig) -> Self {
        Self::new(config, None, 0)
    }

    /// The values of this moment. Take them once per request.
    pub fn get(&self) -> Arc<BrokerConfig> {
        self.current.read().0.clone()
    }

    /// The values and the version that counts their changes.
    pub fn versioned(&self) -> (Arc<BrokerConfig>, DataVersion) {
        self.current.read().clone()
    }

    /// Changes values while the broker runs: all of them or none. Blocks on the file.
    pub fn update(&self, changes: &Properties, now_ms: i64) -> Result<(), ConfigError> {
        let mut current = self.current.write();
        let mut config = BrokerConfig::clone(&current.0);
        for (key, value) in changes.iter() {
            let field = changeable(key)?;
            config.assign(field, value)?;
        }
        config.check()?;
        if let Some(file) = &self.file {
            file.write(changes)?;
        }
        let mut version = current.1;
        version.advance(now_ms);
        *current = (Arc::new(config), version);
        Ok(())
    }

    /// Java's list of keys that may not be changed by a request, with those that can never be.
    pub fn is_blacklisted(&self, key: &str) -> bool {
        ["brokerConfigPath", "rocketmqHome", "configBlackList"].contains(&key)
            || self.get().config_black_list.split(';').any(|listed| listed.trim() == key)
    }
}

fn changeable(key: &str) -> Result<&'static Field, ConfigError> {
    let reason = match BrokerConfig::field(key) {
        Some(field) if field.live => return Ok(field),
        Some(_) => {
            format!("the key `{key}` can't change while the broker runs: set it in the file and restart")
        }
        None if known::is_javas(key) => format!("the key `{key}` has no meaning in this broker"),
        None => format!("there is no configuration key `{key}`"),
    };
    Err(ConfigError::NotChangeable(reason))
}

#[cfg(test)]
mod tests;
