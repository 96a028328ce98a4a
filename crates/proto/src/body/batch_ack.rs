//! Acknowledging many popped messages at once.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The body of BATCH_ACK_MESSAGE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAckRequest {
    pub acks: Vec<BatchAck>,
    pub broker_name: String,
}

/// Messages of one queue that were popped together. Older clients write the long names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchAck {
    #[serde(rename = "b", alias = "bitSet")]
    pub bits: AckBits,
    #[serde(rename = "c", alias = "consumerGroup")]
    pub consumer_group: String,
    /// Milliseconds.
    #[serde(rename = "it", alias = "invisibleTime")]
    pub invisible_time: i64,
    /// Milliseconds since 1970.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_time: i64,
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// `0` the topic, `1` and `2` its retry topic in the old and new naming.
    #[serde(rename = "r", alias = "retry")]
    pub retry: Option<String>,
    #[serde(rename = "rq", alias = "reviveQueueId")]
    pub revive_queue_id: i32,
    /// The queue offset that bit 0 stands for.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    #[serde(rename = "t", alias = "topic")]
    pub topic: String,
}

/// A set of small numbers, as Java's `BitSet` in base64: bit i is bit i % 8 of byte i / 8.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AckBits(Vec<u8>);

impl AckBits {
    /// Reads the bytes of `BitSet.toByteArray`.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let mut bits = Self(bytes.into());
        while bits.0.last() == Some(&0) {
            bits.0.pop();
        }
        bits
    }

    /// The bytes of `BitSet.toByteArray`: without zeros at the end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a number.
    pub fn set(&mut self, bit: u16) {
        let at = usize::from(bit / 8);
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= 1 << (bit % 8);
    }

    /// The numbers in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 8).filter(|bit| self.0[bit / 8] >> (bit % 8) & 1 == 1)
    }
}

impl FromIterator<u16> for AckBits {
    fn from_iter<I: IntoIterator<Item = u16>>(numbers: I) -> Self {
        let mut bits = Self::default();
        numbers.into_iter().for_each(|bit| bits.set(bit));
        bits
    }
}

impl Serialize for AckBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for AckBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = unbase64(&text).ok_or_else(|| serde::de::Error::custom("the bits are not base64"))?;
        Ok(Self::from_bytes(bytes))
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    for group in letters.chunks(4) {
        let mut bits = 0u32;
        for at in 0..4 {
            let letter = *group.get(at).unwrap_or(&b'A');
            bits = bits << 6 | ALPHABET.iter().position(|known| *known == letter)? as u32;
        }
        let whole = bits.to_be_bytes();
        bytes.extend_from_slice(&whole[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_are_those_of_java() {
        let bits: AckBits = [0, 9, 17].into_iter().collect();
        assert_eq!(bits.as_bytes(), [1, 2, 2]);
        assert_eq!(base64(bits.as_bytes()), "AQIC");
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 9, 17]);
        assert_eq!(AckBits::from_bytes([1, 0, 0]), AckBits::from_bytes([1]));
    }

    proptest! {
        #[test]
        fn base64_is_read_back(bytes: Vec<u8>) {
            prop_assert_eq!(unbase64(&base64(&bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = unbase64(&text);
        }
    }
}
