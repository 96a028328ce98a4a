//! Brokers come, live, and go: codes 103, 104, 322, 901, 904.

use std::sync::Arc;

use parking_lot::RwLock;
use rmq_proto::body::{BrokerMemberGroupReply, BrokerRegistration, DataVersion, TopicConfigs, body_crc32};
use rmq_proto::code::version;
use rmq_proto::command::Command;
use rmq_proto::fastjson;
use rmq_proto::header::register::{
    BrokerGroup, BrokerHeartbeat, BrokerIdentity, DataVersionAnswer, RegisterBroker, RegisterBrokerAnswer,
};
use rmq_remoting::Peer;

use super::{Answer, answer_body};
use crate::config::Config;
use crate::error::Rejection;
use crate::kv_store::{KvStore, ORDER_TOPIC_CONFIG};
use crate::liveness::Liveness;
use crate::route_table::{NotRegisteredYet, Registration, RouteTable};

/// Ext-field in which a broker names its zone.
const ZONE_NAME: &str = "__ZONE_NAME";

/// Takes brokers into the route table and out again.
#[derive(Debug)]
pub(crate) struct RegisterHandler {
    pub(crate) table: Arc<RwLock<RouteTable>>,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) kv: Arc<KvStore>,
    pub(crate) config: Arc<RwLock<Config>>,
}

impl RegisterHandler {
    /// REGISTER_BROKER.
    pub(crate) fn register(&self, peer: &Arc<Peer>, request: &Command) -> Answer {
        let header: RegisterBroker = request.header()?;
        let bytes = request.body.bytes();
        let expected = header.body_crc32.unwrap_or(0);
        if expected != 0 && body_crc32(&bytes) != expected {
            return Err(Rejection::failed("crc32 not match"));
        }
        let (topics, filter_servers) = read_topics(&bytes, header.compressed, request.version)?;
        let (forget_other_topics, tell_order) = {
            let config = self.config.read();
            (config.delete_topic_with_broker_registration, config.return_order_topic_config_to_broker)
        };
        let registration = Registration {
            identity: BrokerIdentity {
                broker_name: header.broker_name,
                broker_addr: header.broker_addr,
                cluster_name: header.cluster_name,
                broker_id: header.broker_id,
            },
            ha_server_addr: header.ha_server_addr,
            zone: request.ext.get(ZONE_NAME).map(str::to_owned),
            heartbeat_timeout_ms: header.heartbeat_timeout_millis,
            acting_master: header.enable_acting_master,
            topics,
            filter_servers,
            connection: peer.id(),
            forget_other_topics,
        };

        self.liveness.registered_on(peer);
        let registered = self
            .table
            .write()
            .register(registration, self.liveness.clock.now_ms())
            .map_err(|NotRegisteredYet| Rejection::failed("register broker failed"))?;
        // The connection may have ended before the broker was in the table.
        if peer.is_closed() {
            self.liveness.connection_closed(peer.id());
        }
        self.liveness.tell(registered.change);

        let answer = Command::success().with_header(&RegisterBrokerAnswer {
            ha_server_addr: registered.ha_server_addr,
            master_addr: registered.master_addr,
        });
        // The broker marks these topics as ordered.
        match self.kv.list(ORDER_TOPIC_CONFIG).filter(|_| tell_order) {
            Some(order) => Ok(answer.with_body(fastjson::to_vec(&order)?)),
            None => Ok(answer),
        }
    }

    /// UNREGISTER_BROKER. Java queues it and answers at once; here it is done when the answer comes.
    pub(crate) fn unregister(&self, request: &Command) -> Answer {
        let identity: BrokerIdentity = request.header()?;
        let changes = self.table.write().unregister(&[identity]);
        self.liveness.tell(changes);
        Ok(Command::success())
    }

    /// QUERY_DATA_VERSION: must the broker send its topics again? Counts as a sign of life.
    pub(crate) fn query_version(&self, request: &Command) -> Answer {
        let BrokerHeartbeat { cluster_name, broker_addr, .. } = request.header()?;
        let bytes = request.body.bytes();
        let theirs: Option<DataVersion> =
            if bytes.is_empty() { None } else { Some(fastjson::from_slice(&bytes)?) };
        let mut table = self.table.write();
        table.heard(&cluster_name, &broker_addr, self.liveness.clock.now_ms());
        let known = table.version_of(&cluster_name, &broker_addr);
        let changed = known.is_none() || known != theirs.as_ref();
        let answer = Command::success().with_header(&DataVersionAnswer { changed });
        match known {
            Some(version) => Ok(answer.with_body(fastjson::to_vec(version)?)),
            None => Ok(answer),
        }
    }

    /// BROKER_HEARTBEAT.
    pub(crate) fn heartbeat(&self, request: &Command) -> Answer {
        let header: BrokerHeartbeat = request.header()?;
        let now_ms = self.liveness.clock.now_ms();
        self.table.write().heard(&header.cluster_name, &header.broker_addr, now_ms);
        Ok(Command::success())
    }

    /// GET_BROKER_MEMBER_GROUP.
    pub(crate) fn member_group(&self, request: &Command) -> Answer {
        let header: BrokerGroup = request.header()?;
        let group = self.table.read().member_group(&header.cluster_name, &header.broker_name);
        answer_body(&BrokerMemberGroupReply { broker_member_group: Some(group) })
    }
}

/// Reads the topics and filter servers of a registration. Brokers before 3.0.11 send bare topics, and
/// say nothing about filter servers.
fn read_topics(
    bytes: &[u8],
    compressed: bool,
    broker_version: i32,
) -> Result<(TopicConfigs, Option<Vec<String>>), Rejection> {
    let undecodable = |error: &dyn std::fmt::Display| {
        Rejection::failed(format!("Failed to decode RegisterBrokerBody: {error}"))
    };
    if broker_version < version::V3_0_11 {
        return match bytes {
            [] => Ok((TopicConfigs::default(), None)),
            _ => Ok((fastjson::from_slice(bytes).map_err(|error| undecodable(&error))?, None)),
        };
    }
    if bytes.is_empty() {
        return Ok((TopicConfigs::default(), Some(Vec::new())));
    }
    let registration =
        BrokerRegistration::decode(bytes, compressed, broker_version).map_err(|error| undecodable(&error))?;
    Ok((registration.topic_config_serialize_wrapper, Some(registration.filter_server_list)))
}
