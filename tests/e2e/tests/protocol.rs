//! Bytes on raw sockets, good and bad. The expectations hold for the official servers too: `RMQ_TEST_TARGET=java`.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rmq_e2e::PATIENCE;
use rmq_testkit::wire::{Connection, Frame, frame_bytes};
use rmq_testkit::{Cluster, Flavor, wait};

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Flavor::under_test()))
}

fn broker() -> Connection {
    Connection::open(&cluster().broker().addr())
}

fn both() -> [String; 2] {
    [cluster().namesrv().addr(), cluster().broker().addr()]
}

const SUCCESS: i32 = 0;
const REQUEST_CODE_NOT_SUPPORTED: i32 = 3;
const MESSAGE_ILLEGAL: i32 = 13;
const NO_PERMISSION: i32 = 16;
const TOPIC_NOT_EXIST: i32 = 17;
const PULL_NOT_FOUND: i32 = 19;
const PULL_OFFSET_MOVED: i32 = 21;
const SUBSCRIPTION_GROUP_NOT_EXIST: i32 = 26;
const INVALID_PARAMETER: i32 = 29;
const ONEWAY: i32 = 2;

const SEND_MESSAGE: i32 = 10;
const PULL_MESSAGE: i32 = 11;
const QUERY_CONSUMER_OFFSET: i32 = 14;
const GET_MAX_OFFSET: i32 = 30;
const UNKNOWN: i32 = 9999;

fn send(connection: &mut Connection, topic: &str, queue: i32, body: &[u8], properties: &str) -> Frame {
    let queue = queue.to_string();
    let fields = [
        ("producerGroup", "raw"),
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "4"),
        ("queueId", &queue),
        ("sysFlag", "0"),
        ("bornTimestamp", "1700000000000"),
        ("flag", "0"),
        ("properties", properties),
        ("reconsumeTimes", "0"),
        ("unitMode", "false"),
    ];
    connection.call(SEND_MESSAGE, &fields, body)
}

fn pull(connection: &mut Connection, topic: &str, queue: &str, offset: &str, group: &str) -> Frame {
    let fields = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", queue),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        // Bit 2: the subscription comes with the request.
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "1000"),
        ("subscription", "*"),
        ("subVersion", "1"),
        ("expressionType", "TAG"),
    ];
    connection.call(PULL_MESSAGE, &fields, b"")
}

/// Queues are filled behind the append: waits until one ends at `end`.
fn await_readable(connection: &mut Connection, topic: &str, queue: &str, end: &str) {
    wait::until("the messages to be readable", PATIENCE, || {
        let reply = connection.call(GET_MAX_OFFSET, &[("topic", topic), ("queueId", queue)], b"");
        reply.ext.get("offset").map(String::as_str) == Some(end)
    });
}

#[test]
fn an_unknown_request_code_is_answered_as_java_does() {
    for addr in both() {
        let reply = Connection::open(&addr).call(UNKNOWN, &[], b"");
        assert_eq!(reply.code, REQUEST_CODE_NOT_SUPPORTED);
        assert_eq!(reply.remark.as_deref(), Some(" request type 9999 not supported"), "{addr}");
    }
}

#[test]
fn a_oneway_request_gets_no_answer_even_if_it_is_wrong() {
    for addr in both() {
        let mut connection = Connection::open(&addr);
        connection.send(UNKNOWN, ONEWAY, &[], b"").unwrap();
        let asked = connection.send(UNKNOWN, 0, &[], b"").unwrap();
        let reply = connection.receive().unwrap();
        assert_eq!(reply.opaque, asked, "the first answer belongs to the second request");
    }
}

#[test]
fn answers_look_like_javas() {
    for addr in both() {
        let reply = Connection::open(&addr).call(UNKNOWN, &[], b"");
        assert_eq!(reply.flag, 1);
        assert_eq!(reply.header["language"], "JAVA");
        assert_eq!(reply.header["serializeTypeCurrentRPC"], "JSON");
        // Java clients refuse SQL92 to a broker whose version is missing or old.
        assert_eq!(reply.header["version"], 513);
    }
}

