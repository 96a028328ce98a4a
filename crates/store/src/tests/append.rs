use std::sync::Mutex;

use rmq_proto::message::{flags, record::MAGIC_BLANK};

use super::*;
use crate::AppendError;

#[test]
fn a_record_is_stored_as_java_does() {
    let lab = Lab::new();
    let store = lab.open();
    let appended = send(&store, "T", 3, "hello");
    let next = send(&store, "T", 3, "world");
    assert_eq!((appended.queue_offset, next.queue_offset), (0, 1));
    assert_eq!((appended.physical_offset, next.physical_offset), (0, appended.end));
    store.close();
    let bytes = fs::read(lab.root().join("commitlog/00000000000000000000")).unwrap();
    assert_eq!(bytes.len(), 4096);
    let message = Message::decode(&bytes.into()).unwrap();
    assert_eq!((message.topic.as_str(), message.queue_id), ("T", 3));
    assert_eq!(message.store_timestamp, 1_700_000_000_000);
    assert_eq!(&message.body[..], b"hello");
    let units = fs::read(lab.root().join("consumequeue/T/3/00000000000000000000")).unwrap();
    assert_eq!(units.len(), 400);
    assert_eq!(units[..8], [0; 8]);
    assert_eq!(units[8..12], appended.size.to_be_bytes());
    assert_eq!(units[12..20], 2598919i64.to_be_bytes());
    assert!(!lab.root().join("abort").exists());
}

