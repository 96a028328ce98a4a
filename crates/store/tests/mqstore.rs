//! The program `mqstore` on stores that are whole, crashed and damaged in every kind of file.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use rmq_proto::message::{Properties, flags};
use rmq_store::{
    Appended, NewRecord, NoFilter, ReadLimits, Retention, Store, StoreConfig,
    inspect::{Finding, Layout, StoppedStore},
};
use serde_json::Value;
use tempfile::TempDir;

const LOG_FILE: u64 = 8192;
const QUEUE_FILE: u64 = 400;

/// A store in a temporary directory, with small files.
struct Lab {
    dir: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn config(&self) -> StoreConfig {
        StoreConfig {
            mapped_file_size_commit_log: LOG_FILE,
            mapped_file_size_consume_queue: QUEUE_FILE,
            index_slots: 100,
            index_entries: 400,
            checkpoint_interval_ms: u64::MAX,
            queue_flush_interval_ms: 10,
            retention: Retention {
                delete_when: String::new(),
                disk_max_used_percent: 100,
                disk_reserved_bytes: 0,
                clean_forcibly: false,
                ..Retention::default()
            },
            ..StoreConfig::new(self.root())
        }
    }

    fn open(&self) -> Arc<Store> {
        Store::open(self.config(), Box::new(|_| {})).unwrap()
    }

    /// The config file of a broker with these sizes.
    fn config_file(&self) -> PathBuf {
        let path = self.dir.path().join("broker.conf");
        let sizes = format!("mappedFileSizeCommitLog={LOG_FILE}\nmappedFileSizeConsumeQueue={QUEUE_FILE}\n");
        fs::write(&path, sizes + "maxHashSlotNum=100\nmaxIndexNum=400\n").unwrap();
        path
    }

    /// Records in two topics with three queues, over several files of each kind, and one half message.
    fn filled() -> Self {
        let lab = Self::new();
        let store = lab.open();
        lab.fill(&store);
        store.close();
        lab
    }

    fn fill(&self, store: &Store) {
        for number in 0..100 {
            store.append(record("T", number % 2, number)).unwrap();
            store.append(record("U", 0, number)).unwrap();
        }
        let half = NewRecord { sys_flag: flags::TRANSACTION_PREPARED, ..record("T", 0, 100) };
        store.append(half).unwrap();
        store.append(record("U", 0, 100)).unwrap();
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mqstore"));
        command.arg(words[0]).arg(self.root()).args(&words[1..]).output().unwrap()
    }

    fn run_configured(&self, words: &[&str]) -> Output {
        let config = self.config_file();
        let words: Vec<&str> = words.iter().copied().chain(["-c", config.to_str().unwrap()]).collect();
        self.run(&words)
    }

    /// What `mqstore check` finds, without notes.
    fn findings(&self) -> Vec<(String, String)> {
        let output = self.run_configured(&["check", "--json"]);
        let found = lines(&output);
        let findings = found.iter().filter(|line| line["type"] == "finding" && line["severity"] != "note");
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let findings: Vec<_> = findings.map(|line| (text(line, "severity"), text(line, "kind"))).collect();
        let is_damaged = findings.iter().any(|(severity, _)| severity == "damage");
        assert_eq!(output.status.code(), Some(i32::from(is_damaged)), "{}", text_of(&output));
        findings
    }

    #[track_caller]
    fn assert_found(&self, kinds: &[&str]) {
        let found = self.findings();
        for kind in kinds {
            let wanted = ("damage".to_owned(), (*kind).to_owned());
            assert!(found.contains(&wanted), "{kind} is not in {found:?}");
        }
    }

    #[track_caller]
    fn assert_sound(&self) {
        let found = self.findings();
        assert!(found.is_empty(), "{found:?}");
    }

    #[track_caller]
    fn repair(&self) {
        let output = self.run_configured(&["repair"]);
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
        self.assert_sound();
    }

    /// Bodies of a queue, and its range.
    fn contents(&self, topic: &str, queue: i32) -> (Vec<String>, (i64, i64)) {
        let store = self.open();
        let range = store.queue_range(topic, queue);
        let (mut offset, mut found) = (range.0, Vec::new());
        while offset < range.1 {
            let read = store.read(topic, queue, offset, ReadLimits::messages(32), &NoFilter);
            assert!(read.next_offset > offset);
            offset = read.next_offset;
            for bytes in read.records {
                let message = rmq_proto::message::Message::decode(&bytes).unwrap();
                found.push(String::from_utf8(message.body.to_vec()).unwrap());
            }
        }
        store.close();
        (found, range)
    }

