//! The body of a batch send: what decodes must encode to the same bytes.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use rmq_proto::message::batch;

fuzz_target!(|input: &[u8]| {
    let Ok(members) = batch::decode(Bytes::copy_from_slice(input)) else {
        return;
    };
    let mut again = BytesMut::new();
    for member in &members {
        batch::encode(member, &mut again).expect("what was read can be written");
    }
    assert_eq!(batch::decode(again.freeze()).expect("we read what we write"), members);
});
