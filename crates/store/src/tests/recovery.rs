use super::*;
use crate::StoreError;

#[test]
fn a_closed_store_opens_as_it_was() {
    let lab = Lab::new();
    for round in 0..5 {
        let store = lab.open();
        assert_eq!(bodies(&store, "T", 0), numbered(0..round * 50));
        for number in round * 50..(round + 1) * 50 {
            assert_eq!(send(&store, "T", 0, &number.to_string()).queue_offset, number as i64);
        }
        assert!(lab.root().join("abort").exists());
        store.close();
        assert!(!lab.root().join("abort").exists());
    }
}

#[test]
fn a_crash_loses_nothing_that_was_written() {
    let lab = Lab::new();
    for round in 0..5 {
        let store = lab.open();
        assert_eq!(bodies(&store, "T", 0), numbered(0..round * 50));
        for number in round * 50..(round + 1) * 50 {
            let body = number.to_string();
            store.append(new_record("T", 0, &body, &[("KEYS", &body)])).unwrap();
        }
        if round == 2 {
            store.core_for_tests().save_checkpoint().unwrap();
        }
        drop(store);
        assert!(lab.root().join("abort").exists());
    }
    let store = lab.open();
    for number in 0..250 {
        assert_eq!(store.query("T", &number.to_string(), 99, 0, i64::MAX).records.len(), 1);
    }
}

#[test]
fn a_copy_of_a_running_store_can_be_recovered_twice() {
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..200 {
        send(&store, "T", 0, &number.to_string());
        if number == 120 {
            store.core_for_tests().save_checkpoint().unwrap();
        }
    }
    let copy = Lab::new();
    copy_dir(&lab.root(), &copy.root());
    for _ in 0..2 {
        let recovered = copy.open();
        assert_eq!(bodies(&recovered, "T", 0), numbered(0..200));
        drop(recovered);
    }
    assert_eq!(send(&copy.open(), "T", 0, "next").queue_offset, 200);
}

/// What `send` gives each record: `TAGS` and its value.
const PROPERTIES_LEN: i64 = 10;

/// Cuts the last record at every byte up to `spare` bytes before its end, and puts something there.
fn torn(spare: i64, tail: impl Fn(usize) -> Vec<u8>) {
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..5 {
        send(&store, "T", 0, &number.to_string());
    }
    let last = send(&store, "T", 0, "torn");
    drop(store);
    let path = lab.root().join("commitlog/00000000000000000000");
    let whole = fs::read(&path).unwrap();
    for cut in last.physical_offset..last.end - spare {
        let case = Lab::new();
        copy_dir(&lab.root(), &case.root());
        let mut bytes = whole[..cut as usize].to_vec();
        bytes.extend(tail((last.end - cut) as usize));
        bytes.resize(4096, 0);
        fs::write(case.root().join("commitlog/00000000000000000000"), bytes).unwrap();
        let store = case.open();
        assert_eq!(bodies(&store, "T", 0), numbered(0..5), "cut at {cut}");
        assert_eq!(store.max_physical_offset(), last.physical_offset);
        assert_eq!(send(&store, "T", 0, "new").queue_offset, 5);
        drop(store);
        let mut expected = numbered(0..5);
        expected.push("new".into());
        assert_eq!(bodies(&case.open(), "T", 0), expected, "cut at {cut}");
    }
}

#[test]
fn a_torn_tail_with_zeros_behind_is_cut_off() {
    torn(0, |_| Vec::new());
}

#[test]
fn a_torn_tail_with_noise_behind_is_cut_off() {
    // No checksum of Java's format covers the properties, so only zeros are seen in their place.
    torn(PROPERTIES_LEN, |len| (0..len + 300).map(|byte| (byte * 151 % 251) as u8 ^ 0xDA).collect());
}

#[test]
fn a_torn_tail_with_an_old_record_behind_is_cut_off() {
    let lab = Lab::new();
    let store = lab.open();
    let old = send(&store, "T", 0, "old");
    let old = store.raw_at(old.physical_offset, old.size as usize).unwrap();
    torn(PROPERTIES_LEN, |len| {
        let mut tail = vec![7; len];
        tail.extend(&old);
        tail
    });
}

