//! The stored record: the same bytes in the commit log and on the wire.
//!
//! ```text
//! 0   4  total size          36  4  sysFlag
//! 4   4  magic               40  8  born timestamp
//! 8   4  body CRC, 31 bits   48  8 or 20  born host: IP, i32 port
//! 12  4  queue id            …   8  store timestamp
//! 16  4  flag                …   8 or 20  store host
//! 20  8  queue offset        …   4  reconsume times
//! 28  8  physical offset     …   8  prepared transaction offset
//!     4 + n  body      1 + n (V1) or 2 + n (V2)  topic      2 + n  properties
//! ```
//! All integers are big-endian and signed.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use bytes::{BufMut, Bytes};

use super::{
    Message, Properties,
    crc::{CRC_PROPERTY_LEN, crc_property, crc31},
    flags,
};

/// Magic of a record whose topic length is one byte.
pub const MAGIC_V1: i32 = -626_843_481;
/// Magic of a record whose topic length is two bytes.
pub const MAGIC_V2: i32 = -626_843_477;
/// Magic of the filler behind the last record of a file.
pub const MAGIC_BLANK: i32 = -875_286_124;
/// Bytes that a blank needs: length and magic.
pub const BLANK_LEN: usize = 8;
/// Size of a record with IPv4 hosts, without body, topic and properties.
pub const FIXED_LEN: usize = 91;

/// Java reads the topic length of a V1 record as a signed byte, so longer topics need V2.
const MAX_TOPIC_V1: usize = 127;
/// What ends each property.
const PROPERTY_END: u8 = 2;
const QUEUE_OFFSET_AT: usize = 20;
const PHYSICAL_OFFSET_AT: usize = 28;
const SYS_FLAG_AT: usize = 36;
const BORN_HOST_AT: usize = 48;

/// Why bytes are not a record, or a record can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end before the record does.
    #[error("the record is cut: {have} bytes of {need}")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that the record needs.
        need: usize,
    },
    /// The file's remainder is filler.
    #[error("the rest of the file, {0} bytes, is blank")]
    Blank(i32),
    /// The magic is none of ours.
    #[error("the magic {0:#010x} is not that of a record")]
    Magic(i32),
    /// The lengths inside do not add up to the total size.
    #[error("the lengths of the record do not add up to its size of {0}")]
    Lengths(i32),
    /// The body is not what was stored.
    #[error("the body's CRC is {computed:#010x}, stored is {stored:#010x}")]
    Crc {
        /// As written in the record.
        stored: u32,
        /// Of the bytes that are there.
        computed: u32,
    },
    /// Something in the record is not what was stored.
    #[error("the record ends with a CRC that is not its own")]
    WholeCrc,
    /// The topic is too long to be written.
    #[error("the topic has {0} bytes, a record holds at most 32767")]
    TopicTooLong(usize),
    /// The properties are too long to be written.
    #[error("the properties have {0} bytes, a record holds at most 32767")]
    PropertiesTooLong(usize),
    /// The body is too long to be written.
    #[error("the body has {0} bytes, more than a record holds")]
    BodyTooLong(usize),
}

/// A record to be written. The host bits of `sys_flag` follow from the hosts.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields are those of `Message`")]
pub struct Record<'a> {
    pub topic: &'a str,
    pub queue_id: i32,
    pub flag: i32,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_timestamp: i64,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: &'a [u8],
    /// In their stored form.
    pub properties: &'a [u8],
}

