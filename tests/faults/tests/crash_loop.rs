//! `kill -9` of the broker under load; more rounds on demand with the program `crash-loop`.

use rmq_faults::crash_loop::{Plan, run};

fn loses_nothing(flush: &str) {
    let report = run(&Plan { rounds: 20, flush: flush.into(), seed: 1, verbose: false });
    println!("{report}");
    assert!(report.passes(), "{report}");
}

#[test]
fn killing_the_broker_loses_nothing_with_synchronous_flushing() {
    loses_nothing("SYNC_FLUSH");
}

#[test]
fn killing_the_broker_loses_nothing_with_asynchronous_flushing() {
    loses_nothing("ASYNC_FLUSH");
}