#[test]
fn requests_in_one_write_are_all_answered() {
    for addr in both() {
        let mut connection = Connection::open(&addr);
        let mut bytes = Vec::new();
        for opaque in 0..100 {
            let header = format!(
                r#"{{"code":9999,"language":"JAVA","version":513,"opaque":{opaque},"flag":0,"serializeTypeCurrentRPC":"JSON"}}"#
            );
            bytes.extend(frame_bytes(header.as_bytes(), b""));
        }
        connection.send_raw(&bytes).unwrap();
        let mut seen: Vec<i32> = (0..100).map(|_| connection.receive().unwrap().opaque).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    for addr in both() {
        let mut connection = Connection::open(&addr);
        let header = br#"{"code":9999,"language":"GO","version":317,"opaque":77,"flag":0,"extFields":{},"serializeTypeCurrentRPC":"JSON"}"#;
        for byte in frame_bytes(header, b"body") {
            connection.send_raw(&[byte]).unwrap();
        }
        assert_eq!(connection.receive().unwrap().opaque, 77);
    }
}

#[test]
fn a_binary_header_is_understood() {
    for addr in both() {
        let mut connection = Connection::open(&addr);
        // code, language, version, opaque, flag, length of remark, length of the extra fields.
        let mut header = Vec::new();
        header.extend_from_slice(&9999_u16.to_be_bytes());
        header.push(0);
        header.extend_from_slice(&513_u16.to_be_bytes());
        header.extend_from_slice(&4242_u32.to_be_bytes());
        header.extend_from_slice(&[0; 4 + 4 + 4]);
        let mut frame = frame_bytes(&header, b"");
        frame[4] = 1;
        connection.send_raw(&frame).unwrap();
        let reply = connection.receive().unwrap();
        assert_eq!((reply.opaque, reply.code), (4242, REQUEST_CODE_NOT_SUPPORTED));
        assert_eq!(reply.remark.as_deref(), Some(" request type 9999 not supported"));
        // Java answers in the encoding that it is configured for, ours in the request's; clients read both.
        assert_eq!(reply.is_binary, Flavor::under_test() == Flavor::Ours);
    }
}

#[test]
fn malformed_frames_cost_their_connection_and_nothing_else() {
    let header = br#"{"code":9999,"opaque":1,"flag":0}"#;
    let mut header_too_long = frame_bytes(header, b"");
    header_too_long[7] = 200;
    let mut unknown_encoding = frame_bytes(header, b"");
    unknown_encoding[4] = 9;
    // Java looks at 12 bytes before it decides what protocol this is.
    let long = |length: u32| [&length.to_be_bytes()[..], &[0; 12]].concat();
    let cases: [(&str, Vec<u8>); 7] = [
        ("a frame above 16 MiB", long(0x0100_0001)),
        ("a frame of 2 GiB", long(0x7FFF_FFFF)),
        ("a negative length", long(0xFFFF_FFFE)),
        ("a header longer than its frame", header_too_long),
        ("an unknown header encoding", unknown_encoding),
        ("a header that is no JSON", frame_bytes(b"{\"code\":", b"")),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for addr in both() {
        let mut bystander = Connection::open(&addr);
        for (what, bytes) in &cases {
            let mut connection = Connection::open(&addr);
            connection.send_raw(bytes).unwrap();
            assert!(connection.is_closed_within(PATIENCE), "{what} to {addr} keeps its connection");
            assert_eq!(bystander.call(UNKNOWN, &[], b"").code, REQUEST_CODE_NOT_SUPPORTED, "after {what}");
        }
    }
}

#[test]
fn a_body_of_nothing_and_missing_fields_are_refused_not_fatal() {
    let mut connection = broker();
    for code in [
        SEND_MESSAGE,
        PULL_MESSAGE,
        12,
        QUERY_CONSUMER_OFFSET,
        15,
        17,
        GET_MAX_OFFSET,
        29,
        31,
        33,
        34,
        38,
        41,
    ] {
        let reply = connection.call(code, &[], b"");
        assert_ne!(reply.code, SUCCESS, "request {code} without fields: {reply:?}");
    }
    for code in [100, 101, 103, 105] {
        let reply = Connection::open(&cluster().namesrv().addr()).call(code, &[], b"");
        assert_ne!(reply.code, SUCCESS, "request {code} without fields: {reply:?}");
    }
}

#[test]
fn sends_are_checked() {
    let mut connection = broker();
    assert_eq!(send(&mut connection, "RawSend", 0, b"body", "").code, SUCCESS);
    let code = |connection: &mut Connection, topic: &str, queue: i32, body: &[u8], properties: &str| {
        let reply = send(connection, topic, queue, body, properties);
        assert!(reply.code == SUCCESS || reply.remark.is_some(), "a refusal gives a reason: {reply:?}");
        reply.code
    };
    let cases: [(&str, i32, &str, i32, usize, usize); 6] = [
        ("a queue beyond the topic's", INVALID_PARAMETER, "RawSend", 4, 4, 0),
        ("a topic name with a slash", INVALID_PARAMETER, "raw/send", 0, 4, 0),
        ("a topic name of 128 characters", INVALID_PARAMETER, "LONG", 0, 4, 0),
        ("a system topic", NO_PERMISSION, "SCHEDULE_TOPIC_XXXX", 0, 4, 0),
        ("a body above 4 MiB", MESSAGE_ILLEGAL, "RawSend", 0, (4 << 20) + 1, 0),
        ("properties above 32 KiB", MESSAGE_ILLEGAL, "RawSend", 0, 4, 40_000),
    ];
    let mut wrong = Vec::new();
    for (what, expected, topic, queue, body, properties) in cases {
        let topic = if topic == "LONG" { "x".repeat(128) } else { topic.to_owned() };
        let properties =
            if properties > 0 { format!("k\u{1}{}\u{2}", "v".repeat(properties)) } else { String::new() };
        let answered = code(&mut connection, &topic, queue, &vec![b'x'; body], &properties);
        if answered != expected {
            wrong.push(format!("{what}: {answered} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pulls_at_wrong_offsets_say_where_to_go_on() {
    let mut connection = broker();
    let topic = "RawPull";
    for i in 0..5 {
        assert_eq!(send(&mut connection, topic, 0, format!("body-{i}").as_bytes(), "").code, SUCCESS);
    }
    await_readable(&mut connection, topic, "0", "5");
    // Offset asked for; code and next offset answered.
    let cases = [
        ("0", SUCCESS, "5"),
        ("4", SUCCESS, "5"),
        ("6", PULL_OFFSET_MOVED, "5"),
        ("1000", PULL_OFFSET_MOVED, "5"),
        ("-1", PULL_OFFSET_MOVED, "0"),
    ];
    for (offset, code, next) in cases {
        let reply = pull(&mut connection, topic, "0", offset, "raw");
        assert_eq!(reply.code, code, "at {offset}: {reply:?}");
        assert_eq!(reply.ext["nextBeginOffset"], next, "at {offset}: {reply:?}");
        assert_eq!((reply.ext["minOffset"].as_str(), reply.ext["maxOffset"].as_str()), ("0", "5"));
        assert_eq!(reply.body.is_empty(), code != SUCCESS);
    }
    let reply = pull(&mut connection, topic, "0", "5", "raw");
    assert_eq!((reply.code, reply.ext["nextBeginOffset"].as_str()), (PULL_NOT_FOUND, "5"), "{reply:?}");
    let reply = pull(&mut connection, "RawNoSuchTopic", "0", "0", "raw");
    assert_eq!(reply.code, TOPIC_NOT_EXIST, "{reply:?}");
    let reply = pull(&mut connection, topic, "99", "0", "raw");
    assert_eq!(reply.code, INVALID_PARAMETER, "a queue that is not there: {reply:?}");
}

#[test]
fn a_parked_pull_is_answered_on_arrival_while_others_wait() {
    let mut sender = broker();
    let topic = "RawParked";
    assert_eq!(send(&mut sender, topic, 0, b"first", "").code, SUCCESS);
    assert_eq!(send(&mut sender, topic, 1, b"first", "").code, SUCCESS);
    await_readable(&mut sender, topic, "0", "1");
    await_readable(&mut sender, topic, "1", "1");
    let fields = |queue: &'static str| {
        [
            ("consumerGroup", "parked"),
            ("topic", topic),
            ("queueId", queue),
            ("queueOffset", "1"),
            ("maxMsgNums", "32"),
            // Bit 1: may be held; bit 2: the subscription comes with the request.
            ("sysFlag", "6"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "15000"),
            ("subscription", "*"),
            ("subVersion", "1"),
            ("expressionType", "TAG"),
        ]
    };
    let mut woken = broker();
    let mut waiting = broker();
    let opaque = woken.send(PULL_MESSAGE, 0, &fields("0"), b"").unwrap();
    waiting.send(PULL_MESSAGE, 0, &fields("1"), b"").unwrap();
    // A parked pull does not stop its connection.
    assert_eq!(woken.call(UNKNOWN, &[], b"").code, REQUEST_CODE_NOT_SUPPORTED);

    let sent = Instant::now();
    assert_eq!(send(&mut sender, topic, 0, b"second", "").code, SUCCESS);
    let reply = woken.receive().unwrap();
    assert_eq!((reply.opaque, reply.code), (opaque, SUCCESS));
    assert!(reply.body.windows(6).any(|bytes| bytes == b"second"));
    assert!(sent.elapsed() < Duration::from_secs(5), "woken after {:?}", sent.elapsed());
}

#[test]
fn a_parked_pull_that_nothing_wakes_is_answered_at_its_deadline() {
    let mut connection = broker();
    let topic = "RawDeadline";
    assert_eq!(send(&mut connection, topic, 0, b"first", "").code, SUCCESS);
    await_readable(&mut connection, topic, "0", "1");
    let fields = [
        ("consumerGroup", "deadline"),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", "1"),
        ("maxMsgNums", "32"),
        ("sysFlag", "6"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "1000"),
        ("subscription", "*"),
        ("subVersion", "1"),
        ("expressionType", "TAG"),
    ];
    let asked = Instant::now();
    let reply = connection.call(PULL_MESSAGE, &fields, b"");
    assert_eq!(reply.code, PULL_NOT_FOUND, "{reply:?}");
    // Java looks at parked pulls every 5 s.
    assert!((900..9000).contains(&asked.elapsed().as_millis()), "after {:?}", asked.elapsed());
}

#[test]
fn an_offset_that_was_never_stored_is_zero_for_a_young_queue() {
    let mut connection = broker();
    let topic = "RawOffset";
    assert_eq!(send(&mut connection, topic, 0, b"first", "").code, SUCCESS);
    await_readable(&mut connection, topic, "0", "1");
    let query = |connection: &mut Connection, group: &str, topic: &str, queue: &str| {
        let fields = [("consumerGroup", group), ("topic", topic), ("queueId", queue)];
        connection.call(QUERY_CONSUMER_OFFSET, &fields, b"")
    };
    // Java: a queue whose first message is still on disk and in memory starts at 0 for an unknown group.
    let reply = query(&mut connection, "never", topic, "0");
    assert_eq!((reply.code, reply.ext.get("offset").map(String::as_str)), (SUCCESS, Some("0")), "{reply:?}");

    // Java keeps offsets of known groups only; a pull makes one known.
    let update = [("consumerGroup", "unheard"), ("topic", topic), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(connection.call(15, &update, b"").code, SUBSCRIPTION_GROUP_NOT_EXIST);
    assert_eq!(pull(&mut connection, topic, "0", "0", "never").code, SUCCESS);
    let update = [("consumerGroup", "never"), ("topic", topic), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(connection.call(15, &update, b"").code, SUCCESS);
    let reply = query(&mut connection, "never", topic, "0");
    assert_eq!(reply.ext.get("offset").map(String::as_str), Some("1"), "{reply:?}");
}