#[test]
fn a_cut_file_loses_only_what_was_cut() {
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..5 {
        send(&store, "T", 0, &number.to_string());
    }
    let last = send(&store, "T", 0, "cut");
    drop(store);
    let path = lab.root().join("commitlog/00000000000000000000");
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(last.end as u64 - 1).unwrap();
    assert_eq!(bodies(&lab.open(), "T", 0), numbered(0..5));
}

#[test]
fn stale_bytes_behind_the_end_never_come_back() {
    let lab = Lab::new();
    let store = lab.open();
    let kept = send(&store, "T", 0, "kept");
    let torn = send(&store, "T", 0, "torn");
    send(&store, "T", 0, "stale");
    drop(store);
    // The log is torn at the second record, and the third one is older than what comes next.
    let path = lab.root().join("commitlog/00000000000000000000");
    let mut bytes = fs::read(&path).unwrap();
    bytes[torn.physical_offset as usize..][..20].fill(0);
    let third = torn.end as usize;
    bytes[third..][..8].fill(0);
    fs::write(&path, bytes).unwrap();
    let store = lab.open();
    assert_eq!(store.max_physical_offset(), kept.end);
    let bytes = fs::read(&path).unwrap();
    assert!(bytes[kept.end as usize..].iter().all(|byte| *byte == 0));
    lab.tick(1000);
    send(&store, "T", 0, "torn");
    drop(store);
    assert_eq!(bodies(&lab.open(), "T", 0), ["kept", "torn"]);
}

#[test]
fn lost_queues_and_indexes_are_made_again() {
    for what in ["consumequeue", "index", "checkpoint"] {
        for clean in [true, false] {
            let lab = Lab::new();
            let store = lab.open();
            for number in 0..150 {
                let body = number.to_string();
                store.append(new_record("T", 0, &body, &[("KEYS", &body)])).unwrap();
            }
            if clean {
                store.close();
            }
            drop(store);
            let path = lab.root().join(what);
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
            let store = lab.open();
            assert_eq!(bodies(&store, "T", 0), numbered(0..150), "{what}");
            assert_eq!(store.query("T", "77", 9, 0, i64::MAX).records.len(), 1, "{what}");
            assert_eq!(send(&store, "T", 0, "x").queue_offset, 150);
        }
    }
}

#[test]
fn a_cut_queue_file_is_made_again() {
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..50 {
        send(&store, "T", 0, &number.to_string());
        send(&store, "U", 0, &number.to_string());
    }
    store.close();
    let path = lab.root().join("consumequeue/T/0/00000000000000000400");
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(17).unwrap();
    let store = lab.open();
    assert_eq!(bodies(&store, "T", 0), numbered(0..50));
    assert_eq!(bodies(&store, "U", 0), numbered(0..50));
}

#[test]
fn a_wild_checkpoint_only_makes_recovery_look_further() {
    for offset in [-5i64, 1, 77, 1 << 40, i64::MAX] {
        let lab = Lab::new();
        let store = lab.open();
        for number in 0..100 {
            send(&store, "T", 0, &number.to_string());
        }
        drop(store);
        let path = lab.root().join("checkpoint");
        let mut bytes = fs::read(&path).unwrap();
        bytes[40..48].copy_from_slice(&offset.to_be_bytes());
        fs::write(&path, bytes).unwrap();
        let store = lab.open();
        let (_, max) = store.queue_range("T", 0);
        if offset < 4096 {
            assert_eq!(max, 100, "{offset}");
        }
    }
}

#[test]
fn a_second_opener_is_refused() {
    let lab = Lab::new();
    let store = lab.open();
    let second = Store::open(lab.config(), Box::new(|_| {}));
    assert!(matches!(second, Err(StoreError::Locked(_))));
    store.close();
    lab.open();
}

#[test]
fn another_file_size_is_refused() {
    let lab = Lab::new();
    let store = lab.open();
    for _ in 0..10 {
        send(&store, "T", 0, &"x".repeat(1000));
    }
    store.close();
    let config = StoreConfig { mapped_file_size_commit_log: 8192, ..lab.config() };
    let refused = Store::open(config, Box::new(|_| {})).unwrap_err();
    assert!(refused.to_string().contains("mappedFileSizeCommitLog"), "{refused}");
}

