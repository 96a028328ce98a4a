//! A damaged checkpoint, which says where a start begins to look.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rmq_fuzz::{Damage, Victim, survives};

fuzz_target!(|damage: Damage| survives(Victim::Checkpoint, &damage));
