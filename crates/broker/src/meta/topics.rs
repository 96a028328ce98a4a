//! The topics of this broker: `topics.json`, the system topics, and the rules by which topics come and go.
//!
//! Every change goes three ways: into the table at once, into the file ([`save`]), and to the name servers, which
//! [`crate::namesrv_link`] tells. A creator waits for both, as Java does, so that a client that was answered finds
//! the route of its new topic.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;
use rmq_proto::body::{DataVersion, TopicConfig, TopicConfigs};
use rmq_proto::fastjson;
use rmq_proto::topic::{self, perm, system};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::attributes;
use super::json_file::{MetaError, Sheet};
use super::{Saved, now_ms, save};
use crate::config::{BrokerConfig, LiveConfig};
use crate::limits::{ANNOUNCE_WAIT, MAX_ANNOUNCED_TOPICS};

/// Queues of the topic that holds delayed messages: one per delay level.
const SCHEDULE_QUEUES: i32 = 18;
/// Queues of the benchmark topic.
const BENCHMARK_QUEUES: i32 = 1024;
/// What Java gives the topic that is named as the cluster.
const CLUSTER_TOPIC_QUEUES: i32 = 16;

/// A topic could not be changed as asked; the text is the reason.
pub type TopicError = String;

/// What a name server has to be told that knows the table up to an earlier change.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// Number of the last change.
    pub change: u64,
    /// Names of created or changed topics; `None` if everything has to be told.
    pub names: Option<BTreeSet<String>>,
}

/// The table of topics.
#[derive(Debug)]
pub struct Topics {
    config: Arc<LiveConfig>,
    table: DashMap<String, Arc<TopicConfig>>,
    system: BTreeSet<String>,
    sheet: Sheet,
    /// Serialises changes. Taken before the table's own locks.
    changes: Mutex<Changes>,
    /// Number of the last change.
    changed: watch::Sender<u64>,
    /// Number of the last change that every reachable name server knows.
    announced: watch::Sender<u64>,
}

#[derive(Debug)]
struct Changes {
    version: DataVersion,
    count: u64,
    /// The last changes in order: the topic's name, or `None` for one that concerns all.
    recent: VecDeque<Option<String>>,
}

impl Topics {
    /// Reads `topics.json` of a directory; what it says about system topics wins over the defaults.
    pub fn open(directory: &Path, config: Arc<LiveConfig>) -> Result<Self, MetaError> {
        let table = DashMap::new();
        let defaults = system_topics(&config.get());
        let system = system_names(&defaults);
        for topic in defaults {
            table.insert(topic.topic_name.clone(), Arc::new(topic));
        }
        let mut version = DataVersion { timestamp: now_ms(), ..DataVersion::default() };
        let sheet = Sheet::new(directory.join("topics.json"));
        if let Some(file) = sheet.read::<TopicConfigs>()? {
            version = file.data_version;
            for (name, mut topic) in file.topic_config_table {
                topic.topic_name.clone_from(&name);
                table.insert(name, Arc::new(topic));
            }
        }
        let changes = Changes { version, count: 0, recent: VecDeque::new() };
        Ok(Self {
            config,
            table,
            system,
            sheet,
            changes: Mutex::new(changes),
            changed: watch::Sender::new(0),
            announced: watch::Sender::new(0),
        })
    }

    /// A topic's settings.
    pub fn get(&self, topic: &str) -> Option<Arc<TopicConfig>> {
        self.table.get(topic).map(|entry| entry.value().clone())
    }

    /// Is there such a topic?
    pub fn contains(&self, topic: &str) -> bool {
        self.table.contains_key(topic)
    }

    /// Is it an ordered topic?
    pub fn is_order(&self, topic: &str) -> bool {
        self.table.get(topic).is_some_and(|entry| entry.order)
    }

    /// Number of topics.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Never true: there are always system topics.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Java's list of system topics: those of every broker and those named after this one.
    pub fn system_names(&self) -> &BTreeSet<String> {
        &self.system
    }

    /// May an admin request not touch it, nor an application own it?
    pub fn is_system(&self, topic: &str) -> bool {
        self.system.contains(topic) || topic::is_system(topic)
    }

    /// Counts the changes of the table.
    pub fn version(&self) -> DataVersion {
        self.changes.lock().version
    }

    /// All topics, sorted, with the version that they belong to.
    pub fn snapshot(&self) -> TopicConfigs {
        let changes = self.changes.lock();
        let topic_config_table =
            self.table.iter().map(|entry| (entry.key().clone(), TopicConfig::clone(entry.value()))).collect();
        TopicConfigs { data_version: changes.version, topic_config_table, ..TopicConfigs::default() }
    }

    /// Some topics, with the present version; names that are gone are left out.
    pub fn select(&self, names: &BTreeSet<String>) -> TopicConfigs {
        let changes = self.changes.lock();
        let topic_config_table = names
            .iter()
            .filter_map(|name| Some((name.clone(), TopicConfig::clone(&*self.get(name)?))))
            .collect();
        TopicConfigs { data_version: changes.version, topic_config_table, ..TopicConfigs::default() }
    }

