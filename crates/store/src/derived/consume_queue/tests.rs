use super::*;

const PER_FILE: u64 = 300;

fn queue(dir: &tempfile::TempDir) -> ConsumeQueue {
    ConsumeQueue::new("T".into(), 3, dir.path().join("T/3"), PER_FILE, OpenFiles::default())
}

fn load(queue: &ConsumeQueue, dir: &tempfile::TempDir) -> Result<bool, StoreError> {
    queue.load(&Mutex::new(&mut Checkpoint::open(dir.path()).unwrap()), None)
}

fn reopen(dir: &tempfile::TempDir, limit: u64) -> ConsumeQueue {
    let queue = queue(dir);
    assert!(load(&queue, dir).unwrap());
    queue.truncate(limit).unwrap();
    queue
}

fn unit(number: i64) -> Unit {
    Unit { physical_offset: number * 100, size: 100, tags_code: number }
}

fn fill(queue: &ConsumeQueue, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let behind_gap = number > queue.max();
        let expected = if behind_gap { Put::AddedBehindGap } else { Put::Added };
        assert_eq!(queue.put(number, unit(number)), expected);
    }
}

#[test]
fn units_are_read_from_memory_and_files_alike() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    for flush_every in [1, 7, 1000] {
        let from = queue.max();
        for number in from..from + 500 {
            queue.put(number, unit(number));
            if number % flush_every == 0 {
                queue.flush(false).unwrap();
            }
        }
        for number in 0..queue.max() {
            assert_eq!(queue.unit(number), Some(unit(number)));
        }
    }
    assert_eq!(queue.range(0), (0, 1500));
    assert_eq!(queue.unit(1500), None);
    assert_eq!(queue.unit(-1), None);
    let read = queue.units(250, 100);
    assert_eq!(read.len(), 50, "a read ends with its file");
    assert_eq!(read[49], unit(299));
}

#[test]
fn files_have_javas_names_and_length() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    fill(&queue, 0..301);
    queue.flush(true).unwrap();
    let files = list(&dir.path().join("T/3")).unwrap();
    assert_eq!(files, [(0, 6000), (6000, 6000)]);
    let bytes = fs::read(dir.path().join("T/3/00000000000000000000")).unwrap();
    assert_eq!(bytes[20..40], unit(1).to_bytes());
}

#[test]
fn building_twice_is_safe() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    fill(&queue, 0..10);
    for number in 0..10 {
        assert_eq!(queue.put(number, unit(number)), Put::Known);
    }
    fill(&queue, 10..11);
    assert_eq!(queue.max(), 11);
}

#[test]
fn a_new_queue_that_does_not_begin_at_0_is_filled_up() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    fill(&queue, 310..312);
    queue.flush(false).unwrap();
    assert_eq!(queue.range(0), (310, 312));
    let bytes = fs::read(dir.path().join("T/3/00000000000000006000")).unwrap();
    for number in 0..10 {
        assert_eq!(bytes[number * 20..number * 20 + 20], Unit::filler(0).to_bytes());
    }
    let queue = reopen(&dir, u64::MAX);
    assert_eq!(queue.range(0), (310, 312));
    assert_eq!(queue.range(31_050), (311, 312));
    assert_eq!(queue.range(99_999), (312, 312));
}

#[test]
fn truncation_finds_the_end_at_every_place() {
    let dir = tempfile::tempdir().unwrap();
    let made = queue(&dir);
    fill(&made, 0..700);
    made.flush(false).unwrap();
    drop(made);
    for keep in [700, 650, 601, 600, 599, 301, 300, 299, 1, 0] {
        let queue = reopen(&dir, keep * 100);
        assert_eq!(queue.max(), keep as i64);
        assert_eq!(queue.indexed(), keep * 100);
        let files = list(&dir.path().join("T/3")).unwrap_or_default();
        assert_eq!(files.len() as u64, keep.div_ceil(300));
    }
}

