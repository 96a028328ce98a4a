//! One child process: its output, its signals, its end.

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{guardian, wait};

/// How many of the last lines a failing test shows of each process.
const SHOWN_LINES: usize = 60;
/// How many lines are kept at all: a daemon that logs without end must not fill the test's memory.
const KEPT_LINES: usize = 200_000;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The child's standard output.
    Out,
    /// The child's standard error.
    Err,
}

/// The captured lines of one process, shared with the threads that read them.
struct Output {
    name: String,
    state: Mutex<OutputState>,
    grown: Condvar,
    /// Where the process keeps log files besides.
    log_dir: Mutex<Option<PathBuf>>,
}

#[derive(Default)]
struct OutputState {
    lines: VecDeque<String>,
    /// Streams still open; 0 means that nothing more will come.
    open: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Output {
    fn push(&self, line: String) {
        let mut state = lock(&self.state);
        if state.lines.len() == KEPT_LINES {
            state.lines.pop_front();
        }
        state.lines.push_back(line);
        self.grown.notify_all();
    }

    fn tail(&self) -> String {
        let state = lock(&self.state);
        let skipped = state.lines.len().saturating_sub(SHOWN_LINES);
        let mut text = format!("--- output of {} ({skipped} earlier lines)\n", self.name);
        for line in state.lines.iter().skip(skipped) {
            text.push_str(line);
            text.push('\n');
        }
        drop(state);
        for (file, line) in self.complaints() {
            text.push_str(&format!("{file}: {line}\n"));
        }
        text
    }

    /// The last lines of the log files that complain.
    fn complaints(&self) -> Vec<(String, String)> {
        let dir = lock(&self.log_dir).clone();
        let files = dir.and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
        let mut complaints = Vec::new();
        for file in files {
            let name = file.file_name().to_string_lossy().into_owned();
            let text = fs::read(file.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let bad =
                |line: &&str| [" WARN ", " ERROR ", "Exception: "].iter().any(|word| line.contains(word));
            let lines: Vec<_> = text.lines().filter(bad).collect();
            let skipped = lines.len().saturating_sub(SHOWN_LINES / 2);
            complaints.extend(lines[skipped..].iter().map(|line| (name.clone(), (*line).to_owned())));
        }
        complaints
    }
}

/// A child in a process group of its own, killed with this value and at the latest with the test process.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; `name` stands before its output in a failing test.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[track_caller]
    pub fn spawn(name: &str, command: Command) -> Process {
        Process::spawn_with(name, command, |_, _| false)
    }

    /// As [`spawn`](Process::spawn), with a look at each line: those for which `take` says true are not kept as output.
    #[track_caller]
    pub fn spawn_with(
        name: &str,
        mut command: Command,
        take: impl Fn(Stream, &str) -> bool + Send + Sync + 'static,
    ) -> Process {
        show_output_on_panic();
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: {} does not start: {e}", command.get_program().display()));
        guardian::adopt(child.id());

        let output = Arc::new(Output {
            name: format!("{name} (pid {})", child.id()),
            state: Mutex::new(OutputState { lines: VecDeque::new(), open: 2 }),
            grown: Condvar::new(),
            log_dir: Mutex::default(),
        });
        lock(&LIVE).push(Arc::downgrade(&output));
        let take = Arc::new(take);
        read_lines(Stream::Out, child.stdout.take(), &output, take.clone());
        read_lines(Stream::Err, child.stderr.take(), &output, take);
        Process { name: name.to_owned(), stdin: child.stdin.take(), child, output, status: None }
    }

    /// Tells where the process keeps log files: a failing test shows their warnings and errors too.
    #[must_use]
    pub fn with_logs_in(self, dir: PathBuf) -> Process {
        *lock(&self.output.log_dir) = Some(dir);
        self
    }

    /// The operating system's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far, one line each.
    pub fn log(&self) -> String {
        let state = lock(&self.output.state);
        state.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Writes one line to the child's standard input.
    ///
    /// # Panics
    /// When the child is gone.
    #[track_caller]
    pub fn send_line(&mut self, line: &str) {
        let name = &self.name;
        let stdin = self.stdin.as_mut().unwrap_or_else(|| panic!("{name}: stdin is closed"));
        writeln!(stdin, "{line}").unwrap_or_else(|e| panic!("{name} reads no more: {e}"));
    }

    /// Ends the child's standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line that contains `text`, printed before or after this call, and returns it.
    ///
    /// # Panics
    /// When the deadline passes, or when the process has ended without printing it.
    #[track_caller]
    pub fn wait_line(&self, text: &str, timeout: Duration) -> String {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.output.state);
        let mut seen = 0;
        loop {
            // Only a full buffer drops lines; then some are looked at twice, none is missed.
            if let Some(line) = state.lines.iter().skip(seen).find(|line| line.contains(text)) {
                return line.clone();
            }
            seen = if state.lines.len() == KEPT_LINES { 0 } else { state.lines.len() };
            let left = deadline.saturating_duration_since(Instant::now());
            if state.open == 0 || left.is_zero() {
                let ended = if state.open == 0 { "ended" } else { "goes on" };
                drop(state);
                panic!("{} {ended} without a line {text:?} within {timeout:?}", self.name);
            }
            state = self.output.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends a signal to the process alone (not to its group), as an operator would.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            // A process that has just ended cannot be signalled; wait_exit will tell how it ended.
            let _ = kill_process(self.raw_pid(), signal);
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Waits for its end; its output is then complete.
    ///
    /// # Panics
    /// When it still runs after `timeout`.
    #[track_caller]
    pub fn wait_exit(&mut self, timeout: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        let status = wait::value(&what, timeout, || self.poll());
        // A grandchild may hold the streams open for longer; its lines are not this process's.
        let state = lock(&self.output.state);
        let complete =
            self.output.grown.wait_timeout_while(state, Duration::from_secs(1), |state| state.open > 0);
        drop(complete);
        status
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Panics
    /// When it still runs after `timeout`.
    #[track_caller]
    pub fn terminate(&mut self, timeout: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit(timeout)
    }

    /// SIGKILL to the whole group: what `kill -9` or a crash does.
    pub fn kill(&mut self) {
        if self.poll().is_none() {
            let _ = kill_process_group(self.raw_pid(), Signal::KILL);
            self.status = self.child.wait().ok();
        }
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.trim().parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("{path} has no VmRSS")) * 1024
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a child can be waited for");
        }
        self.status
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // Children that it left behind belong to the group as well.
        let _ = kill_process_group(self.raw_pid(), Signal::KILL);
        guardian::release(self.child.id());
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.output.name)
    }
}

fn read_lines<R: Read + Send + 'static>(
    from: Stream,
    stream: Option<R>,
    output: &Arc<Output>,
    take: Arc<impl Fn(Stream, &str) -> bool + Send + Sync + 'static>,
) {
    let output = Arc::clone(output);
    let mut reader = BufReader::new(stream.expect("the stream is piped"));
    thread::spawn(move || {
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&bytes);
            let line = text.trim_end_matches(['\r', '\n']);
            if !take(from, line) {
                output.push(line.to_owned());
            }
            bytes.clear();
        }
        lock(&output.state).open -= 1;
        output.grown.notify_all();
    });
}

