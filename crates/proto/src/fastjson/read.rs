//! Java's JSON text to values.

use std::borrow::Cow;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::Error;

/// Nothing that RocketMQ exchanges is nested deeper than about eight levels.
const MAX_DEPTH: u32 = 64;

pub(super) fn from_slice<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, Error> {
    let mut reader = Reader { input, at: 0, depth: 0 };
    let value = T::deserialize(&mut reader).map_err(|error| reader.located(error))?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.error("there is more text after the end of the value")),
    }
}

struct Reader<'de> {
    input: &'de [u8],
    at: usize,
    depth: u32,
}

impl<'de> Reader<'de> {
    fn error(&self, reason: &str) -> Error {
        Error::new(reason, self.at)
    }

    /// Errors made by visitors do not know where they happened.
    fn located(&self, error: Error) -> Error {
        Error { at: error.at.max(self.at), ..error }
    }

    /// The next byte that is not white space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.input.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, wanted: u8, reason: &str) -> Result<(), Error> {
        if self.peek() != Some(wanted) {
            return Err(self.error(reason));
        }
        self.at += 1;
        Ok(())
    }

    fn enter(&mut self, open: u8, reason: &str) -> Result<(), Error> {
        self.expect(open, reason)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("the value is nested too deeply"));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    fn is_null(&mut self) -> bool {
        let rest = self.peek().map_or(&[][..], |_| &self.input[self.at..]);
        rest.starts_with(b"null") && !rest.get(4).is_some_and(|byte| is_bare(*byte))
    }

    /// A number, `true`, `false`, `null` or a key without quotes, as its text.
    fn bare(&mut self) -> Result<&'de str, Error> {
        self.peek();
        let rest = &self.input[self.at..];
        let len = rest.iter().position(|byte| !is_bare(*byte)).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.error("a value is missing"));
        }
        self.at += len;
        std::str::from_utf8(&rest[..len]).map_err(|_| self.error("not a value"))
    }

    /// Text in quotes. Bytes that are not UTF-8 are replaced, as Java does.
    fn quoted(&mut self) -> Result<Cow<'de, str>, Error> {
        let from = self.at + 1;
        let escaped = self.skip_quoted()?;
        let inside = &self.input[from..self.at - 1];
        if !escaped {
            return Ok(String::from_utf8_lossy(inside));
        }
        let text = unescape(inside).ok_or_else(|| Error::new("an escape in text is not valid", from))?;
        Ok(Cow::Owned(text))
    }

    /// Goes past text in quotes and tells whether it holds escapes.
    fn skip_quoted(&mut self) -> Result<bool, Error> {
        let quote = self.peek();
        let mut escaped = false;
        self.at += 1;
        while let Some(byte) = self.input.get(self.at) {
            self.at += 1;
            if Some(*byte) == quote {
                return Ok(escaped);
            }
            if *byte == b'\\' {
                escaped = true;
                self.at += 1;
            }
        }
        self.at = self.input.len();
        Err(self.error("text has no closing quote"))
    }

    /// What stands where a single value is expected, as text: quoted, bare, or an object's own text,
    /// all of which Java takes for a `String`.
    fn scalar(&mut self) -> Result<Cow<'de, str>, Error> {
        match self.peek() {
            Some(b'"' | b'\'') => self.quoted(),
            Some(b'{' | b'[') => {
                let from = self.at;
                self.skip()?;
                Ok(String::from_utf8_lossy(&self.input[from..self.at]))
            }
            _ => self.bare().map(Cow::Borrowed),
        }
    }

    fn integer(&mut self) -> Result<i64, Error> {
        let text = self.scalar()?;
        integer(&text).ok_or_else(|| self.error("not an integer"))
    }

    /// Goes past a value of any kind, without recursion. What is inside is not judged beyond quotes
    /// and brackets: nobody reads it.
    fn skip(&mut self) -> Result<(), Error> {
        let mut objects = 0u64;
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth + self.depth >= MAX_DEPTH {
                        return Err(self.error("the value is nested too deeply"));
                    }
                    objects = objects << 1 | u64::from(open == b'{');
                    depth += 1;
                    self.at += 1;
                }
                Some(close @ (b'}' | b']')) if depth > 0 => {
                    if (close == b'}') != (objects & 1 == 1) {
                        return Err(self.error("brackets do not match"));
                    }
                    objects >>= 1;
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b'"' | b'\'') => {
                    self.skip_quoted()?;
                }
                _ => {
                    self.bare()?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'$' | b'@')
}