    /// The topic of a send; created after the example of `default_topic` if that is allowed.
    ///
    /// Java's createTopicInSendMessageMethod: the example must have the inherit bit, and the new topic gets the smaller
    /// of the client's wish and the example's write queues.
    pub async fn create_on_send(
        self: &Arc<Self>,
        topic: &str,
        default_topic: &str,
        client_queue_nums: i32,
        topic_sys_flag: i32,
        from: SocketAddr,
    ) -> Option<Arc<TopicConfig>> {
        if let Some(found) = self.get(topic) {
            return Some(found);
        }
        let example = self.example(default_topic).or_else(|| {
            warn!("topic {topic} is not created for {from}: the example topic `{default_topic}` is not here or may not be copied");
            None
        })?;
        let queues = client_queue_nums.min(example.write_queue_nums).max(0);
        let mut wanted = TopicConfig::new(topic, queues, queues, example.perm & !perm::INHERIT);
        wanted.topic_sys_flag = topic_sys_flag;
        wanted.topic_filter_type = example.topic_filter_type;
        let created = self.insert_if_absent(wanted);
        self.settle().await;
        Some(created)
    }

    fn example(&self, default_topic: &str) -> Option<Arc<TopicConfig>> {
        // A file can hold TBW102 from a time when auto-creation was on.
        if default_topic == system::AUTO_CREATE && !self.config.get().auto_create_topic_enable {
            return None;
        }
        self.get(default_topic).filter(|example| perm::is_inherited(example.perm))
    }

    /// The topic of a retried or dead message; created if need be (Java's createTopicInSendMessageBackMethod).
    pub async fn create_on_send_back(
        self: &Arc<Self>,
        topic: &str,
        queue_nums: i32,
        perm: i32,
        order: bool,
        topic_sys_flag: i32,
    ) -> Arc<TopicConfig> {
        if let Some(found) = self.get(topic) {
            if found.order == order {
                return found;
            }
            let changed = Arc::new(TopicConfig { order, ..TopicConfig::clone(&found) });
            self.put(changed.clone());
            self.settle().await;
            return changed;
        }
        let mut wanted = TopicConfig::new(topic, queue_nums, queue_nums, perm);
        wanted.order = order;
        wanted.topic_sys_flag = topic_sys_flag;
        let created = self.insert_if_absent(wanted);
        self.settle().await;
        created
    }

    /// The retry topic of a consumer group (a heartbeat brings it into being).
    pub async fn ensure_retry_topic(
        self: &Arc<Self>,
        group: &str,
        queue_nums: i32,
        order: bool,
        sys_flag: i32,
    ) -> Arc<TopicConfig> {
        let read_write = perm::READ | perm::WRITE;
        self.create_on_send_back(&topic::retry(group), queue_nums, read_write, order, sys_flag).await
    }

    /// Creates or changes a topic as an admin asks. The attributes of `wanted` are signed changes.
    /// Returns false if nothing had to be changed.
    pub fn update(&self, wanted: TopicConfig) -> Result<bool, TopicError> {
        let name = wanted.topic_name.clone();
        let mut changes = self.changes.lock();
        let old = self.get(&name);
        if old.as_deref() == Some(&wanted) {
            return Ok(false);
        }
        let current = old.as_ref().map(|old| &old.attributes);
        let attributes = attributes::alter(attributes::OF_TOPICS, current, &wanted.attributes)?;
        let topic = TopicConfig { attributes, ..wanted };
        info!("topic {name} {}: {topic:?}", if old.is_some() { "changed" } else { "created" });
        self.table.insert(name.clone(), Arc::new(topic));
        self.note(&mut changes, Some(name));
        Ok(true)
    }

    /// Takes a topic away; false if it was not there.
    pub fn remove(&self, topic: &str) -> bool {
        let mut changes = self.changes.lock();
        let Some((_, old)) = self.table.remove(topic) else {
            return false;
        };
        info!("topic {topic} deleted: {old:?}");
        // Name servers keep a topic that a registration leaves out; the admin tells them by themselves.
        changes.version.advance(now_ms());
        self.sheet.touch();
        true
    }

