//! Commands to bytes and back: the frame header word and the two header encodings.
//!
//! ```text
//! 0  4  length of all that follows (= 4 + header length + body length)
//! 4  1  header encoding: 0 JSON, 1 binary
//! 5  3  header length, unsigned
//! 8  …  header, then body
//! ```
//! All integers are big-endian. There is no magic number and no checksum.

mod binary;
mod json;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::command::{Command, HeaderEncoding};

/// Bytes before the header: length word, encoding byte, header length.
pub const PREFIX_LEN: usize = 8;

/// Largest frame, length word included, that Java accepts by default.
pub const MAX_FRAME_LEN: usize = 16 * 1024 * 1024;

/// Why bytes are not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The frame is longer than the receiver allows.
    #[error("a frame of {len} bytes is above the limit of {limit}")]
    TooLong {
        /// Length of the whole frame, length word included.
        len: u64,
        /// The receiver's limit.
        limit: usize,
    },
    /// The length word is negative or too small to hold a header length.
    #[error("the frame length {0} is below the minimum of 4")]
    BadLength(i32),
    /// The header is longer than the frame.
    #[error("a header of {header} bytes does not fit in a frame of {frame}")]
    HeaderTooLong {
        /// Announced length of the header.
        header: usize,
        /// Length of the frame behind the length word.
        frame: usize,
    },
    /// The encoding byte is neither 0 nor 1.
    #[error("the header encoding {0} is unknown: 0 is JSON, 1 is binary")]
    UnknownEncoding(u8),
    /// The JSON header does not parse.
    #[error("the JSON header is malformed: {0}")]
    Json(String),
    /// The binary header does not parse.
    #[error("the binary header is malformed: {0}")]
    Binary(&'static str),
}

/// Length of the whole frame (length word included) at the start of `input`, once four bytes are
/// there; checked against `limit` before anything is allocated for it.
pub fn frame_len(input: &[u8], limit: usize) -> Result<Option<usize>, CodecError> {
    let Some(word) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*word);
    if length < 4 {
        return Err(CodecError::BadLength(length));
    }
    let len = length as u64 + 4;
    if len > limit as u64 {
        return Err(CodecError::TooLong { len, limit });
    }
    Ok(Some(len as usize))
}

/// Reads the command of one whole frame (length word included).
pub fn decode(mut frame: Bytes) -> Result<Command, CodecError> {
    if frame.len() < PREFIX_LEN {
        return Err(CodecError::BadLength(frame.len() as i32 - 4));
    }
    frame.advance(4);
    let in_frame = frame.len();
    let word = frame.get_u32();
    let header_len = (word & 0x00FF_FFFF) as usize;
    if header_len > frame.len() {
        return Err(CodecError::HeaderTooLong { header: header_len, frame: in_frame });
    }
    let header = frame.split_to(header_len);
    let mut command = match (word >> 24) as u8 {
        0 => json::decode(&header)?,
        1 => binary::decode(&header)?,
        other => return Err(CodecError::UnknownEncoding(other)),
    };
    command.body = frame.into();
    Ok(command)
}

/// Appends the frame up to its body; the body's pieces ([`crate::command::Body::pieces`]) follow.
pub fn encode_head(command: &Command, out: &mut BytesMut) {
    let start = out.len();
    out.put_bytes(0, PREFIX_LEN);
    let kind = match command.encoding {
        // The binary header holds 16 bits of code: a larger one can only travel as JSON.
        HeaderEncoding::Binary if i16::try_from(command.code).is_ok() => {
            binary::encode(command, out);
            1u32
        }
        _ => {
            json::encode(command, out);
            0u32
        }
    };
    let header_len = out.len() - start - PREFIX_LEN;
    let length = (4 + header_len + command.body.len()) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    let word = kind << 24 | header_len as u32;
    out[start + 4..start + 8].copy_from_slice(&word.to_be_bytes());
}

/// The whole frame in one buffer.
pub fn encode(command: &Command) -> BytesMut {
    let mut out = BytesMut::with_capacity(256 + command.body.len());
    encode_head(command, &mut out);
    command.body.pieces().for_each(|piece| out.extend_from_slice(piece));
    out
}

#[cfg(test)]
mod tests;
