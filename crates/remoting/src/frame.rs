//! Bytes from a socket, cut into frames.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rmq_proto::codec::{CodecError, frame_len};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// How much is read at a time, and the longest rest of a frame that is still read by way of
/// [`SCRATCH`].
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    /// Where bytes land first. It belongs to the thread, so that a connection that waits for bytes
    /// owns no buffer, and what is kept of the bytes is exactly as long as they are.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// Collects bytes until they are whole frames. Nothing is allocated for a frame before its length
/// was checked, and never more than twice what has arrived of it.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    /// Length of the frame at the front, if it is known and the frame is not complete.
    wanted: usize,
}

impl FrameReader {
    /// The next frame (length word included) if all of it is there.
    pub(crate) fn next(&mut self, max_frame_bytes: usize) -> Result<Option<Bytes>, CodecError> {
        let Some(len) = frame_len(&self.buffer, max_frame_bytes)? else {
            return Ok(None);
        };
        if len > self.buffer.len() {
            self.wanted = len;
            return Ok(None);
        }
        self.wanted = 0;
        if len == self.buffer.len() {
            // Splitting all of it off would leave an empty buffer that keeps the memory alive.
            return Ok(Some(std::mem::take(&mut self.buffer).freeze()));
        }
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    /// Is there a frame that was started and not completed?
    pub(crate) fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// What another protocol's first bytes look like, for a log line that helps.
    pub(crate) fn foreign(&self) -> Option<&'static str> {
        match self.buffer.first_chunk::<4>()? {
            [0x16, ..] => Some("a TLS handshake"),
            b"PROX" | b"\r\n\r\n" => Some("a PROXY protocol header"),
            b"GET " | b"POST" | b"HEAD" | b"OPTI" | b"PUT " => Some("an HTTP request"),
            b"PRI " => Some("an HTTP/2 (gRPC) request"),
            _ => None,
        }
    }

    /// Reads once. 0 is the end of the stream.
    pub(crate) fn poll_fill<Io: AsyncRead + Unpin>(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.wanted.saturating_sub(self.buffer.len()) > SCRATCH_BYTES / 2 {
            self.grow();
            return pin!(io.read_buf(&mut self.buffer)).poll(cx);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut landing = ReadBuf::new(scratch);
            ready!(Pin::new(io).poll_read(cx, &mut landing))?;
            let arrived = landing.filled();
            if self.buffer.is_empty() {
                self.buffer = BytesMut::from(arrived);
            } else {
                self.buffer.extend_from_slice(arrived);
            }
            Poll::Ready(Ok(arrived.len()))
        })
    }

    /// Makes room to read a long frame in place: as much again as there is, never beyond its end.
    fn grow(&mut self) {
        let len = self.buffer.len();
        if self.buffer.capacity() > len {
            return;
        }
        let capacity = self.wanted.min((2 * len).max(2 * SCRATCH_BYTES));
        let mut larger = BytesMut::with_capacity(capacity);
        larger.extend_from_slice(&self.buffer);
        self.buffer = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::future::poll_fn;

    const MAX: usize = 16 * 1024 * 1024;

    fn frame(body: usize) -> Vec<u8> {
        let mut frame = ((body + 4) as u32).to_be_bytes().to_vec();
        frame.extend((0..body + 4).map(|at| at as u8));
        frame
    }

    /// Feeds `stream` in pieces of `step` bytes and returns the frames.
    async fn cut(stream: &[u8], step: usize) -> Vec<Bytes> {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for mut piece in stream.chunks(step) {
            while !piece.is_empty() {
                poll_fn(|cx| reader.poll_fill(&mut piece, cx)).await.unwrap();
            }
            while let Some(frame) = reader.next(MAX).unwrap() {
                frames.push(frame);
            }
            let declared = reader.wanted.max(SCRATCH_BYTES * 2);
            assert!(reader.buffer.capacity() <= declared.max(step * 2));
        }
        assert!(!reader.is_partial());
        frames
    }

    #[tokio::test]
    async fn frames_come_out_however_the_bytes_come_in() {
        let sizes = [0, 1, 100, 40_000, 3, 1_000_000, 7];
        let frames: Vec<_> = sizes.iter().map(|size| frame(*size)).collect();
        let stream = frames.concat();
        for step in [97, 4096, 65_536, stream.len()] {
            assert_eq!(cut(&stream, step).await, frames, "in steps of {step}");
        }
    }

    #[tokio::test]
    async fn an_announced_length_allocates_nothing() {
        let mut reader = FrameReader::default();
        let mut start: &[u8] = &(MAX as u32 - 4).to_be_bytes();
        poll_fn(|cx| reader.poll_fill(&mut start, cx)).await.unwrap();
        assert_eq!(reader.next(MAX), Ok(None));
        let mut more: &[u8] = b"x";
        poll_fn(|cx| reader.poll_fill(&mut more, cx)).await.unwrap();
        assert!(reader.buffer.capacity() <= 2 * SCRATCH_BYTES);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(stream in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = FrameReader { buffer: BytesMut::from(&stream[..]), wanted: 0 };
            while let Ok(Some(frame)) = reader.next(200) {
                prop_assert!(frame.len() <= 200);
                let _ = rmq_proto::codec::decode(frame);
            }
        }
    }
}