/// Java reads `"12"`, `12L`, `12.7`, `1e3`, `true` and `""` as numbers.
fn integer(text: &str) -> Option<i64> {
    match text {
        "" | "false" => return Some(0),
        "true" => return Some(1),
        _ => {}
    }
    let digits = text.strip_suffix('L').unwrap_or(text);
    if let Ok(number) = digits.parse() {
        return Some(number);
    }
    let number: f64 = digits.parse().ok()?;
    // The bounds are powers of two, exact as floating point numbers.
    (-9.223372036854776e18..9.223372036854776e18).contains(&number).then_some(number as i64)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "" | "0" => Some(false),
        "1" => Some(true),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn unescape(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let escape = *rest.get(at + 1)?;
        rest = &rest[at + 2..];
        match escape {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0C),
            b'v' => out.push(0x0B),
            b'u' => {
                let mut unit = hex(rest.get(..4)?)?;
                rest = &rest[4..];
                if let Some(low) = low_surrogate(unit, rest) {
                    rest = &rest[6..];
                    unit = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                }
                let letter = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            b'x' => {
                let letter = char::from_u32(hex(rest.get(..2)?)?)?;
                rest = &rest[2..];
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            b'"' | b'\'' | b'\\' | b'/' => out.push(escape),
            _ => return None,
        }
    }
    out.extend_from_slice(rest);
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// The second half of a surrogate pair, if `unit` is a first half and the second half follows.
fn low_surrogate(unit: u32, rest: &[u8]) -> Option<u32> {
    let follows = (0xD800..0xDC00).contains(&unit) && rest.starts_with(b"\\u");
    let low = hex(rest.get(2..6).filter(|_| follows)?)?;
    (0xDC00..0xE000).contains(&low).then_some(low)
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

fn visit_text<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, Error> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

/// Methods of `Deserializer` that read an integer, all alike: the visitor checks the range.
macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_i64(self.integer()?)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b'"' | b'\'') => visit_text(self.quoted()?, visitor),
            _ => match self.bare()? {
                "null" => visitor.visit_unit(),
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                number => match (number.parse::<i64>(), number.parse::<f64>()) {
                    (Ok(number), _) => visitor.visit_i64(number),
                    (_, Ok(number)) => visitor.visit_f64(number),
                    _ => Err(self.error("not a value")),
                },
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.scalar()?;
        visitor.visit_bool(boolean(&text).ok_or_else(|| self.error("not a boolean"))?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.scalar()?;
        visitor.visit_f64(text.parse().map_err(|_| self.error("not a number"))?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_text(self.scalar()?, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            self.bare()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.enter(b'[', "a list is expected")?;
        let value = visitor.visit_seq(Members { reader: self, first: true })?;
        if self.peek() != Some(b']') {
            return Err(self.error("the list has too many elements"));
        }
        self.leave();
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.enter(b'{', "an object is expected")?;
        let value = visitor.visit_map(Members { reader: self, first: true })?;
        if self.peek() != Some(b'}') {
            return Err(self.error("the object has too many members"));
        }
        self.leave();
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.scalar()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct }
}

/// The members of an object or the elements of a list.
struct Members<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
}

impl Members<'_, '_> {
    /// Goes to the next member; false at the end. Java allows a comma before the end.
    fn advance(&mut self, close: u8) -> Result<bool, Error> {
        let first = std::mem::replace(&mut self.first, false);
        match self.reader.peek() {
            Some(byte) if byte == close => return Ok(false),
            _ if first => return Ok(true),
            _ => self.reader.expect(b',', "a comma is missing")?,
        }
        Ok(self.reader.peek() != Some(close))
    }

    /// Members that are null count as missing. Tells whether there was one, and goes past it.
    fn skip_null_member(&mut self) -> Result<bool, Error> {
        let key_at = self.reader.at;
        self.reader.skip()?;
        self.reader.expect(b':', "a colon is missing")?;
        if self.reader.is_null() {
            self.reader.bare()?;
            return Ok(true);
        }
        self.reader.at = key_at;
        Ok(false)
    }
}

impl<'de> de::SeqAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        while self.advance(b']')? {
            if !self.reader.is_null() {
                return seed.deserialize(&mut *self.reader).map(Some);
            }
            self.reader.bare()?;
        }
        Ok(None)
    }
}

impl<'de> de::MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while self.advance(b'}')? {
            if !self.skip_null_member()? {
                return seed.deserialize(Key(self.reader)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.reader.expect(b':', "a colon is missing")?;
        seed.deserialize(&mut *self.reader)
    }
}

/// A member's key: text, a number with or without quotes, or an object.
struct Key<'a, 'de>(&'a mut Reader<'de>);

impl<'de> Key<'_, 'de> {
    fn integer(self) -> Result<i64, Error> {
        self.0.integer()
    }
}

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Error;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_text(self.0.scalar()?, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_bool(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_map(visitor)
    }

    /// An object as a key: Java refuses it as text in quotes, so it must stand there as it is.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        identifier ignored_any
    }
}
