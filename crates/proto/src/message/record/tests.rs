use proptest::prelude::*;

use super::*;

/// Made by the Java 5.5.0 encoder.
const GOLDEN: &str = "00000065daa320a73610a686000000030000000000000000000000090000000000001000\
    000000000000018bcfe568000a0000010000c3500000018bcfe568010a00000200002a9f0000000000000000\
    000000000000000568656c6c6f01540004\
    6b017602";

fn golden() -> Bytes {
    let digits: Vec<u8> = GOLDEN.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<u8>>()
        .into()
}

fn golden_message() -> Message {
    Message {
        topic: "T".into(),
        queue_id: 3,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: "10.0.0.1:50000".parse().unwrap(),
        store_timestamp: 1_700_000_000_001,
        store_host: "10.0.0.2:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        queue_offset: 9,
        physical_offset: 4096,
        body_crc: 907_060_870,
        body: Bytes::from_static(b"hello"),
        properties: Properties::new().with("k", "v"),
        store_size: 101,
    }
}

#[test]
fn a_record_is_that_of_java() {
    let message = golden_message();
    assert_eq!(message.encode().unwrap(), golden());
    assert_eq!(Message::decode(&golden()).unwrap(), message);
    assert_eq!(message.id(), "0A00000200002A9F0000000000001000");
}

#[test]
fn a_placed_head_is_the_encoded_record() {
    let mut record = golden().to_vec();
    place(&mut record, 0, 0, 0);
    assert_ne!(record, golden());
    place(&mut record, 9, 4096, 1_700_000_000_001);
    assert_eq!(record, golden());
}

#[test]
fn topics_above_127_bytes_make_version_2() {
    let mut message = golden_message();
    message.topic = "t".repeat(128);
    let bytes = message.encode().unwrap();
    assert_eq!(bytes[4..8], MAGIC_V2.to_be_bytes());
    assert_eq!(Message::decode(&bytes).unwrap().topic, message.topic);
    message.topic = "t".repeat(127);
    assert_eq!(message.encode().unwrap()[4..8], MAGIC_V1.to_be_bytes());
}

#[test]
fn too_long_parts_are_refused() {
    let mut message = golden_message();
    message.properties.set("x", "y".repeat(32768));
    assert!(matches!(message.encode(), Err(RecordError::PropertiesTooLong(_))));
    message = golden_message();
    message.topic = "t".repeat(32768);
    assert!(matches!(message.encode(), Err(RecordError::TopicTooLong(_))));
}

#[test]
fn a_damaged_body_is_seen() {
    let mut bytes = golden().to_vec();
    bytes[88] ^= 1;
    assert!(matches!(Message::decode(&bytes.into()), Err(RecordError::Crc { .. })));
}

#[test]
fn every_cut_is_seen() {
    for len in 0..golden().len() {
        assert!(matches!(RecordView::parse(&golden()[..len]), Err(RecordError::Truncated { .. })));
    }
}

#[test]
fn a_blank_is_told_from_a_record() {
    let mut bytes = 500i32.to_be_bytes().to_vec();
    bytes.extend(MAGIC_BLANK.to_be_bytes());
    assert_eq!(RecordView::parse(&bytes).unwrap_err(), RecordError::Blank(500));
}

#[test]
fn many_end_at_the_first_error() {
    let mut bytes = golden().to_vec();
    bytes.extend(golden());
    bytes.extend([1, 2, 3]);
    let read: Vec<_> = decode_many(bytes.into()).collect();
    assert_eq!(read.len(), 3);
    assert!(read[1].is_ok() && read[2].is_err());
}

fn any_host() -> impl Strategy<Value = SocketAddr> {
    (any::<bool>(), any::<u128>(), any::<u16>()).prop_map(|(v6, ip, port)| {
        let ip = if v6 { IpAddr::V6(ip.into()) } else { IpAddr::V4((ip as u32).into()) };
        SocketAddr::new(ip, port)
    })
}

prop_compose! {
    fn any_message()(
        topic in "[a-zA-Z%_é-]{1,140}",
        numbers: [i32; 4],
        longs: [i64; 5],
        hosts in (any_host(), any_host()),
        body: Vec<u8>,
        properties in prop::collection::btree_map("[A-Z]{1,5}", "[a-z]{1,9}", 0..5),
    ) -> Message {
        let mut message = Message {
            topic,
            queue_id: numbers[0],
            flag: numbers[1],
            sys_flag: numbers[2] & !(flags::BORN_HOST_V6 | flags::STORE_HOST_V6),
            born_timestamp: longs[0],
            born_host: hosts.0,
            store_timestamp: longs[1],
            store_host: hosts.1,
            reconsume_times: numbers[3],
            prepared_transaction_offset: longs[2],
            queue_offset: longs[3],
            physical_offset: longs[4],
            body_crc: crc31(&body),
            body: body.into(),
            properties: properties.into_iter().collect(),
            store_size: 0,
        };
        if message.born_host.is_ipv6() {
            message.sys_flag |= flags::BORN_HOST_V6;
        }
        if message.store_host.is_ipv6() {
            message.sys_flag |= flags::STORE_HOST_V6;
        }
        message.store_size = message.encode().unwrap().len() as i32;
        message
    }
}

proptest! {
    #[test]
    fn messages_come_back(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode().unwrap()).unwrap(), message);
    }

    #[test]
    fn damaged_records_are_answered(message in any_message(), at: prop::sample::Index, bits: u8) {
        let mut bytes = message.encode().unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        let _ = Message::decode(&bytes.into());
    }

    #[test]
    fn any_bytes_are_answered(tail: Vec<u8>, v2: bool) {
        let mut bytes = (tail.len() as i32 + 8).to_be_bytes().to_vec();
        bytes.extend(if v2 { MAGIC_V2 } else { MAGIC_V1 }.to_be_bytes());
        bytes.extend(tail);
        let _ = Message::decode(&bytes.into());
    }
}
