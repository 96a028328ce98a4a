//! The official Go client v2, as one process per command.

use std::fmt::Display;
use std::process::Command;
use std::time::Duration;

use rmq_testkit::{Process, go_program, temp_dir};

use crate::fact::Fact;

/// A Go program run in preparation (see tests/interop/go/main.go for the commands).
#[derive(Debug)]
pub struct Go {
    command: Command,
    name: String,
}

impl Go {
    /// Prepares a command such as `send` or `push`.
    pub fn command(name: &str) -> Go {
        let mut command = Command::new(go_program());
        let home = temp_dir("go-client").keep();
        command.arg(name).env("HOME", home).env_remove("NAMESRV_ADDR");
        Go { command, name: format!("Go client: {name}") }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, key: &str, value: impl Display) -> Go {
        self.command.arg(format!("-{key}={value}"));
        self
    }

    /// Runs it to its end and returns what it said.
    ///
    /// # Panics
    /// When it fails or takes longer than `timeout`.
    #[track_caller]
    pub fn run(self, timeout: Duration) -> Vec<Fact> {
        let name = self.name.clone();
        let mut process = Process::spawn(&name, self.command);
        let status = process.wait_exit(timeout);
        assert!(status.success(), "{name} ended with {status}");
        facts(&process.log())
    }
}

/// Facts are the lines that start with `@`; the client logs others.
fn facts(log: &str) -> Vec<Fact> {
    log.lines().filter_map(|line| line.strip_prefix('@')).map(Fact::parse).collect()
}