#[test]
fn arrivals_are_announced_in_order() {
    let lab = Lab::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let store = lab.open_with(Box::new(move |arrival| {
        let place = (arrival.topic.to_owned(), arrival.queue_id, arrival.queue_offset);
        sink.lock().unwrap().push((place, arrival.tags_code));
    }));
    send(&store, "A", 0, "1");
    send(&store, "B", 1, "2");
    send(&store, "A", 0, "3");
    let place = |topic: &str, queue, offset| ((topic.to_owned(), queue, offset), 2598919);
    let expected = [place("A", 0, 0), place("B", 1, 0), place("A", 0, 1)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_file_ends_with_a_blank() {
    let lab = Lab::new();
    let store = lab.open();
    // 91 + 1 + 996 bytes and the tags: three fit in 4096 with a blank behind, the fourth does not.
    let ends: Vec<_> = (0..4).map(|_| send(&store, "T", 0, &"x".repeat(996))).collect();
    assert_eq!(ends[3].physical_offset, 4096);
    let rest = 4096 - ends[2].end;
    store.close();
    let bytes = fs::read(lab.root().join("commitlog/00000000000000000000")).unwrap();
    let blank = &bytes[ends[2].end as usize..][..8];
    assert_eq!(blank[..4], (rest as i32).to_be_bytes());
    assert_eq!(blank[4..], MAGIC_BLANK.to_be_bytes());
    assert_eq!(bodies(&lab.open(), "T", 0).len(), 4);
}

#[test]
fn a_record_that_leaves_no_room_for_a_blank_goes_to_the_next_file() {
    for spare in [7, 8, 9] {
        let lab = Lab::new();
        let store = lab.open();
        let overhead = send(&store, "T", 0, "").size as usize;
        let body = "x".repeat(4096 - 2 * overhead - spare);
        let second = send(&store, "T", 0, &body);
        assert_eq!(second.physical_offset == 4096, spare < 8, "{spare}");
        send(&store, "T", 0, "y");
        assert_eq!(bodies(&store, "T", 0), ["", &body, "y"]);
    }
}

#[test]
fn a_batch_stays_in_one_file() {
    let lab = Lab::new();
    let store = lab.open();
    send(&store, "T", 0, &"x".repeat(2000));
    let batch = (0..5).map(|n| new_record("T", 0, &format!("{n}{}", "y".repeat(400)), &[])).collect();
    let appended = store.append_batch(batch).unwrap();
    assert_eq!(appended[0].physical_offset, 4096);
    assert_eq!(appended.iter().map(|one| one.queue_offset).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(bodies(&store, "T", 0).len(), 6);
    assert!(store.append_batch(Vec::new()).unwrap().is_empty());
}

#[test]
fn what_does_not_fit_is_refused_and_takes_no_offset() {
    let lab = Lab::new();
    let store =
        Store::open(StoreConfig { max_message_size: 3000, ..lab.config() }, Box::new(|_| {})).unwrap();
    let body = |len| new_record("T", 0, &"x".repeat(len), &[]);
    assert!(matches!(store.append(body(3001)), Err(AppendError::BodyTooLarge { .. })));
    let batch = vec![body(3000), body(3000)];
    assert!(matches!(store.append_batch(batch), Err(AppendError::TooLargeForFile { .. })));
    let long = "y".repeat(32768);
    let properties = new_record("T", 0, "", &[("k", &long)]);
    assert!(matches!(store.append(properties), Err(AppendError::Illegal(_))));
    for (topic, queue) in [("../up", 0), ("", 0), ("..", 0), ("T", -1)] {
        let record = new_record(topic, queue, "", &[]);
        assert!(matches!(store.append(record), Err(AppendError::Illegal(_))));
    }
    assert_eq!(send(&store, "T", 0, "ok").queue_offset, 0);
}

#[test]
fn half_and_rolled_back_messages_are_in_no_queue() {
    let lab = Lab::new();
    let store = lab.open();
    for sys_flag in [flags::TRANSACTION_PREPARED, flags::TRANSACTION_ROLLBACK] {
        let record = NewRecord { sys_flag, ..new_record("T", 0, "half", &[]) };
        let appended = store.append(record).unwrap();
        assert_eq!(appended.queue_offset, 0);
        assert!(store.record_at(appended.physical_offset).is_some());
    }
    assert_eq!(store.queue_range("T", 0), (0, 0));
    let commit = NewRecord { sys_flag: flags::TRANSACTION_COMMIT, ..new_record("T", 0, "whole", &[]) };
    assert_eq!(store.append(commit).unwrap().queue_offset, 0);
    assert_eq!(bodies(&store, "T", 0), ["whole"]);
}

#[test]
fn delayed_messages_keep_their_time_in_the_queue() {
    let lab = Lab::new();
    let store = lab.open();
    let topic = "SCHEDULE_TOPIC_XXXX";
    for (level, delay) in [("3", 10_000), ("99", 7_200_000)] {
        let record = new_record(topic, 2, "later", &[("DELAY", level), ("TAGS", "x")]);
        let offset = store.append(record).unwrap().queue_offset;
        let unit = store.queue_units(topic, 2, offset, 1)[0];
        assert_eq!(unit.tags_code, 1_700_000_000_000 + delay);
    }
    let other = store.append(new_record("T", 0, "now", &[("DELAY", "3")])).unwrap();
    assert_eq!(store.queue_units("T", 0, other.queue_offset, 1)[0].tags_code, 0);
}

#[test]
fn a_synced_store_shows_records_when_they_are_safe() {
    let lab = Lab { flush: FlushMode::Sync, ..Lab::new() };
    let store = lab.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for number in 0..20 {
        let appended = send(&store, "T", 0, &number.to_string());
        runtime.block_on(store.durable(appended.end)).unwrap();
        assert!(store.flushed_offset() >= appended.end);
        runtime.block_on(store.dispatched(appended.end)).unwrap();
    }
    assert_eq!(bodies(&store, "T", 0), numbered(0..20));
}

#[test]
fn an_asynchronous_store_flushes_soon() {
    let lab = Lab::new();
    let store = lab.open();
    let appended = send(&store, "T", 0, "x");
    store.core_for_tests().log.flushed().reached_blocking(appended.end).unwrap();
    assert_eq!(store.flushed_offset(), appended.end);
}

#[test]
fn a_failed_store_takes_nothing_more() {
    let lab = Lab { flush: FlushMode::Sync, ..Lab::new() };
    let store = lab.open();
    let appended = send(&store, "T", 0, "x");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.durable(appended.end)).unwrap();
    runtime.block_on(store.dispatched(appended.end)).unwrap();
    store.core_for_tests().log.fail("the disk is on fire".into());
    let refused = store.append(new_record("T", 0, "y", &[])).unwrap_err();
    assert!(refused.to_string().contains("on fire"), "{refused}");
    assert!(runtime.block_on(store.durable(appended.end + 1)).is_err());
    assert!(!store.status().writable);
    assert_eq!(bodies(&store, "T", 0), ["x"]);
    store.close();
    assert!(lab.root().join("abort").exists());
}

#[test]
fn a_closed_store_takes_nothing_more() {
    let lab = Lab::new();
    let store = lab.open();
    send(&store, "T", 0, "x");
    store.close();
    store.close();
    assert!(matches!(store.append(new_record("T", 0, "y", &[])), Err(AppendError::Closed)));
    assert_eq!(bodies(&store, "T", 0), ["x"]);
}

#[test]
fn many_threads_get_dense_offsets() {
    let lab = Lab { file_len: 65536, ..Lab::new() };
    let store = lab.open();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                for number in 0..250 {
                    send(&store, "T", number % 2, &format!("{thread}-{number}"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let end = store.max_physical_offset();
    store.core_for_tests().dispatcher.done().reached_blocking(end).unwrap();
    for queue in 0..2 {
        let mut found = bodies(&store, "T", queue);
        assert_eq!(found.len(), 500);
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 500);
    }
}

#[test]
fn raw_bytes_make_an_equal_log() {
    let (from, to) = (Lab::new(), Lab::new());
    let (source, copy) = (from.open(), to.open());
    for number in 0..100 {
        send(&source, "T", number % 3, &format!("{number}{}", "z".repeat(300)));
    }
    let mut at = 0;
    while at < source.max_physical_offset() {
        // Pieces that end inside records, as replication sends them.
        let piece = source.raw_at(at, 777).unwrap();
        at = copy.append_raw(at, &piece).unwrap();
    }
    assert!(matches!(copy.append_raw(at + 1, b"x"), Err(AppendError::NotContiguous { .. })));
    for queue in 0..3 {
        assert_eq!(bodies(&copy, "T", queue), bodies(&source, "T", queue));
    }
    copy.close();
    assert_eq!(bodies(&to.open(), "T", 0), bodies(&source, "T", 0));
}

#[test]
fn a_copy_may_begin_later() {
    let lab = Lab::new();
    let store = lab.open();
    let from = Lab::new();
    let source = from.open();
    for _ in 0..10 {
        send(&source, "T", 0, &"x".repeat(1000));
    }
    let piece = source.raw_at(8192, 4096).unwrap();
    store.append_raw(8192, &piece).unwrap();
    assert_eq!(store.min_physical_offset(), 8192);
    let (min, max) = store.queue_range("T", 0);
    assert!(min > 0 && max > min, "{min} {max}");
    assert_eq!(bodies(&store, "T", 0).len() as i64, max - min);
}
