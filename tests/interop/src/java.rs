//! The official Java client: one JVM that runs many calls at once.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rmq_testkit::{Process, Stream, jvm, temp_dir};

use crate::fact::{Fact, escape, of_kind};

/// A running JVM with the driver program of tests/interop/java in it.
#[derive(Debug)]
pub struct Java {
    process: Mutex<Process>,
    calls: Calls,
    next_id: AtomicU64,
}

type Calls = Arc<Mutex<HashMap<String, Arc<Answers>>>>;

/// What one call has said so far; the last fact says `.ok` or `.fail`.
#[derive(Debug, Default)]
struct Answers {
    facts: Mutex<Vec<Fact>>,
    grown: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Java {
    /// Starts a client JVM; `options` are JVM options such as `-Drocketmq.serialize.type=ROCKETMQ`.
    #[track_caller]
    pub fn start(options: &[&str]) -> Java {
        let calls = Calls::default();
        let home = temp_dir("java-client").keep();
        let mut command = jvm(&home);
        command.args(["-Xms32m", "-Xmx256m"]).args(options).arg("interop.Driver").env("HOME", &home);

        let routes = Arc::clone(&calls);
        let process = Process::spawn_with("Java client", command, move |stream, line| {
            stream == Stream::Out && deliver(&routes, line)
        });
        let process = process.with_logs_in(home.join("logs/rocketmqlogs"));
        Java { process: Mutex::new(process), calls, next_id: AtomicU64::new(1) }
    }

    /// Prepares a call of one of the driver's commands (see `Driver.java`).
    pub fn request(&self, command: &str) -> Request<'_> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        Request { java: self, line: format!("{id}\t{command}"), id }
    }

    /// Runs the official mqadmin and returns what it printed.
    #[track_caller]
    pub fn mqadmin(&self, args: &[&str]) -> String {
        let request = args
            .iter()
            .enumerate()
            .fold(self.request("mqadmin"), |request, (i, arg)| request.arg(&i.to_string(), arg));
        request.run(crate::PATIENCE)[0].text("text").to_owned()
    }
}

/// Hands a line `@ID TAB fact` to its call; says false for lines that are none.
fn deliver(calls: &Calls, line: &str) -> bool {
    let Some((id, fact)) = line.strip_prefix('@').and_then(|rest| rest.split_once('\t')) else {
        return false;
    };
    if let Some(answers) = lock(calls).get(id) {
        lock(&answers.facts).push(Fact::parse(fact));
        answers.grown.notify_all();
    }
    true
}

/// A call in preparation.
#[derive(Debug)]
pub struct Request<'a> {
    java: &'a Java,
    id: String,
    line: String,
}

impl<'a> Request<'a> {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, key: &str, value: impl Display) -> Request<'a> {
        self.line.push_str(&format!("\t{key}={}", escape(&value.to_string())));
        self
    }

    /// Starts the call and lets it run.
    #[track_caller]
    pub fn begin(self) -> Ongoing<'a> {
        let answers = Arc::new(Answers::default());
        lock(&self.java.calls).insert(self.id.clone(), Arc::clone(&answers));
        lock(&self.java.process).send_line(&self.line);
        Ongoing { java: self.java, id: self.id, line: self.line, answers }
    }

    /// Runs the call to its end and returns what it said.
    ///
    /// # Panics
    /// When it failed or took longer than `timeout`.
    #[track_caller]
    pub fn run(self, timeout: Duration) -> Vec<Fact> {
        self.begin().end(timeout)
    }

    /// Runs a call that must fail and returns the failure: fields `class`, `message` and, from a broker, `code`.
    ///
    /// # Panics
    /// When it succeeded or took longer than `timeout`.
    #[track_caller]
    pub fn run_to_failure(self, timeout: Duration) -> Fact {
        let ongoing = self.begin();
        let facts = ongoing.until_end(timeout);
        let last = facts.last().expect("an ended call has said so").clone();
        assert_eq!(last.kind, ".fail", "{} was to fail and said {facts:#?}", ongoing.line);
        last
    }
}

/// A call that runs.
#[derive(Debug)]
pub struct Ongoing<'a> {
    java: &'a Java,
    id: String,
    line: String,
    answers: Arc<Answers>,
}

impl Ongoing<'_> {
    /// The facts of one kind so far.
    pub fn facts(&self, kind: &str) -> Vec<Fact> {
        of_kind(&lock(&self.answers.facts), kind)
    }

    /// Waits until `n` facts of a kind were said, and returns all of that kind.
    ///
    /// # Panics
    /// When the call ends or the time passes before.
    #[track_caller]
    pub fn wait(&self, kind: &str, n: usize, timeout: Duration) -> Vec<Fact> {
        let facts = self.until(timeout, |facts| {
            facts.iter().filter(|fact| fact.kind == kind).count() >= n || has_ended(facts)
        });
        let found = of_kind(&facts, kind);
        if found.len() < n {
            panic!("{}: {} of {n} {kind} within {timeout:?}: {facts:#?}", self.line, found.len());
        }
        found
    }

    /// Waits for the end of the call and returns what it said.
    ///
    /// # Panics
    /// When it fails or takes longer than `timeout`.
    #[track_caller]
    pub fn end(&self, timeout: Duration) -> Vec<Fact> {
        let mut facts = self.until_end(timeout);
        let last = facts.pop().expect("an ended call has said so");
        assert_eq!(last.kind, ".ok", "{} failed: {last:?} after {facts:#?}", self.line);
        facts
    }

    #[track_caller]
    fn until_end(&self, timeout: Duration) -> Vec<Fact> {
        let facts = self.until(timeout, has_ended);
        assert!(has_ended(&facts), "{} goes on after {timeout:?}: {facts:#?}", self.line);
        facts
    }

    /// What was said when `enough` held or the time was over.
    fn until(&self, timeout: Duration, enough: impl Fn(&[Fact]) -> bool) -> Vec<Fact> {
        let deadline = Instant::now() + timeout;
        let mut facts = lock(&self.answers.facts);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if enough(&facts) || left.is_zero() {
                return facts.clone();
            }
            facts = self.answers.grown.wait_timeout(facts, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Ongoing<'_> {
    fn drop(&mut self) {
        lock(&self.java.calls).remove(&self.id);
    }
}

fn has_ended(facts: &[Fact]) -> bool {
    facts.last().is_some_and(|fact| fact.kind.starts_with('.'))
}
