//! `mqbroker`: the broker as a process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use rmq_broker::Broker;
use rmq_broker::config::{Addresses, BrokerConfig, ConfigFile, Environment};
use rmq_namesrv::Namesrv;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// The broker: takes messages, keeps them, hands them out.
///
/// Logs go to stdout; RUST_LOG chooses how much (error, warn, info, debug, trace).
#[derive(Parser, Debug)]
#[command(name = "mqbroker", version)]
struct Args {
    /// Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    namesrv_addr: Option<String>,
    /// Broker config properties file
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Print all config items
    #[arg(short = 'p', long = "printConfigItem")]
    print_config_item: bool,
    /// Print important config items
    #[arg(short = 'm', long = "printImportantConfig")]
    print_important_config: bool,
    /// Run a name server in the same process
    #[arg(long = "with-namesrv", value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "9876")]
    with_namesrv: Option<u16>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr must not hide the exit code.
            let _ = writeln!(std::io::stderr(), "mqbroker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stdout).with_ansi(false).init();

    let mut config = BrokerConfig::default();
    let file = args.config_file.as_ref().map(ConfigFile::new);
    if let Some(file) = &file {
        read(file, &mut config)?;
    }
    if args.print_config_item || args.print_important_config {
        environment().complete(&mut config);
        print(&config, args.print_important_config);
        return Ok(());
    }
    // Java: the command line wins over the file, the file over the environment.
    if let Some(addresses) = &args.namesrv_addr {
        config.namesrv_addr.clone_from(addresses);
    }
    environment().complete(&mut config);
    check_name_servers(&config.namesrv_addr)?;
    config.check()?;
    raise_file_limit();
    #[cfg(feature = "failpoints")]
    let _points = {
        warn!("built with fail points: for tests only");
        fail::FailScenario::setup()
    };
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    runtime.block_on(serve(args, config, file))
}

fn read(file: &ConfigFile, config: &mut BrokerConfig) -> anyhow::Result<()> {
    let leftovers = config.read(&file.read()?)?;
    let path = file.path().display();
    for key in leftovers.unknown {
        warn!("{path}: there is no configuration key `{key}`");
    }
    if !leftovers.unused.is_empty() {
        info!("{path}: without meaning in this broker: {}", leftovers.unused.join(", "));
    }
    Ok(())
}

fn print(config: &BrokerConfig, important_only: bool) {
    for field in BrokerConfig::FIELDS.iter().filter(|field| field.important || !important_only) {
        say(&format!("{}={}", field.key, field.value(config)));
    }
}

fn environment() -> Environment {
    let hostname = rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
    Environment {
        home: std::env::var("HOME").ok(),
        rocketmq_home: std::env::var("ROCKETMQ_HOME").ok(),
        namesrv_addr: std::env::var("NAMESRV_ADDR").ok(),
        hostname: hostname.filter(|name| !name.is_empty()),
    }
}

/// Each connection and each file of the store takes a descriptor; the usual soft limit of 1,024 is for programs of
/// the time of `select`.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        warn!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

fn check_name_servers(addresses: &str) -> anyhow::Result<()> {
    for address in addresses.split(';').map(str::trim).filter(|address| !address.is_empty()) {
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            // Java's words.
            bail!(
                "The Name Server Address[{addresses}] illegal, please set it as follows, \
                 \"127.0.0.1:9876;192.168.0.1:9876\""
            );
        }
    }
    Ok(())
}

async fn serve(args: &Args, mut config: BrokerConfig, file: Option<ConfigFile>) -> anyhow::Result<()> {
    // Before the boot line: whoever waits for it may send a signal at once.
    let mut stop = Stop::new()?;
    let namesrv = match args.with_namesrv {
        Some(port) => Some(start_namesrv(port, &mut config).await?),
        None => None,
    };
    let (name, name_servers) = (config.broker_name.clone(), config.namesrv_addr.clone());
    let broker = tokio::select! {
        started = Broker::start(config, file) => started?,
        signal = stop.asked() => bail!("stopped by {signal} before the start was complete"),
    };
    announce(&name, &name_servers, broker.addresses());
    info!("told to stop ({})", stop.asked().await);
    broker.stop().await;
    if let Some(namesrv) = namesrv {
        namesrv.shutdown().await;
    }
    Ok(())
}

/// Scripts grep for the first line, which is Java's.
fn announce(name: &str, name_servers: &str, addresses: &Addresses) {
    let known_at =
        if name_servers.is_empty() { String::new() } else { format!(" and name server is {name_servers}") };
    let client = &addresses.client;
    say(&format!("The broker[{name}, {client}] boot success. serializeType=JSON{known_at}"));
    match addresses.is_named() {
        true => say(&format!("clients will dial {client}; messages carry {}", addresses.store_host)),
        false => say(&format!("clients will dial {client}")),
    }
    if addresses.store_host.ip().is_loopback() {
        warn!(
            "clients on other machines can't dial {client}: set brokerIP1 to an address or name of this machine"
        );
    }
    if name_servers.is_empty() {
        warn!(
            "no name server is configured (-n, NAMESRV_ADDR or namesrvAddr): clients can't find this broker"
        );
    }
}

async fn start_namesrv(port: u16, config: &mut BrokerConfig) -> anyhow::Result<Namesrv> {
    let home = std::env::var_os("HOME").map_or_else(|| Path::new("/").to_owned(), PathBuf::from);
    let mut wanted = rmq_namesrv::Config::at_home(&home);
    wanted.listen_port = port;
    wanted.bind_address.clone_from(&config.bind_address);
    let host = wanted.bind_address.clone();
    let namesrv = Namesrv::start(wanted).await.context("--with-namesrv")?;
    let port = namesrv.local_addr().port();
    say(&format!("The Name Server boot success. serializeType=JSON, address {host}:{port}"));
    let own = match namesrv.local_addr().ip().is_unspecified() {
        true => format!("127.0.0.1:{port}"),
        false => namesrv.local_addr().to_string(),
    };
    if !config.namesrv_addr.split(';').any(|listed| listed.trim() == own) {
        let others = std::mem::take(&mut config.namesrv_addr);
        config.namesrv_addr = if others.is_empty() { own } else { format!("{own};{others}") };
    }
    Ok(namesrv)
}

/// The signals that mean: stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Prints a line. That nobody reads it is no reason to stop.
fn say(line: &str) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
