//! Compressed bodies: written as zlib, as Java does by default; read as zlib.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{read::ZlibDecoder, write::ZlibEncoder};
use rmq_proto::message::{
    Message,
    flags::{self, Compression},
};

/// Java's `zipCompressLevel`.
const LEVEL: u32 = 5;
/// No body may grow beyond this when it is decompressed: a few bytes can claim gigabytes.
const MAX_INFLATED_BYTES: u64 = 64 * 1024 * 1024;

/// Bits that tell what [`deflate`] did.
pub(crate) fn sys_flag() -> i32 {
    flags::COMPRESSED | Compression::Zlib.bits()
}

/// The zlib form of a body.
pub(crate) fn deflate(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(body.len() / 2), flate2::Compression::new(LEVEL));
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}

/// The body of a compressed message; `None` if it is not compressed, the kind of compression if it cannot be read.
pub(crate) fn inflate(message: &Message) -> Result<Option<Bytes>, Compression> {
    let Some(kind) = flags::compression(message.sys_flag) else {
        return Ok(None);
    };
    if kind != Compression::Zlib {
        return Err(kind);
    }
    let mut body = Vec::with_capacity(message.body.len() * 4);
    match ZlibDecoder::new(&message.body[..]).take(MAX_INFLATED_BYTES + 1).read_to_end(&mut body) {
        Ok(len) if len as u64 <= MAX_INFLATED_BYTES => Ok(Some(body.into())),
        _ => Err(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: Bytes, sys_flag: i32) -> Message {
        let host = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        Message {
            topic: "T".into(),
            queue_id: 0,
            flag: 0,
            sys_flag,
            born_timestamp: 0,
            born_host: host,
            store_timestamp: 0,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            queue_offset: 0,
            physical_offset: 0,
            body_crc: 0,
            body,
            properties: Default::default(),
            store_size: 0,
        }
    }

    #[test]
    fn a_body_comes_back() {
        let body = Bytes::from(vec![b'a'; 10_000]);
        let packed = deflate(&body).unwrap();
        assert!(packed.len() < 100);
        assert_eq!(inflate(&record(packed.clone(), sys_flag())), Ok(Some(body.clone())));
        // Old clients leave the type 0, which means zlib.
        assert_eq!(inflate(&record(packed, flags::COMPRESSED)), Ok(Some(body.clone())));
        assert_eq!(inflate(&record(body, 0)), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let lz4 = record(Bytes::from_static(b"x"), flags::COMPRESSED | Compression::Lz4.bits());
        assert_eq!(inflate(&lz4), Err(Compression::Lz4));
        let broken = record(Bytes::from_static(b"x"), sys_flag());
        assert_eq!(inflate(&broken), Err(Compression::Zlib));
    }
}
