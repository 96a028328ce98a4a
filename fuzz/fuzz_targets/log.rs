//! A damaged log: it opens, and only whole records are delivered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rmq_fuzz::{Damage, Victim, survives};

fuzz_target!(|damage: Damage| survives(Victim::Log, &damage));
