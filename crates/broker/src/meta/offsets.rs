//! How far each consumer group is: `consumerOffset.json`, how far it pulled, and resets that wait to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;
use rmq_proto::body::{ConsumerOffsets, DataVersion};
use rmq_proto::fastjson;
use tracing::{debug, info, warn};

use super::json_file::{MetaError, Sheet};
use super::{Saved, now_ms};
use crate::config::LiveConfig;

/// Queue offsets by `topic@group` and queue.
type Table = DashMap<String, BTreeMap<i32, i64>>;

/// The offsets of all groups. Argument order is always group, topic, queue.
#[derive(Debug)]
pub struct Offsets {
    config: Arc<LiveConfig>,
    committed: Table,
    /// Offsets in light queues, kept for Java.
    light: Option<BTreeMap<String, i64>>,
    pulled: Table,
    resets: Table,
    version: Mutex<Version>,
    sheet: Sheet,
}

#[derive(Debug, Default)]
struct Version {
    data: DataVersion,
    commits: i64,
}

fn key(group: &str, topic: &str) -> String {
    format!("{topic}@{group}")
}

/// Java splits at `@` and ignores keys that do not have exactly two parts.
fn split(key: &str) -> Option<(&str, &str)> {
    let (topic, group) = key.split_once('@')?;
    (!group.contains('@') && !topic.is_empty() && !group.is_empty()).then_some((topic, group))
}

impl Offsets {
    /// Reads `consumerOffset.json` of a directory; with `enableLmq`, Java keeps all offsets in another file.
    pub fn open(directory: &Path, config: Arc<LiveConfig>) -> Result<Self, MetaError> {
        let name = if config.get().enable_lmq { "lmqConsumerOffset.json" } else { "consumerOffset.json" };
        let sheet = Sheet::new(directory.join(name));
        let committed = Table::new();
        let mut light = None;
        let mut data = DataVersion { timestamp: now_ms(), ..DataVersion::default() };
        if let Some(file) = sheet.read::<ConsumerOffsets>()? {
            data = file.data_version.unwrap_or(data);
            light = file.lmq_offset_table;
            for (key, queues) in file.offset_table {
                committed.insert(key, queues);
            }
        }
        let version = Mutex::new(Version { data, commits: 0 });
        Ok(Self { config, committed, light, pulled: Table::new(), resets: Table::new(), version, sheet })
    }

    /// Notes that everything below `offset` is consumed. `client` is for the log only.
    pub fn commit(&self, client: &dyn Display, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let key = key(group, topic);
        let former = match self.committed.get_mut(&key) {
            Some(mut queues) => queues.insert(queue_id, offset),
            None => self.committed.entry(key).or_default().insert(queue_id, offset),
        };
        if former == Some(offset) {
            return;
        }
        if let Some(former) = former.filter(|former| offset < *former) {
            warn!("{client} moves group {group} back on {topic} queue {queue_id}: from {former} to {offset}");
        }
        self.sheet.touch();
        self.count_commit();
    }

    /// Java steps the version once in `consumerOffsetUpdateVersionStep` commits.
    fn count_commit(&self) {
        let step = self.config.get().consumer_offset_update_version_step;
        let mut version = self.version.lock();
        version.commits += 1;
        if version.commits % step == 0 {
            version.data.advance(now_ms());
        }
    }

    /// Offset of the next message to consume. A reset that the group was not told yet comes first.
    pub fn query(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        let key = key(group, topic);
        if self.config.get().use_server_side_reset_offset
            && let Some(reset) = at(&self.resets, &key, queue_id)
        {
            return Some(reset);
        }
        at(&self.committed, &key, queue_id)
    }

    /// All committed offsets of a group in a topic.
    pub fn of(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        self.committed.get(&key(group, topic)).map(|queues| queues.clone()).unwrap_or_default()
    }

    /// Notes how far a group has pulled.
    pub fn commit_pull(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let key = key(group, topic);
        match self.pulled.get_mut(&key) {
            Some(mut queues) => queues.insert(queue_id, offset),
            None => self.pulled.entry(key).or_default().insert(queue_id, offset),
        };
    }

