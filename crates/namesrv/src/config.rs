//! The name server's configuration: Java's keys, each with its default and its check.
//!
//! One table, [`KEYS`], says what each key is, whether it may change while the server runs, and how it
//! is read and written. Keys of Java's that mean nothing here are kept and shown as they were given.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use rmq_proto::properties_file::Properties;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Interface to listen on: a host name or an address (`bindAddress`, all interfaces).
    pub bind_address: String,
    /// Port to listen on, 0 for any free one (`listenPort`, 9876).
    pub listen_port: u16,
    /// Where the product is installed; only shown (`rocketmqHome`).
    pub rocketmq_home: String,
    /// The file of the key-value configuration (`kvConfigPath`, `~/namesrv/kvConfig.json`).
    pub kv_config_path: PathBuf,
    /// The file that changes made while running are written to (`configStorePath`): the one that was
    /// given at start, or else `~/namesrv/namesrv.properties`.
    pub config_store_path: PathBuf,
    /// Routes tell the queues of ordered topics (`orderMessageEnable`, off).
    pub order_message_enable: bool,
    /// Brokers are told the ordered topics when they register (`returnOrderTopicConfigToBroker`, on).
    pub return_order_topic_config_to_broker: bool,
    /// Routes show a slave that stands in for its master as the master (`supportActingMaster`, off).
    pub support_acting_master: bool,
    /// All topics may be listed (`enableAllTopicList`, on).
    pub enable_all_topic_list: bool,
    /// The topics of a cluster and of units may be listed (`enableTopicList`, on).
    pub enable_topic_list: bool,
    /// Members of a group are told when another one becomes its first (`notifyMinBrokerIdChanged`, off).
    pub notify_min_broker_id_changed: bool,
    /// Routes are refused for a while after the start (`needWaitForService`, off).
    pub need_wait_for_service: bool,
    /// That while, in seconds (`waitSecondsForService`, 45).
    pub wait_seconds_for_service: u32,
    /// Topics that a registration does not name are forgotten
    /// (`deleteTopicWithBrokerRegistration`, off).
    pub delete_topic_with_broker_registration: bool,
    /// How often silent brokers are looked for, in ms (`scanNotActiveBrokerInterval`, 5000).
    pub scan_not_active_broker_interval: u64,
    /// A connection without traffic is closed after so many seconds
    /// (`serverChannelMaxIdleTimeSeconds`, 120).
    pub server_channel_max_idle_time_seconds: NonZeroU32,
    /// Keys, separated by `;`, that may not change while running, besides those that never may
    /// (`configBlackList`).
    pub config_black_list: String,
    /// Keys of Java's name server that have no effect here.
    inert: BTreeMap<&'static str, String>,
}

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is not a `.properties` file.
    #[error("the configuration file {path} is not a properties file: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value is not allowed.
    #[error("{key}={value} is not allowed: {key} must be {allowed}")]
    Value {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What may be given.
        allowed: &'static str,
    },
}

/// Why a key could not be changed while running.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChangeError {
    /// No such key.
    Unknown,
    /// The key is fixed from the start.
    Fixed,
    /// The value is not allowed; what is.
    Value(&'static str),
}

struct Key {
    name: &'static str,
    /// May it change while the server runs?
    changeable: bool,
    read: fn(&Config) -> String,
    write: fn(&mut Config, &str) -> Result<(), &'static str>,
}

macro_rules! key {
    ($name:literal, $field:ident, $changeable:literal) => {
        Key {
            name: $name,
            changeable: $changeable,
            read: |config| config.$field.show(),
            write: |config, text| {
                config.$field = Setting::parse(text).ok_or(Setting::allowed(&config.$field))?;
                Ok(())
            },
        }
    };
}

/// Every key with an effect. Paths, identities and addresses never change while running.
const KEYS: &[Key] = &[
    key!("bindAddress", bind_address, false),
    key!("listenPort", listen_port, false),
    key!("rocketmqHome", rocketmq_home, false),
    key!("kvConfigPath", kv_config_path, false),
    key!("configStorePath", config_store_path, false),
    key!("orderMessageEnable", order_message_enable, true),
    key!("returnOrderTopicConfigToBroker", return_order_topic_config_to_broker, true),
    key!("supportActingMaster", support_acting_master, true),
    key!("enableAllTopicList", enable_all_topic_list, true),
    key!("enableTopicList", enable_topic_list, true),
    key!("notifyMinBrokerIdChanged", notify_min_broker_id_changed, true),
    key!("needWaitForService", need_wait_for_service, true),
    key!("waitSecondsForService", wait_seconds_for_service, true),
    key!("deleteTopicWithBrokerRegistration", delete_topic_with_broker_registration, true),
    key!("scanNotActiveBrokerInterval", scan_not_active_broker_interval, true),
    key!("serverChannelMaxIdleTimeSeconds", server_channel_max_idle_time_seconds, false),
    key!("configBlackList", config_black_list, false),
];

