//! The body of a batch (request code 320): members one behind the other.
//!
//! ```text
//! 0   4  length of the member
//! 4   4  magic, 0            8   4  CRC, 0 (the broker computes it)
//! 12  4  flag                16  4  body length      20  …  body
//! …   2  properties length   …   …  properties
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

const FIXED_LEN: usize = 22;

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMember {
    /// The user's flag.
    pub flag: i32,
    /// The message's body.
    pub body: Bytes,
    /// The properties in their stored form.
    pub properties: Bytes,
}

/// Why a body is not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The body ends inside a member.
    #[error("the batch is cut inside its member {0}")]
    Truncated(usize),
    /// The lengths inside a member do not add up.
    #[error("the lengths in the batch's member {0} do not match")]
    Lengths(usize),
}

/// Appends one member. Fails when its properties are longer than a 16-bit length can say.
pub fn encode(member: &BatchMember, out: &mut BytesMut) -> Result<(), BatchError> {
    let properties = i16::try_from(member.properties.len()).map_err(|_| BatchError::Lengths(0))?;
    let total = FIXED_LEN + member.body.len() + member.properties.len();
    out.reserve(total);
    out.put_i32(total as i32);
    out.put_u64(0);
    out.put_i32(member.flag);
    out.put_i32(member.body.len() as i32);
    out.put_slice(&member.body);
    out.put_i16(properties);
    out.put_slice(&member.properties);
    Ok(())
}

/// Splits a batch's body; the members share its memory.
pub fn decode(mut body: Bytes) -> Result<Vec<BatchMember>, BatchError> {
    let mut members = Vec::new();
    while body.has_remaining() {
        let index = members.len();
        members.push(decode_member(&mut body, index)?);
    }
    Ok(members)
}

fn decode_member(batch: &mut Bytes, index: usize) -> Result<BatchMember, BatchError> {
    if batch.len() < FIXED_LEN {
        return Err(BatchError::Truncated(index));
    }
    let total = (&batch[..4]).get_i32();
    if total < FIXED_LEN as i32 {
        return Err(BatchError::Lengths(index));
    }
    if total as usize > batch.len() {
        return Err(BatchError::Truncated(index));
    }
    let mut member = batch.split_to(total as usize);
    member.advance(12);
    let flag = member.get_i32();
    let body = take(&mut member, |m| m.get_i32(), index)?;
    if member.len() < 2 {
        return Err(BatchError::Lengths(index));
    }
    let properties = take(&mut member, |m| i32::from(m.get_i16()), index)?;
    if member.has_remaining() {
        return Err(BatchError::Lengths(index));
    }
    Ok(BatchMember { flag, body, properties })
}

fn take(member: &mut Bytes, length: impl Fn(&mut Bytes) -> i32, index: usize) -> Result<Bytes, BatchError> {
    match usize::try_from(length(member)) {
        Ok(len) if len <= member.len() => Ok(member.split_to(len)),
        _ => Err(BatchError::Lengths(index)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member() -> impl Strategy<Value = BatchMember> {
        (any::<i32>(), any::<Vec<u8>>(), any::<Vec<u8>>()).prop_map(|(flag, body, properties)| BatchMember {
            flag,
            body: body.into(),
            properties: properties.into(),
        })
    }

    #[test]
    fn one_member_byte_by_byte() {
        let mut out = BytesMut::new();
        let one = BatchMember {
            flag: 7,
            body: Bytes::from_static(b"hi"),
            properties: Bytes::from_static(b"k\x01v\x02"),
        };
        encode(&one, &mut out).unwrap();
        let expected = b"\0\0\0\x1c\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\x02hi\0\x04k\x01v\x02";
        assert_eq!(&out[..], expected);
    }

    proptest! {
        #[test]
        fn members_come_back(members in prop::collection::vec(member(), 0..5)) {
            let mut out = BytesMut::new();
            for member in &members {
                encode(member, &mut out).unwrap();
            }
            let whole = out.freeze();
            prop_assert_eq!(decode(whole.clone()).unwrap(), members);
            if !whole.is_empty() {
                prop_assert!(decode(whole.slice(..whole.len() - 1)).is_err());
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = decode(bytes.into());
        }
    }
}