    fn queue_file(&self, queue: &str, start: u64) -> PathBuf {
        self.root().join(format!("consumequeue/{queue}/{start:020}"))
    }

    fn log_file(&self, start: u64) -> PathBuf {
        self.root().join(format!("commitlog/{start:020}"))
    }

    fn index_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(self.root().join("index")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The records of the log, as `mqstore dump` prints them.
    fn records(&self) -> Vec<Value> {
        lines(&self.run_configured(&["dump", "log", "--json"]))
            .into_iter()
            .filter(|line| line["type"] == "record")
            .collect()
    }
}

fn record(topic: &str, queue_id: i32, number: i32) -> NewRecord {
    let key = format!("{topic}-{number}");
    let properties: Properties =
        [("TAGS", "TagA"), ("KEYS", &key), ("UNIQ_KEY", &format!("id-{key}"))].into_iter().collect();
    NewRecord {
        topic: topic.into(),
        queue_id,
        flag: 7,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: "10.0.0.1:50000".parse().unwrap(),
        store_host: "10.0.0.2:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: format!("body {number} {}", "x".repeat(150)).into(),
        properties: properties.encode().into(),
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn flip(path: &Path, at: u64, bits: u8) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= bits;
    file.write_all_at(&byte, at).unwrap();
}

fn cut(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Names, lengths and bytes of all files.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(snapshot(&path)),
            false => found.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn a_healthy_store_is_sound_with_and_without_a_config_file() {
    let lab = Lab::filled();
    let before = snapshot(&lab.root());
    lab.assert_sound();
    let output = lab.run(&["check", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let found = lines(&output);
    let [summary] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&summary["type"], &summary["sound"]), (&"summary".into(), &true.into()));
    assert_eq!(
        (&summary["records"], &summary["entries"], &summary["queues"]),
        (&202.into(), &201.into(), &3.into())
    );
    assert_eq!(summary["index_entries"], 606);
    assert_eq!(snapshot(&lab.root()), before, "a check writes nothing");
}

#[test]
fn a_store_that_can_only_be_read_is_looked_at() {
    let lab = Lab::filled();
    // Root may write anywhere; that nothing is created shows in the snapshot of the test above.
    fs::set_permissions(lab.root(), fs::Permissions::from_mode(0o555)).unwrap();
    lab.assert_sound();
    assert_eq!(lab.records().len(), 202);
    fs::set_permissions(lab.root(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_crash_is_no_damage() {
    let lab = Lab::new();
    let store = lab.open();
    lab.fill(&store);
    drop(store);
    // Queues that did not reach the disk (or perhaps did not anyway), and a record that did in part.
    for start in [1600, 2000] {
        let _ = fs::remove_file(lab.queue_file("U/0", start));
    }
    // Files that were being created.
    fs::write(lab.queue_file("U/0", 1600), []).unwrap();
    fs::write(lab.root().join("index/20991231235959999"), []).unwrap();
    let end = lab
        .records()
        .last()
        .map(|last| last["physical_offset"].as_u64().unwrap() + last["size"].as_u64().unwrap());
    let end = end.unwrap();
    let tail = fs::OpenOptions::new().write(true).open(lab.log_file(end / LOG_FILE * LOG_FILE)).unwrap();
    tail.write_all_at(b"half a rec", end % LOG_FILE).unwrap();
    let before = snapshot(&lab.root());
    let found = lab.findings();
    assert!(found.iter().all(|(severity, _)| severity == "pending"), "{found:?}");
    for kind in ["log.tail", "queue.pending", "queue.file", "index.file"] {
        assert!(found.iter().any(|(_, known)| known == kind), "{kind}: {found:?}");
    }
    let text = text_of(&lab.run_configured(&["check"]));
    assert!(text.contains("crashed") && text.contains("the next start walks the log from 0"), "{text}");
    assert_eq!(snapshot(&lab.root()), before);
    lab.repair();
    assert!(!lab.root().join("abort").exists());
    assert_eq!(lab.contents("U", 0).1, (0, 101));
}

#[test]
fn a_flipped_bit_in_the_log_is_found_and_sealed() {
    let lab = Lab::filled();
    let records = lab.records();
    // A body in the middle, the magic of the next one.
    for (number, at) in [(50, 120), (77, 5)] {
        let at = records[number]["physical_offset"].as_u64().unwrap() + at;
        flip(&lab.log_file(at / LOG_FILE * LOG_FILE), at % LOG_FILE, 4);
    }
    lab.assert_found(&["log.damaged", "queue.stray", "index.entry"]);
    let ranges = [lab.contents("T", 0).1, lab.contents("T", 1).1, lab.contents("U", 0).1];
    lab.repair();
    let after = [lab.contents("T", 0).1, lab.contents("T", 1).1, lab.contents("U", 0).1];
    assert_eq!(ranges, after);
    let left: usize = [("T", 0), ("T", 1), ("U", 0)].iter().map(|(t, q)| lab.contents(t, *q).0.len()).sum();
    assert_eq!(left, 199);
}

#[test]
fn the_last_record_of_a_queue_may_be_lost_but_not_its_offset() {
    let lab = Lab::filled();
    // The last record of T/1 and the last of all.
    let records = lab.records();
    let last_of = |topic: &str, queue: i64| {
        let of_queue = |record: &&Value| record["topic"] == topic && record["queue_id"] == queue;
        records.iter().rfind(of_queue).unwrap()["physical_offset"].as_u64().unwrap()
    };
    for at in [last_of("T", 1) + 120, last_of("U", 0) + 120] {
        flip(&lab.log_file(at / LOG_FILE * LOG_FILE), at % LOG_FILE, 4);
    }
    lab.assert_found(&["log.damaged", "queue.stray", "checkpoint"]);
    lab.repair();
    let store = lab.open();
    assert_eq!(store.queue_range("T", 1).1, 50);
    assert_eq!(store.append(record("T", 1, 0)).unwrap().queue_offset, 50);
    store.close();
    lab.assert_sound();
}

#[test]
fn a_flipped_bit_in_a_queue_is_found_and_healed() {
    let lab = Lab::filled();
    let contents = lab.contents("U", 0);
    // Physical offset, size and tags code of three entries, the first and the last among them.
    // The last one is the first of its file.
    for (start, at) in [(0, 7), (800, 5 * 20 + 11), (800, 9 * 20 + 19), (2000, 3)] {
        flip(&lab.queue_file("U/0", start), at, 1);
        let found = lab.findings();
        assert!(found.iter().any(|(_, kind)| kind.starts_with("queue.")), "{start} {at}: {found:?}");
        lab.repair();
        assert_eq!(lab.contents("U", 0), contents);
    }
    // Not an entry at all any more.
    let file = fs::OpenOptions::new().write(true).open(lab.queue_file("T/0", 400)).unwrap();
    file.write_all_at(&[0; 60], 100).unwrap();
    lab.assert_found(&["queue.missing"]);
    lab.repair();
}

#[test]
fn a_flipped_bit_in_the_index_is_found_and_healed() {
    let lab = Lab::filled();
    // Begin offset, count, a slot, then hash, offset, seconds and previous of entry 9.
    let entry = 40 + 400 + 9 * 20;
    for at in [23, 39, 40 + 50 * 4 + 3, entry + 2, entry + 9, entry + 14, entry + 18] {
        let case = Lab::new();
        copy(&lab.root(), &case.root());
        flip(&case.index_files()[0], at, 1);
        let found = case.findings();
        assert!(found.iter().any(|(_, kind)| kind.starts_with("index.")), "{at}: {found:?}");
        case.repair();
        let store = case.open();
        assert_eq!(store.query("T", "T-57", 9, 0, i64::MAX).records.len(), 1, "{at}");
        store.close();
    }
}

#[test]
fn a_flipped_bit_in_the_checkpoint_is_found_and_healed() {
    let lab = Lab::filled();
    for at in [1, 9, 17, 41] {
        flip(&lab.root().join("checkpoint"), at, 1);
        lab.assert_found(&["checkpoint"]);
        lab.repair();
    }
}

#[test]
fn lost_queues_and_indexes_are_found_and_made_again() {
    let lab = Lab::filled();
    let contents = lab.contents("T", 1);
    fs::remove_dir_all(lab.root().join("consumequeue/T/1")).unwrap();
    lab.assert_found(&["queue.missing"]);
    lab.repair();
    assert_eq!(lab.contents("T", 1), contents);
    fs::remove_dir_all(lab.root().join("consumequeue")).unwrap();
    fs::remove_dir_all(lab.root().join("index")).unwrap();
    lab.assert_found(&["queue.missing", "index.missing"]);
    lab.repair();
    assert_eq!(lab.contents("T", 1), contents);
}

#[test]
fn cut_files_are_found_and_made_whole() {
    let lab = Lab::filled();
    cut(&lab.queue_file("U/0", 800), 170);
    cut(&lab.index_files()[0], 1000);
    lab.assert_found(&["queue.file", "index.file"]);
    lab.repair();
    cut(&lab.log_file(LOG_FILE), 5000);
    lab.assert_found(&["log.file", "log.damaged", "queue.stray"]);
    lab.repair();
    // All of the first file is lost, and its place in the log is known all the same.
    cut(&lab.log_file(0), 0);
    lab.assert_found(&["log.file", "log.missing", "queue.stray"]);
    lab.repair();
    fs::remove_file(lab.log_file(2 * LOG_FILE)).unwrap();
    lab.assert_found(&["log.missing"]);
}

#[test]
fn foreign_files_are_named_and_left_alone() {
    let lab = Lab::filled();
    let foreign = ["commitlog/core", "consumequeue/T/0/notes.txt", "index/README"];
    for name in foreign {
        fs::write(lab.root().join(name), "mine").unwrap();
    }
    let output = lab.run_configured(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    for name in foreign {
        assert!(text_of(&output).contains(name), "{name} in {}", text_of(&output));
    }
    assert_eq!(lab.run_configured(&["repair"]).status.code(), Some(1));
    for name in foreign {
        fs::remove_file(lab.root().join(name)).unwrap();
    }
    lab.assert_sound();
}

#[test]
fn queues_without_records_keep_their_offsets() {
    for damaged in [false, true] {
        let lab = Lab::filled();
        // All records of T expire; U goes on.
        let store = lab.open();
        for number in 0..150 {
            store.append(record("U", 0, number)).unwrap();
        }
        store.close();
        let records = lab.records();
        let last = records.iter().rfind(|record| record["topic"] == "T").unwrap();
        let last = last["physical_offset"].as_u64().unwrap();
        (0..=last / LOG_FILE).for_each(|file| fs::remove_file(lab.log_file(file * LOG_FILE)).unwrap());
        assert!(lab.records().iter().all(|record| record["topic"] == "U"));
        lab.assert_sound();
        if damaged {
            // An entry of an expired record, in the last file and in one before.
            flip(&lab.queue_file("T/0", 800), 4 * 20 + 1, 1);
            fs::remove_file(lab.queue_file("T/1", 400)).unwrap();
            lab.assert_found(&["queue.stray", "queue.file"]);
        }
        // Makes a start go back to the log's beginning.
        fs::remove_file(lab.root().join("checkpoint")).unwrap();
        assert_eq!(lab.run_configured(&["repair", "--force"]).status.code(), Some(0));
        lab.assert_sound();
        let store = lab.open();
        for queue in [0, 1] {
            assert_eq!(store.append(record("T", queue, 0)).unwrap().queue_offset, 50, "damaged: {damaged}");
        }
        store.close();
        lab.assert_sound();
    }
}

#[test]
fn deleted_topics_stay_deleted() {
    let lab = Lab::filled();
    let store = lab.open();
    store.delete_topic("T").unwrap();
    // U begins anew under its old name.
    store.delete_topic("U").unwrap();
    let again: Vec<Appended> = (0..30).map(|number| store.append(record("U", 0, number)).unwrap()).collect();
    assert_eq!(again[29].queue_offset, 29);
    store.close();
    fs::create_dir_all(lab.root().join("config")).unwrap();
    let table = r#"{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":1},"topicConfigTable":{"U":{"topicName":"U"}}}"#;
    fs::write(lab.root().join("config/topics.json"), table).unwrap();
    lab.assert_sound();
    flip(&lab.queue_file("U/0", 0), 3 * 20 + 7, 1);
    lab.assert_found(&["queue.wrong"]);
    lab.repair();
    assert!(!lab.root().join("consumequeue/T").exists());
    assert_eq!(lab.contents("U", 0).1, (0, 30));
}

#[test]
fn an_interrupted_repair_can_be_run_again_or_left_to_the_broker() {
    let lab = Lab::filled();
    let contents = [lab.contents("T", 0), lab.contents("T", 1), lab.contents("U", 0)];
    fs::remove_dir_all(lab.root().join("consumequeue/T/1")).unwrap();
    flip(&lab.queue_file("U/0", 800), 5 * 20 + 7, 1);
    for step in 0..3 {
        for broker in [false, true] {
            let case = Lab::new();
            copy(&lab.root(), &case.root());
            // As a repair leaves it that was killed: the index aside, then half of the queues written.
            fs::write(case.root().join("abort"), "1").unwrap();
            if step > 0 {
                fs::rename(case.root().join("index"), case.root().join("index.before-repair")).unwrap();
            }
            if step > 1 {
                flip(&case.queue_file("U/0", 800), 5 * 20 + 7, 1);
                fs::create_dir_all(case.root().join("consumequeue/T/1")).unwrap();
                fs::write(case.queue_file("T/1", 0), [0; QUEUE_FILE as usize]).unwrap();
            }
            if broker {
                case.open().close();
            }
            case.repair();
            let found = [case.contents("T", 0), case.contents("T", 1), case.contents("U", 0)];
            assert_eq!(found, contents, "step {step}, broker {broker}");
            assert!(!case.root().join("index.before-repair").exists() || broker);
        }
    }
}

/// Whether a repair of the store at a path has come so far.
type Moment = Box<dyn Fn(&Path) -> bool>;

#[test]
fn a_killed_repair_can_be_run_again_or_left_to_the_broker() {
    let lab = Lab::filled();
    let contents = [lab.contents("T", 0), lab.contents("T", 1), lab.contents("U", 0)];
    fs::remove_dir_all(lab.root().join("consumequeue/T/1")).unwrap();
    flip(&lab.queue_file("U/0", 800), 5 * 20 + 7, 1);
    let moments: [Moment; 5] = [
        Box::new(|root| root.join("abort").exists()),
        Box::new(|root| root.join("index.before-repair").exists()),
        Box::new(|root| root.join("consumequeue/T/1").exists()),
        Box::new(|root| root.join("index.before-repair").exists() && !root.join("abort").exists()),
        Box::new(|root| root.join("index.before-repair").exists() && root.join("index").exists()),
    ];
    for (number, is_moment) in moments.iter().enumerate() {
        for broker in [false, true] {
            let case = Lab::new();
            copy(&lab.root(), &case.root());
            let mut command = Command::new(env!("CARGO_BIN_EXE_mqstore"));
            command.arg("repair").arg(case.root()).arg("-c").arg(case.config_file()).stdout(Stdio::null());
            let mut child = command.spawn().unwrap();
            while !is_moment(&case.root()) && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
            if broker {
                case.open().close();
            }
            case.repair();
            let found = [case.contents("T", 0), case.contents("T", 1), case.contents("U", 0)];
            assert_eq!(found, contents, "killed at moment {number}, broker {broker}");
        }
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let lab = Lab::filled();
    flip(&lab.queue_file("U/0", 800), 5 * 20 + 7, 1);
    let before = snapshot(&lab.root());
    let output = lab.run_configured(&["repair", "--dry-run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("queue.wrong"), "{}", text_of(&output));
    assert_eq!(snapshot(&lab.root()), before);
}

#[test]
fn a_sound_store_is_not_repaired() {
    let lab = Lab::filled();
    let before = snapshot(&lab.root());
    let output = lab.run_configured(&["repair"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text_of(&output).contains("nothing to repair"));
    assert_eq!(snapshot(&lab.root()), before);
}

#[test]
fn what_can_not_be_done_is_said_with_exit_code_2() {
    let lab = Lab::new();
    let refuses = |lab: &Lab, words: &[&str], wanted: &str| {
        let output = lab.run(words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
        assert!(text.contains(wanted), "{words:?}: {text}");
    };
    let root = lab.root().display().to_string();
    for command in ["dump", "check", "repair"] {
        refuses(&lab, &[command], &root);
    }
    fs::create_dir_all(lab.root()).unwrap();
    for command in ["dump", "check", "repair"] {
        refuses(&lab, &[command], "is not a store");
    }
    refuses(&lab, &["check", "-c", "/does/not/exist"], "/does/not/exist");
    refuses(&lab, &["check", "--nonsense"], "--nonsense");
    assert_eq!(fs::read_dir(lab.root()).unwrap().count(), 0, "nothing is created");

    let store = lab.open();
    lab.fill(&store);
    for command in ["dump", "check", "repair"] {
        refuses(&lab, &[command], &root);
        refuses(&lab, &[command], "in use");
    }
    store.close();
    fs::write(lab.dir.path().join("broken.conf"), "maxIndexNum=many").unwrap();
    let broken = lab.dir.path().join("broken.conf").display().to_string();
    refuses(&lab, &["check", "-c", &broken], "maxIndexNum = many");
}

#[test]
fn a_repair_does_not_guess_sizes() {
    let lab = Lab::filled();
    cut(&lab.queue_file("U/0", 800), 160);
    let output = lab.run(&["repair"]);
    assert_eq!(output.status.code(), Some(2), "{}", text_of(&output));
    assert!(text_of(&output).contains("mappedFileSizeConsumeQueue"), "{}", text_of(&output));
    // A check says that it is not sure.
    assert!(text_of(&lab.run(&["check"])).contains("note    sizes"));
    lab.repair();
}

#[test]
fn records_are_dumped_with_all_they_have() {
    let lab = Lab::filled();
    let records = lab.records();
    assert_eq!(records.len(), 202);
    let record = &records[5];
    let wanted: [(&str, Value); 11] = [
        ("topic", "U".into()),
        ("queue_id", 0.into()),
        ("queue_offset", 2.into()),
        ("flag", 7.into()),
        ("tags", "TagA".into()),
        ("keys", vec!["U-2"].into()),
        ("unique_id", "id-U-2".into()),
        ("born_host", "10.0.0.1:50000".into()),
        ("born_time", "2023-11-14T22:13:20.000Z".into()),
        ("body_length", 157.into()),
        ("crc_ok", true.into()),
    ];
    for (key, wanted) in wanted {
        assert_eq!(record[key], wanted, "{key} in {record}");
    }
    assert_eq!(records[200]["sys_flags"], serde_json::json!(["half"]));

    let found = |words: &[&str]| {
        let output = lab.run(words);
        assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
        text_of(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found(&["dump", "log", "--topic", "T", "--queue", "1"]).len(), 50);
    assert_eq!(found(&["dump", "log", "--key", "T-33"]).len(), 1);
    assert_eq!(found(&["dump", "log", "--key", "TagA", "--count", "3"]).len(), 3);
    let from = records[100]["physical_offset"].as_u64().unwrap();
    // An offset inside a record counts from the next one on.
    let line = &found(&["dump", "log", "--from", &(from - 10).to_string(), "--count", "1", "--body"])[0];
    assert!(line.contains(&format!(" {from} ")) && line.contains("body \"body 50 xxx"), "{line}");
    assert!(found(&["dump"]).iter().any(|line| line.starts_with("blank")));

    let units = found(&["dump", "queue", "--topic", "U", "--entries", "--from", "39", "--count", "3"]);
    assert_eq!(units.len(), 4);
    assert!(units[1].contains(" 39 "), "{units:?}");
    assert!(found(&["dump", "queue"]).len() == 3);
    let chain = found(&["dump", "index", "--topic", "T", "--key", "T-33", "--json"]);
    let hash = rmq_proto::message::hash::index_hash("T#T-33");
    assert!(chain.iter().any(|line| line.contains(&format!("\"hash\":{hash},"))), "{chain:?}");
    assert_eq!(found(&["dump", "index", "--entries"]).len(), 606 + lab.index_files().len());
    assert_eq!(found(&["dump", "checkpoint"]).len(), 6);
}

#[test]
fn damage_is_dumped_too() {
    let lab = Lab::filled();
    let record = &lab.records()[50];
    let at = record["physical_offset"].as_u64().unwrap() + 120;
    flip(&lab.log_file(at / LOG_FILE * LOG_FILE), at % LOG_FILE, 0x80);
    let output = lab.run(&["dump", "log", "--json", "--body"]);
    let found = lines(&output);
    let at = found.iter().position(|line| line["type"] == "damage").unwrap();
    assert_eq!(found[at]["at"], record["physical_offset"]);
    assert_eq!(
        (&found[at + 1]["crc_ok"], &found[at + 1]["unique_id"]),
        (&false.into(), &record["unique_id"])
    );
    assert!(found[at + 1]["body_hex"].is_string(), "a body that is not UTF-8 is written in digits");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let lab = Lab::filled();
    for words in [["dump", "--body"], ["check", "--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mqstore"));
        command.arg(words[0]).arg(lab.root()).arg(words[1]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text_of(&output).as_str()), (Some(0), ""));
    }
}

#[test]
fn the_library_says_the_same() {
    let lab = Lab::filled();
    let store = StoppedStore::open(Layout::find(&lab.root()).unwrap()).unwrap();
    let mut found = Vec::new();
    let summary = store.check(&mut |finding: Finding| found.push(finding)).unwrap();
    assert!(summary.is_sound() && found.is_empty(), "{found:?}");
    // Nobody starts a broker meanwhile.
    assert!(Store::open(lab.config(), Box::new(|_| {})).is_err());
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in snapshot(from) {
        let path = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
