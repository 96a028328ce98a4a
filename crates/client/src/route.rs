//! What a topic's route means: which queues may be written and read.

use std::collections::BTreeMap;

use rmq_proto::{
    body::{BrokerData, MessageQueue, TopicRouteData},
    topic::perm,
};

/// Java offers at most that many queues of the template topic for a topic that does not exist yet.
const DEFAULT_TOPIC_QUEUES: i32 = 4;
/// No broker has more queues of one topic; a larger number in a route is a mistake that must not cost memory.
const MAX_QUEUES: i32 = 1 << 16;

/// A topic's route and the queues in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// What the name server said.
    pub data: TopicRouteData,
    /// The queues that a producer may choose from.
    pub publish: Vec<MessageQueue>,
    /// The queues that consumers share among them, in order.
    pub subscribe: Vec<MessageQueue>,
    /// The topic does not exist yet: this is what it will look like when its first message creates it.
    pub provisional: bool,
}

impl Route {
    /// The route of an existing topic.
    pub fn new(topic: &str, data: TopicRouteData) -> Self {
        let publish = publish_queues(topic, &data);
        let subscribe = subscribe_queues(topic, &data);
        Self { data, publish, subscribe, provisional: false }
    }

    /// The route that an unknown topic will have, after the template topic's.
    pub fn provisional(topic: &str, mut template: TopicRouteData) -> Self {
        for queues in &mut template.queue_datas {
            let count = queues.read_queue_nums.min(DEFAULT_TOPIC_QUEUES);
            queues.read_queue_nums = count;
            queues.write_queue_nums = count;
        }
        Self { subscribe: Vec::new(), provisional: true, ..Self::new(topic, template) }
    }

    /// Brokers by name, each with its addresses by broker id.
    pub fn brokers(&self) -> impl Iterator<Item = (&str, &BTreeMap<i64, String>)> {
        self.data.broker_datas.iter().map(|broker| (broker.broker_name.as_str(), &broker.broker_addrs))
    }
}

/// Java takes the order configuration if there is one, else all queues of brokers that have a master and may be written.
fn publish_queues(topic: &str, data: &TopicRouteData) -> Vec<MessageQueue> {
    if let Some(order) = data.order_topic_conf.as_deref().filter(|order| !order.is_empty()) {
        return ordered_queues(topic, order);
    }
    let mut brokers: Vec<_> =
        data.queue_datas.iter().filter(|queues| perm::is_writable(queues.perm)).collect();
    brokers.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
    brokers
        .into_iter()
        .filter(|queues| has_master(&data.broker_datas, &queues.broker_name))
        .flat_map(|queues| queues_of(topic, &queues.broker_name, queues.write_queue_nums))
        .collect()
}

fn subscribe_queues(topic: &str, data: &TopicRouteData) -> Vec<MessageQueue> {
    let mut queues: Vec<_> = data
        .queue_datas
        .iter()
        .filter(|queues| perm::is_readable(queues.perm))
        .flat_map(|queues| queues_of(topic, &queues.broker_name, queues.read_queue_nums))
        .collect();
    queues.sort();
    queues.dedup();
    queues
}

fn queues_of(topic: &str, broker: &str, count: i32) -> impl Iterator<Item = MessageQueue> {
    (0..count.min(MAX_QUEUES)).map(move |id| MessageQueue::new(topic, broker, id))
}

fn has_master(brokers: &[BrokerData], name: &str) -> bool {
    brokers.iter().any(|broker| broker.broker_name == name && broker.broker_addrs.contains_key(&0))
}

/// `broker-a:4;broker-b:2`; entries without a number are skipped.
fn ordered_queues(topic: &str, order: &str) -> Vec<MessageQueue> {
    order
        .split(';')
        .filter_map(|entry| entry.split_once(':'))
        .filter_map(|(broker, count)| Some((broker, count.parse::<i32>().ok()?)))
        .flat_map(|(broker, count)| queues_of(topic, broker, count).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use rmq_proto::body::QueueData;

    use super::*;

    fn broker(name: &str, ids: &[i64]) -> BrokerData {
        BrokerData {
            broker_name: name.into(),
            broker_addrs: ids.iter().map(|id| (*id, format!("{name}:{id}"))).collect(),
            ..BrokerData::default()
        }
    }

    fn queues(name: &str, read: i32, write: i32, perm: i32) -> QueueData {
        QueueData {
            broker_name: name.into(),
            read_queue_nums: read,
            write_queue_nums: write,
            perm,
            ..QueueData::default()
        }
    }

    fn names(queues: &[MessageQueue]) -> Vec<String> {
        queues.iter().map(|queue| format!("{}{}", queue.broker_name, queue.queue_id)).collect()
    }

    #[test]
    fn only_masters_are_written_and_only_readable_queues_are_read() {
        let data = TopicRouteData {
            broker_datas: vec![broker("b", &[0]), broker("a", &[0, 1]), broker("slave", &[1])],
            queue_datas: vec![
                queues("b", 1, 2, 6),
                queues("a", 2, 1, 6),
                queues("slave", 1, 1, 6),
                queues("gone", 0, 1, 2),
            ],
            ..TopicRouteData::default()
        };
        let route = Route::new("T", data);
        assert_eq!(names(&route.publish), ["a0", "b0", "b1"]);
        assert_eq!(names(&route.subscribe), ["a0", "a1", "b0", "slave0"]);
    }

    #[test]
    fn permissions_are_obeyed() {
        let data = TopicRouteData {
            broker_datas: vec![broker("a", &[0]), broker("b", &[0])],
            queue_datas: vec![queues("a", 1, 1, perm::READ), queues("b", 1, 1, perm::WRITE)],
            ..TopicRouteData::default()
        };
        let route = Route::new("T", data);
        assert_eq!(names(&route.publish), ["b0"]);
        assert_eq!(names(&route.subscribe), ["a0"]);
    }

    #[test]
    fn an_order_configuration_wins() {
        let data = TopicRouteData {
            order_topic_conf: Some("b:1;a:2;x".into()),
            queue_datas: vec![queues("a", 9, 9, 6)],
            ..TopicRouteData::default()
        };
        assert_eq!(names(&Route::new("T", data).publish), ["b0", "a0", "a1"]);
    }

    #[test]
    fn a_topic_to_come_gets_at_most_four_queues() {
        let data = TopicRouteData {
            broker_datas: vec![broker("a", &[0]), broker("b", &[0])],
            queue_datas: vec![queues("a", 8, 8, 7), queues("b", 2, 8, 7)],
            ..TopicRouteData::default()
        };
        let route = Route::provisional("T", data);
        assert_eq!(names(&route.publish), ["a0", "a1", "a2", "a3", "b0", "b1"]);
        assert!(route.subscribe.is_empty() && route.provisional);
    }
}
