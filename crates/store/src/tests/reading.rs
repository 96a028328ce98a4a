use super::*;
use crate::{Boundary, Filter, ReadStatus};

fn read(store: &Store, offset: i64) -> (ReadStatus, i64) {
    let read = store.read("T", 0, offset, ReadLimits::messages(10), &NoFilter);
    (read.status, read.next_offset)
}

#[test]
fn offsets_are_answered_as_java_does() {
    let lab = Lab::new();
    let store = lab.open();
    let nowhere = store.read("none", 0, 7, ReadLimits::messages(1), &NoFilter);
    assert_eq!((nowhere.status, nowhere.next_offset), (ReadStatus::NoMatchedLogicQueue, 0));
    for number in 0..3 {
        send(&store, "T", 0, &number.to_string());
    }
    assert_eq!(read(&store, -1), (ReadStatus::OffsetTooSmall, 0));
    assert_eq!(read(&store, 0), (ReadStatus::Found, 3));
    assert_eq!(read(&store, 2), (ReadStatus::Found, 3));
    assert_eq!(read(&store, 3), (ReadStatus::OffsetOverflowOne, 3));
    assert_eq!(read(&store, 4), (ReadStatus::OffsetOverflowBadly, 3));
    assert_eq!(read(&store, i64::MAX), (ReadStatus::OffsetOverflowBadly, 3));
    assert_eq!(read(&store, i64::MIN), (ReadStatus::OffsetTooSmall, 0));
    assert_eq!(ReadStatus::OffsetOverflowBadly.name(), "OFFSET_OVERFLOW_BADLY");
}

#[test]
fn limits_hold_but_one_record_always_comes() {
    let lab = Lab::new();
    let store = lab.open();
    for _ in 0..40 {
        send(&store, "T", 0, &"x".repeat(100));
    }
    let size = store.record_at(0).unwrap().len();
    let count = |max_messages, max_bytes| {
        let limits = ReadLimits { max_messages, max_bytes };
        let read = store.read("T", 0, 0, limits, &NoFilter);
        assert_eq!(read.next_offset as usize, read.records.len());
        assert_eq!(read.bytes, size * read.records.len());
        read.records.len()
    };
    assert_eq!(count(5, usize::MAX), 5);
    assert_eq!(count(100, usize::MAX), 32);
    assert_eq!(count(10, 1), 1);
    assert_eq!(count(10, size * 3), 3);
    assert_eq!(count(10, size * 3 - 1), 2);
}

