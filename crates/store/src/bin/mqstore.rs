//! `mqstore`: looks at a store that is stopped, checks it, and puts it right.
//!
//! It ends with 0 if all is well, 1 if something is damaged, 2 if it could not do its work.

use std::{
    io::{self, BufWriter, ErrorKind, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use rmq_proto::properties_file::Properties;
use rmq_store::inspect::{
    self, Finding, InspectError, Item, Layout, Listener, Part, Selection, StoppedStore, Summary,
};
use serde::Serialize;

/// Looks at the files of a stopped store, ours or the official Java broker's.
///
/// Ends with 0 if all is well, 1 if something is damaged, 2 if it could not do its work.
#[derive(Debug, Parser)]
#[command(name = "mqstore", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints what is in the files: records, queues, index, checkpoint.
    ///
    /// Without a part it prints all of them, without the entries of queues and index files.
    #[command(after_help = "Examples:
  mqstore dump ~/store log --topic orders --count 10 --body
  mqstore dump ~/store queue --topic orders --queue 0 --entries --from 1000
  mqstore dump ~/store index --topic orders --key order-17
  mqstore dump ~/store --json | jq 'select(.type == \"record\") | .unique_id'")]
    Dump(Dump),
    /// Compares log, queues, index and checkpoint with each other. Writes nothing.
    ///
    /// Prints a line for each finding and a summary. What a crash leaves behind is pending: the next
    /// start puts it right, and it is no damage.
    #[command(after_help = "Examples:
  mqstore check ~/store
  mqstore check ~/store -c broker.conf --json | jq 'select(.severity == \"damage\")'")]
    Check(Check),
    /// Puts queues, index and checkpoint right from the log, and seals what is damaged in the log.
    ///
    /// A store that is sound and was closed in order is left alone. Offsets of queues never go back. It
    /// may be interrupted: run it again, or start the broker, which then recovers as after a crash.
    #[command(after_help = "Examples:
  mqstore repair ~/store --dry-run
  mqstore repair ~/store -c broker.conf")]
    Repair(Repair),
}

#[derive(Debug, Args)]
struct Place {
    /// The store: what storePathRootDir names.
    dir: PathBuf,
    /// The broker's config file, for the sizes of the files; without it they are found from the files.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object a line instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Dump {
    #[command(flatten)]
    place: Place,
    /// What to print.
    #[arg(value_enum)]
    parts: Vec<PartName>,
    /// Begin at this physical offset (log), queue offset (queue) or entry (index).
    #[arg(long, value_name = "OFFSET")]
    from: Option<u64>,
    /// Print at most so many records, or entries of each queue and index file.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Only this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Only this queue.
    #[arg(long, value_name = "ID")]
    queue: Option<i32>,
    /// Only records with this unique id, search key or tag; of index files the chain that the key is in.
    #[arg(long)]
    key: Option<String>,
    /// With bodies: as text if they are UTF-8, else in hexadecimal digits.
    #[arg(long)]
    body: bool,
    /// With the entries of queues and index files.
    #[arg(long)]
    entries: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PartName {
    State,
    Checkpoint,
    Log,
    Queue,
    Index,
    All,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Repair {
    #[command(flatten)]
    place: Place,
    /// Only say what is to be put right.
    #[arg(long)]
    dry_run: bool,
    /// Even if nothing is found: compare every entry and make the index anew.
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    let line = Line::parse();
    let outcome = match &line.command {
        Command::Dump(dump) => run_dump(dump),
        Command::Check(check) => run_check(&check.place),
        Command::Repair(repair) => run_repair(repair),
    };
    match outcome {
        Ok(code) => code,
        // Someone read as much as they wanted, like `mqstore … | head`.
        Err(InspectError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mqstore: {error}");
            ExitCode::from(2)
        }
    }
}

impl Place {
    fn layout(&self) -> Result<Layout, InspectError> {
        let Some(path) = &self.config else {
            return Layout::find(&self.dir);
        };
        let config = read_config(path).map_err(|why| {
            InspectError::Config(format!("can't read the config file {}: {why}", path.display()))
        })?;
        Layout::from_properties(&self.dir, &config)
    }
}

fn read_config(path: &Path) -> Result<Properties, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Properties::parse(&text).map_err(|error| error.to_string())
}

fn run_dump(dump: &Dump) -> Result<ExitCode, InspectError> {
    let store = StoppedStore::open(dump.place.layout()?)?;
    let selection = Selection {
        from: dump.from,
        count: dump.count,
        topic: dump.topic.clone(),
        queue: dump.queue,
        key: dump.key.clone(),
        body: dump.body,
        entries: dump.entries,
    };
    let all = [Part::State, Part::Checkpoint, Part::Log, Part::Queue, Part::Index];
    let wants = |part: &Part| {
        let name = match part {
            Part::State => PartName::State,
            Part::Checkpoint => PartName::Checkpoint,
            Part::Log => PartName::Log,
            Part::Queue => PartName::Queue,
            Part::Index => PartName::Index,
        };
        dump.parts.is_empty() || dump.parts.contains(&name) || dump.parts.contains(&PartName::All)
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut print = |item: Item<'_>| -> io::Result<()> {
        match dump.place.json {
            true => write_json(&mut out, &item),
            false => writeln!(out, "{item}"),
        }
    };
    for part in all.into_iter().filter(wants) {
        store.dump(part, &selection, &mut print)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

fn run_check(place: &Place) -> Result<ExitCode, InspectError> {
    let store = StoppedStore::open(place.layout()?)?;
    let mut printer = Printer::new(place.json);
    let summary = store.check(&mut printer)?;
    printer.summary(&summary)?;
    Ok(code(&summary))
}

fn run_repair(repair: &Repair) -> Result<ExitCode, InspectError> {
    if repair.dry_run {
        // What a repair puts right is what a check finds.
        return run_check(&repair.place);
    }
    let mut printer = Printer::new(repair.place.json);
    let repaired = inspect::repair(&repair.place.layout()?, repair.force, &mut printer)?;
    let Some(after) = &repaired.after else {
        printer.summary(&repaired.before)?;
        printer.say("nothing to repair")?;
        return Ok(ExitCode::SUCCESS);
    };
    printer.summary(after)?;
    printer
        .say(&format!("repaired: {} entries of queues written, the index made again", repaired.entries))?;
    Ok(code(after))
}

fn code(summary: &Summary) -> ExitCode {
    ExitCode::from(u8::from(!summary.is_sound()))
}

/// Prints findings as they come, and the progress if somebody looks.
struct Printer {
    json: bool,
    after: bool,
    shows_progress: bool,
    progress_shown: bool,
    /// The first failed write, until somebody can be told.
    failed: io::Result<()>,
}

#[derive(Serialize)]
struct FindingLine {
    r#type: &'static str,
    /// Whether a repair has left it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    after_repair: bool,
    #[serde(flatten)]
    finding: Finding,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    r#type: &'static str,
    sound: bool,
    #[serde(flatten)]
    summary: &'a Summary,
}

impl Printer {
    fn new(json: bool) -> Self {
        let shows_progress = io::stderr().is_terminal();
        Self { json, after: false, shows_progress, progress_shown: false, failed: Ok(()) }
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        self.clear_progress();
        // Who closed the pipe wants the exit code all the same.
        if std::mem::replace(&mut self.failed, Ok(())).is_err() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let written = match self.json {
            true => {
                write_json(&mut out, &SummaryLine { r#type: "summary", sound: summary.is_sound(), summary })
            }
            false => writeln!(out, "{summary}"),
        };
        written.or_else(ignore_closed_pipe)
    }

    fn say(&self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(io::stdout(), "{text}").or_else(ignore_closed_pipe)
    }

    fn clear_progress(&mut self) {
        if std::mem::take(&mut self.progress_shown) {
            eprint!("\r\x1b[K");
        }
    }
}

fn ignore_closed_pipe(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

impl Listener for Printer {
    fn found(&mut self, finding: Finding) {
        self.clear_progress();
        if self.failed.is_err() {
            return;
        }
        let mut out = io::stdout().lock();
        self.failed = match self.json {
            true => {
                let line = FindingLine { r#type: "finding", after_repair: self.after, finding };
                write_json(&mut out, &line)
            }
            false => writeln!(out, "{finding}"),
        };
    }

    fn progress(&mut self, at: u64, end: u64) {
        if self.shows_progress && end > 0 {
            eprint!("\r{:3} % of the log, at {at}", (u128::from(at) * 100 / u128::from(end)).min(100));
            self.progress_shown = true;
        }
    }

    fn after_repair(&mut self) {
        self.clear_progress();
        self.after = true;
        if !self.json {
            self.failed = writeln!(io::stdout(), "after the repair:");
        }
    }
}
