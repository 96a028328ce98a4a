//! A name server or broker, ours or the official one, as a process with a directory and a config file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{PortBlock, Process, Properties, binary, guardian, official};

/// Whose implementation of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// This repository's.
    Ours,
    /// The official Java server, release 5.5.0.
    Java,
}

impl Flavor {
    /// What the suite is pointed at: `RMQ_TEST_TARGET=java` proves a scenario against the official server, the default
    /// is ours.
    ///
    /// # Panics
    /// When the variable holds anything but `ours` or `java`.
    pub fn under_test() -> Flavor {
        match std::env::var("RMQ_TEST_TARGET").as_deref() {
            Ok("java") => Flavor::Java,
            Ok("ours") | Err(_) => Flavor::Ours,
            Ok(other) => panic!("RMQ_TEST_TARGET={other}: allowed are `ours` and `java`"),
        }
    }
}

/// What differs between the two kinds of daemon.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) binary: &'static str,
    pub(crate) main_class: &'static str,
    /// JVM options that the official start scripts give.
    pub(crate) jvm_options: &'static [&'static str],
    /// Part of the line that both implementations print when they serve.
    pub(crate) boot_line: &'static str,
}

/// The common part of [`NameServer`](crate::NameServer) and [`Broker`](crate::Broker), which deref to it.
pub struct Daemon {
    kind: &'static Kind,
    flavor: Flavor,
    label: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    properties: Properties,
    // Dropped in this order: nobody writes below a directory that is being removed.
    process: Option<Process>,
    dir: TempDir,
    ports: PortBlock,
}

impl Daemon {
    pub(crate) fn new(kind: &'static Kind, flavor: Flavor) -> Daemon {
        Daemon {
            kind,
            flavor,
            label: format!("{} ({flavor:?})", kind.name),
            args: Vec::new(),
            env: Vec::new(),
            properties: Properties::default(),
            dir: guardian::temp_dir(kind.name),
            ports: PortBlock::lease(),
            process: None,
        }
    }

    pub(crate) fn port(&self, n: u16) -> u16 {
        self.ports.port(n)
    }

    pub(crate) fn properties_mut(&mut self) -> &mut Properties {
        &mut self.properties
    }

    pub(crate) fn arg(&mut self, arg: &str) {
        self.args.push(arg.to_owned());
    }

    /// Sets an environment variable for the next start; an empty value unsets it.
    pub fn set_env(&mut self, key: &str, value: &str) {
        self.env.retain(|(other, _)| other != key);
        if !value.is_empty() {
            self.env.push((key.to_owned(), value.to_owned()));
        }
    }

    /// Ours or Java's.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// Hands the directory, the ports and the config over to the other implementation, from the next start on.
    ///
    /// # Panics
    /// When it is running.
    #[track_caller]
    pub fn hand_over(&mut self, to: Flavor) {
        assert!(self.process.is_none(), "{} is still running", self.label);
        self.flavor = to;
        self.label = format!("{} ({to:?})", self.kind.name);
    }

    /// The daemon's home directory: config file, store and logs are below it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The config file given with `-c`.
    pub fn config_file(&self) -> PathBuf {
        self.dir().join("daemon.conf")
    }

    /// What the config file holds.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The running process.
    ///
    /// # Panics
    /// When the daemon was stopped.
    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        let label = &self.label;
        self.process.as_mut().unwrap_or_else(|| panic!("{label} is not running"))
    }

    /// Starts (again) with the same ports, directory and config, and waits for the boot line.
    ///
    /// # Panics
    /// When it runs already, or ends or hangs instead of booting.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.label);
        let process = self.launch();
        // The JVM takes a second or two of CPU; on a busy machine with two cores that may be long.
        process.wait_line(self.kind.boot_line, Duration::from_secs(90));
        self.process = Some(process);
    }

    /// Starts without waiting, for tests of a start that must fail; the caller owns the process.
    #[track_caller]
    pub fn launch(&self) -> Process {
        let config = self.config_file();
        std::fs::write(&config, self.properties.to_string()).expect("the config file can be written");
        let mut command = match self.flavor {
            Flavor::Ours => Command::new(binary(self.kind.binary)),
            Flavor::Java => self.java_command(),
        };
        command.args(&self.args).arg("-c").arg(&config);
        command
            .env("HOME", self.dir())
            .env_remove("NAMESRV_ADDR")
            .env_remove("ROCKETMQ_HOME")
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .current_dir(self.dir());
        if self.flavor == Flavor::Java {
            command.env("ROCKETMQ_HOME", self.dir());
        }
        // Logback of the Java servers tells at length how it configured itself.
        Process::spawn_with(&self.label, command, |_, line| line.contains(" |-"))
            .with_logs_in(self.dir().join("logs/rocketmqlogs"))
    }

    fn java_command(&self) -> Command {
        let mut command = official::jvm(self.dir());
        command.args(self.kind.jvm_options);
        command.arg(format!("-Drocketmq.home.dir={}", self.dir().display()));
        command.arg(self.kind.main_class);
        command
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Panics
    /// When it is not running, or does not end within 60 s.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        let status = self.process().terminate(Duration::from_secs(60));
        self.process = None;
        status
    }

    /// `kill -9`.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// Freezes it (SIGSTOP) until [`thaw`](Daemon::thaw).
    #[track_caller]
    pub fn freeze(&mut self) {
        self.process().signal(Signal::STOP);
    }

    /// Lets a frozen daemon go on (SIGCONT).
    #[track_caller]
    pub fn thaw(&mut self) {
        self.process().signal(Signal::CONT);
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.label, self.process)
    }
}