#[test]
fn an_empty_store_touches_nothing_large() {
    let lab = Lab::new();
    let config = StoreConfig::new(lab.root());
    let store = Store::open(config, Box::new(|_| {})).unwrap();
    assert_eq!(fs::read_dir(lab.root().join("commitlog")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(lab.root().join("index")).unwrap().count(), 0);
    assert_eq!((store.min_physical_offset(), store.max_physical_offset()), (0, 0));
    assert_eq!(store.earliest_time(), None);
    store.close();
    assert_eq!(fs::read(lab.root().join("lock")).unwrap(), b"lock");
    assert_eq!(fs::metadata(lab.root().join("checkpoint")).unwrap().len(), 4096);
}

#[test]
fn a_store_without_a_log_keeps_its_offsets() {
    let lab = Lab::new();
    let store = lab.open();
    send(&store, "T", 0, "x");
    store.close();
    fs::remove_dir_all(lab.root().join("commitlog")).unwrap();
    let store = lab.open();
    assert_eq!(bodies(&store, "T", 0), numbered(0..0));
    assert_eq!(send(&store, "T", 0, "y").queue_offset, 1, "consumers go on at 1");
    assert_eq!(bodies(&store, "T", 0), ["y"]);
}

/// Two queues of several files each, closed or crashed.
fn several_queue_files(clean: bool) -> Lab {
    let lab = Lab::new();
    // What a store knows of its queues it notes when it is opened or closed.
    for run in 0..2 {
        let store = lab.open();
        for number in run * 25..(run + 1) * 25 {
            send(&store, "T", 0, &number.to_string());
            send(&store, "U", 3, &number.to_string());
        }
        store.core_for_tests().queues.flush(true).unwrap();
        if clean || run == 0 {
            store.close();
        }
    }
    lab
}

#[track_caller]
fn all_is_made_again(lab: &Lab, what: &str) {
    for _ in 0..2 {
        let store = lab.open();
        assert_eq!(bodies(&store, "T", 0), numbered(0..50), "{what}");
        assert_eq!(bodies(&store, "U", 3), numbered(0..50), "{what}");
        assert_eq!(store.queue_range("T", 0), (0, 50), "{what}");
    }
    assert_eq!(send(&lab.open(), "T", 0, "50").queue_offset, 50, "{what}");
}

#[test]
fn a_deleted_queue_is_made_again() {
    for clean in [true, false] {
        for gone in
            ["T", "T/0", "T/0/00000000000000000000", "T/0/00000000000000000400", "T/0/00000000000000000800"]
        {
            let lab = several_queue_files(clean);
            let path = lab.root().join("consumequeue").join(gone);
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
            all_is_made_again(&lab, gone);
        }
    }
}

#[test]
fn damaged_units_are_made_again_or_healed() {
    for clean in [true, false] {
        for unit in [0, 1, 7, 19, 20, 31, 49] {
            for (byte, bits) in [(0, 0x80), (7, 1), (8, 0x80), (11, 0xFF)] {
                let lab = several_queue_files(clean);
                let path = lab.root().join(format!("consumequeue/T/0/{:020}", unit / 20 * 400));
                let mut bytes = fs::read(&path).unwrap();
                bytes[unit % 20 * 20 + byte] ^= bits;
                fs::write(&path, bytes).unwrap();
                all_is_made_again(&lab, &format!("byte {byte} of unit {unit}"));
            }
        }
    }
}

#[test]
fn a_checkpoint_with_flipped_bits_loses_nothing() {
    for byte in 0..48 {
        let lab = Lab::new();
        let store = lab.open();
        for number in 0..60 {
            lab.tick(1000);
            send(&store, "T", 0, &number.to_string());
            if number == 30 {
                store.core_for_tests().save_checkpoint().unwrap();
            }
        }
        drop(store);
        let path = lab.root().join("checkpoint");
        let mut bytes = fs::read(&path).unwrap();
        bytes[byte] ^= 0x11;
        fs::write(&path, bytes).unwrap();
        assert_eq!(bodies(&lab.open(), "T", 0), numbered(0..60), "byte {byte}");
    }
}