impl Record<'_> {
    /// The record's length in bytes.
    pub fn size(&self) -> Result<usize, RecordError> {
        if self.topic.len() > i16::MAX as usize {
            return Err(RecordError::TopicTooLong(self.topic.len()));
        }
        if self.properties.len() > i16::MAX as usize {
            return Err(RecordError::PropertiesTooLong(self.properties.len()));
        }
        let size = FIXED_LEN + host_len(self.born_host) - 8 + host_len(self.store_host) - 8
            + usize::from(self.topic.len() > MAX_TOPIC_V1)
            + self.body.len()
            + self.topic.len()
            + self.properties.len();
        i32::try_from(size).map_err(|_| RecordError::BodyTooLong(self.body.len()))?;
        Ok(size)
    }

    /// The whole record.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::with_capacity(self.size()?);
        self.encode_head(&mut out)?;
        out.put_slice(self.body);
        self.encode_tail(&mut out);
        Ok(out)
    }

    /// What stands before the body, for writers that copy the body only once.
    pub fn encode_head(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let v2 = self.topic.len() > MAX_TOPIC_V1;
        let mut sys_flag = self.sys_flag & !(flags::BORN_HOST_V6 | flags::STORE_HOST_V6);
        if self.born_host.is_ipv6() {
            sys_flag |= flags::BORN_HOST_V6;
        }
        if self.store_host.is_ipv6() {
            sys_flag |= flags::STORE_HOST_V6;
        }
        out.put_i32(self.size()? as i32);
        out.put_i32(if v2 { MAGIC_V2 } else { MAGIC_V1 });
        out.put_u32(crc31(self.body));
        out.put_i32(self.queue_id);
        out.put_i32(self.flag);
        out.put_i64(self.queue_offset);
        out.put_i64(self.physical_offset);
        out.put_i32(sys_flag);
        out.put_i64(self.born_timestamp);
        put_host(out, self.born_host);
        out.put_i64(self.store_timestamp);
        put_host(out, self.store_host);
        out.put_i32(self.reconsume_times);
        out.put_i64(self.prepared_transaction_offset);
        out.put_i32(self.body.len() as i32);
        Ok(())
    }

    /// What stands behind the body. Call [`Record::encode_head`] first: it checks the lengths.
    pub fn encode_tail(&self, out: &mut Vec<u8>) {
        if self.topic.len() > MAX_TOPIC_V1 {
            out.put_i16(self.topic.len() as i16);
        } else {
            out.put_u8(self.topic.len() as u8);
        }
        out.put_slice(self.topic.as_bytes());
        out.put_i16(self.properties.len() as i16);
        out.put_slice(self.properties);
    }
}

/// Sets what is known only under the append lock in an encoded record or head.
///
/// # Panics
/// If `head` was not written by [`Record::encode_head`].
pub fn place(head: &mut [u8], queue_offset: i64, physical_offset: i64, store_timestamp: i64) {
    let at = if head[SYS_FLAG_AT + 3] & flags::BORN_HOST_V6 as u8 == 0 {
        BORN_HOST_AT + 8
    } else {
        BORN_HOST_AT + 20
    };
    let mut put = |at: usize, value: i64| head[at..at + 8].copy_from_slice(&value.to_be_bytes());
    put(QUEUE_OFFSET_AT, queue_offset);
    put(PHYSICAL_OFFSET_AT, physical_offset);
    put(at, store_timestamp);
}

/// Room at the end of stored properties for the CRC of the whole record (Java: `enabledAppendPropCRC`).
/// [`seal`] fills it.
pub fn with_room_for_crc(properties: &[u8]) -> Vec<u8> {
    let mut room = Vec::with_capacity(properties.len() + 1 + CRC_PROPERTY_LEN);
    room.extend_from_slice(properties);
    if room.last().is_some_and(|last| *last != PROPERTY_END) {
        room.push(PROPERTY_END);
    }
    room.resize(room.len() + CRC_PROPERTY_LEN, PROPERTY_END);
    room
}

/// Writes the CRC of a whole record into the room at its end. Comes after [`place`].
pub fn seal(record: &mut [u8]) {
    if let Some((whole, room)) = record.split_last_chunk_mut::<CRC_PROPERTY_LEN>() {
        *room = crc_property(crc31(whole));
    }
}

/// A record seen in place: its lengths are checked, nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    store_timestamp_at: usize,
    store_host_len: usize,
    body_at: usize,
    body_len: usize,
    topic_at: usize,
    topic_len: usize,
    properties_at: usize,
}

