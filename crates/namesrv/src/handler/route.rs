//! Where topics and brokers are: codes 105 and 106.

use std::sync::Arc;

use parking_lot::RwLock;
use rmq_proto::body::TopicRouteData;
use rmq_proto::code::{ResponseCode, version};
use rmq_proto::command::Command;
use rmq_proto::fastjson;
use rmq_proto::header::topic::RouteRequest;

use super::{Answer, answer_body};
use crate::config::Config;
use crate::error::Rejection;
use crate::kv_store::{KvStore, ORDER_TOPIC_CONFIG};
use crate::liveness::Clock;
use crate::route_table::RouteTable;

/// Ext-field: the asker wants only brokers of its zone.
const ZONE_MODE: &str = "__ZONE_MODE";
/// Ext-field: the asker's zone.
const ZONE_NAME: &str = "__ZONE_NAME";
/// Id of a master among the addresses of a group.
const MASTER_ID: i64 = 0;

/// Answers clients.
#[derive(Debug)]
pub(crate) struct RouteHandler {
    pub(crate) table: Arc<RwLock<RouteTable>>,
    pub(crate) kv: Arc<KvStore>,
    pub(crate) config: Arc<RwLock<Config>>,
    /// Started with the server.
    pub(crate) clock: Clock,
}

impl RouteHandler {
    /// GET_ROUTEINFO_BY_TOPIC.
    pub(crate) fn route(&self, request: &Command) -> Answer {
        let header: RouteRequest = request.header()?;
        let (acting_master, ordered) = {
            let config = self.config.read();
            let wait_ms = i64::from(config.wait_seconds_for_service) * 1000;
            if config.need_wait_for_service && self.clock.now_ms() < wait_ms {
                return Err(Rejection::failed("name server not ready"));
            }
            (config.support_acting_master, config.order_message_enable)
        };
        let found = self.table.read().route(&header.topic, acting_master);
        let mut route = found.ok_or_else(|| no_route(&header.topic))?;
        if ordered {
            route.order_topic_conf = self.kv.get(ORDER_TOPIC_CONFIG, &header.topic);
        }
        if let Some(zone) = zone_wanted(request) {
            keep_zone(&mut route, zone);
            // Java filters after encoding, and encodes what is left in the old style for everybody.
            return answer_body(&route);
        }
        // Clients from 4.9.4 on get standard JSON; older ones expect integer keys without quotes.
        let standard =
            request.version >= version::V4_9_4 || header.accept_standard_json_only.unwrap_or(false);
        match standard {
            true => Ok(Command::success().with_body(fastjson::to_standard_vec(&route)?)),
            false => answer_body(&route),
        }
    }

    /// GET_BROKER_CLUSTER_INFO. Integer keys stay without quotes, whatever the asker's version.
    pub(crate) fn cluster_info(&self, _request: &Command) -> Answer {
        let info = self.table.read().cluster_info();
        answer_body(&info)
    }
}

/// Clients look at the code; people and tests at the text, which is Java's.
fn no_route(topic: &str) -> Rejection {
    let remark = format!(
        "No topic route info in name server for the topic: {topic}\n\
         See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
    );
    Rejection::new(ResponseCode::TOPIC_NOT_EXIST, remark)
}

fn zone_wanted(request: &Command) -> Option<&str> {
    let mode = request.ext.get(ZONE_MODE)?;
    let zone = request.ext.get(ZONE_NAME)?;
    (mode.eq_ignore_ascii_case("true") && !zone.trim().is_empty()).then_some(zone)
}

/// Keeps the brokers of a zone, and those without a master: reading a slave of another zone is better
/// than reading nothing.
fn keep_zone(route: &mut TopicRouteData, zone: &str) {
    let (kept, left) = std::mem::take(&mut route.broker_datas).into_iter().partition(|broker| {
        !broker.broker_addrs.contains_key(&MASTER_ID)
            || broker.zone_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(zone))
    });
    route.broker_datas = kept;
    let left: Vec<_> = left;
    for broker in left {
        route.queue_datas.retain(|queues| queues.broker_name != broker.broker_name);
        for addr in broker.broker_addrs.values() {
            route.filter_server_table.remove(addr);
        }
    }
}
