//! What a broker tells name servers about itself, plain or compressed.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use serde::{Deserialize, Serialize};

use super::{TopicConfig, TopicConfigs, TopicFilterType, TopicQueueMappingInfo};
use crate::code::version;
use crate::fastjson;
use crate::message::crc::crc31;

/// A compressed registration may not grow beyond this: far above what 100,000 topics need.
const MAX_INFLATED: u64 = 256 << 20;

/// A broker's topics, as name servers are told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerRegistration {
    pub filter_server_list: Vec<String>,
    pub topic_config_serialize_wrapper: TopicConfigs,
}

/// Why a registration could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The JSON, or a part of it, is not valid.
    #[error("the registration's JSON is not valid: {0}")]
    Json(#[from] fastjson::Error),
    /// The zlib stream is broken or ends early.
    #[error("the compressed registration is broken: {0}")]
    Zlib(#[from] io::Error),
    /// A length or count is negative.
    #[error("the compressed registration has the length {0}")]
    Length(i32),
    /// A topic's line is not one.
    #[error("`{0}` is not a topic of a compressed registration")]
    Topic(String),
}

/// The checksum `bodyCrc32` that goes with a registration: of the bytes sent, 31 bits.
pub fn body_crc32(body: &[u8]) -> i32 {
    crc31(body) as i32
}

impl BrokerRegistration {
    /// The body's bytes: JSON, or with `compressed` the zlib form, which leaves out the topics' order
    /// and system flags.
    pub fn encode(&self, compressed: bool) -> Result<Vec<u8>, RegistrationError> {
        if compressed { self.deflate() } else { Ok(fastjson::to_vec(self)?) }
    }

    /// Reads a body. `broker_version` decides whether the compressed form ends with queue mappings:
    /// brokers before 5.0 do not write them.
    pub fn decode(body: &[u8], compressed: bool, broker_version: i32) -> Result<Self, RegistrationError> {
        if compressed { Self::inflate(body, broker_version) } else { Ok(fastjson::from_slice(body)?) }
    }

    fn deflate(&self) -> Result<Vec<u8>, RegistrationError> {
        let topics = &self.topic_config_serialize_wrapper;
        let mut out = ZlibEncoder::new(Vec::new(), Compression::best());
        write_part(&mut out, &fastjson::to_vec(&topics.data_version)?)?;
        write_count(&mut out, topics.topic_config_table.len())?;
        for topic in topics.topic_config_table.values() {
            write_part(&mut out, topic_line(topic)?.as_bytes())?;
        }
        write_part(&mut out, &fastjson::to_vec(&self.filter_server_list)?)?;
        let none = BTreeMap::new();
        let mappings = topics.topic_queue_mapping_info_map.as_ref().unwrap_or(&none);
        write_count(&mut out, mappings.len())?;
        for mapping in mappings.values() {
            write_part(&mut out, &fastjson::to_vec(mapping)?)?;
        }
        Ok(out.finish()?)
    }

    fn inflate(body: &[u8], broker_version: i32) -> Result<Self, RegistrationError> {
        let mut input = ZlibDecoder::new(body).take(MAX_INFLATED);
        let mut topics = TopicConfigs {
            data_version: fastjson::from_slice(&read_part(&mut input)?)?,
            ..TopicConfigs::default()
        };
        for _ in 0..read_count(&mut input)? {
            let line = String::from_utf8_lossy(&read_part(&mut input)?).into_owned();
            let topic = parse_topic_line(&line).ok_or(RegistrationError::Topic(line))?;
            topics.topic_config_table.insert(topic.topic_name.clone(), topic);
        }
        // Java ignores a list of filter servers that it cannot read: there are none any more.
        let filter_server_list = fastjson::from_slice(&read_part(&mut input)?).unwrap_or_default();
        if broker_version >= version::V5_0_0 {
            let mut mappings = BTreeMap::new();
            for _ in 0..read_count(&mut input)? {
                let mapping: TopicQueueMappingInfo = fastjson::from_slice(&read_part(&mut input)?)?;
                mappings.insert(mapping.topic.clone(), mapping);
            }
            topics.topic_queue_mapping_info_map = Some(mappings);
        }
        Ok(Self { filter_server_list, topic_config_serialize_wrapper: topics })
    }
}

/// `name read write perm SINGLE_TAG {"attribute":"value"}`
fn topic_line(topic: &TopicConfig) -> Result<String, RegistrationError> {
    let TopicConfig { topic_name, read_queue_nums, write_queue_nums, perm, topic_filter_type, .. } = topic;
    let attributes = fastjson::to_vec(&topic.attributes)?;
    let attributes = String::from_utf8_lossy(&attributes);
    Ok(format!("{topic_name} {read_queue_nums} {write_queue_nums} {perm} {topic_filter_type} {attributes}"))
}

/// Java splits at blanks and forgives attributes that it cannot read, such as ones with blanks.
fn parse_topic_line(line: &str) -> Option<TopicConfig> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let mut number = || words.next()?.parse().ok();
    let mut topic = TopicConfig::new(name, number()?, number()?, number()?);
    topic.topic_filter_type = TopicFilterType::from_name(words.next()?)?;
    let attributes = words.next().and_then(|json| fastjson::from_slice(json.as_bytes()).ok());
    topic.attributes = attributes.unwrap_or_default();
    Some(topic)
}

fn write_count(out: &mut impl Write, count: usize) -> io::Result<()> {
    let count = i32::try_from(count).map_err(io::Error::other)?;
    out.write_all(&count.to_be_bytes())
}

fn write_part(out: &mut impl Write, part: &[u8]) -> io::Result<()> {
    write_count(out, part.len())?;
    out.write_all(part)
}

fn read_count(input: &mut impl Read) -> Result<u64, RegistrationError> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    let count = i32::from_be_bytes(bytes);
    u64::try_from(count).map_err(|_| RegistrationError::Length(count))
}

/// Memory grows with what is really there, not with what a length claims.
fn read_part(input: &mut impl Read) -> Result<Vec<u8>, RegistrationError> {
    let len = read_count(input)?;
    let mut part = Vec::new();
    if input.take(len).read_to_end(&mut part)? as u64 == len {
        return Ok(part);
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
}
