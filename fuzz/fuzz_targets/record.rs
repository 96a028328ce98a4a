//! A stored record, as it comes from a damaged disk or in the answer to a pull.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rmq_proto::message::{RecordView, record};

fuzz_target!(|input: &[u8]| {
    if let Ok(view) = RecordView::parse(input) {
        assert!(view.size() <= input.len());
        let _ = (view.check_body(), view.topic(), view.properties());
    }
    let bytes = Bytes::copy_from_slice(input);
    for message in record::decode_many(bytes).flatten() {
        let _ = (message.id(), message.encode());
    }
});
