//! The consumer groups: `subscriptionGroup.json`, the predefined groups, and which topics a group may not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;
use rmq_proto::body::{DataVersion, SubscriptionGroupConfig, SubscriptionGroups};
use rmq_proto::fastjson;
use rmq_proto::topic::{self, group};
use tracing::info;

use super::attributes;
use super::json_file::{MetaError, Sheet};
use super::{Saved, now_ms};
use crate::config::LiveConfig;

/// Bit of the forbidden table: the group may not read the topic (Java's PermName.INDEX_PERM_READ).
const FORBIDDEN_READ: i32 = 1 << 2;

/// Groups that every broker has.
const PREDEFINED: [&str; 8] = [
    group::TOOLS_CONSUMER,
    group::FILTERSRV_CONSUMER,
    group::SELF_TEST_CONSUMER,
    group::ONS_HTTP_PROXY,
    group::ONSAPI_PULL,
    group::ONSAPI_PERMISSION,
    group::ONSAPI_OWNER,
    group::TRANS,
];

/// The table of consumer groups.
#[derive(Debug)]
pub struct Groups {
    config: Arc<LiveConfig>,
    table: DashMap<String, Arc<SubscriptionGroupConfig>>,
    sheet: Sheet,
    /// Serialises changes. Taken before the table's own locks.
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    version: DataVersion,
    forbidden: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Groups {
    /// Reads `subscriptionGroup.json` of a directory.
    pub fn open(directory: &Path, config: Arc<LiveConfig>) -> Result<Self, MetaError> {
        let table = DashMap::new();
        for name in PREDEFINED {
            table.insert(name.to_owned(), Arc::new(new_group(name)));
        }
        let mut changes = Changes {
            version: DataVersion { timestamp: now_ms(), ..DataVersion::default() },
            forbidden: BTreeMap::new(),
        };
        let sheet = Sheet::new(directory.join("subscriptionGroup.json"));
        if let Some(file) = sheet.read::<SubscriptionGroups>()? {
            changes = Changes { version: file.data_version, forbidden: file.forbidden_table };
            for (name, mut group) in file.subscription_group_table {
                group.group_name.clone_from(&name);
                table.insert(name, Arc::new(group));
            }
        }
        Ok(Self { config, table, sheet, changes: Mutex::new(changes) })
    }

    /// A group's settings, if it is known.
    pub fn get(&self, group: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        self.table.get(group).map(|entry| entry.value().clone())
    }

    /// Is the group known?
    pub fn contains(&self, group: &str) -> bool {
        self.table.contains_key(group)
    }

    /// A group's settings; an unknown group is created if that is allowed and its name is good.
    pub fn find(&self, group: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        self.get(group).or_else(|| self.create(group))
    }

    fn create(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        let config = self.config.get();
        let allowed = config.auto_create_subscription_group
            || (config.enable_create_sys_group && group::is_system(name));
        if !allowed || topic::check_group(name).is_err() {
            return None;
        }
        let mut changes = self.changes.lock();
        if let Some(found) = self.get(name) {
            return Some(found);
        }
        info!("group {name} created");
        let created = Arc::new(new_group(name));
        self.table.insert(name.to_owned(), created.clone());
        self.note(&mut changes);
        Some(created)
    }

    /// Creates or changes a group as an admin asks. The attributes of `wanted` are signed changes.
    pub fn update(&self, wanted: SubscriptionGroupConfig) -> Result<(), String> {
        let name = wanted.group_name.clone();
        let mut changes = self.changes.lock();
        let old = self.get(&name);
        let current = old.as_ref().map(|old| &old.attributes);
        let attributes = attributes::alter(attributes::OF_GROUPS, current, &wanted.attributes)?;
        let group = SubscriptionGroupConfig { attributes, ..wanted };
        info!("group {name} {}: {group:?}", if old.is_some() { "changed" } else { "created" });
        self.table.insert(name, Arc::new(group));
        self.note(&mut changes);
        Ok(())
    }

    /// Takes a group away; false if it was not there.
    pub fn remove(&self, group: &str) -> bool {
        let mut changes = self.changes.lock();
        changes.forbidden.remove(group);
        let Some((_, old)) = self.table.remove(group) else {
            return false;
        };
        info!("group {group} deleted: {old:?}");
        self.note(&mut changes);
        true
    }

    /// Bits of what the group may not do with the topic; 0 for almost all.
    pub fn forbidden(&self, group: &str, topic: &str) -> i32 {
        let changes = self.changes.lock();
        changes.forbidden.get(group).and_then(|topics| topics.get(topic)).map_or(0, |bits| (*bits).max(0))
    }

    /// May the group read the topic?
    pub fn may_read(&self, group: &str, topic: &str) -> bool {
        self.forbidden(group, topic) & FORBIDDEN_READ == 0
    }

    /// Allows or forbids a group to read a topic.
    pub fn set_readable(&self, group: &str, topic: &str, readable: bool) {
        let mut changes = self.changes.lock();
        let old = changes
            .forbidden
            .get(group)
            .and_then(|topics| topics.get(topic))
            .map_or(0, |bits| (*bits).max(0));
        let bits = if readable { old & !FORBIDDEN_READ } else { old | FORBIDDEN_READ };
        if bits == old {
            return;
        }
        let topics = changes.forbidden.entry(group.to_owned()).or_default();
        match bits {
            0 => _ = topics.remove(topic),
            bits => _ = topics.insert(topic.to_owned(), bits),
        }
        if topics.is_empty() {
            changes.forbidden.remove(group);
        }
        info!("group {group} may {}read topic {topic}", if readable { "" } else { "not " });
        self.note(&mut changes);
    }

    /// Counts the changes of the table.
    pub fn version(&self) -> DataVersion {
        self.changes.lock().version
    }

    /// Names of all groups, sorted.
    pub fn names(&self) -> BTreeSet<String> {
        self.table.iter().map(|entry| entry.key().clone()).collect()
    }

    /// All groups, sorted, with the version that they belong to.
    pub fn snapshot(&self) -> SubscriptionGroups {
        let changes = self.changes.lock();
        let subscription_group_table = self
            .table
            .iter()
            .map(|entry| (entry.key().clone(), SubscriptionGroupConfig::clone(entry.value())))
            .collect();
        SubscriptionGroups {
            data_version: changes.version,
            forbidden_table: changes.forbidden.clone(),
            subscription_group_table,
        }
    }

    fn note(&self, changes: &mut Changes) {
        changes.version.advance(now_ms());
        self.sheet.touch();
    }
}

impl Saved for Groups {
    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    fn text(&self) -> Result<String, MetaError> {
        fastjson::to_string_pretty(&self.snapshot())
            .map_err(|error| MetaError::new(Path::new("subscriptionGroup.json"), error))
    }
}

fn new_group(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..SubscriptionGroupConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    fn open(dir: &tempfile::TempDir, config: BrokerConfig) -> Groups {
        Groups::open(dir.path(), Arc::new(LiveConfig::fixed(config))).unwrap()
    }

    #[test]
    fn groups_are_created_on_first_use_and_survive() {
        let dir = tempfile::tempdir().unwrap();
        let groups = open(&dir, BrokerConfig::default());
        assert!(groups.contains("TOOLS_CONSUMER"));
        assert_eq!(groups.find("orders").unwrap().retry_max_times, 16);
        assert!(groups.find("not a name").is_none());
        groups.set_readable("orders", "t", false);
        groups.save_now().unwrap();

        let again = open(&dir, BrokerConfig::default());
        assert_eq!(again.snapshot(), groups.snapshot());
        assert_eq!(again.version().counter, 2);
        assert!(!again.may_read("orders", "t"));
        again.set_readable("orders", "t", true);
        assert!(again.may_read("orders", "t"));
        assert!(again.remove("orders") && !again.remove("orders"));
    }

    #[test]
    fn without_auto_creation_only_system_groups_come_by_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig { auto_create_subscription_group: false, ..BrokerConfig::default() };
        let groups = open(&dir, config);
        assert!(groups.find("orders").is_none());
        assert!(groups.find("CID_RMQ_SYS_REVIVE_GROUP").is_some());
    }
}
