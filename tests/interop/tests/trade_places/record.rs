//! A stored record, read without any code of the product.

use std::fmt;

const V2: u32 = 0xDAA3_20AB;
/// Both hosts are IPv4: their flags are not looked at.
const BODY_LEN_AT: usize = 84;

/// The bytes of one record, and what they say.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    topic_at: usize,
}

impl Record {
    /// The records of an answer, one behind the other.
    #[track_caller]
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Record> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let size = word(bytes, 0) as usize;
            let (one, rest) = bytes.split_at(size);
            let topic_at = BODY_LEN_AT + 4 + word(one, BODY_LEN_AT) as usize;
            records.push(Record { bytes: one.to_vec(), topic_at });
            bytes = rest;
        }
        records
    }

    pub(crate) fn queue(&self) -> i32 {
        word(&self.bytes, 12) as i32
    }

    pub(crate) fn queue_offset(&self) -> i64 {
        long(&self.bytes, 20)
    }

    pub(crate) fn physical_offset(&self) -> i64 {
        long(&self.bytes, 28)
    }

    pub(crate) fn stored_at(&self) -> i64 {
        long(&self.bytes, 56)
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[BODY_LEN_AT + 4..self.topic_at]
    }

    pub(crate) fn topic(&self) -> &str {
        let (at, len) = self.topic_range();
        text(&self.bytes[at..at + len])
    }

    /// Whether the length of the topic has two bytes.
    pub(crate) fn is_v2(&self) -> bool {
        word(&self.bytes, 4) == V2
    }

    /// The properties in their stored form.
    pub(crate) fn property_text(&self) -> &str {
        let (at, len) = self.topic_range();
        text(&self.bytes[at + len + 2..])
    }

    pub(crate) fn property(&self, key: &str) -> Option<&str> {
        let pairs = self.property_text().split('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
        pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).next_back()
    }

    fn topic_range(&self) -> (usize, usize) {
        let at = self.topic_at;
        match self.is_v2() {
            true => (at + 2, usize::from(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]))),
            false => (at + 1, usize::from(self.bytes[at])),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = (self.topic(), self.queue(), self.queue_offset(), self.physical_offset());
        write!(f, "{place:?} {:?} body {} bytes", self.property_text(), self.body().len())
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}
