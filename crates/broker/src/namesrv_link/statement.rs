//! The body of a registration: some topics, or all of them, as bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use rmq_proto::body::registration::{self, RegistrationError};
use rmq_proto::body::{BrokerRegistration, DataVersion, TopicConfigs};

/// Above this size a registration is compressed, wanted or not: a frame holds 16 MiB. Java's registration of
/// more than some 60,000 topics fails.
const MAX_PLAIN_BODY: usize = 8 << 20;
/// Reading and writing.
const READ_WRITE: i32 = 6;

/// What the bytes of a registration depend on besides the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// Permission of the whole broker.
    pub(super) permission: i32,
    /// Compress in any case.
    pub(super) compressed: bool,
}

/// An encoded registration.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) bytes: Bytes,
    pub(super) compressed: bool,
    pub(super) crc: i32,
}

impl Statement {
    /// Encodes topics. Takes a while if there are very many.
    pub(super) fn of(mut topics: TopicConfigs, manner: Manner) -> Result<Self, RegistrationError> {
        if manner.permission & READ_WRITE != READ_WRITE {
            // Java: a broker that may not be read or written says so for each of its topics.
            for topic in topics.topic_config_table.values_mut() {
                topic.perm &= manner.permission;
            }
        }
        topics.mapping_data_version = Some(DataVersion::default());
        topics.topic_queue_mapping_detail_map = Some(BTreeMap::new());
        topics.topic_queue_mapping_info_map = Some(BTreeMap::new());
        let body =
            BrokerRegistration { filter_server_list: Vec::new(), topic_config_serialize_wrapper: topics };
        let plain = if manner.compressed { None } else { Some(body.encode(false)?) };
        let (bytes, compressed) = match plain.filter(|bytes| bytes.len() <= MAX_PLAIN_BODY) {
            Some(bytes) => (bytes, false),
            None => (body.encode(true)?, true),
        };
        Ok(Self { crc: registration::body_crc32(&bytes), compressed, bytes: bytes.into() })
    }
}

#[cfg(test)]
mod tests {
    use rmq_proto::body::TopicConfig;
    use rmq_proto::code::version;

    use super::*;

    #[test]
    fn a_hundred_thousand_topics_fit_into_a_frame() {
        let topics = (0..100_000).map(|number| format!("topic-of-an-application-{number}"));
        let topic_config_table =
            topics.map(|name| (name.clone(), TopicConfig::new(name, 8, 8, READ_WRITE))).collect();
        let topics = TopicConfigs { topic_config_table, ..TopicConfigs::default() };
        let statement = Statement::of(topics, Manner { permission: 6, compressed: false }).unwrap();
        assert!(statement.compressed && statement.bytes.len() < MAX_PLAIN_BODY, "{}", statement.bytes.len());
        let read = BrokerRegistration::decode(&statement.bytes, true, version::CURRENT).unwrap();
        assert_eq!(read.topic_config_serialize_wrapper.topic_config_table.len(), 100_000);
    }
}
