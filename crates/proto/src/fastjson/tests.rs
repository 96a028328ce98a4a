//! What Java's own classes wrote and read, and what no input may do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::body::*;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Everything {
    by_number: BTreeMap<i64, Option<String>>,
    by_queue: BTreeMap<MessageQueue, BTreeMap<i32, i64>>,
    by_text: BTreeMap<String, Everything>,
    flag: bool,
    list: Vec<String>,
    maybe: Option<i32>,
    numbers: Vec<i64>,
    speed: f64,
    text: String,
}

fn compact<T: Serialize>(value: &T) -> String {
    String::from_utf8(to_vec(value).unwrap()).unwrap()
}

fn read<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, Error> {
    from_slice(text.as_bytes())
}

#[test]
fn doubles_look_as_in_java() {
    let seen = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (9.999e-4, "9.999E-4"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12345678.9, "1.23456789E7"),
        (1e21, "1.0E21"),
        (f64::MAX, "1.7976931348623157E308"),
        (123456.789, "123456.789"),
        (1.234_567_890_123_456_8e17, "1.2345678901234568E17"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
    ];
    for (number, text) in seen {
        assert_eq!(compact(&number), text);
    }
}

#[test]
fn text_is_escaped_as_in_java() {
    let text = "\0\x01\x08\t\n\x0B\x0C\r\x1F \"#'/<>&\\\x7F\u{80}标😀\u{2028}";
    let written =
        r##""\u0000\u0001\b\t\n\u000b\f\r\u001f \"#'/<>&\\"##.to_owned() + "\x7F\u{80}标😀\u{2028}\"";
    assert_eq!(compact(&text), written);
    assert_eq!(String::from_utf8(to_standard_vec(text).unwrap()).unwrap(), written);
    assert_eq!(read::<String>(&written).unwrap(), text);
}

#[test]
fn null_members_are_left_out_wherever_they_are() {
    let by_number = BTreeMap::from([(1, None), (2, Some("null".into())), (-3, None)]);
    let value = Everything { by_number, speed: f64::NAN, ..Everything::default() };
    assert_eq!(
        compact(&value),
        r#"{"byNumber":{2:"null"},"byQueue":{},"byText":{},"flag":false,"list":[],"numbers":[],"text":""}"#
    );
}

