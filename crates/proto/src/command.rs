//! The remoting command: one request or one answer, as values.
//!
//! A command is a numbered header with a small map of text fields (the "ext-fields", Java's custom
//! header) and an opaque body. [`crate::codec`] turns it into bytes and back; [`crate::header`]
//! turns typed structs into ext-fields and back.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::code::{Language, RequestCode, ResponseCode, version};
use crate::header::{Header, HeaderError};

/// Bit of [`Command::flag`]: this is an answer.
const FLAG_RESPONSE: i32 = 1;
/// Bit of [`Command::flag`]: the sender wants no answer.
const FLAG_ONEWAY: i32 = 1 << 1;

/// How a command's header is written. The body is raw bytes in both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HeaderEncoding {
    /// A JSON object; type byte 0. What every client understands, and Java's default.
    #[default]
    Json,
    /// RocketMQ's own binary layout; type byte 1. Its code is 16 bits wide.
    Binary,
}

/// One request or one answer.
#[derive(Clone, Debug)]
pub struct Command {
    /// A [`RequestCode`] or, in an answer, a [`ResponseCode`].
    pub code: i32,
    /// Who speaks.
    pub language: Language,
    /// The sender's protocol version (see [`version`]).
    pub version: i32,
    /// Request id; the answer carries the same number. Connections assign it when they send.
    pub opaque: i32,
    /// Bit 0: answer, bit 1: oneway.
    pub flag: i32,
    /// Human text, mostly the reason of a failure.
    pub remark: Option<String>,
    /// The custom header.
    pub ext: ExtFields,
    /// The encoding that this command arrived in, or shall be sent in.
    pub encoding: HeaderEncoding,
    /// The payload.
    pub body: Body,
}

impl Command {
    /// A request without custom header.
    pub fn request(code: RequestCode) -> Self {
        Self {
            code: code.0,
            language: Language::RUST,
            version: version::CURRENT,
            opaque: 0,
            flag: 0,
            remark: None,
            ext: ExtFields::default(),
            encoding: HeaderEncoding::default(),
            body: Body::default(),
        }
    }

    /// An answer without custom header. The connection that sends it fills in the opaque.
    pub fn response(code: ResponseCode) -> Self {
        Self {
            code: code.0,
            flag: FLAG_RESPONSE,
            // Java clients check the version of answers before they use newer features.
            language: Language::JAVA,
            ..Self::request(RequestCode(0))
        }
    }

    /// A successful answer.
    pub fn success() -> Self {
        Self::response(ResponseCode::SUCCESS)
    }

    /// An answer that says why something was not done.
    pub fn failure(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self { remark: Some(remark.into()), ..Self::response(code) }
    }

    /// Adds the fields of a typed header.
    #[must_use]
    pub fn with_header(mut self, header: &impl Header) -> Self {
        header.encode(&mut self.ext);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Marks a request as wanting no answer.
    #[must_use]
    pub fn oneway(mut self) -> Self {
        self.flag |= FLAG_ONEWAY;
        self
    }

    /// Reads the custom header as a typed one.
    pub fn header<H: Header>(&self) -> Result<H, HeaderError> {
        H::decode(&self.ext)
    }

    /// Is this an answer?
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Does the sender want no answer?
    pub fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// The code of a request.
    pub fn request_code(&self) -> RequestCode {
        RequestCode(self.code)
    }

    /// The code of an answer.
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }
}

/// A payload of zero or more pieces that are sent one behind the other.
///
/// A pull answer is many records from different places of a mapped log: keeping the pieces apart
/// lets them go to the socket without a copy. A decoded command always has at most one piece.
#[derive(Clone, Default)]
pub struct Body {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Body {
    /// Appends a piece; empty ones are dropped.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.first.is_empty() {
            self.first = piece;
        } else {
            self.rest.push(piece);
        }
    }

    /// Length in bytes of all pieces.
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// A body of zero bytes cannot be told from none on the wire.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).filter(|piece| !piece.is_empty()).chain(&self.rest)
    }

    /// The whole payload; copies only if there are several pieces.
    pub fn bytes(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.first.clone();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        self.pieces().for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl From<Bytes> for Body {
    fn from(first: Bytes) -> Self {
        Self { first, rest: Vec::new() }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl FromIterator<Bytes> for Body {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut body = Self::default();
        pieces.into_iter().for_each(|piece| body.push(piece));
        body
    }
}

/// The custom header: a small ordered map from text to text.
///
/// All keys and values live in one string, so that a header of fifteen fields costs two
/// allocations; with so few entries a linear search is faster than hashing.
#[derive(Clone, Default)]
pub struct ExtFields {
    text: String,
    spans: Vec<Span>,
}

#[derive(Clone, Copy)]
struct Span {
    key_at: u32,
    value_at: u32,
    end: u32,
}

impl ExtFields {
    /// Room for `fields` entries whose keys and values take `text` bytes.
    pub fn with_capacity(fields: usize, text: usize) -> Self {
        Self { text: String::with_capacity(text), spans: Vec::with_capacity(fields) }
    }

    /// Adds an entry, or replaces the value of an existing key.
    pub fn insert(&mut self, key: &str, value: impl fmt::Display) {
        use fmt::Write;
        let key_at = self.text.len() as u32;
        self.text.push_str(key);
        let value_at = self.text.len() as u32;
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{value}");
        let span = Span { key_at, value_at, end: self.text.len() as u32 };
        match self.position(key) {
            Some(at) => self.spans[at] = span,
            None => self.spans.push(span),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.position(key).map(|at| self.value(self.spans[at]))
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &str) {
        if let Some(at) = self.position(key) {
            self.spans.remove(at);
        }
    }

    /// The entries in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().map(|span| (self.key(*span), self.value(*span)))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// No entries at all?
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.spans.iter().position(|span| self.key(*span) == key)
    }

    fn key(&self, span: Span) -> &str {
        &self.text[span.key_at as usize..span.value_at as usize]
    }

    fn value(&self, span: Span) -> &str {
        &self.text[span.value_at as usize..span.end as usize]
    }
}

impl fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for ExtFields {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for ExtFields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(entries: I) -> Self {
        let mut ext = Self::default();
        entries.into_iter().for_each(|(key, value)| ext.insert(key, value));
        ext
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ext_fields_replace_and_remove() {
        let mut ext = ExtFields::default();
        ext.insert("topic", "A");
        ext.insert("queueId", 3);
        ext.insert("topic", "B");
        assert_eq!(ext.get("topic"), Some("B"));
        assert_eq!(ext.len(), 2);
        ext.remove("topic");
        assert_eq!(ext.iter().collect::<Vec<_>>(), [("queueId", "3")]);
    }

    #[test]
    fn a_body_drops_empty_pieces() {
        let pieces = ["", "ab", "", "c"].map(|piece| Bytes::from_static(piece.as_bytes()));
        let body: Body = pieces.into_iter().collect();
        assert_eq!(body.pieces().count(), 2);
        assert_eq!(body.len(), 3);
        assert_eq!(body.bytes(), "abc");
    }
}