/// Java's keys without effect here, with Java's defaults: thread pools, socket tuning, and two modes
/// that this name server does not have.
const INERT: &[(&str, &str)] = &[
    ("clientRequestThreadPoolNums", "8"),
    ("clientRequestThreadPoolQueueCapacity", "50000"),
    ("clusterTest", "false"),
    ("defaultThreadPoolNums", "16"),
    ("defaultThreadPoolQueueCapacity", "10000"),
    ("enableControllerInNamesrv", "false"),
    ("enableShutdownGracefully", "false"),
    ("productEnvName", "center"),
    ("serverAsyncSemaphoreValue", "64"),
    ("serverCallbackExecutorThreads", "0"),
    ("serverNettyWorkerGroupEnable", "true"),
    ("serverOnewaySemaphoreValue", "256"),
    ("serverPooledByteBufAllocatorEnable", "true"),
    ("serverSelectorThreads", "3"),
    ("serverSocketBacklog", "1024"),
    ("serverSocketRcvBufSize", "0"),
    ("serverSocketSndBufSize", "0"),
    ("serverWorkerThreads", "8"),
    ("shutdownWaitTimeSeconds", "30"),
    ("unRegisterBrokerQueueCapacity", "3000"),
    ("useEpollNativeSelector", "false"),
    ("writeBufferHighWaterMark", "0"),
    ("writeBufferLowWaterMark", "0"),
];

impl Config {
    /// The defaults, for a user with this home directory.
    pub fn at_home(home: &Path) -> Self {
        let folder = home.join("namesrv");
        Self {
            bind_address: "0.0.0.0".into(),
            listen_port: 9876,
            rocketmq_home: String::new(),
            kv_config_path: folder.join("kvConfig.json"),
            config_store_path: folder.join("namesrv.properties"),
            order_message_enable: false,
            return_order_topic_config_to_broker: true,
            support_acting_master: false,
            enable_all_topic_list: true,
            enable_topic_list: true,
            notify_min_broker_id_changed: false,
            need_wait_for_service: false,
            wait_seconds_for_service: 45,
            delete_topic_with_broker_registration: false,
            scan_not_active_broker_interval: 5000,
            server_channel_max_idle_time_seconds: const { NonZeroU32::new(120).unwrap() },
            config_black_list: "configBlackList;configStorePath;kvConfigPath".into(),
            inert: INERT.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        }
    }

    /// Applies a configuration file; returns what the operator should be warned of.
    pub fn apply_file(&mut self, path: &Path) -> Result<Vec<String>, ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let properties = Properties::parse(&text)
            .map_err(|error| ConfigError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
        self.config_store_path = path.to_owned();
        let mut warnings = Vec::new();
        for (key, value) in properties.iter() {
            warnings.extend(self.apply(key, value)?);
        }
        Ok(warnings)
    }

    /// Sets one key at start; returns what the operator should be warned of.
    pub fn apply(&mut self, key: &str, value: &str) -> Result<Option<String>, ConfigError> {
        let value = value.trim();
        if let Some(known) = KEYS.iter().find(|known| known.name == key) {
            let wrong = |allowed| ConfigError::Value { key: key.into(), value: value.into(), allowed };
            return (known.write)(self, value).map(|()| None).map_err(wrong);
        }
        let Some((name, default)) = INERT.iter().find(|(name, _)| *name == key) else {
            return Ok(Some(format!("unknown configuration key {key}, ignored")));
        };
        self.inert.insert(name, value.to_owned());
        Ok((value != *default).then(|| format!("{key}={value} has no effect in this name server")))
    }

    /// Changes one key while running.
    pub(crate) fn change(&mut self, key: &str, value: &str) -> Result<(), ChangeError> {
        match KEYS.iter().find(|known| known.name == key) {
            Some(known) if known.changeable => (known.write)(self, value.trim()).map_err(ChangeError::Value),
            Some(_) => Err(ChangeError::Fixed),
            None if self.inert.contains_key(key) => Err(ChangeError::Fixed),
            None => Err(ChangeError::Unknown),
        }
    }

    /// Is the key one of those that Java never lets anybody change?
    pub(crate) fn is_black_listed(&self, key: &str) -> bool {
        matches!(key, "configBlackList" | "configStorePath" | "kvConfigPath" | "rocketmqHome")
            || self.config_black_list.split(';').any(|listed| listed == key)
    }

