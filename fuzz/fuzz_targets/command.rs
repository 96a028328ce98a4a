//! A frame from the network: cut by its length word, then decoded. What decodes must encode again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rmq_proto::codec;

fuzz_target!(|input: &[u8]| {
    let Ok(Some(len)) = codec::frame_len(input, codec::MAX_FRAME_LEN) else {
        return;
    };
    let Some(frame) = input.get(..len) else { return };
    if let Ok(command) = codec::decode(Bytes::copy_from_slice(frame)) {
        let again = codec::decode(codec::encode(&command).freeze()).expect("we read what we write");
        assert_eq!(again.ext, command.ext);
        assert_eq!(again.body.bytes(), command.body.bytes());
    }
});
