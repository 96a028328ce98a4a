//! Every bound of a connection, in one place.

use std::time::Duration;

use rmq_proto::codec::MAX_FRAME_LEN;

/// What a connection may take. All bounds but the first are per connection.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections that a server keeps open; further ones are closed as soon as they are accepted.
    pub max_connections: usize,
    /// Largest incoming frame in bytes, length word included; a peer that announces a longer one is
    /// disconnected. Java: 16 MiB, `com.rocketmq.remoting.frameMaxLength`.
    pub max_frame_bytes: usize,
    /// Largest outgoing frame in bytes, about. A Java peer would cut the connection, and with it all
    /// its other requests: a longer answer is replaced by an error, a longer request refused.
    pub max_sent_frame_bytes: usize,
    /// Requests whose `call` has not finished. At the bound nothing more is read.
    pub max_in_flight: usize,
    /// Bytes of the frames of those requests. At the bound nothing more is read; one frame may
    /// exceed it.
    pub max_in_flight_bytes: usize,
    /// Bytes that wait to be written: once for answers, once for what other tasks send. At the bound
    /// no request is read or worked on, and [`crate::Peer::send`] is refused; one command of each
    /// kind may exceed it.
    pub max_outgoing_bytes: usize,
    /// A frame that was started must be complete after this time.
    pub frame_deadline: Duration,
    /// What waits to be written must be taken by the peer within this time, or twice at most.
    pub write_deadline: Duration,
    /// A connection without a byte in either direction for this time is closed.
    /// Java: `serverChannelMaxIdleTimeSeconds` and its client twin, 120 s.
    pub idle_timeout: Duration,
    /// How long a client tries to connect, name resolution included. Java:
    /// `connectTimeoutMillis`, 3 s.
    pub connect_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            max_frame_bytes: MAX_FRAME_LEN,
            max_sent_frame_bytes: MAX_FRAME_LEN,
            max_in_flight: 4096,
            max_in_flight_bytes: 16 * 1024 * 1024,
            max_outgoing_bytes: 8 * 1024 * 1024,
            frame_deadline: Duration::from_secs(60),
            write_deadline: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(3),
        }
    }
}
