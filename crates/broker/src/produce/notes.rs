//! What the write gate has to know of a message's properties, and what it writes into them.

use rmq_proto::message::{properties, property};

use crate::{config::BrokerConfig, divert::Delivery};

/// What the gate has to know of a message's properties, found in one walk over their stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notes<'a> {
    /// UNIQ_KEY.
    pub(super) unique_key: Option<&'a str>,
    /// DELAY; 0 without.
    pub(super) delay_level: i32,
    /// Does the sender wait until the message is safe?
    pub(super) waits: bool,
    /// TRAN_MSG: half of a transaction.
    pub(super) half: bool,
    timed: bool,
    timer_out: bool,
    priority: Option<i32>,
    sharded: bool,
    lite_topic: Option<&'a str>,
    /// The message goes to light queues too.
    pub(super) light: bool,
    /// The stored form can be kept as it is, with the broker's properties behind it.
    tidy: bool,
}

impl<'a> Notes<'a> {
    /// Reads the stored form of properties.
    pub(super) fn read(raw: &'a str) -> Self {
        let mut notes = Self {
            unique_key: None,
            delay_level: 0,
            waits: true,
            half: false,
            timed: false,
            timer_out: false,
            priority: None,
            sharded: false,
            lite_topic: None,
            light: false,
            tidy: true,
        };
        properties::pairs(raw).for_each(|(key, value)| notes.note(key, value));
        notes
    }

    fn note(&mut self, key: &str, value: &'a str) {
        let is_true = || value.eq_ignore_ascii_case("true");
        match key {
            property::UNIQ_KEY => self.unique_key = Some(value),
            property::DELAY => self.delay_level = value.parse().unwrap_or(0),
            property::WAIT => self.waits = is_true(),
            property::TRANSACTION_PREPARED => self.half = is_true(),
            property::TIMER_DELIVER_MS | property::TIMER_DELAY_MS | property::TIMER_DELAY_SEC => {
                self.timed = true
            }
            property::TIMER_OUT_MS => self.timer_out = true,
            property::PRIORITY => {
                self.priority = Some(value.parse().unwrap_or(-1));
                self.tidy = false;
            }
            property::SHARDING_KEY => self.sharded = true,
            property::LITE_TOPIC => {
                self.lite_topic = Some(value);
                self.light = true;
            }
            property::POP_CK | property::MSG_REGION | property::TRACE_ON | property::CLUSTER => {
                self.tidy = false
            }
            property::INNER_MULTI_DISPATCH => {
                self.light |= !value.trim().is_empty();
                self.tidy = false;
            }
            _ => {}
        }
    }

    /// When the message wants to be delivered.
    pub(super) fn delivery(&self) -> Delivery {
        Delivery { delay_level: self.delay_level, timed: self.timed && !self.timer_out }
    }

    /// Java: a priority picks the queue, unless the message is special in another way.
    pub(super) fn priority_queue(&self, queues: i32) -> Option<i32> {
        let priority = self.priority.filter(|priority| *priority >= 0 && self.keeps_priority())?;
        Some(priority.min(queues - 1).max(0))
    }

    fn keeps_priority(&self) -> bool {
        !self.half && self.delay_level == 0 && !self.timed && !self.sharded
    }

    /// The properties as they are stored. Java writes region, trace switch and cluster over what the sender
    /// said, and never stores a receipt handle. `made_key` is the unique key if the sender gave none.
    pub(super) fn stored(
        &self,
        raw: &str,
        made_key: Option<&str>,
        topic: &str,
        config: &BrokerConfig,
    ) -> String {
        let mut stored = String::with_capacity(raw.len() + 128);
        if self.tidy {
            stored.push_str(raw);
        } else {
            let kept = properties::pairs(raw).filter(|(key, _)| self.keeps(key));
            kept.for_each(|(key, value)| properties::append(&mut stored, key, value));
        }
        properties::append(&mut stored, property::MSG_REGION, &config.region_id);
        properties::append(&mut stored, property::TRACE_ON, if config.trace_on { "true" } else { "false" });
        properties::append(&mut stored, property::CLUSTER, &config.broker_cluster_name);
        if let Some(key) = made_key {
            properties::append(&mut stored, property::UNIQ_KEY, key);
        }
        if let Some(lite) = self.lite_topic {
            properties::append(&mut stored, property::INNER_MULTI_DISPATCH, &format!("%LMQ%${topic}${lite}"));
        }
        stored
    }

