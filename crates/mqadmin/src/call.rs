//! One run of a command: its options, the cluster it speaks to, and where its output goes.

use std::io::Write;

use rmq_client::{Admin, InstanceOptions};
use serde::Serialize;
use serde_json::Value;

use crate::{args::Args, table::Table};

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The cluster refused, or cannot be reached.
    #[error("{0}")]
    Client(#[from] rmq_client::Error),
    /// Something else.
    #[error("{0}")]
    Other(String),
    /// The output is not read any more.
    #[error("the output could not be written: {0}")]
    Output(#[from] std::io::Error),
}

pub(crate) type Outcome = Result<(), Failure>;

/// What a command works with.
pub(crate) struct Call {
    pub(crate) args: Args,
    pub(crate) admin: Admin,
    out: Box<dyn Write>,
}

impl Call {
    /// `name_servers` may be empty for commands that speak to one broker only.
    pub(crate) fn new(args: Args, name_servers: &str, out: Box<dyn Write>) -> Self {
        Self { args, admin: Admin::connect(name_servers), out }
    }

    /// An option that must have been given.
    pub(crate) fn need(&self, long: &str) -> Result<&str, Failure> {
        self.args.get(long).ok_or_else(|| Failure::Usage(format!("Missing required option: --{long}")))
    }

    /// An option's value as a number.
    pub(crate) fn number<T: std::str::FromStr>(&self, long: &str, default: T) -> Result<T, Failure> {
        match self.args.get(long) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| Failure::Usage(format!("--{long}: `{text}` is not a valid number")))
            }
        }
    }

    /// Java's `Boolean.parseBoolean`: only "true" is true.
    pub(crate) fn truth(&self, long: &str, default: bool) -> bool {
        self.args.get(long).map_or(default, |text| text.eq_ignore_ascii_case("true"))
    }

    /// Settings for a producer or consumer of the same cluster.
    pub(crate) fn instance_options(&self) -> InstanceOptions {
        self.admin.instance().options().clone()
    }

    pub(crate) fn is_json(&self) -> bool {
        self.args.has("json")
    }

    /// A line for people.
    pub(crate) fn say(&mut self, line: impl AsRef<str>) -> Outcome {
        if !self.is_json() {
            writeln!(self.out, "{}", line.as_ref())?;
        }
        Ok(())
    }

    /// Text for people, without a line end.
    pub(crate) fn say_text(&mut self, text: impl AsRef<str>) -> Outcome {
        if !self.is_json() {
            write!(self.out, "{}", text.as_ref())?;
        }
        Ok(())
    }

    /// The whole result for programs.
    pub(crate) fn json(&mut self, result: &impl Serialize) -> Outcome {
        if self.is_json() {
            let text =
                serde_json::to_string_pretty(result).map_err(|error| Failure::Other(error.to_string()))?;
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    /// A table, for people or for programs.
    pub(crate) fn table(&mut self, table: &Table) -> Outcome {
        self.say(table.text())?;
        self.json(&table.json())
    }

    /// A result that is one line for people and an object for programs.
    pub(crate) fn done(&mut self, line: impl AsRef<str>, result: Value) -> Outcome {
        self.say(line)?;
        self.json(&result)
    }

    /// Writes out what waits; an error that follows goes to another stream.
    pub(crate) fn flush(&mut self) {
        let _ = self.out.flush();
    }
}
