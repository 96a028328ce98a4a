//! Topic lists, and topics that operators put in or take out: codes 206, 216, 217, 224, 304, 311–313.

use std::sync::Arc;

use parking_lot::RwLock;
use rmq_proto::body::TopicRouteData;
use rmq_proto::command::Command;
use rmq_proto::fastjson;
use rmq_proto::header::topic::{DeleteTopicInNamesrv, TopicName, TopicsOfCluster};
use tracing::info;

use super::{Answer, answer_body};
use crate::config::Config;
use crate::error::Rejection;
use crate::route_table::{RouteTable, UnitTopics};

/// Lists and edits topics.
#[derive(Debug)]
pub(crate) struct TopicHandler {
    pub(crate) table: Arc<RwLock<RouteTable>>,
    pub(crate) config: Arc<RwLock<Config>>,
}

impl TopicHandler {
    /// GET_ALL_TOPIC_LIST_FROM_NAMESERVER.
    pub(crate) fn all(&self, _request: &Command) -> Answer {
        self.check_enabled(|config| config.enable_all_topic_list)?;
        let topics = self.table.read().all_topics();
        answer_body(&topics)
    }

    /// GET_TOPICS_BY_CLUSTER.
    pub(crate) fn of_cluster(&self, request: &Command) -> Answer {
        self.check_enabled(|config| config.enable_topic_list)?;
        let header: TopicsOfCluster = request.header()?;
        let topics = self.table.read().topics_of_cluster(&header.cluster);
        answer_body(&topics)
    }

    /// GET_SYSTEM_TOPIC_LIST_FROM_NS.
    pub(crate) fn system(&self, _request: &Command) -> Answer {
        let topics = self.table.read().system_topics();
        answer_body(&topics)
    }

    /// GET_UNIT_TOPIC_LIST.
    pub(crate) fn unit(&self, _request: &Command) -> Answer {
        self.of_units(UnitTopics::Unit)
    }

    /// GET_HAS_UNIT_SUB_TOPIC_LIST.
    pub(crate) fn unit_subscribed(&self, _request: &Command) -> Answer {
        self.of_units(UnitTopics::Subscribed)
    }

    /// GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST.
    pub(crate) fn unit_subscribed_not_unit(&self, _request: &Command) -> Answer {
        self.of_units(UnitTopics::SubscribedNotUnit)
    }

    fn of_units(&self, which: UnitTopics) -> Answer {
        self.check_enabled(|config| config.enable_topic_list)?;
        let topics = self.table.read().unit_topics(which);
        answer_body(&topics)
    }

    /// Java's answer where a list was switched off.
    fn check_enabled(&self, switch: impl Fn(&Config) -> bool) -> Result<(), Rejection> {
        match switch(&self.config.read()) {
            true => Ok(()),
            false => Err(Rejection::failed("disable")),
        }
    }

    /// DELETE_TOPIC_IN_NAMESRV.
    pub(crate) fn delete(&self, request: &Command) -> Answer {
        let header: DeleteTopicInNamesrv = request.header()?;
        info!(topic = header.topic, cluster = header.cluster_name, "topic deleted by an operator");
        let mut table = self.table.write();
        match header.cluster_name.filter(|cluster| !cluster.is_empty()) {
            Some(cluster) => table.delete_topic_in_cluster(&header.topic, &cluster),
            None => table.delete_topic(&header.topic),
        }
        Ok(Command::success())
    }

    /// REGISTER_TOPIC_IN_NAMESRV. As in Java only the queues of the route are looked at, and nothing
    /// is done without any.
    pub(crate) fn register(&self, request: &Command) -> Answer {
        let header: TopicName = request.header()?;
        let bytes = request.body.bytes();
        if !bytes.is_empty() {
            let route: TopicRouteData = fastjson::from_slice(&bytes)?;
            info!(topic = header.topic, "topic registered by an operator");
            self.table.write().put_topic(&header.topic, &route.queue_datas);
        }
        Ok(Command::success())
    }
}
