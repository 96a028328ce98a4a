//! The message: what is stored, what travels, and how its parts are read and written.
//!
//! A stored record has the same bytes in the commit log, in the body of a pull answer and in the body
//! of a view answer; [`record`] is that layout. [`Message`] is a record taken apart.

pub mod batch;
pub mod crc;
pub mod flags;
pub mod hash;
pub mod id;
pub mod properties;
pub mod property;
pub mod record;

use std::net::SocketAddr;

use bytes::Bytes;

pub use self::{
    batch::BatchMember,
    id::{OffsetId, UniqueId, UniqueIds},
    properties::Properties,
    record::{Record, RecordError, RecordView},
};

/// A stored message, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic that it is stored under.
    pub topic: String,
    /// Its queue.
    pub queue_id: i32,
    /// The user's flag; the system does not read it.
    pub flag: i32,
    /// System bits, see [`flags`].
    pub sys_flag: i32,
    /// When the sender made it, ms since the epoch by the sender's clock.
    pub born_timestamp: i64,
    /// Where it came from.
    pub born_host: SocketAddr,
    /// When it was stored, ms since the epoch by the broker's clock.
    pub store_timestamp: i64,
    /// Address that the storing broker announces.
    pub store_host: SocketAddr,
    /// How often it was sent back by consumers.
    pub reconsume_times: i32,
    /// Physical offset of its half message, if it commits or rolls back a transaction.
    pub prepared_transaction_offset: i64,
    /// Its place in the queue.
    pub queue_offset: i64,
    /// Its place in the commit log, bytes.
    pub physical_offset: i64,
    /// 31-bit CRC of the body as stored.
    pub body_crc: u32,
    /// The body as stored: compressed if the flag says so.
    pub body: Bytes,
    /// Its properties.
    pub properties: Properties,
    /// Length of the whole record, bytes.
    pub store_size: i32,
}

impl Message {
    /// Decodes the record at the start of `bytes`; the body shares its memory.
    pub fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        record::decode(bytes)
    }

    /// The record's bytes. Version, host bits, CRC and size are computed, not taken from the fields.
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        let properties = self.properties.encode();
        let record = Record {
            topic: &self.topic,
            queue_id: self.queue_id,
            flag: self.flag,
            queue_offset: self.queue_offset,
            physical_offset: self.physical_offset,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            born_host: self.born_host,
            store_timestamp: self.store_timestamp,
            store_host: self.store_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_transaction_offset,
            body: &self.body,
            properties: properties.as_bytes(),
        };
        record.encode().map(Bytes::from)
    }

    /// Its offset id (Java: `offsetMsgId`).
    pub fn offset_id(&self) -> OffsetId {
        OffsetId { store_host: self.store_host, physical_offset: self.physical_offset }
    }

    /// The id that a client shows: the sender's unique key, or the offset id of one that has none.
    pub fn id(&self) -> String {
        match self.properties.unique_key() {
            Some(key) => key.to_owned(),
            None => self.offset_id().to_string(),
        }
    }
}
