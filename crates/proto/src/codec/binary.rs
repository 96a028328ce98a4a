//! RocketMQ's binary header (Java's `RocketMQSerializable`).
//!
//! ```text
//! i16 code · u8 language · i16 version · i32 opaque · i32 flag
//! i32 remark length · remark · i32 length of all ext-fields · (i16 key length · key · i32 value length · value)*
//! ```
//! A zero-length remark, key or value means null in Java, so such entries are neither written nor kept.

use bytes::{Buf, BufMut, BytesMut};

use super::CodecError;
use crate::code::Language;
use crate::command::{Body, Command, ExtFields, HeaderEncoding};

pub(super) fn encode(command: &Command, out: &mut BytesMut) {
    out.put_i16(command.code as i16);
    out.put_u8(command.language.0);
    out.put_i16(command.version as i16);
    out.put_i32(command.opaque);
    out.put_i32(command.flag);
    let remark = command.remark.as_deref().unwrap_or_default();
    out.put_i32(remark.len() as i32);
    out.extend_from_slice(remark.as_bytes());
    let length_at = out.len();
    out.put_i32(0);
    for (key, value) in command.ext.iter() {
        let Ok(key_len) = i16::try_from(key.len()) else {
            continue;
        };
        if key.is_empty() || value.is_empty() {
            continue;
        }
        out.put_i16(key_len);
        out.extend_from_slice(key.as_bytes());
        out.put_i32(value.len() as i32);
        out.extend_from_slice(value.as_bytes());
    }
    let length = (out.len() - length_at - 4) as i32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
}

pub(super) fn decode(mut input: &[u8]) -> Result<Command, CodecError> {
    const CUT: CodecError = CodecError::Binary("it ends within its fixed part");
    let code = i32::from(input.try_get_i16().map_err(|_| CUT)?);
    let language = Language(input.try_get_u8().map_err(|_| CUT)?);
    let version = i32::from(input.try_get_i16().map_err(|_| CUT)?);
    let opaque = input.try_get_i32().map_err(|_| CUT)?;
    let flag = input.try_get_i32().map_err(|_| CUT)?;
    let remark_len = input.try_get_i32().map_err(|_| CUT)?;
    let remark = text(&mut input, remark_len)?;
    let remark = (!remark.is_empty()).then(|| remark.to_owned());
    let ext = match input.try_get_i32() {
        Ok(length) if length > 0 => ext_fields(take(&mut input, length)?)?,
        Ok(_) => ExtFields::default(),
        Err(_) => return Err(CUT),
    };
    Ok(Command {
        code,
        language,
        version,
        opaque,
        flag,
        remark,
        ext,
        encoding: HeaderEncoding::Binary,
        body: Body::default(),
    })
}

fn ext_fields(mut input: &[u8]) -> Result<ExtFields, CodecError> {
    const CUT: CodecError = CodecError::Binary("an ext-field is cut off");
    let mut ext = ExtFields::with_capacity(16, input.len());
    while !input.is_empty() {
        let key_len = i32::from(input.try_get_i16().map_err(|_| CUT)?);
        let key = text(&mut input, key_len)?;
        let value_len = input.try_get_i32().map_err(|_| CUT)?;
        let value = text(&mut input, value_len)?;
        if !key.is_empty() && !value.is_empty() {
            ext.insert(key, value);
        }
    }
    Ok(ext)
}

fn text<'a>(input: &mut &'a [u8], len: i32) -> Result<&'a str, CodecError> {
    std::str::from_utf8(take(input, len)?).map_err(|_| CodecError::Binary("a text is not valid UTF-8"))
}

fn take<'a>(input: &mut &'a [u8], len: i32) -> Result<&'a [u8], CodecError> {
    let (taken, rest) = usize::try_from(len)
        .ok()
        .and_then(|len| input.split_at_checked(len))
        .ok_or(CodecError::Binary("a length runs past the end"))?;
    *input = rest;
    Ok(taken)
}
