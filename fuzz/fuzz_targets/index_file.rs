//! Damaged index files: a search ends, and the log makes them good again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rmq_fuzz::{Damage, Victim, survives};

fuzz_target!(|damage: Damage| survives(Victim::Index, &damage));