    /// How far a group has pulled; what it committed if it never did.
    pub fn query_pull(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        at(&self.pulled, &key(group, topic), queue_id).or_else(|| self.query(group, topic, queue_id))
    }

    /// Forgets how far a group has pulled.
    pub fn clear_pull(&self, group: &str, topic: &str) {
        self.pulled.remove(&key(group, topic));
    }

    /// Sets a group's offset from outside. The next pull is answered with it, once.
    pub fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        if queue_id < 0 || offset < 0 {
            warn!(
                "no reset of group {group} on {topic} queue {queue_id} to {offset}: neither may be negative"
            );
            return;
        }
        debug!("group {group} is reset on {topic} queue {queue_id} to {offset}");
        let key = key(group, topic);
        self.resets.entry(key.clone()).or_default().insert(queue_id, offset);
        self.committed.entry(key).or_default().insert(queue_id, offset);
        self.sheet.touch();
    }

    /// Is there a reset that the group was not told yet?
    pub fn has_reset(&self, group: &str, topic: &str, queue_id: i32) -> bool {
        !self.resets.is_empty() && at(&self.resets, &key(group, topic), queue_id).is_some()
    }

    /// Takes the reset that the group is being told.
    pub fn take_reset(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        if self.resets.is_empty() {
            return None;
        }
        let key = key(group, topic);
        let taken = self.resets.get_mut(&key)?.remove(&queue_id);
        self.resets.remove_if(&key, |_, queues| queues.is_empty());
        taken
    }

    /// Topics in which a group has offsets.
    pub fn topics_of(&self, group: &str) -> BTreeSet<String> {
        let keys = self.committed.iter();
        keys.filter_map(|entry| {
            split(entry.key()).filter(|(_, of)| *of == group).map(|(topic, _)| topic.into())
        })
        .collect()
    }

    /// Groups that have offsets in a topic.
    pub fn groups_of(&self, topic: &str) -> BTreeSet<String> {
        let keys = self.committed.iter();
        keys.filter_map(|entry| {
            split(entry.key()).filter(|(of, _)| *of == topic).map(|(_, group)| group.into())
        })
        .collect()
    }

    /// Forgets a group.
    pub fn remove_group(&self, group: &str) {
        self.remove_if(|_, of| of == group);
        info!("offsets of group {group} removed");
    }

    /// Forgets a topic.
    pub fn remove_topic(&self, topic: &str) {
        self.remove_if(|of, _| of == topic);
        info!("offsets of topic {topic} removed");
    }

    fn remove_if(&self, unwanted: impl Fn(&str, &str) -> bool) {
        for table in [&self.committed, &self.pulled, &self.resets] {
            table.retain(|key, _| !split(key).is_some_and(|(topic, group)| unwanted(topic, group)));
        }
        self.sheet.touch();
    }

    /// Gives a group the offsets of another one.
    pub fn copy(&self, from: &str, to: &str, topic: &str) {
        let queues = self.of(from, topic);
        if !queues.is_empty() {
            self.committed.insert(key(to, topic), queues);
            self.sheet.touch();
        }
    }

    /// For each queue of a topic the offsets of all groups except some.
    pub fn in_topic(&self, topic: &str, except: &[&str]) -> Vec<(i32, i64)> {
        let mut found = Vec::new();
        for entry in &self.committed {
            if split(entry.key()).is_some_and(|(of, group)| of == topic && !except.contains(&group)) {
                found.extend(entry.value().iter().map(|(queue, offset)| (*queue, *offset)));
            }
        }
        found
    }

    /// How far all groups have pulled, by `topic@group` and queue.
    pub fn pulled(&self) -> BTreeMap<String, BTreeMap<i32, i64>> {
        self.pulled.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect()
    }

    /// Everything that is committed. Java's file holds the pulled offsets, too, and never reads them.
    pub fn snapshot(&self) -> ConsumerOffsets {
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut offset_table = BTreeMap::new();
        for entry in &self.committed {
            if let Some((topic, group)) = split(entry.key()) {
                groups.entry(group.to_owned()).or_default().insert(topic.to_owned());
            }
            offset_table.insert(entry.key().clone(), entry.value().clone());
        }
        ConsumerOffsets {
            data_version: Some(self.version.lock().data),
            group_topic_map: Some(groups),
            offset_table,
            ..ConsumerOffsets::default()
        }
    }
}

