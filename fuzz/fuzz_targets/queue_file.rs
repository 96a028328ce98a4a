//! Damaged queue files: the log makes them good again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rmq_fuzz::{Damage, Victim, survives};

fuzz_target!(|damage: Damage| survives(Victim::Queue, &damage));
