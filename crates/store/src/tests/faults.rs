//! What the tests with injected faults (tests/faults) have found, each as small as can be.

use super::*;

/// A store with a checkpoint in the middle of 100 messages, crashed.
fn with_checkpoint(lab: &Lab) {
    let store = lab.open();
    for number in 0..100 {
        let body = number.to_string();
        store.append(new_record("T", 0, &body, &[("KEYS", &body)])).unwrap();
        if number == 60 {
            store.core_for_tests().save_checkpoint().unwrap();
        }
    }
}

#[test]
fn making_queues_again_may_be_interrupted() {
    // The second start saw whole directories and a checkpoint that vouched for what was not there.
    for what in ["consumequeue", "index"] {
        let lab = Lab::new();
        with_checkpoint(&lab);
        fs::remove_dir_all(lab.root().join(what)).unwrap();
        for _ in 0..3 {
            // Crashed each time before the next checkpoint.
            let store = lab.open();
            assert_eq!(bodies(&store, "T", 0), numbered(0..100), "{what}");
            assert_eq!(store.query("T", "7", 9, 0, i64::MAX).records.len(), 1, "{what}");
        }
    }
}

#[test]
fn making_a_cut_queue_file_again_may_be_interrupted() {
    let lab = Lab::new();
    with_checkpoint(&lab);
    let path = lab.root().join("consumequeue/T/0/00000000000000000400");
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(17).unwrap();
    for _ in 0..3 {
        assert_eq!(bodies(&lab.open(), "T", 0), numbered(0..100));
    }
}

#[test]
fn a_checkpoint_waits_for_a_flush_that_is_at_it() {
    // Two flushes at once: the second found nothing to do while the first was still writing.
    let lab = Lab::new();
    let store = lab.open();
    let saver = store.clone();
    let saving = std::thread::spawn(move || {
        for _ in 0..40 {
            saver.core_for_tests().save_checkpoint().unwrap();
        }
    });
    let mut sent = 0;
    while !saving.is_finished() {
        for queue in 0..8 {
            send(&store, "T", queue, &sent.to_string());
        }
        sent += 1;
        let copy = Lab::new();
        // The checkpoint first: what it vouches for was there before.
        fs::create_dir_all(copy.root()).unwrap();
        fs::copy(lab.root().join("checkpoint"), copy.root().join("checkpoint")).unwrap();
        let checkpoint = fs::read(copy.root().join("checkpoint")).unwrap();
        copy_dir(&lab.root(), &copy.root());
        fs::write(copy.root().join("checkpoint"), checkpoint).unwrap();
        let recovered = copy.open();
        for queue in 0..8 {
            assert_eq!(bodies(&recovered, "T", queue), numbered(0..sent));
        }
    }
    saving.join().unwrap();
}

#[test]
fn an_index_slot_without_its_entry_does_not_hide_older_entries() {
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..40 {
        store.append(new_record("T", 0, "x", &[("KEYS", &format!("k{number}"))])).unwrap();
    }
    store.core_for_tests().save_checkpoint().unwrap();
    drop(store);
    let path = fs::read_dir(lab.root().join("index")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&path).unwrap();
    for slot in 0..100 {
        // A power cut kept the slots but neither the entries nor the header.
        bytes[40 + slot * 4..][..4].copy_from_slice(&500u32.to_be_bytes());
    }
    fs::write(path, bytes).unwrap();
    let store = lab.open();
    for number in 0..40 {
        assert_eq!(store.query("T", &format!("k{number}"), 9, 0, i64::MAX).records.len(), 1, "{number}");
    }
}

#[test]
fn a_sector_of_zeros_in_the_properties_is_a_torn_write() {
    let lab = Lab { file_len: 16384, ..Lab::new() };
    let store = lab.open();
    send(&store, "T", 0, "kept");
    let long = "y".repeat(3000);
    let torn = store.append(new_record("T", 0, "torn", &[("k", &long)])).unwrap();
    drop(store);
    let path = lab.root().join("commitlog/00000000000000000000");
    let mut bytes = fs::read(&path).unwrap();
    let sector = (torn.physical_offset as usize + 1000).next_multiple_of(512);
    bytes[sector..sector + 512].fill(0);
    fs::write(path, bytes).unwrap();
    let store = lab.open();
    assert_eq!(bodies(&store, "T", 0), ["kept"]);
    assert_eq!(store.max_physical_offset(), torn.physical_offset);
}

#[test]
fn a_damaged_queue_offset_costs_its_own_record_only() {
    // The lowest bits of the queue offset, which lies 20 bytes into the record; also of the first record.
    for (victim, byte, bits) in
        [(0, 27, 1), (0, 26, 1), (3, 27, 4), (5, 27, 1), (5, 27, 8), (5, 24, 1), (9, 27, 16)]
    {
        let lab = Lab::new();
        let store = lab.open();
        let places: Vec<_> = (0..10).map(|number| send(&store, "T", 0, &number.to_string())).collect();
        drop(store);
        let path = lab.root().join("commitlog/00000000000000000000");
        let mut bytes = fs::read(&path).unwrap();
        bytes[places[victim].physical_offset as usize + byte] ^= bits;
        fs::write(path, bytes).unwrap();
        for _ in 0..2 {
            let store = lab.open();
            let found = bodies(&store, "T", 0);
            for number in (0..10).filter(|number| *number != victim) {
                assert!(found.contains(&number.to_string()), "record {victim}, byte {byte}: {found:?}");
            }
        }
    }
}

#[test]
fn a_torn_batch_or_first_record_of_a_file_takes_only_itself() {
    let lab = Lab::new();
    let store = lab.open();
    let kept: Vec<_> = (0..3).map(|number| format!("{number}{}", "x".repeat(1100))).collect();
    kept.iter().for_each(|body| _ = send(&store, "T", 0, body));
    // The log rolls: the batch is the first in the next file.
    let batch: Vec<_> = (3..6).map(|number| format!("{number}{}", "y".repeat(100))).collect();
    let records = batch.iter().map(|body| new_record("T", 0, body, &[("k", "v")])).collect();
    let places = store.append_batch(records).unwrap();
    assert_eq!(places[0].physical_offset, 4096);
    drop(store);
    let path = "commitlog/00000000000000004096";
    let whole = fs::read(lab.root().join(path)).unwrap();
    let (start, end) = (4096, places[2].end);
    for cut in start..end {
        for tail in [Vec::new(), vec![0xDA; 50], whole[..200].to_vec()] {
            let case = Lab::new();
            copy_dir(&lab.root(), &case.root());
            // Noise cannot be told from properties, which no checksum covers.
            let in_properties = places.iter().any(|place| (place.end - 8..place.end).contains(&cut));
            if in_properties && !tail.is_empty() {
                continue;
            }
            let mut bytes = [&whole[..(cut - start) as usize], &tail].concat();
            bytes.resize(4096, 0);
            fs::write(case.root().join(path), bytes).unwrap();
            let survivors = places.iter().filter(|place| place.end <= cut).count();
            let mut expected = kept.clone();
            expected.extend(batch[..survivors].iter().cloned());
            // A whole old record in the place of the first one is that record.
            if cut == start && tail.len() == 200 {
                continue;
            }
            let store = case.open();
            assert_eq!(bodies(&store, "T", 0), expected, "cut at {cut}, {} bytes behind", tail.len());
            send(&store, "T", 0, "new");
            drop(store);
            expected.push("new".into());
            assert_eq!(bodies(&case.open(), "T", 0), expected, "cut at {cut}, {} bytes behind", tail.len());
        }
    }
}
