//! What waits to be written to one socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use rmq_proto::code::ResponseCode;
use rmq_proto::codec::encode_head;
use rmq_proto::command::Command;
use tokio::io::AsyncWrite;

/// A body piece up to this length is copied behind its header: that is cheaper than to hand it to
/// the system separately.
const COPIED_BYTES: usize = 2048;

/// Pieces per system call.
const SLICES: usize = 64;

/// Encoded commands in order: headers and small bodies together in `open`, everything before it cut
/// into `pieces`. An empty outbox owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Bytes>,
    open: BytesMut,
    len: usize,
    sent: u64,
}

impl Outbox {
    /// Adds a command; an answer that the peer would not accept is replaced by one that says so.
    pub(crate) fn push(&mut self, command: &Command, max_frame_bytes: usize) {
        let len = wire_len(command);
        if len <= max_frame_bytes {
            return self.append(command);
        }
        let remark = format!("an answer of {len} bytes is above the frame limit of {max_frame_bytes}");
        self.append(&Command {
            opaque: command.opaque,
            encoding: command.encoding,
            ..Command::failure(ResponseCode::SYSTEM_ERROR, remark)
        });
    }

    fn append(&mut self, command: &Command) {
        let before = self.open.len();
        encode_head(command, &mut self.open);
        self.len += self.open.len() - before;
        for piece in command.body.pieces() {
            self.len += piece.len();
            if piece.len() <= COPIED_BYTES {
                self.open.extend_from_slice(piece);
            } else {
                self.cut();
                self.pieces.push_back(piece.clone());
            }
        }
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Does nothing wait?
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that were written since the beginning.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Writes as much as the socket takes. Returns the bytes written.
    pub(crate) fn write<Io: AsyncWrite + Unpin>(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> io::Result<usize> {
        let before = self.len;
        self.cut();
        while self.len > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
                used += 1;
            }
            match Pin::new(&mut *io).poll_write_vectored(cx, &slices[..used])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.advance(written),
                Poll::Pending => break,
            }
        }
        if self.len == 0 && before > 0 {
            self.pieces = VecDeque::new();
            self.open = BytesMut::new();
        }
        Ok(before - self.len)
    }

    fn cut(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push_back(self.open.split().freeze());
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.len -= written;
        self.sent += written as u64;
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                return piece.advance(written);
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}

/// Length of a command's frame in bytes, about: escapes in its texts are not counted.
pub(crate) fn wire_len(command: &Command) -> usize {
    const FIXED: usize = 160;
    let fields = command.ext.iter().map(|(key, value)| key.len() + value.len() + 6);
    let remark = command.remark.as_ref().map_or(0, String::len);
    FIXED + fields.sum::<usize>() + remark + command.body.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmq_proto::codec;
    use rmq_proto::command::Body;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn commands_leave_in_order_and_whole() {
        let piece = |byte: u8, len: usize| Bytes::from(vec![byte; len]);
        let bodies = [
            vec![],
            vec![piece(1, 10)],
            vec![piece(2, 10), piece(3, 5000), piece(4, 20), piece(5, 9000)],
            (0..200).map(|at| piece(at, 3000)).collect(),
            vec![piece(6, 1)],
        ];
        let commands = bodies.map(|body| Command::success().with_body(body.into_iter().collect::<Body>()));
        let mut outbox = Outbox::default();
        let mut expected = BytesMut::new();
        for command in &commands {
            outbox.push(command, codec::MAX_FRAME_LEN);
            expected.extend_from_slice(&codec::encode(command));
        }
        assert_eq!(outbox.len(), expected.len());

        let (mut ours, mut theirs) = tokio::io::duplex(1000);
        let mut received = vec![0; expected.len()];
        let write = poll_fn(|cx| {
            outbox.write(&mut ours, cx).unwrap();
            if outbox.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        });
        let (_, read) = tokio::join!(write, theirs.read_exact(&mut received));
        read.unwrap();
        assert_eq!(received, expected);
        assert_eq!(outbox.sent(), expected.len() as u64);
        assert_eq!(outbox.pieces.capacity() + outbox.open.capacity(), 0);
    }

    #[test]
    fn an_answer_that_no_peer_would_take_becomes_an_error() {
        let mut outbox = Outbox::default();
        let answer = Command { opaque: 7, ..Command::success().with_body(vec![0; 5000]) };
        outbox.push(&answer, 4096);
        let sent = codec::decode(outbox.open.clone().freeze()).unwrap();
        assert_eq!(sent.response_code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!(sent.opaque, 7);
        assert!(sent.remark.unwrap().contains("limit of 4096"));
    }
}
