//! Values to Java's JSON text.

use serde::ser::{self, Impossible, Serialize, Serializer};

use super::{Error, Form};

pub(super) fn to_vec<T: Serialize + ?Sized>(value: &T, form: Form) -> Result<Vec<u8>, Error> {
    let mut writer = Writer { out: Vec::with_capacity(256), form, depth: 0 };
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    form: Form,
    depth: usize,
}

impl Writer {
    fn integer(&mut self, number: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Escapes what Java escapes and nothing else: quotes, backslashes and control characters.
    fn text(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.out.push(b'"');
        let mut plain_from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.out.extend_from_slice(&text.as_bytes()[plain_from..at]);
            plain_from = at + 1;
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                0x08 => self.out.extend_from_slice(b"\\b"),
                0x0C => self.out.extend_from_slice(b"\\f"),
                _ => {
                    let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]];
                    self.out.extend_from_slice(b"\\u00");
                    self.out.extend_from_slice(&digits);
                }
            }
        }
        self.out.extend_from_slice(&text.as_bytes()[plain_from..]);
        self.out.push(b'"');
    }

    fn number_key(&mut self, number: impl itoa::Integer) {
        if self.form == Form::Standard {
            self.out.push(b'"');
            self.integer(number);
            self.out.push(b'"');
        } else {
            self.integer(number);
        }
    }

    fn line(&mut self) {
        self.out.push(b'\n');
        self.out.resize(self.out.len() + self.depth, b'\t');
    }

    fn container(&mut self, open: u8) -> Container<'_> {
        self.out.push(open);
        self.depth += 1;
        Container { list: open == b'[', writer: self, mark: 0, first: true, inline: false }
    }
}

/// Java's `Double.toString`: plain digits from 0.001 up to 10^7, otherwise `1.0E7`. What is not a
/// number becomes null.
fn java_double(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return Some(format!("{number:?}"));
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e')?;
    let fraction = if digits.contains('.') { "" } else { ".0" };
    Some(format!("{digits}{fraction}E{exponent}"))
}

/// An object or array being written.
struct Container<'a> {
    writer: &'a mut Writer,
    list: bool,
    /// Where the current member began, to take it back if its value turns out to be null.
    mark: usize,
    first: bool,
    inline: bool,
}

impl Container<'_> {
    fn begin_member(&mut self) {
        self.mark = self.writer.out.len();
        if !self.first {
            self.writer.out.push(b',');
        }
        if self.writer.form == Form::Pretty && !self.inline {
            self.writer.line();
        }
    }

    /// Java leaves out members that are null.
    fn member_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.writer.out.push(b':');
        let from = self.writer.out.len();
        value.serialize(&mut *self.writer)?;
        if &self.writer.out[from..] == b"null" {
            self.writer.out.truncate(self.mark);
        } else {
            self.first = false;
        }
        Ok(())
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.begin_member();
        let from = self.writer.out.len();
        value.serialize(&mut *self.writer)?;
        // Java's indented form keeps lists of numbers on one line.
        let is_number = matches!(self.writer.out.get(from), Some(b'0'..=b'9' | b'-'));
        if self.writer.form == Form::Pretty && self.first && is_number {
            self.writer.out.drain(self.mark..from);
            self.inline = true;
        }
        self.first = false;
        Ok(())
    }

    fn close(self) -> Result<(), Error> {
        let Self { writer, list, first, inline, .. } = self;
        // An empty list has an empty line in Java's indented form, an empty map has none.
        if writer.form == Form::Pretty && first && list {
            writer.line();
        }
        writer.depth -= 1;
        if writer.form == Form::Pretty && !inline && (list || !first) {
            writer.line();
        }
        writer.out.push(if list { b']' } else { b'}' });
        Ok(())
    }
}

impl ser::SerializeSeq for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTuple for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeMap for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.begin_member();
        key.serialize(Key(self.writer))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.member_value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeStruct for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.begin_member();
        self.writer.text(key);
        self.member_value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

fn no_java_form<T>(what: &str) -> Result<T, Error> {
    Err(Error::new(format!("{what} has no form in Java's JSON"), 0))
}

/// Methods of `Serializer` that write an integer, all alike.
macro_rules! integers {
    ($($method:ident($type:ty) => $write:ident,)*) => {
        $(fn $method(self, number: $type) -> Result<(), Error> {
            self.writer().$write(number);
            Ok(())
        })*
    };
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Container<'a>;
    type SerializeTuple = Container<'a>;
    type SerializeTupleStruct = Container<'a>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Container<'a>;
    type SerializeStruct = Container<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    integers! {
        serialize_i8(i8) => integer, serialize_i16(i16) => integer, serialize_i32(i32) => integer,
        serialize_i64(i64) => integer, serialize_u8(u8) => integer, serialize_u16(u16) => integer,
        serialize_u32(u32) => integer, serialize_u64(u64) => integer,
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        self.serialize_f64(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        self.out.extend_from_slice(java_double(number).as_deref().unwrap_or("null").as_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        no_java_form("a byte array")
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        no_java_form(variant)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Container<'a>, Error> {
        Ok(self.container(b'['))
    }

    fn serialize_tuple(self, _: usize) -> Result<Container<'a>, Error> {
        Ok(self.container(b'['))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Container<'a>, Error> {
        Ok(self.container(b'['))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        no_java_form(variant)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Container<'a>, Error> {
        Ok(self.container(b'{'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Container<'a>, Error> {
        Ok(self.container(b'{'))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        no_java_form(variant)
    }
}

impl Writer {
    fn writer(&mut self) -> &mut Writer {
        self
    }
}

/// A map's key being written: text, a number, or an object.
struct Key<'a>(&'a mut Writer);

impl<'a> Key<'a> {
    fn writer(self) -> &'a mut Writer {
        self.0
    }
}

impl<'a> Serializer for Key<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Container<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    integers! {
        serialize_i8(i8) => number_key, serialize_i16(i16) => number_key, serialize_i32(i32) => number_key,
        serialize_i64(i64) => number_key, serialize_u8(u8) => number_key, serialize_u16(u16) => number_key,
        serialize_u32(u32) => number_key, serialize_u64(u64) => number_key,
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.serialize_bool(value)
    }

    fn serialize_f32(self, _: f32) -> Result<(), Error> {
        no_java_form("a fractional key")
    }

    fn serialize_f64(self, _: f64) -> Result<(), Error> {
        no_java_form("a fractional key")
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.0.serialize_char(value)
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.0.serialize_str(value)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        no_java_form("a key of bytes")
    }

    fn serialize_none(self) -> Result<(), Error> {
        no_java_form("a null key")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        no_java_form("a null key")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        no_java_form("a null key")
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.0.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        no_java_form(variant)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        no_java_form("a list as a key")
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        no_java_form("a list as a key")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        no_java_form("a list as a key")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        no_java_form(variant)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        no_java_form("a map as a key")
    }

    /// Java writes an object that is a key as it writes any other object.
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Container<'a>, Error> {
        self.0.serialize_struct(name, len)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        no_java_form(variant)
    }
}
