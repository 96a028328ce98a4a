//! What Java's options leave in a store: checksums over whole records, extended, light and batch queues.

use std::{fs, path::PathBuf, sync::Arc};

use rmq_proto::message::{RecordView, record::RecordError};

use super::{Lab, bodies, new_record, send};
use crate::{ReadLimits, Store, StoreConfig, file::mapped_files::file_name};

fn open(lab: &Lab, change: impl FnOnce(&mut StoreConfig)) -> Arc<Store> {
    let mut config = lab.config();
    change(&mut config);
    Store::open(config, Box::new(|_| {})).unwrap()
}

/// Writes bytes over those of a file that stand `back` bytes before `end`.
fn overwrite(path: PathBuf, end: i64, back: i64, bytes: &[u8]) {
    let mut content = fs::read(&path).unwrap();
    let at = (end - back) as usize;
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

#[test]
fn a_crc_of_the_whole_record_finds_what_that_of_the_body_does_not() {
    let lab = Lab::new();
    let with_crc = |config: &mut StoreConfig| {
        config.append_whole_crc = true;
        config.check_whole_crc = true;
    };
    let store = open(&lab, with_crc);
    // A message that is taken from another record may bring that one's checksum.
    let foreign = new_record("T", 0, "0", &[("A", "a"), ("__CRC32#", "0123456789"), ("B", "b")]);
    store.append(foreign).unwrap();
    let damaged = send(&store, "T", 0, "1");
    send(&store, "T", 0, "2");
    let record = store.record_at(0).unwrap();
    let view = RecordView::parse(&record).unwrap();
    view.check_whole().unwrap();
    assert!(view.properties().starts_with("A\u{1}a\u{2}B\u{1}b\u{2}__CRC32#\u{1}"), "{}", view.properties());
    store.close();

    let log = lab.root().join("commitlog").join(file_name(0));
    overwrite(log, damaged.end, 25, b"X");
    let store = open(&lab, with_crc);
    assert_eq!(bodies(&store, "T", 0), ["0", "2"]);
    assert_eq!(store.status().damaged_records, 1);
    drop(store);
    // After a crash the damage is sealed, and what lies behind it is kept.
    fs::remove_dir_all(lab.root().join("consumequeue")).unwrap();
    let store = open(&lab, with_crc);
    assert_eq!(bodies(&store, "T", 0), ["0", "2"]);
    assert_eq!(store.queue_range("T", 0), (0, 3), "offsets stay as they were");
}

#[test]
fn a_wrong_crc_of_the_whole_record_has_a_name() {
    let lab = Lab::new();
    let store = lab.open();
    store.append(new_record("T", 0, "0", &[("__CRC32#", "0123456789")])).unwrap();
    let record = store.record_at(0).unwrap();
    assert_eq!(RecordView::parse(&record).unwrap().check_whole(), Err(RecordError::WholeCrc));
}

#[test]
fn the_record_knows_what_an_extended_entry_only_points_to() {
    let lab = Lab::new();
    let store = lab.open();
    store.append(new_record("T", 0, "0", &[("TAGS", "A")])).unwrap();
    store.append(new_record("T", 0, "1", &[("TAGS", "B")])).unwrap();
    store.append(new_record("SCHEDULE_TOPIC_XXXX", 2, "later", &[("DELAY", "3")])).unwrap();
    let code = |topic, queue, at| store.queue_units(topic, queue, at, 1)[0].tags_code;
    let (first, second, due) = (code("T", 0, 0), code("T", 0, 1), code("SCHEDULE_TOPIC_XXXX", 2, 0));
    store.close();

    for (queue, entries) in [("T/0", 2), ("SCHEDULE_TOPIC_XXXX/2", 1)] {
        for entry in 0..entries {
            let path = lab.root().join("consumequeue").join(queue).join(file_name(0));
            let place = i64::MIN + 20 * entry;
            overwrite(path, 20 * entry + 20, 8, &place.to_be_bytes());
        }
    }
    let store = lab.open();
    let units = store.queue_units("T", 0, 0, 2);
    assert_eq!([units[0].tags_code, units[1].tags_code], [first, second]);
    assert_eq!(store.queue_units("SCHEDULE_TOPIC_XXXX", 2, 0, 1)[0].tags_code, due);
    let read = store.read("T", 0, 0, ReadLimits::messages(32), &|code| code == second);
    assert_eq!((read.records.len(), read.next_offset), (1, 2));
}

#[test]
fn light_queues_are_made_again() {
    let lab = Lab::new();
    let light = |config: &mut StoreConfig| config.light_queues = true;
    let names = ("INNER_MULTI_DISPATCH", "%LMQ%a,%LMQ%b,../c");
    for light_queues in [false, true] {
        let store = open(&lab, light);
        store.append(new_record("T", 1, "m", &[names, ("INNER_MULTI_QUEUE_OFFSET", "0,7,0")])).unwrap();
        store.close();
        fs::remove_dir_all(lab.root().join("consumequeue")).unwrap();
        let store = open(&lab, |config| config.light_queues = light_queues);
        assert_eq!(
            store.queues().iter().filter(|(topic, _)| topic.contains("LMQ")).count(),
            2 * usize::from(light_queues)
        );
        if light_queues {
            assert_eq!(store.queue_range("%LMQ%a", 0), (0, 1));
            assert_eq!(store.queue_range("%LMQ%b", 0), (7, 8));
        }
        store.close();
        fs::remove_dir_all(lab.root()).unwrap();
    }
}

#[test]
fn topics_with_batch_queues_get_no_others() {
    let lab = Lab::new();
    let store = lab.open();
    send(&store, "T", 0, "before Java made other queues for it");
    store.close();
    fs::remove_dir_all(lab.root().join("consumequeue")).unwrap();
    fs::create_dir_all(lab.root().join("batchconsumequeue/T/0")).unwrap();
    fs::create_dir_all(lab.root().join("consumequeue_ext/T/0")).unwrap();
    let store = lab.open();
    assert!(store.append(new_record("T", 0, "x", &[])).is_err());
    assert_eq!(store.queues(), []);
    assert!(!lab.root().join("consumequeue/T").exists());

    // Java would not start with queues of a topic that it does not know.
    store.delete_topic("T").unwrap();
    assert!(!lab.root().join("batchconsumequeue/T").exists());
    assert!(!lab.root().join("consumequeue_ext/T").exists());
    send(&store, "T", 0, "anew");
    assert_eq!(bodies(&store, "T", 0), ["anew"]);
}
