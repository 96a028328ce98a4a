//! `mqadmin`: looks at a cluster and changes it.
//!
//! All commands are rows of the table in [`command`]; names, options and columns are those of Java's tool.
//! It ends with 0 if the command did what it should, 1 if it failed, 2 if the command line is wrong.

mod args;
mod call;
mod command;
mod help;
mod table;
mod time;
mod version;

use std::{
    io::{BufWriter, LineWriter, Write},
    process::ExitCode,
};

use args::{Arg, Args, COMMON};
use call::{Call, Failure};
use command::Command;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        // Someone read as much as they wanted, like `mqadmin … | head`.
        Err(Failure::Output(_)) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mqadmin: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn run(words: &[String]) -> call::Outcome {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["help" | "-h" | "--help"] => print(&help::overview()),
        ["help", name] => print(&help::of(find(name)?)),
        ["help", "--markdown", ..] => print(&help::markdown()),
        [name, ref rest @ ..] => run_command(find(name)?, rest),
    }
}

fn find(name: &str) -> Result<&'static Command, Failure> {
    command::find(name)
        .ok_or_else(|| Failure::Usage(format!("The sub command {name} not exist. `mqadmin help` lists all.")))
}

fn print(text: &str) -> call::Outcome {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn run_command(command: &Command, words: &[&str]) -> call::Outcome {
    let known: Vec<Arg> = COMMON.iter().chain(command.args).copied().collect();
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let usage = |reason: String| Failure::Usage(format!("{reason}\n{}", help::of(command)));
    let args = Args::parse(&known, &words).map_err(usage)?;
    if args.has("help") {
        return print(&help::of(command));
    }
    args.check(&known, command.one_of).map_err(usage)?;
    let name_servers = match args.get("namesrvAddr") {
        Some(given) => given.to_owned(),
        None => std::env::var("NAMESRV_ADDR").unwrap_or_default(),
    };
    if name_servers.trim().is_empty() && command.needs_name_server(&args) {
        return Err(Failure::Usage("no name server: give -n host:9876, or set NAMESRV_ADDR".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("no runtime: {error}")))?;
    let out: Box<dyn Write> = if command.streams {
        Box::new(LineWriter::new(std::io::stdout()))
    } else {
        Box::new(BufWriter::new(std::io::stdout()))
    };
    runtime.block_on(async {
        let mut call = Call::new(args, &name_servers, out);
        let outcome = (command.run)(&mut call).await;
        call.flush();
        call.admin.shutdown();
        outcome
    })
}
