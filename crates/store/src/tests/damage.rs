use super::*;

/// A crashed store with 12 records in queue 0, over several files; returns their places.
fn crashed(lab: &Lab) -> Vec<crate::Appended> {
    let store = lab.open();
    let body = |number: usize| format!("{number}:{}", "x".repeat(600));
    let places = (0..12).map(|number| send(&store, "T", 0, &body(number))).collect();
    drop(store);
    places
}

fn flip(lab: &Lab, offset: i64, bits: u8) {
    let path = lab.root().join(format!("commitlog/{:020}", offset / 4096 * 4096));
    let mut bytes = fs::read(&path).unwrap();
    bytes[(offset % 4096) as usize] ^= bits;
    fs::write(&path, bytes).unwrap();
}

fn numbers(store: &Store) -> Vec<usize> {
    let found = bodies(store, "T", 0);
    found.iter().map(|body| body.split(':').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn damage_in_the_middle_costs_one_record() {
    // Size, magic, CRC, physical offset, body length, body. (Java's CRC covers the body only: what else
    // is flipped shows when lengths or places no longer fit.)
    for byte in [0, 1, 3, 4, 7, 8, 30, 84, 85, 87, 300] {
        for victim in [1, 4, 5, 9] {
            let lab = Lab::new();
            let places = crashed(&lab);
            flip(&lab, places[victim].physical_offset + byte, 0x41);
            let expected: Vec<usize> = (0..12).filter(|number| *number != victim).collect();
            for _ in 0..2 {
                let store = lab.open();
                assert_eq!(numbers(&store), expected, "byte {byte} of record {victim}");
                assert_eq!(store.queue_range("T", 0), (0, 12));
                drop(store);
            }
            let store = lab.open();
            assert_eq!(send(&store, "T", 0, "12:").queue_offset, 12);
            store.close();
            assert_eq!(numbers(&lab.open()).len(), 12);
        }
    }
}

#[test]
fn damage_is_counted() {
    let lab = Lab::new();
    let places = crashed(&lab);
    flip(&lab, places[2].physical_offset + 100, 1);
    flip(&lab, places[6].physical_offset + 4, 1);
    let store = lab.open();
    assert_eq!(store.status().damaged_records, 2);
}

#[test]
fn records_damaged_since_the_close_are_not_delivered() {
    let lab = Lab::new();
    let store = lab.open();
    let places: Vec<_> = (0..12).map(|n| send(&store, "T", 0, &format!("{n}:body"))).collect();
    store.close();
    drop(store);
    flip(&lab, places[3].physical_offset + 90, 4);
    flip(&lab, places[7].physical_offset + 23, 4);
    let store = lab.open();
    assert_eq!(numbers(&store), [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]);
    assert_eq!(store.status().damaged_records, 2);
    assert!(store.record_at(places[3].physical_offset).is_none());
}

#[test]
fn a_lost_file_costs_only_its_records() {
    let lab = Lab::new();
    let places = crashed(&lab);
    fs::remove_file(lab.root().join("commitlog/00000000000000004096")).unwrap();
    let expected: Vec<usize> = (0..12).filter(|number| places[*number].physical_offset / 4096 != 1).collect();
    let store = lab.open();
    assert_eq!(numbers(&store), expected);
    drop(store);
    assert_eq!(numbers(&lab.open()), expected);
}

#[test]
fn no_flipped_bit_breaks_a_store() {
    let lab = Lab::new();
    let places = crashed(&lab);
    let end = places[11].end;
    for step in 0..150 {
        let case = Lab::new();
        copy_dir(&lab.root(), &case.root());
        flip(&case, step * 7919 % end, 1 << (step % 8));
        let store = case.open();
        let found = numbers(&store);
        assert!(found.len() >= 11, "step {step}: {found:?}");
        assert!(found.is_sorted());
        for number in &found {
            assert!(*number < 12);
        }
    }
}

#[test]
fn no_flipped_bit_in_derived_files_breaks_a_store() {
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..30 {
        let body = format!("{number}:");
        store.append(new_record("T", 0, &body, &[("KEYS", "k")])).unwrap();
    }
    store.close();
    drop(store);
    let index = fs::read_dir(lab.root().join("index")).unwrap().next().unwrap().unwrap().path();
    let index = index.strip_prefix(lab.root()).unwrap().to_owned();
    let files = [index, "consumequeue/T/0/00000000000000000000".into(), "checkpoint".into()];
    for file in files {
        for step in 0..60 {
            let case = Lab::new();
            copy_dir(&lab.root(), &case.root());
            let mut bytes = fs::read(case.root().join(&file)).unwrap();
            let at = step * 7 % bytes.len().min(600);
            bytes[at] ^= 1 << (step % 8);
            fs::write(case.root().join(&file), bytes).unwrap();
            let Ok(store) = Store::open(case.config(), Box::new(|_| {})) else {
                panic!("{} byte {at}", file.display());
            };
            let found = numbers(&store);
            assert!(found.len() >= 29, "{} byte {at}: {found:?}", file.display());
            store.query("T", "k", 99, 0, i64::MAX);
            send(&store, "T", 0, "99:");
        }
    }
}

/// The last record of a queue is damaged, and behind it lies one of another queue.
#[test]
fn the_offset_of_a_damaged_last_record_is_not_given_again() {
    let lab = Lab::new();
    let store = lab.open();
    let places: Vec<_> = (0..3).map(|n| send(&store, "T", 0, &format!("{n}:"))).collect();
    send(&store, "U", 0, "0:");
    store.core_for_tests().queues.flush(true).unwrap();
    drop(store);
    flip(&lab, places[2].physical_offset + 86, 1);
    for _ in 0..2 {
        let store = lab.open();
        assert_eq!(numbers(&store), [0, 1]);
        assert_eq!(store.queue_range("T", 0), (0, 3));
    }
    let store = lab.open();
    assert_eq!(send(&store, "T", 0, "3:").queue_offset, 3);
    assert_eq!(numbers(&store), [0, 1, 3]);
}