#[test]
fn filters_choose_by_queue_and_by_record() {
    struct Body(&'static [u8]);
    impl Filter for Body {
        fn by_record(&self, record: &rmq_proto::message::RecordView<'_>) -> bool {
            record.body() == self.0
        }
    }
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..30 {
        let tag = if number == 25 { "rare" } else { "common" };
        store.append(new_record("T", 0, &number.to_string(), &[("TAGS", tag)])).unwrap();
    }
    let rare = rmq_proto::message::hash::tags_code("rare");
    let found = store.read("T", 0, 0, ReadLimits::messages(5), &|code| code == rare);
    assert_eq!((found.records.len(), found.next_offset), (1, 30));
    let found = store.read("T", 0, 0, ReadLimits::messages(5), &Body(b"7"));
    assert_eq!((found.records.len(), found.next_offset), (1, 30));
    let none = store.read("T", 0, 0, ReadLimits::messages(5), &|_| false);
    assert_eq!((none.status, none.next_offset), (ReadStatus::NoMatchedMessage, 30));
}

#[test]
fn a_filtered_read_does_not_scan_for_ever() {
    let lab = Lab::new();
    let store = Store::open(StoreConfig { max_filter_bytes: 200, ..lab.config() }, Box::new(|_| {})).unwrap();
    for _ in 0..50 {
        send(&store, "T", 0, "x");
    }
    let none = store.read("T", 0, 0, ReadLimits::messages(2), &|_| false);
    assert_eq!(none.next_offset, 10);
}

#[test]
fn times_are_found_at_both_boundaries() {
    let lab = Lab::new();
    let store = lab.open();
    // Two records at +10, three at +20, none at +25, two at +30.
    let start = lab.now_ms.load(Ordering::SeqCst);
    for (wait, count) in [(10, 2), (10, 3), (10, 2)] {
        lab.tick(wait);
        for _ in 0..count {
            send(&store, "T", 0, "x");
        }
    }
    let find = |at: i64| {
        let find = |boundary| store.offset_by_time("T", 0, start + at, boundary);
        (find(Boundary::Lower), find(Boundary::Upper))
    };
    assert_eq!(find(0), (0, 0));
    assert_eq!(find(10), (0, 1));
    assert_eq!(find(20), (2, 4));
    assert_eq!(find(25), (5, 4));
    assert_eq!(find(30), (5, 6));
    assert_eq!(find(99), (7, 6));
    assert_eq!(store.offset_by_time("none", 0, start, Boundary::Lower), 0);
    assert_eq!(store.record_time("T", 0, 3), Some(start + 20));
    assert_eq!(store.record_time("T", 0, 7), None);
    assert_eq!(store.earliest_time(), Some(start + 10));
}

#[test]
fn records_are_found_by_key_tag_and_unique_id() {
    let lab = Lab::new();
    let store = lab.open();
    let start = lab.now_ms.load(Ordering::SeqCst);
    for number in 0..10 {
        lab.tick(1000);
        let unique = format!("u{number}");
        let properties = [("KEYS", "a b"), ("TAGS", "t"), ("UNIQ_KEY", unique.as_str())];
        store.append(new_record("T", 0, &number.to_string(), &properties)).unwrap();
    }
    let all = store.query("T", "b", 99, 0, i64::MAX);
    assert_eq!(all.records.len(), 10);
    assert_eq!(all.index_last_update_timestamp, start + 10_000);
    assert_eq!(store.query_tag("T", "t", 99, 0, i64::MAX).records.len(), 10);
    let one = store.query("T", "u4", 99, 0, i64::MAX);
    assert_eq!(&Message::decode(&one.records[0]).unwrap().body[..], b"4");
    assert_eq!(store.query("T", "a", 99, start + 3_000, start + 5_000).records.len(), 3);
    assert_eq!(store.query("T", "a", 2, 0, i64::MAX).records.len(), 2);
    assert!(store.query("T", "c", 99, 0, i64::MAX).records.is_empty());
    assert!(store.query("other", "a", 99, 0, i64::MAX).records.is_empty());
}

#[test]
fn only_real_records_are_at_an_offset() {
    let lab = Lab::new();
    let store = lab.open();
    let one = send(&store, "T", 0, "1");
    let two = send(&store, "T", 0, "2");
    for at in -1..two.end + 200 {
        let expected = at == one.physical_offset || at == two.physical_offset;
        assert_eq!(store.record_at(at).is_some(), expected, "{at}");
    }
    assert!(store.record_at(i64::MIN).is_none() && store.record_at(i64::MAX).is_none());
    assert!(store.raw_at(two.end, 10).is_none());
    assert_eq!(store.raw_at(0, usize::MAX).unwrap().len() as i64, two.end);
}

#[test]
fn deleted_topics_begin_anew() {
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..30 {
        send(&store, "T", number % 2, "old");
    }
    send(&store, "U", 0, "other");
    assert_eq!(store.delete_topic("T").unwrap(), 2);
    assert_eq!(store.queue_range("T", 0), (0, 0));
    assert_eq!(store.queues(), [("U".to_owned(), 0)]);
    assert!(!lab.root().join("consumequeue/T").exists());
    assert_eq!(send(&store, "T", 1, "new").queue_offset, 0);
    assert_eq!(bodies(&store, "T", 1), ["new"]);
    assert!(store.delete_topic("../commitlog").is_err());
    drop(store);
    let store = lab.open();
    assert_eq!(bodies(&store, "T", 1), ["new"]);
    assert_eq!(bodies(&store, "U", 0), ["other"]);
    assert_eq!(store.queue_range("T", 0), (0, 0));
}
