//! The JSON header: `{"code":…,"extFields":{…},"flag":…,"language":"JAVA","opaque":…,"remark":…,
//! "serializeTypeCurrentRPC":"JSON","version":…}`, keys sorted, null members left out.
//!
//! Reading is as lenient as Java's parser where clients rely on it: members may be missing, unknown,
//! or null; the language may be a name or an ordinal; numbers and booleans may stand where text is
//! expected.

use std::borrow::Cow;
use std::fmt;

use bytes::BytesMut;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::CodecError;
use crate::code::{Language, RequestCode};
use crate::command::{Command, ExtFields};

pub(super) fn encode(command: &Command, out: &mut BytesMut) {
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b"{\"code\":");
    out.extend_from_slice(number.format(command.code).as_bytes());
    // Java's send path fails when an answer carries no ext-fields at all, so answers always do.
    if command.is_response() || !command.ext.is_empty() {
        out.extend_from_slice(b",\"extFields\":{");
        for (at, (key, value)) in command.ext.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b",");
            }
            quoted(key, out);
            out.extend_from_slice(b":");
            quoted(value, out);
        }
        out.extend_from_slice(b"}");
    }
    out.extend_from_slice(b",\"flag\":");
    out.extend_from_slice(number.format(command.flag).as_bytes());
    out.extend_from_slice(b",\"language\":\"");
    out.extend_from_slice(command.language.name().as_bytes());
    out.extend_from_slice(b"\",\"opaque\":");
    out.extend_from_slice(number.format(command.opaque).as_bytes());
    if let Some(remark) = &command.remark {
        out.extend_from_slice(b",\"remark\":");
        quoted(remark, out);
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    out.extend_from_slice(number.format(command.version).as_bytes());
    out.extend_from_slice(b"}");
}

fn quoted(text: &str, out: &mut BytesMut) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    out.extend_from_slice(b"\"");
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| !plain(*byte)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            // Message properties are separated by 0x01 and 0x02: this is the common case.
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (control >> 4, control & 0xF);
                let escape = [HEX[high as usize], HEX[low as usize]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&escape);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\"");
}

pub(super) fn decode(input: &[u8]) -> Result<Command, CodecError> {
    let malformed = |error: serde_json::Error| CodecError::Json(error.to_string());
    let mut json = serde_json::Deserializer::from_slice(input);
    let command = json.deserialize_map(HeaderVisitor(input.len())).map_err(malformed)?;
    json.end().map_err(malformed)?;
    Ok(command)
}

/// Builds the command; holds the header's length, the bound for all ext-field text.
struct HeaderVisitor(usize);

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Command;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a remoting header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Command, A::Error> {
        let mut command = Command::request(RequestCode(0));
        command.language = Language::OTHER;
        command.version = 0;
        while let Some(key) = map.next_key_seed(TextSeed)? {
            match key.as_deref().unwrap_or_default() {
                "code" => command.code = number(map.next_value_seed(TextSeed)?)?,
                "flag" => command.flag = number(map.next_value_seed(TextSeed)?)?,
                "opaque" => command.opaque = number(map.next_value_seed(TextSeed)?)?,
                "version" => command.version = number(map.next_value_seed(TextSeed)?)?,
                "language" => command.language = language(map.next_value_seed(TextSeed)?),
                "remark" => command.remark = map.next_value_seed(TextSeed)?.map(Cow::into_owned),
                "extFields" => command.ext = map.next_value_seed(ExtSeed(self.0))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(command)
    }
}

fn number<E: de::Error>(text: Option<Cow<'_, str>>) -> Result<i32, E> {
    let text = text.unwrap_or(Cow::Borrowed("0"));
    text.parse().map_err(|_| E::custom(format_args!("`{:.32}` is not a 32-bit number", text)))
}

fn language(text: Option<Cow<'_, str>>) -> Language {
    let text = text.unwrap_or_default();
    match text.parse() {
        Ok(ordinal) => Language(ordinal),
        Err(_) => Language::from_name(&text),
    }
}

struct ExtSeed(usize);

impl<'de> de::DeserializeSeed<'de> for ExtSeed {
    type Value = ExtFields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ExtFields, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ExtSeed {
    type Value = ExtFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_unit<E>(self) -> Result<ExtFields, E> {
        Ok(ExtFields::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtFields, A::Error> {
        let mut ext = ExtFields::with_capacity(16, self.0);
        while let Some(key) = map.next_key_seed(TextSeed)? {
            if let (Some(key), Some(value)) = (key, map.next_value_seed(TextSeed)?) {
                ext.insert(&key, &*value);
            }
        }
        Ok(ext)
    }
}

/// A scalar as text: borrowed from the input where it has no escapes; `None` for null.
struct TextSeed;

impl<'de> de::DeserializeSeed<'de> for TextSeed {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a boolean or null")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
