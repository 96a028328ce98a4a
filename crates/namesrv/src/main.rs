//! `mqnamesrv`: the name server as a process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use rmq_namesrv::{Config, Namesrv};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// The name server: brokers register here, clients ask here where topics are.
///
/// Logs go to stdout; RUST_LOG chooses how much (error, warn, info, debug, trace).
#[derive(Parser, Debug)]
#[command(name = "mqnamesrv", version)]
struct Args {
    /// Name server config properties file
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Accepted and ignored, as ever: a name server needs no other one
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    namesrv_addr: Option<String>,
    /// Print all config items
    #[arg(short = 'p', long = "printConfigItem")]
    print_config_item: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr must not hide the exit code.
            let _ = writeln!(std::io::stderr(), "mqnamesrv: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stdout).with_ansi(false).init();

    let mut config = Config::at_home(&home());
    if let Ok(installed) = std::env::var("ROCKETMQ_HOME") {
        config.rocketmq_home = installed;
    }
    if let Some(file) = &args.config_file {
        for warning in config.apply_file(file)? {
            warn!("{}: {warning}", file.display());
        }
        say(&format!("load config properties file OK, {}", file.display()));
    }
    if args.print_config_item {
        say(config.lines().trim_end());
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Before the boot line: whoever waits for it may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let host = config.bind_address.clone();
    let namesrv = Namesrv::start(config).await?;
    // Scripts grep for this line of Java's.
    say(&format!(
        "The Name Server boot success. serializeType=JSON, address {host}:{}",
        namesrv.local_addr().port()
    ));
    tokio::select! {
        _ = terminate.recv() => info!("told to stop (SIGTERM)"),
        _ = interrupt.recv() => info!("told to stop (SIGINT)"),
    }
    namesrv.shutdown().await;
    info!("stopped");
    Ok(())
}

/// Where the defaults of files are. As in Java no home directory is not an error.
fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| Path::new("/").to_owned(), PathBuf::from)
}

/// Prints a line. That nobody reads it is no reason to stop.
fn say(line: &str) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