#[test]
fn nothing_behind_a_truncated_end_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let made = queue(&dir);
    fill(&made, 0..20);
    made.flush(false).unwrap();
    drop(made);
    let queue = reopen(&dir, 500);
    fill(&queue, 5..6);
    queue.flush(false).unwrap();
    drop(queue);
    assert_eq!(reopen(&dir, u64::MAX).max(), 6);
}

#[test]
fn a_small_gap_is_filled_and_an_impossible_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    fill(&queue, 0..5);
    assert_eq!(queue.put(1_000_000, unit(6)), Put::Refused);
    assert_eq!(queue.put(8, unit(20)), Put::AddedBehindGap);
    assert_eq!(queue.unit(6), Some(Unit::filler(2000)));
    assert_eq!(queue.range(0), (0, 9));
    queue.flush(false).unwrap();
    let queue = reopen(&dir, u64::MAX);
    assert_eq!((queue.max(), queue.indexed()), (9, 2100));
    let queue = reopen(&dir, 2000);
    assert_eq!(queue.max(), 5);
}

#[test]
fn a_queue_that_begins_anew_replaces_its_former_life() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    fill(&queue, 0..400);
    let again = |number| Unit { physical_offset: 1_000_000 + number * 100, ..unit(number) };
    assert_eq!(queue.put(0, again(0)), Put::Added);
    assert_eq!(queue.put(1, again(1)), Put::Added);
    queue.flush(false).unwrap();
    assert_eq!(reopen(&dir, u64::MAX).range(0), (0, 2));
}

#[test]
fn a_cut_file_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let made = queue(&dir);
    fill(&made, 0..700);
    made.flush(false).unwrap();
    drop(made);
    let path = dir.path().join("T/3").join(file_name(6000));
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap();
    let queue = queue(&dir);
    assert!(!load(&queue, &dir).unwrap());
    queue.truncate(u64::MAX).unwrap();
    assert_eq!(queue.max(), 300);
    fill(&queue, 300..700);
    assert_eq!(queue.unit(650), Some(unit(650)));
}

#[test]
fn another_file_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let made = queue(&dir);
    fill(&made, 0..301);
    made.flush(false).unwrap();
    let other = ConsumeQueue::new("T".into(), 3, dir.path().join("T/3"), 200, OpenFiles::default());
    assert!(matches!(load(&other, &dir), Err(StoreError::FileSize { .. })));
}

#[test]
fn idle_queues_close_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    fill(&queue, 0..3);
    assert!(queue.activate());
    assert!(queue.flush(true).unwrap(), "used since the last flush");
    assert!(!queue.flush(true).unwrap());
    assert!(queue.state.lock().open.is_none());
    assert!(queue.activate(), "it can be activated again");
}

#[test]
fn old_files_go_but_never_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    fill(&queue, 0..700);
    queue.flush(false).unwrap();
    assert_eq!(queue.delete_before(29_900).unwrap(), 0);
    assert_eq!(queue.delete_before(29_901).unwrap(), 1);
    assert_eq!(queue.range(29_901), (300, 700));
    assert_eq!(queue.delete_before(1_000_000).unwrap(), 1);
    assert_eq!(queue.range(1_000_000), (700, 700));
    assert_eq!(list(&dir.path().join("T/3")).unwrap(), [(12000, 6000)]);
}

#[test]
fn lost_units_at_the_end_are_filled_up() {
    for before in [0, 5, 299, 300, 301] {
        let dir = tempfile::tempdir().unwrap();
        let lost = queue(&dir);
        fill(&lost, 0..before);
        assert!(!lost.fill_to(before));
        assert!(lost.fill_to(before + 7));
        assert_eq!((lost.extent().1, lost.take_next()), (before + 7, before + 7));
        assert!(lost.unit(before + 6).unwrap().is_filler());
        lost.flush(true).unwrap();
        let end = (before * 100).max(1) as u64;
        assert_eq!(reopen(&dir, end).max(), before + 7, "{before}");
    }
}
