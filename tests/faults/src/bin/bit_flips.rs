//! `bit-flips`: flips bits in the log of a stopped store, one at a time.

use std::process::ExitCode;

use clap::Parser;
use rmq_faults::flips::run;

/// Flips one bit in the log of a small store, opens it, reads everything; as often as wanted.
#[derive(Debug, Parser)]
#[command(name = "bit-flips")]
struct Args {
    /// How many: half of them in a closed store, half in a crashed one
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// Start of all chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut passes = true;
    for clean in [true, false] {
        let report = run(args.count / 2, clean, args.seed);
        passes &= report.passes();
        match args.json {
            true => println!("{}", serde_json::json!(report)),
            false => println!("{report}"),
        }
    }
    if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