    /// The name server's list of ordered topics.
    pub fn mark_ordered<'a>(&self, names: impl Iterator<Item = &'a String>) {
        let mut changes = self.changes.lock();
        let mut any = false;
        for name in names {
            if let Some(found) = self.get(name).filter(|found| !found.order) {
                info!("topic {name} is ordered, says the name server");
                self.table.insert(
                    name.clone(),
                    Arc::new(TopicConfig { order: true, ..TopicConfig::clone(&found) }),
                );
                any = true;
            }
        }
        if any {
            // Java does not tell the name servers at once; the next registration does.
            changes.version.advance(now_ms());
            self.sheet.touch();
        }
    }

    /// The whole broker's permission changed: a new version, and everything is told again.
    pub fn announce_all(&self) {
        let mut changes = self.changes.lock();
        self.note(&mut changes, None);
    }

    /// Ticks with each change that name servers have to be told.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What changed after this change.
    pub fn news_since(&self, told: u64) -> News {
        let changes = self.changes.lock();
        let missed = (changes.count - told.min(changes.count)) as usize;
        let recent = changes.recent.len().checked_sub(missed).map(|skip| changes.recent.iter().skip(skip));
        // One `None` among them makes the whole `None`.
        let names = recent.and_then(|recent| recent.cloned().collect());
        News { change: changes.count, names }
    }

    /// Every name server that could be told knows the table up to this change.
    pub fn announced(&self, change: u64) {
        self.announced.send_if_modified(|known| std::mem::replace(known, change.max(*known)) < change);
    }

    /// Waits until the present table is on disk and told to the name servers; not forever for the latter.
    pub async fn settle(self: &Arc<Self>) {
        if let Err(error) = self.save_settled().await {
            // The table itself has warned of it, once.
            debug!("{error}");
        }
    }

    /// As [`Self::settle`], for those who want to know whether the table is on disk.
    pub async fn save_settled(self: &Arc<Self>) -> Result<(), MetaError> {
        let change = self.changes.lock().count;
        save(self).await?;
        if self.changed.receiver_count() == 0 {
            return Ok(());
        }
        let mut announced = self.announced.subscribe();
        let told = announced.wait_for(|known| *known >= change);
        if tokio::time::timeout(ANNOUNCE_WAIT, told).await.is_err() {
            warn!("the name servers have not answered for {ANNOUNCE_WAIT:?}; new topics become known later");
        }
        Ok(())
    }

    fn insert_if_absent(&self, wanted: TopicConfig) -> Arc<TopicConfig> {
        let mut changes = self.changes.lock();
        let name = wanted.topic_name.clone();
        if let Some(found) = self.get(&name) {
            return found;
        }
        info!("topic {name} created: {wanted:?}");
        let topic = Arc::new(wanted);
        self.table.insert(name.clone(), topic.clone());
        self.note(&mut changes, Some(name));
        topic
    }

    fn put(&self, topic: Arc<TopicConfig>) {
        let mut changes = self.changes.lock();
        let name = topic.topic_name.clone();
        self.table.insert(name.clone(), topic);
        self.note(&mut changes, Some(name));
    }

    /// Java advances the version with each change and then registers the topic.
    fn note(&self, changes: &mut Changes, name: Option<String>) {
        changes.version.advance(now_ms());
        changes.count += 1;
        changes.recent.push_back(name);
        if changes.recent.len() > MAX_ANNOUNCED_TOPICS {
            changes.recent.pop_front();
        }
        self.sheet.touch();
        self.changed.send_replace(changes.count);
    }
}

impl Saved for Topics {
    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    fn text(&self) -> Result<String, MetaError> {
        fastjson::to_string_pretty(&self.snapshot())
            .map_err(|error| MetaError::new(Path::new("topics.json"), error))
    }
}

/// Reads signed changes of attributes, `+key=value,-key`; the keys keep their signs.
pub fn attribute_changes(text: &str) -> Result<BTreeMap<String, String>, TopicError> {
    attributes::parse(text)
}

fn system_topics(config: &BrokerConfig) -> Vec<TopicConfig> {
    let read_write = perm::READ | perm::WRITE;
    let named = |name: &str, queues: i32, perm: i32| TopicConfig::new(name, queues, queues, perm);
    let system = |name: &str, queues: i32| named(name, queues, read_write);
    let inherit = |open: bool| if open { perm::INHERIT | read_write } else { perm::INHERIT };
    let cluster = &config.broker_cluster_name;
    let mut topics = vec![
        system(system::SELF_TEST, 1),
        system(system::BENCHMARK, BENCHMARK_QUEUES),
        named(cluster, CLUSTER_TOPIC_QUEUES, inherit(config.cluster_topic_enable)),
        named(&config.broker_name, 1, inherit(config.broker_topic_enable)),
        system(system::OFFSET_MOVED_EVENT, 1),
        system(system::SCHEDULE, SCHEDULE_QUEUES),
        system(&topic::reply(cluster), 1),
        system(&topic::revive(cluster), config.revive_queue_num),
        named(&topic::sync_broker_member(&config.broker_name), 1, perm::INHERIT),
        system(system::HALF, 1),
        system(system::OP_HALF, 1),
        system(system::ROCKSDB_HALF, 1),
        system(system::ROCKSDB_OP_HALF, 1),
    ];
    if config.auto_create_topic_enable {
        topics.push(named(system::AUTO_CREATE, config.default_topic_queue_nums, perm::INHERIT | read_write));
    }
    if config.trace_topic_enable {
        topics.push(system(&config.msg_trace_topic_name, 1));
    }
    if config.timer_wheel_enable {
        topics.push(system(system::TIMER, 1));
    }
    topics
}

/// Java's set holds the fixed names, whether configured or not, and those that were just made.
fn system_names(topics: &[TopicConfig]) -> BTreeSet<String> {
    let fixed = topic::system_topics().iter().map(|name| (*name).to_owned());
    fixed.chain(topics.iter().map(|topic| topic.topic_name.clone())).collect()
}

#[cfg(test)]
mod tests;
