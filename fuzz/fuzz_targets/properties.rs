//! Message properties, message ids and configuration files: text from anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rmq_proto::message::{OffsetId, Properties, UniqueId};
use rmq_proto::properties_file;

fuzz_target!(|input: &str| {
    let properties = Properties::parse(input);
    assert_eq!(Properties::parse(&properties.encode()), properties);
    let _ = input.parse::<OffsetId>();
    let _ = input.parse::<UniqueId>();
    if let Ok(file) = properties_file::Properties::parse(input) {
        let again = properties_file::Properties::parse(&file.to_file_text()).expect("we read what we write");
        assert!(again.iter().eq(file.iter()));
    }
});
