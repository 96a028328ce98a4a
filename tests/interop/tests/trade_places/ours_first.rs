//! The store is ours from the beginning.

use rmq_testkit::Flavor::{Java, Ours};

use crate::house::{Exit, House};
use crate::ledger::Ledger;
use crate::traffic::{self, Delays};

#[test]
fn java_opens_what_we_made_after_a_stop_and_after_a_crash() {
    let mut house = House::new(&[]);
    let mut ledger = Ledger::default();
    let mut delays = Delays::default();
    // The stop leaves a checkpoint that speaks of index files; the crash comes long after it.
    let turns = [("made", Ours, Exit::Stopped), ("grown", Ours, Exit::Killed), ("java", Java, Exit::Stopped)];
    for (turn, owner, exit) in turns {
        let mut client = house.enter(owner);
        ledger.check(&mut client, &house.store());
        delays.send(&mut client, turn, 1..=3);
        traffic::fill(&mut client, &mut ledger, turn);
        ledger.check(&mut client, &house.store());
        traffic::check_filter(&mut client, &ledger);
        house.leave(exit);
        if exit == Exit::Killed {
            ledger.offsets_as_written(&house.store());
        }
    }
    let mut client = house.enter(Ours);
    ledger.check(&mut client, &house.store());
    for (turn, ..) in turns {
        traffic::await_sent_back(&mut client, turn);
    }
    delays.await_all(&mut client);
}
