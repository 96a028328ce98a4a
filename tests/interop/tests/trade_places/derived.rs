//! Queues, index and checkpoint are derived from the log: without them a store is opened as well.

use std::fs;
use std::path::{Path, PathBuf};

use rmq_testkit::Flavor::{Java, Ours};

use crate::house::{Exit, House};
use crate::ledger::Ledger;
use crate::traffic;

/// What is done to a store.
type Damage<'a> = Box<dyn Fn() + 'a>;

/// One turn, and what happens to the store behind it.
fn turn(house: &mut House, ledger: &mut Ledger, owner: rmq_testkit::Flavor, name: &str) {
    let mut client = house.enter(owner);
    ledger.check(&mut client, &house.store());
    traffic::fill(&mut client, ledger, name);
    traffic::await_sent_back(&mut client, name);
    ledger.check(&mut client, &house.store());
    house.leave(Exit::Stopped);
}

#[test]
fn a_store_of_java_without_its_derived_files() {
    let mut house = House::new(&[]);
    let mut ledger = Ledger::default();
    turn(&mut house, &mut ledger, Java, "java");
    let store = house.store();
    let queue_files = |topic: &str| files(&store.join("consumequeue").join(topic).join("0"));
    let damages: [(&str, Damage<'_>); 9] = [
        ("no queues", Box::new(|| fs::remove_dir_all(store.join("consumequeue")).unwrap())),
        ("no index", Box::new(|| fs::remove_dir_all(store.join("index")).unwrap())),
        ("no checkpoint", Box::new(|| fs::remove_file(store.join("checkpoint")).unwrap())),
        ("a queue file is cut", Box::new(|| cut(&queue_files("TradeMany")[2], 333))),
        ("a queue file is gone", Box::new(|| fs::remove_file(&queue_files("TradeMany")[1]).unwrap())),
        ("an index file is cut", Box::new(|| cut(&files(&store.join("index"))[0], 100))),
        ("an index file is zeros", Box::new(|| zeros(&files(&store.join("index"))[0]))),
        ("the checkpoint is cut", Box::new(|| cut(&store.join("checkpoint"), 20))),
        ("only the log is left", Box::new(|| only_log(&store))),
    ];
    for (what, damage) in damages {
        // Shown when a check fails.
        println!("{what}");
        damage();
        let mut client = house.enter(Ours);
        ledger.check(&mut client, &store);
        traffic::check_filter(&mut client, &ledger);
        house.leave(Exit::Stopped);
    }
}

#[test]
fn our_store_without_its_derived_files() {
    let mut house = House::new(&[]);
    let mut ledger = Ledger::default();
    turn(&mut house, &mut ledger, Ours, "ours");
    only_log(&house.store());
    turn(&mut house, &mut ledger, Java, "java");
    let mut client = house.enter(Ours);
    ledger.check(&mut client, &house.store());
}

fn only_log(store: &Path) {
    fs::remove_dir_all(store.join("consumequeue")).unwrap();
    fs::remove_dir_all(store.join("index")).unwrap();
    fs::remove_file(store.join("checkpoint")).unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn cut(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn zeros(path: &Path) {
    let len = fs::metadata(path).unwrap().len() as usize;
    fs::write(path, vec![0; len]).unwrap();
}
