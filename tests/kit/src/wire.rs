//! A blocking connection that speaks just enough of the remoting protocol to poke a daemon.
//!
//! Deliberately not built on the product's own codec: a mistake there must not hide itself from the tests. Requests have
//! JSON headers and claim to come from a Java 5.5.0 client; answers may have either kind of header.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::{Value, json};

/// Ordinal of `V5_5_0`.
const VERSION: i32 = 513;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A reply, or a request that the daemon sent by itself.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Response code, or request code when [`is_response`](Frame::is_response) is false.
    pub code: i32,
    /// Bit 0 says response, bit 1 oneway.
    pub flag: i32,
    /// Correlates a response with its request.
    pub opaque: i32,
    /// The human-readable reason, if any.
    pub remark: Option<String>,
    /// The header's fields, all of them strings on the wire.
    pub ext: BTreeMap<String, String>,
    /// The whole header as it came.
    pub header: Value,
    /// The raw body.
    pub body: Vec<u8>,
    /// Whether the header came in the binary encoding.
    pub is_binary: bool,
}

impl Frame {
    /// Whether this answers a request.
    pub fn is_response(&self) -> bool {
        self.flag & 1 == 1
    }
}

/// A TCP connection to a daemon.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    next_opaque: i32,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn open(addr: &str) -> Connection {
        Connection::try_open(addr).unwrap_or_else(|e| panic!("{addr}: {e}"))
    }

    /// Connects, for tests of when a port opens or closes.
    pub fn try_open(addr: &str) -> io::Result<Connection> {
        let addr: SocketAddr =
            addr.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
        let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Connection { stream, next_opaque: 1 })
    }

    /// Sends a request and waits for its response; requests of the daemon in between are passed over.
    ///
    /// # Panics
    /// When the connection breaks or 10 s pass.
    #[track_caller]
    pub fn call(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) -> Frame {
        self.try_call(code, ext, body).unwrap_or_else(|e| panic!("request {code} got no answer: {e}"))
    }

    /// As [`call`](Connection::call), with the failure as a value.
    pub fn try_call(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) -> io::Result<Frame> {
        let opaque = self.send(code, 0, ext, body)?;
        loop {
            let frame = self.receive()?;
            if frame.is_response() && frame.opaque == opaque {
                return Ok(frame);
            }
        }
    }

    /// Sends a request with the given `flag` (2 = oneway) and returns its opaque.
    pub fn send(&mut self, code: i32, flag: i32, ext: &[(&str, &str)], body: &[u8]) -> io::Result<i32> {
        let opaque = self.next_opaque;
        self.next_opaque += 1;
        let ext: serde_json::Map<String, Value> =
            ext.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let header = json!({
            "code": code, "language": "JAVA", "version": VERSION, "opaque": opaque, "flag": flag,
            "serializeTypeCurrentRPC": "JSON", "extFields": ext,
        });
        self.send_raw(&frame_bytes(header.to_string().as_bytes(), body))?;
        Ok(opaque)
    }

    /// Sends any bytes, well-formed or not.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Receives the next frame, of either kind.
    pub fn receive(&mut self) -> io::Result<Frame> {
        let length = self.read_u32()? as usize;
        let marked = self.read_u32()? as usize;
        let (encoding, header_len) = (marked >> 24, marked & 0xFF_FFFF);
        let mut header = vec![0; header_len];
        self.stream.read_exact(&mut header)?;
        let mut body = vec![0; length - 4 - header_len];
        self.stream.read_exact(&mut body)?;
        let header = match encoding {
            0 => serde_json::from_slice(&header)?,
            1 => binary_header(&mut &header[..])?,
            other => return Err(io::Error::other(format!("a header of encoding {other}"))),
        };
        Ok(frame(header, body, encoding == 1))
    }

    /// Whether the daemon closes the connection within `timeout`; what it still sends is thrown away.
    pub fn is_closed_within(&mut self, timeout: Duration) -> bool {
        self.stream.set_read_timeout(Some(timeout)).expect("a timeout can be set");
        let mut rest = [0; 4096];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) => return e.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    fn read_u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.stream.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }
}

/// The bytes of one frame around a JSON header.
pub fn frame_bytes(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + header.len() + body.len());
    bytes.extend_from_slice(&((4 + header.len() + body.len()) as u32).to_be_bytes());
    bytes.extend_from_slice(&(header.len() as u32).to_be_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    bytes
}

/// The binary header as the JSON one would be.
fn binary_header(input: &mut &[u8]) -> io::Result<Value> {
    let code = number(input, 2)? as i16;
    // Language and version say nothing that a test wants.
    number(input, 3)?;
    let (opaque, flag) = (number(input, 4)? as i32, number(input, 4)? as i32);
    let remark = text(input, 4)?;
    let mut fields = number(input, 4)? as usize;
    let mut ext = serde_json::Map::new();
    while fields > 0 {
        let (key, value) = (text(input, 2)?, text(input, 4)?);
        fields = fields.saturating_sub(2 + key.len() + 4 + value.len());
        ext.insert(key, value.into());
    }
    let remark = (!remark.is_empty()).then_some(remark);
    Ok(json!({ "code": code, "opaque": opaque, "flag": flag, "remark": remark, "extFields": ext }))
}

fn number(input: &mut &[u8], bytes: usize) -> io::Result<u64> {
    let mut word = [0; 8];
    input.read_exact(&mut word[8 - bytes..])?;
    Ok(u64::from_be_bytes(word))
}

fn text(input: &mut &[u8], length_bytes: usize) -> io::Result<String> {
    let mut text = vec![0; number(input, length_bytes)? as usize];
    input.read_exact(&mut text)?;
    String::from_utf8(text).map_err(io::Error::other)
}

fn frame(header: Value, body: Vec<u8>, is_binary: bool) -> Frame {
    let number = |key: &str| header[key].as_i64().unwrap_or_default() as i32;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Frame {
        code: number("code"),
        flag: number("flag"),
        opaque: number("opaque"),
        remark: header["remark"].as_str().map(str::to_owned),
        ext: header["extFields"]
            .as_object()
            .map(|ext| ext.iter().map(|(key, value)| (key.clone(), text(value))).collect())
            .unwrap_or_default(),
        header,
        body,
        is_binary,
    }
}
