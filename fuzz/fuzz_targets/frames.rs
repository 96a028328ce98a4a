//! A stream of frames as it arrives, in pieces: cut by their length words, never by more than is there.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rmq_proto::codec;

/// A limit that inputs reach.
const LIMIT: usize = 1024;

fuzz_target!(|input: (Vec<u8>, u8)| {
    let (stream, step) = input;
    let (mut buffer, mut cut) = (Vec::new(), Vec::new());
    let mut failed = false;
    for piece in stream.chunks(usize::from(step).max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(len) = codec::frame_len(&buffer, LIMIT).unwrap_or_else(|_| {
            failed = true;
            None
        }) {
            assert!((8..=LIMIT).contains(&len), "a frame has its two words and is within the limit");
            if len > buffer.len() {
                break;
            }
            cut.push(buffer.drain(..len).collect::<Vec<u8>>());
        }
        if failed {
            break;
        }
    }
    // However the bytes arrived, the frames are the same.
    let mut rest = &stream[..];
    for frame in &cut {
        let len = codec::frame_len(rest, LIMIT).expect("it was read before").expect("it was there before");
        assert_eq!(&rest[..len], &frame[..]);
        rest = &rest[len..];
        let _ = codec::decode(Bytes::copy_from_slice(frame));
    }
});