    /// All keys and values, sorted, a line each: what code 319 answers and `-p` prints.
    pub fn lines(&self) -> String {
        let known = KEYS.iter().map(|key| (key.name, (key.read)(self)));
        let inert = self.inert.iter().map(|(name, value)| (*name, value.clone()));
        let sorted: BTreeMap<_, _> = known.chain(inert).collect();
        sorted.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{name}={value}");
            text
        })
    }
}

/// A type that a key can have.
trait Setting: Sized {
    fn parse(text: &str) -> Option<Self>;
    fn show(&self) -> String;
    /// What may be given, to end the sentence "key must be …".
    fn allowed(&self) -> &'static str;
}

impl Setting for bool {
    /// Java takes everything but "true" for false; a mistyped switch should not be silently off.
    fn parse(text: &str) -> Option<Self> {
        match () {
            () if text.eq_ignore_ascii_case("true") => Some(true),
            () if text.eq_ignore_ascii_case("false") => Some(false),
            () => None,
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn allowed(&self) -> &'static str {
        "true or false"
    }
}

macro_rules! number_setting {
    ($type:ty, $allowed:literal) => {
        impl Setting for $type {
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn show(&self) -> String {
                self.to_string()
            }
            fn allowed(&self) -> &'static str {
                $allowed
            }
        }
    };
}

number_setting!(u16, "a number from 0 to 65535");
number_setting!(u32, "a number from 0 to 4294967295");
number_setting!(NonZeroU32, "a number from 1 to 4294967295");
number_setting!(u64, "a number that is not negative");

impl Setting for String {
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    fn show(&self) -> String {
        self.clone()
    }
    fn allowed(&self) -> &'static str {
        "text"
    }
}

impl Setting for PathBuf {
    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
    fn allowed(&self) -> &'static str {
        "a path"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::at_home(Path::new("/home/mq"))
    }

    #[test]
    fn every_key_of_java_is_known() {
        let mut keys: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        keys.extend(INERT.iter().map(|(name, _)| name));
        keys.sort_unstable();
        assert_eq!(keys.len(), 40, "Java 5.5.0 shows 40 keys");
        let lines = config().lines();
        let shown: Vec<_> = lines.lines().filter_map(|line| line.split('=').next()).collect();
        assert_eq!(shown, keys);
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let mut read = Config::at_home(Path::new("/nowhere"));
        for line in config().lines().lines() {
            let (key, value) = line.split_once('=').unwrap();
            assert_eq!(read.apply(key, value).unwrap(), None, "{line}");
        }
        assert_eq!(read, config());
    }

    #[test]
    fn a_wrong_value_is_named() {
        let cases = [
            (
                "listenPort",
                "70000",
                "listenPort=70000 is not allowed: listenPort must be a number from 0 to 65535",
            ),
            (
                "enableTopicList",
                "yes",
                "enableTopicList=yes is not allowed: enableTopicList must be true or false",
            ),
            ("kvConfigPath", " ", "kvConfigPath= is not allowed: kvConfigPath must be a path"),
        ];
        for (key, value, said) in cases {
            assert_eq!(config().apply(key, value).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn keys_without_effect_are_warned_of() {
        let warning = |key, value| config().apply(key, value).unwrap();
        assert_eq!(
            warning("listenPrt", "1").as_deref(),
            Some("unknown configuration key listenPrt, ignored")
        );
        assert_eq!(warning("serverWorkerThreads", "8"), None);
        assert_eq!(
            warning("enableControllerInNamesrv", "true").as_deref(),
            Some("enableControllerInNamesrv=true has no effect in this name server")
        );
    }

    #[test]
    fn only_listed_keys_change_while_running() {
        let mut config = config();
        assert_eq!(config.change("orderMessageEnable", "true"), Ok(()));
        assert!(config.order_message_enable);
        assert_eq!(
            config.change("waitSecondsForService", "abc"),
            Err(ChangeError::Value("a number from 0 to 4294967295"))
        );
        assert_eq!(config.change("listenPort", "1"), Err(ChangeError::Fixed));
        assert_eq!(config.change("serverWorkerThreads", "1"), Err(ChangeError::Fixed));
        assert_eq!(config.change("nonsense", "1"), Err(ChangeError::Unknown));
        for key in ["kvConfigPath", "configStorePath", "rocketmqHome", "configBlackList"] {
            assert!(config.is_black_listed(key));
        }
        config.config_black_list = "enableTopicList;orderMessageEnable".into();
        assert!(config.is_black_listed("enableTopicList") && !config.is_black_listed("enableAllTopicList"));
    }
}
