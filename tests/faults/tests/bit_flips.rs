//! One flipped bit in the log; 10,000 of them on demand with the program `bit-flips`.

use rmq_faults::flips::run;

#[test]
fn a_flipped_bit_in_a_closed_store_costs_one_record() {
    let report = run(400, true, 1);
    println!("{report}");
    assert!(report.passes(), "{report}");
}

#[test]
fn a_flipped_bit_in_a_crashed_store_costs_one_record() {
    let report = run(400, false, 1);
    println!("{report}");
    assert!(report.passes(), "{report}");
}
