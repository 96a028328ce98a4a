//! Java, ours, Java, ours: one directory, four owners.

use rmq_testkit::Flavor;

use crate::house::{Exit, House};
use crate::ledger::Ledger;
use crate::traffic::{self, Delays};

#[track_caller]
fn trade(exit: Exit) {
    let mut house = House::new(&[]);
    let mut ledger = Ledger::default();
    let mut delays = Delays::default();
    let owners = [Flavor::Java, Flavor::Ours, Flavor::Java, Flavor::Ours];
    for (turn, owner) in owners.into_iter().enumerate() {
        let turn = format!("{turn}{owner:?}");
        let mut client = house.enter(owner);
        ledger.check(&mut client, &house.store());
        // Some are due in this turn, others in that of a later owner.
        let levels = if ledger.records("TradeMany", 0).is_empty() { 1..=18 } else { 1..=4 };
        delays.send(&mut client, &turn, levels);
        traffic::fill(&mut client, &mut ledger, &turn);
        ledger.check(&mut client, &house.store());
        traffic::check_filter(&mut client, &ledger);
        traffic::await_sent_back(&mut client, &turn);
        house.leave(exit);
        if exit == Exit::Killed {
            ledger.offsets_as_written(&house.store());
        }
    }
    let mut client = house.enter(Flavor::Ours);
    ledger.check(&mut client, &house.store());
    let twice = delays.await_all(&mut client);
    assert!(twice == 0 || exit == Exit::Killed, "{twice} delayed messages came more than once");
}

#[test]
fn owners_that_stop_in_order() {
    trade(Exit::Stopped);
}

#[test]
fn owners_that_are_killed() {
    trade(Exit::Killed);
}
