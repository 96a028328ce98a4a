//! `crash-loop`: kills a broker under load as often as wanted.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use rmq_faults::crash_loop::{Plan, run};

/// Kills mqbroker (of the same build) under load, starts it again, reads everything and says what is wrong.
#[derive(Debug, Parser)]
#[command(name = "crash-loop")]
struct Args {
    /// How often, for each flush mode
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// SYNC_FLUSH or ASYNC_FLUSH; both if not given
    #[arg(long)]
    flush: Option<String>,
    /// Start of all chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How to tell the result
    #[arg(long, value_enum, default_value_t = Form::Text)]
    report: Form,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let flushes =
        args.flush.map_or_else(|| vec!["SYNC_FLUSH".into(), "ASYNC_FLUSH".into()], |flush| vec![flush]);
    let mut passes = true;
    for flush in flushes {
        let report = run(&Plan { rounds: args.rounds, flush, seed: args.seed, verbose: true });
        passes &= report.passes();
        match args.report {
            Form::Text => println!("{report}"),
            Form::Json => println!("{}", serde_json::json!(report)),
        }
    }
    if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
