//! Commands in both header encodings: what is written is read again, and means the same in the other one.
#![no_main]

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use rmq_proto::{
    code::Language,
    codec,
    command::{Body, Command, HeaderEncoding},
};

#[derive(Debug, Arbitrary)]
struct Input {
    code: i16,
    language: u8,
    version: i16,
    opaque: i32,
    flag: i32,
    remark: String,
    ext: Vec<(String, String)>,
    body: Vec<u8>,
}

fuzz_target!(|input: Input| {
    // Empty texts are nothing in the binary encoding, and no key is longer than its length word can say.
    let ext = input.ext.iter().filter(|(key, value)| !value.is_empty() && (1..32768).contains(&key.len()));
    let command = Command {
        code: input.code.into(),
        // Numbers without a name travel as another one in JSON.
        language: Language::from_name(Language(input.language).name()),
        version: input.version.into(),
        opaque: input.opaque,
        flag: input.flag,
        remark: Some(input.remark).filter(|remark| !remark.is_empty()),
        ext: ext.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        encoding: HeaderEncoding::Json,
        body: Body::from(input.body),
    };
    for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
        let command = Command { encoding, ..command.clone() };
        let frame = codec::encode(&command).freeze();
        let read = codec::decode(frame).expect("we read what we write");
        assert_eq!(read.encoding, encoding);
        assert_eq!(
            (read.code, read.language, read.version),
            (command.code, command.language, command.version)
        );
        assert_eq!((read.opaque, read.flag, &read.remark), (command.opaque, command.flag, &command.remark));
        assert_eq!(read.ext, command.ext);
        assert_eq!(read.body.bytes(), command.body.bytes());
    }
});
