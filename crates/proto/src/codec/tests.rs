use super::*;
use crate::code::{Language, RequestCode};
use crate::command::Body;
use proptest::prelude::*;

/// Frames produced with the Java 5.5.0 classes for GET_ROUTEINFO_BY_TOPIC of TBW102.
fn route_request(encoding: HeaderEncoding) -> Command {
    let mut command = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC);
    command.language = Language::JAVA;
    command.version = 513;
    command.opaque = 7;
    command.encoding = encoding;
    command.ext.insert("topic", "TBW102");
    command
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn binary_header_is_javas_byte_for_byte() {
    let expected = hex(
        "0000002a 01000026 0069 00 0201 00000007 00000000 00000000 00000011 0005 746f706963 00000006 544257313032",
    );
    assert_eq!(encode(&route_request(HeaderEncoding::Binary)), expected);
}

#[test]
fn json_header_is_javas_byte_for_byte() {
    let command = route_request(HeaderEncoding::Json).with_body(Bytes::from_static(b"hi"));
    let mut expected = hex("00000086 00000080");
    expected.extend_from_slice(
        br#"{"code":105,"extFields":{"topic":"TBW102"},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":513}hi"#,
    );
    assert_eq!(encode(&command), expected);
}

#[test]
fn json_reading_is_as_lenient_as_java() {
    let header = br#" {"code":"10", "version":317,"unknown":[{"a":[1]}],"language":9,
        "extFields":{"n":null,"i":5,"b":true,"s":"\u0001x"},"remark":null} "#;
    let command = json::decode(header).unwrap();
    assert_eq!(command.code, 10);
    assert_eq!(command.language, Language::GO);
    assert_eq!(command.opaque, 0);
    assert_eq!(command.remark, None);
    let expected = [("i", "5"), ("b", "true"), ("s", "\u{1}x")].into_iter().collect();
    assert_eq!(command.ext, expected);
}

#[test]
fn a_pop_code_travels_as_json_even_when_binary_is_asked_for() {
    let mut command = Command::request(RequestCode::POP_MESSAGE);
    command.encoding = HeaderEncoding::Binary;
    let read = decode(encode(&command).freeze()).unwrap();
    assert_eq!(read.request_code(), RequestCode::POP_MESSAGE);
    assert_eq!(read.encoding, HeaderEncoding::Json);
}

#[test]
fn bad_prefixes_are_named() {
    assert_eq!(frame_len(&[0, 0], 1024), Ok(None));
    assert_eq!(frame_len(&[0, 0, 0, 0], 1024), Err(CodecError::BadLength(0)));
    assert_eq!(frame_len(&[255; 4], 1024), Err(CodecError::BadLength(-1)));
    let too_long = CodecError::TooLong { len: 1025, limit: 1024 };
    assert_eq!(frame_len(&1021i32.to_be_bytes(), 1024), Err(too_long));
    let unknown = Bytes::from_static(&[0, 0, 0, 4, 9, 0, 0, 0]);
    assert_eq!(decode(unknown).unwrap_err(), CodecError::UnknownEncoding(9));
    let header = Bytes::from_static(&[0, 0, 0, 4, 0, 0, 0, 9]);
    assert!(matches!(decode(header).unwrap_err(), CodecError::HeaderTooLong { header: 9, .. }));
}

#[test]
fn deep_json_is_an_error_not_a_stack_overflow() {
    let mut header = b"{\"x\":".to_vec();
    header.extend(std::iter::repeat_n(b'[', 100_000));
    assert!(matches!(json::decode(&header), Err(CodecError::Json(_))));
}

prop_compose! {
    fn any_command()(
        code in any::<i16>(), version in any::<i16>(), opaque in any::<i32>(), flag in 0..4i32,
        binary in any::<bool>(), remark in proptest::option::of(".{1,20}"),
        ext in proptest::collection::hash_map(".{1,12}", ".{1,40}", 0..8),
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) -> Command {
        Command {
            code: code.into(), language: Language::GO, version: version.into(), opaque, flag, remark,
            ext: ext.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            encoding: if binary { HeaderEncoding::Binary } else { HeaderEncoding::Json },
            body: Body::from(body),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(command in any_command()) {
        let frame = encode(&command).freeze();
        prop_assert_eq!(frame_len(&frame, MAX_FRAME_LEN), Ok(Some(frame.len())));
        let read = decode(frame).unwrap();
        prop_assert_eq!(read.code, command.code);
        prop_assert_eq!(read.language, command.language);
        prop_assert_eq!(read.version, command.version);
        prop_assert_eq!(read.opaque, command.opaque);
        prop_assert_eq!(read.flag, command.flag);
        prop_assert_eq!(read.remark, command.remark);
        prop_assert_eq!(read.ext, command.ext);
        prop_assert_eq!(read.body.bytes(), command.body.bytes());
    }

    #[test]
    fn no_bytes_panic(input in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..2u8) {
        let mut frame = ((input.len() + 4) as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(&[kind, 0, 0, input.len() as u8]);
        frame.extend_from_slice(&input);
        let _ = decode(frame.into());
    }
}