impl<'a> RecordView<'a> {
    /// Looks at the record at the start of `bytes`; more may follow it. The body's CRC is not checked.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let size = i32_at(bytes, 0).ok_or(cut(bytes, BLANK_LEN))?;
        match i32_at(bytes, 4).ok_or(cut(bytes, BLANK_LEN))? {
            MAGIC_V1 => Self::parse_lengths(bytes, size, false),
            MAGIC_V2 => Self::parse_lengths(bytes, size, true),
            MAGIC_BLANK => Err(RecordError::Blank(size)),
            other => Err(RecordError::Magic(other)),
        }
    }

    fn parse_lengths(bytes: &'a [u8], size: i32, v2: bool) -> Result<Self, RecordError> {
        let wrong = RecordError::Lengths(size);
        let len = usize::try_from(size).map_err(|_| wrong)?;
        if len < FIXED_LEN {
            return Err(wrong);
        }
        let bytes = bytes.get(..len).ok_or(cut(bytes, len))?;
        let sys_flag = i32_at(bytes, SYS_FLAG_AT).ok_or(wrong)?;
        let host = |flag: i32| if sys_flag & flag == 0 { 8 } else { 20 };
        let store_timestamp_at = BORN_HOST_AT + host(flags::BORN_HOST_V6);
        let store_host_len = host(flags::STORE_HOST_V6);
        let body_at = store_timestamp_at + 8 + store_host_len + 4 + 8 + 4;
        let body_len = length(i32_at(bytes, body_at - 4)).ok_or(wrong)?;
        let topic_len_at = body_at + body_len;
        let (topic_at, topic_len) = if v2 {
            (topic_len_at + 2, i16_at(bytes, topic_len_at).map(i32::from))
        } else {
            // Java reads the V1 topic length as a signed byte.
            let len = bytes.get(topic_len_at).map(|byte| i32::from(*byte as i8));
            (topic_len_at + 1, len)
        };
        let topic_len = length(topic_len).ok_or(wrong)?;
        let properties_at = topic_at + topic_len + 2;
        let properties_len = length(i16_at(bytes, properties_at - 2).map(i32::from)).ok_or(wrong)?;
        if properties_at + properties_len != len {
            return Err(wrong);
        }
        Ok(Self {
            bytes,
            store_timestamp_at,
            store_host_len,
            body_at,
            body_len,
            topic_at,
            topic_len,
            properties_at,
        })
    }

    /// The record's bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The record's length, bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// 31-bit CRC of the body as written in the record.
    pub fn body_crc(&self) -> u32 {
        self.i32(8) as u32
    }

    /// Compares the body with its CRC. Java does not check an empty body.
    pub fn check_body(&self) -> Result<(), RecordError> {
        let (stored, computed) = (self.body_crc(), crc31(self.body()));
        if stored == computed || self.body_len == 0 {
            Ok(())
        } else {
            Err(RecordError::Crc { stored, computed })
        }
    }

    /// Compares the whole record with the CRC at its end, if it has one there.
    pub fn check_whole(&self) -> Result<(), RecordError> {
        const NAME: &[u8] = b"__CRC32#\x01";
        match self.bytes.split_last_chunk::<CRC_PROPERTY_LEN>() {
            Some((whole, stored)) if self.bytes.len() - self.properties_at >= stored.len() => {
                let is_own = !stored.starts_with(NAME) || *stored == crc_property(crc31(whole));
                if is_own { Ok(()) } else { Err(RecordError::WholeCrc) }
            }
            _ => Ok(()),
        }
    }

    /// The queue.
    pub fn queue_id(&self) -> i32 {
        self.i32(12)
    }

    /// The user's flag.
    pub fn flag(&self) -> i32 {
        self.i32(16)
    }

    /// The place in the queue.
    pub fn queue_offset(&self) -> i64 {
        self.i64(QUEUE_OFFSET_AT)
    }

    /// The place in the log, bytes.
    pub fn physical_offset(&self) -> i64 {
        self.i64(PHYSICAL_OFFSET_AT)
    }

    /// System bits.
    pub fn sys_flag(&self) -> i32 {
        self.i32(SYS_FLAG_AT)
    }

    /// When the sender made it, ms.
    pub fn born_timestamp(&self) -> i64 {
        self.i64(40)
    }

    /// Where it came from.
    pub fn born_host(&self) -> SocketAddr {
        host(&self.bytes[BORN_HOST_AT..self.store_timestamp_at])
    }

    /// When it was stored, ms.
    pub fn store_timestamp(&self) -> i64 {
        self.i64(self.store_timestamp_at)
    }

    /// Address of the storing broker.
    pub fn store_host(&self) -> SocketAddr {
        let at = self.store_timestamp_at + 8;
        host(&self.bytes[at..at + self.store_host_len])
    }

    /// How often it was sent back.
    pub fn reconsume_times(&self) -> i32 {
        self.i32(self.body_at - 16)
    }

    /// Physical offset of the half message.
    pub fn prepared_transaction_offset(&self) -> i64 {
        self.i64(self.body_at - 12)
    }

    /// The body as stored.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[self.body_at..self.body_at + self.body_len]
    }

    /// The topic; bytes that are not UTF-8 are replaced, as Java does.
    pub fn topic(&self) -> Cow<'a, str> {
        let bytes = &self.bytes[self.topic_at..self.topic_at + self.topic_len];
        String::from_utf8_lossy(bytes)
    }

    /// The properties in their stored form; bytes that are not UTF-8 are replaced.
    pub fn properties(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.properties_bytes())
    }

    /// The properties in their stored form, as they are.
    pub fn properties_bytes(&self) -> &'a [u8] {
        &self.bytes[self.properties_at..]
    }

    fn i32(&self, at: usize) -> i32 {
        i32_at(self.bytes, at).unwrap_or_default()
    }

    fn i64(&self, at: usize) -> i64 {
        let read = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
        read.copied().map(i64::from_be_bytes).unwrap_or_default()
    }
}