#[test]
fn keys_have_three_forms() {
    let mut value = ConsumerStatus::default();
    value.message_queue_table.insert(MessageQueue::new("T", "b", 0), 9);
    let raw = r#"{"consumerTable":{},"messageQueueTable":{{"brokerName":"b","queueId":0,"topic":"T"}:9}}"#;
    assert_eq!(compact(&value), raw);
    assert_eq!(read::<ConsumerStatus>(raw).unwrap(), value);

    let numbers = BTreeMap::from([(-3, 1), (0, 2)]);
    assert_eq!(compact(&numbers), "{-3:1,0:2}");
    assert_eq!(to_standard_vec(&numbers).unwrap(), br#"{"-3":1,"0":2}"#);
    for text in ["{-3:1,0:2}", r#"{"-3":1,"0":2}"#, "{ -3 : 1 , '0':\"2\" }", "{-3:1,0L:2,5:null,}"] {
        assert_eq!(read::<BTreeMap<i32, i32>>(text).unwrap(), numbers, "{text}");
    }
    assert!(read::<BTreeMap<i32, i32>>("{x:1}").is_err());
    // Java refuses an object as a key if it stands there as text.
    assert!(read::<ResetOffsets>(r#"{"offsetTable":{"{\"topic\":\"T\"}":1}}"#).is_err());
}

#[test]
fn enums_are_read_from_names_and_ordinals() {
    let read = |text| read::<ConsumerData>(text).unwrap();
    let ordinals = read(r#"{"consumeFromWhere":4,"consumeType":"0","messageModel":0}"#);
    assert_eq!(ordinals.consume_from_where, ConsumeFromWhere::FirstOffset);
    assert_eq!(ordinals.consume_type, ConsumeType::Actively);
    assert_eq!(ordinals.message_model, MessageModel::Broadcasting);
    let named = read(r#"{"consumeType":"CONSUME_POP","messageModel":"NEW_ONE"}"#);
    assert_eq!((named.consume_type, named.message_model), (ConsumeType::Pop, MessageModel::Clustering));
}

#[test]
fn scalars_are_read_as_leniently_as_java_does() {
    let version =
        |text| read::<SubscriptionData>(&format!("{{\"subVersion\":{text}}}")).map(|read| read.sub_version);
    let seen = [
        ("\"123\"", 123),
        ("1.0", 1),
        ("1e3", 1000),
        ("12.7", 12),
        ("\"\"", 0),
        ("true", 1),
        ("123L", 123),
        ("+5", 5),
    ];
    for (text, number) in seen {
        assert_eq!(version(text), Ok(number), "{text}");
    }
    for text in ["\"abc\"", "99999999999999999999", "0x10", "-", ""] {
        assert!(version(text).is_err(), "{text}");
    }
    let codes: SubscriptionData = read(r#"{"codeSet":["12","-3",null],"tagsSet":[1,true]}"#).unwrap();
    assert_eq!(codes.code_set.into_iter().collect::<Vec<_>>(), [-3, 12]);
    assert_eq!(codes.tags_set.into_iter().collect::<Vec<_>>(), ["1", "true"]);
    assert!(read::<SubscriptionData>(r#"{"codeSet":[9999999999]}"#).is_err());

    let consumer = |text| read::<ConsumerData>(text);
    for text in [r#"{"unitMode":"true"}"#, r#"{"unitMode":1}"#, r#"{"unitMode":"TRUE"}"#] {
        assert!(consumer(text).unwrap().unit_mode, "{text}");
    }
    assert!(consumer(r#"{"unitMode":"yes"}"#).is_err());
    let names = [
        (r#"{"groupName":5}"#, "5"),
        (r#"{"groupName":1.5}"#, "1.5"),
        (r#"{"groupName":true}"#, "true"),
        (r#"{"groupName":{"x":1}}"#, r#"{"x":1}"#),
        (r#"{'groupName':'a"b'}"#, "a\"b"),
        (r#"{"groupName":"a\x41\'\v\u6807\ud83d\ude00\ud800"}"#, "aA'\u{B}标😀\u{FFFD}"),
        ("{\"groupName\":\"tab\there\",}", "tab\there"),
        (r#" { "x" : [ {1:{{"a":"]"}:[]}} , null ] , "groupName" : "a" } "#, "a"),
        (r#"{"groupName":null}"#, ""),
    ];
    for (text, name) in names {
        assert_eq!(consumer(text).unwrap().group_name, name, "{text}");
    }
    let broken =
        ["", "[]", "null", "{", "{,}", r#"{"unitMode":tru}"#, r#"{"groupName":"a"} x"#, r#"{"groupName":"a"#];
    for text in broken {
        assert!(consumer(text).is_err(), "{text}");
    }
    let invalid_utf8 = from_slice::<KvTable>(b"{\"table\":{\"k\":\"a\xFF\"}}").unwrap();
    assert_eq!(invalid_utf8.table["k"], "a\u{FFFD}");
}

#[test]
fn what_is_not_known_is_skipped_without_recursion() {
    let deep =
        |levels: usize| format!("{{\"x\":{}{},\"queueId\":7}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(read::<MessageQueue>(&deep(63)).unwrap().queue_id, 7);
    for levels in [64, 1_000_000] {
        let error = read::<MessageQueue>(&deep(levels)).unwrap_err();
        assert_eq!(error.to_string(), "the value is nested too deeply at byte 68");
    }
    let known = "{\"byText\":{\"x\":".repeat(500_000);
    assert!(read::<Everything>(&known).unwrap_err().to_string().contains("too deeply"));
    let keys = "{\"byQueue\":".to_owned() + &"{".repeat(1_000_000);
    assert!(read::<Everything>(&keys).unwrap_err().to_string().contains("too deeply"));
    assert!(read::<MessageQueue>(r#"{"x":[}],"queueId":7}"#).is_err());
}

#[test]
fn errors_tell_where() {
    let error = read::<TopicRouteData>(r#"{"queueDatas":[{"perm":"six"}]}"#).unwrap_err();
    assert_eq!(error.to_string(), "not an integer at byte 28");
}

fn everything() -> impl Strategy<Value = Everything> {
    let queue = (".{0,4}", ".{0,4}", any::<i32>())
        .prop_map(|(topic, broker, id)| MessageQueue::new(topic, broker, id));
    let by_queue = prop::collection::btree_map(
        queue,
        prop::collection::btree_map(any::<i32>(), any::<i64>(), 0..3),
        0..3,
    );
    let by_number = prop::collection::btree_map(any::<i64>(), ".{0,4}".prop_map(Some), 0..3);
    let lists = (prop::collection::vec(".{0,4}", 0..3), prop::collection::vec(any::<i64>(), 0..3));
    let scalars = (any::<bool>(), any::<Option<i32>>(), prop::num::f64::NORMAL | prop::num::f64::ZERO, ".*");
    let leaf =
        (by_number, by_queue, lists, scalars).prop_map(|(by_number, by_queue, (list, numbers), scalars)| {
            let (flag, maybe, speed, text) = scalars;
            Everything {
                by_number,
                by_queue,
                by_text: BTreeMap::new(),
                flag,
                list,
                maybe,
                numbers,
                speed,
                text,
            }
        });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let members = prop::collection::btree_map(".{0,4}", inner.clone(), 0..3);
        (inner, members).prop_map(|(outer, by_text)| Everything { by_text, ..outer })
    })
}

/// Text made of what the reader looks at, so that it gets far.
fn nearly_json() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "'",
        "\\",
        "\\u",
        "null",
        "true",
        "0",
        "-1",
        "1e9",
        "L",
        " ",
        "\"byQueue\"",
        "\"byText\"",
        "\"byNumber\"",
        "\"list\"",
        "\"text\"",
        "\"topic\"",
        "\"x\":",
        "{\"byQueue\":{",
        "标",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn every_form_is_read_back(value in everything()) {
        prop_assert_eq!(&from_slice::<Everything>(&to_vec(&value).unwrap()).unwrap(), &value);
        prop_assert_eq!(&from_slice::<Everything>(&to_standard_vec(&value).unwrap()).unwrap(), &value);
        prop_assert_eq!(&from_slice::<Everything>(to_string_pretty(&value).unwrap().as_bytes()).unwrap(), &value);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = from_slice::<Everything>(&bytes);
    }

    #[test]
    fn no_text_panics(text in nearly_json()) {
        let _ = from_slice::<Everything>(text.as_bytes());
        let _ = from_slice::<HeartbeatData>(text.as_bytes());
    }

    #[test]
    fn no_damage_panics(value in everything(), at: prop::sample::Index, byte: u8) {
        let mut bytes = to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = from_slice::<Everything>(&bytes);
        let _ = from_slice::<Everything>(&bytes[..at]);
    }

    /// What is standard JSON is understood as everybody else understands it.
    #[test]
    fn standard_json_means_the_same(value in everything()) {
        // Objects as keys are not standard; and serde_json reads the last digit of some doubles wrong.
        let value = Everything { by_queue: BTreeMap::new(), by_text: BTreeMap::new(), speed: 1.5, ..value };
        let theirs: serde_json::Value = serde_json::from_slice(&to_standard_vec(&value).unwrap()).unwrap();
        let ours: Everything = from_slice(&serde_json::to_vec(&theirs).unwrap()).unwrap();
        prop_assert_eq!(ours, value);
    }
}