impl Saved for Offsets {
    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    fn text(&self) -> Result<String, MetaError> {
        let file = ConsumerOffsets { lmq_offset_table: self.light.clone(), ..self.snapshot() };
        fastjson::to_string_pretty(&file)
            .map_err(|error| MetaError::new(Path::new("consumerOffset.json"), error))
    }
}

fn at(table: &Table, key: &str, queue_id: i32) -> Option<i64> {
    table.get(key)?.get(&queue_id).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    fn open(dir: &tempfile::TempDir) -> Offsets {
        Offsets::open(dir.path(), Arc::new(LiveConfig::fixed(BrokerConfig::default()))).unwrap()
    }

    #[test]
    fn offsets_survive() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = open(&dir);
        assert_eq!(offsets.query("g", "t", 0), None);
        offsets.commit(&"test", "g", "t", 0, 7);
        offsets.commit(&"test", "g", "%RETRY%g", 0, 1);
        offsets.save_now().unwrap();
        let text = std::fs::read_to_string(dir.path().join("consumerOffset.json")).unwrap();
        assert!(text.contains("\t\t\"t@g\":{\n\t\t\t0:7\n\t\t}"), "{text}");
        let again = open(&dir);
        assert_eq!(again.query("g", "t", 0), Some(7));
        assert_eq!(again.topics_of("g").len(), 2);
        assert_eq!(again.groups_of("t").into_iter().collect::<Vec<_>>(), ["g"]);
    }

    #[test]
    fn a_file_of_4x_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("consumerOffset.json"),
            "{\n\t\"offsetTable\":{\"t@g\":{0:5,1:7}\n\t}\n}",
        )
        .unwrap();
        assert_eq!(open(&dir).of("g", "t"), BTreeMap::from([(0, 5), (1, 7)]));
    }

    #[test]
    fn the_version_steps_once_in_many_commits() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = open(&dir);
        for offset in 0..1000 {
            offsets.commit(&"test", "g", "t", 0, offset);
        }
        assert_eq!(offsets.snapshot().data_version.unwrap().counter, 2);
    }

    #[test]
    fn a_reset_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = open(&dir);
        offsets.commit(&"test", "g", "t", 0, 7);
        offsets.reset("g", "t", 0, 3);
        offsets.commit(&"test", "g", "t", 0, 8);
        assert_eq!(offsets.query("g", "t", 0), Some(3));
        assert!(offsets.has_reset("g", "t", 0) && !offsets.has_reset("g", "t", 1));
        assert_eq!(offsets.take_reset("g", "t", 0), Some(3));
        assert_eq!(offsets.take_reset("g", "t", 0), None);
        assert_eq!(offsets.query("g", "t", 0), Some(8));
    }

    #[test]
    fn groups_and_topics_are_forgotten_exactly() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = open(&dir);
        for (group, topic) in [("g", "t"), ("g2", "t"), ("g", "t2")] {
            offsets.commit(&"test", group, topic, 0, 1);
            offsets.commit_pull(group, topic, 0, 2);
        }
        offsets.copy("g", "g3", "t");
        offsets.remove_group("g");
        assert_eq!(offsets.query("g", "t", 0), None);
        assert_eq!(offsets.query_pull("g2", "t", 0), Some(2));
        assert_eq!(offsets.query("g3", "t", 0), Some(1));
        offsets.remove_topic("t");
        assert!(offsets.snapshot().offset_table.is_empty());
    }
}