/// Decodes the record at the start of `bytes`, checking its CRC; the body shares its memory.
pub fn decode(bytes: &Bytes) -> Result<Message, RecordError> {
    let view = RecordView::parse(bytes)?;
    view.check_body()?;
    Ok(Message {
        topic: view.topic().into_owned(),
        queue_id: view.queue_id(),
        flag: view.flag(),
        sys_flag: view.sys_flag(),
        born_timestamp: view.born_timestamp(),
        born_host: view.born_host(),
        store_timestamp: view.store_timestamp(),
        store_host: view.store_host(),
        reconsume_times: view.reconsume_times(),
        prepared_transaction_offset: view.prepared_transaction_offset(),
        queue_offset: view.queue_offset(),
        physical_offset: view.physical_offset(),
        body_crc: view.body_crc(),
        body: bytes.slice(view.body_at..view.body_at + view.body_len),
        properties: Properties::parse(&view.properties()),
        store_size: view.size() as i32,
    })
}

/// Decodes the records of a pull answer, one behind the other; ends after the first error.
pub fn decode_many(mut bytes: Bytes) -> impl Iterator<Item = Result<Message, RecordError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let read = decode(&bytes);
        bytes = match &read {
            Ok(message) => bytes.slice(message.store_size as usize..),
            Err(_) => Bytes::new(),
        };
        Some(read)
    })
}

fn cut(bytes: &[u8], need: usize) -> RecordError {
    RecordError::Truncated { have: bytes.len(), need }
}

fn length(value: Option<i32>) -> Option<usize> {
    usize::try_from(value?).ok()
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i16_at(bytes: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn host_len(host: SocketAddr) -> usize {
    if host.is_ipv6() { 20 } else { 8 }
}

fn put_host(out: &mut Vec<u8>, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
    out.put_i32(i32::from(host.port()));
}

/// An address of 8 or 20 bytes. The port is a whole i32 on disk, of which 16 bits can mean something.
fn host(bytes: &[u8]) -> SocketAddr {
    let port = u16::from_be_bytes(*bytes.last_chunk().unwrap_or(&[0; 2]));
    let ip = match bytes.first_chunk::<16>() {
        Some(v6) => IpAddr::V6(Ipv6Addr::from(*v6)),
        None => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk().unwrap_or(&[0; 4]))),
    };
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests;