    fn keeps(&self, key: &str) -> bool {
        match key {
            property::POP_CK | property::MSG_REGION | property::TRACE_ON | property::CLUSTER => false,
            property::INNER_MULTI_DISPATCH => self.lite_topic.is_none(),
            // Java drops a priority that does not pick the queue, and keeps one that makes no sense.
            property::PRIORITY => self.priority.is_none_or(|priority| priority < 0) || self.keeps_priority(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(pairs: &[(&str, &str)], made_key: Option<&str>) -> Vec<(String, String)> {
        let raw: properties::Properties = pairs.iter().copied().collect();
        let raw = raw.encode();
        let stored = Notes::read(&raw).stored(&raw, made_key, "t", &BrokerConfig::default());
        properties::pairs(&stored).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn get(stored: &[(String, String)], wanted: &str) -> Vec<String> {
        stored.iter().filter(|(key, _)| key == wanted).map(|(_, value)| value.clone()).collect()
    }

    #[test]
    fn the_broker_adds_its_own_properties() {
        let stored = stored(&[("TAGS", "A"), ("UNIQ_KEY", "u")], None);
        assert_eq!(get(&stored, "TAGS"), ["A"]);
        assert_eq!(get(&stored, "UNIQ_KEY"), ["u"]);
        assert_eq!(get(&stored, "MSG_REGION"), ["DefaultRegion"]);
        assert_eq!(get(&stored, "TRACE_ON"), ["true"]);
        assert_eq!(get(&stored, "CLUSTER"), ["DefaultCluster"]);
    }

    #[test]
    fn the_broker_overwrites_what_only_it_may_say() {
        let stored = stored(
            &[("CLUSTER", "mine"), ("POP_CK", "1 2 3"), ("MSG_REGION", "r"), ("k", "v")],
            Some("made"),
        );
        assert_eq!(get(&stored, "CLUSTER"), ["DefaultCluster"]);
        assert_eq!(get(&stored, "MSG_REGION"), ["DefaultRegion"]);
        assert_eq!(get(&stored, "POP_CK"), Vec::<String>::new());
        assert_eq!(get(&stored, "UNIQ_KEY"), ["made"]);
        assert_eq!(get(&stored, "k"), ["v"]);
    }

    #[test]
    fn an_open_last_pair_is_closed() {
        let raw = "a\u{1}1";
        let stored = Notes::read(raw).stored(raw, None, "t", &BrokerConfig::default());
        assert_eq!(properties::get(&stored, "a"), Some("1"));
    }

    #[test]
    fn a_priority_picks_the_queue_of_normal_messages_only() {
        let queue = |raw: &str| Notes::read(raw).priority_queue(4);
        assert_eq!(queue("_SYS_MSG_PRIORITY_\u{1}2\u{2}"), Some(2));
        assert_eq!(queue("_SYS_MSG_PRIORITY_\u{1}9\u{2}"), Some(3));
        assert_eq!(queue("_SYS_MSG_PRIORITY_\u{1}x\u{2}"), None);
        assert_eq!(queue("_SYS_MSG_PRIORITY_\u{1}2\u{2}DELAY\u{1}1\u{2}"), None);
        let dropped = stored(&[("_SYS_MSG_PRIORITY_", "2"), ("__SHARDINGKEY", "s")], None);
        assert_eq!(get(&dropped, "_SYS_MSG_PRIORITY_"), Vec::<String>::new());
        assert_eq!(get(&stored(&[("_SYS_MSG_PRIORITY_", "2")], None), "_SYS_MSG_PRIORITY_"), ["2"]);
    }

    #[test]
    fn waiting_and_delivery_are_read() {
        let notes = Notes::read("WAIT\u{1}false\u{2}DELAY\u{1}3\u{2}TRAN_MSG\u{1}True\u{2}");
        assert!(!notes.waits && notes.half);
        assert_eq!(notes.delivery(), Delivery { delay_level: 3, timed: false });
        assert!(Notes::read("TIMER_DELAY_MS\u{1}1\u{2}").delivery().timed);
        assert!(!Notes::read("TIMER_DELAY_MS\u{1}1\u{2}TIMER_OUT_MS\u{1}1\u{2}").delivery().timed);
    }
}