static LIVE: Mutex<Vec<Weak<Output>>> = Mutex::new(Vec::new());

/// A cluster in a `static` is never dropped, so its output has to be shown where the failure is: in the panic.
fn show_output_on_panic() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            let live: Vec<_> = {
                let mut live = lock(&LIVE);
                live.retain(|output| output.strong_count() > 0);
                live.iter().filter_map(Weak::upgrade).collect()
            };
            for output in live {
                eprint!("{}", output.tail());
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Process::spawn("shell", command)
    }

    #[test]
    fn lines_are_awaited_and_kept() {
        let mut process = shell("echo one; echo two >&2; read -r line; echo got $line");
        process.wait_line("two", Duration::from_secs(5));
        process.send_line("three");
        assert_eq!(process.wait_line("got", Duration::from_secs(5)), "got three");
        assert!(process.wait_exit(Duration::from_secs(5)).success());
        assert!(process.log().contains("one\n"));
    }

    #[test]
    fn an_end_without_the_line_is_reported_at_once() {
        let process = shell("exit 3");
        let started = Instant::now();
        let failed = std::panic::catch_unwind(|| process.wait_line("never", Duration::from_secs(60)));
        assert!(failed.is_err());
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_dropped_process_takes_its_children_with_it() {
        let process = shell("sleep 1000 & echo child $!; wait");
        let line = process.wait_line("child", Duration::from_secs(5));
        let child = line.split(' ').next_back().unwrap().to_owned();
        drop(process);
        wait::until("the grandchild to be gone", Duration::from_secs(5), || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        });
    }

    #[test]
    fn signals_reach_the_process() {
        let mut process = shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
        process.wait_line("ready", Duration::from_secs(5));
        assert!(process.terminate(Duration::from_secs(5)).success());
        assert!(process.log().contains("bye"));
    }
}
