//! What outlives a test that dies: one small shell per test process that cleans up behind it.
//!
//! Values are not dropped when a test process is killed, or when they sit in a `static`. The guardian reads a pipe whose
//! other end only this process holds. At its end of file, however it came about, it kills every process group that it was
//! told of, unmounts what is mounted below the temporary directory, and removes that.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

/// Ignores the signals that a terminal sends to everybody: it must still be there when the tests are not. A JVM that was
/// killed may still make files for a moment, so removing is tried for a while.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
groups=' '
while read -r verb group; do
  case $verb in
    add) groups="$groups$group " ;;
    del) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
  esac
done
for group in $groups; do kill -KILL "-$group"; done
while read -r _ place _; do
  case $place in "$1"/*) umount -l "$place" ;; esac
done </proc/mounts
[ -z "$2" ] || exit
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf -- "$1" && exit
  sleep 0.5
done
"#;

struct Guardian {
    /// Its standard input is the pipe. Nobody waits for it: it ends after this process.
    shell: Mutex<Child>,
    root: PathBuf,
}

fn guardian() -> &'static Guardian {
    static GUARDIAN: OnceLock<Guardian> = OnceLock::new();
    GUARDIAN.get_or_init(|| {
        let root = tempfile::Builder::new()
            .prefix("rmq-test-")
            .tempdir()
            .expect("a temporary directory can be made")
            .keep();
        let keep = std::env::var("RMQ_TEST_KEEP").unwrap_or_default();
        let shell = launch(&root, &keep);
        Guardian { shell: Mutex::new(shell), root }
    })
}

/// Starts the shell; a `keep` that is not empty leaves the directory.
fn launch(root: &Path, keep: &str) -> Child {
    Command::new("sh")
        .args(["-c", SCRIPT, "guardian"])
        .arg(root)
        .arg(keep)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`sh` can be started")
}

fn tell(verb: &str, group: u32) {
    let mut shell = guardian().shell.lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = shell.stdin.as_mut().expect("stdin is piped");
    writeln!(pipe, "{verb} {group}").expect("the guardian shell is alive");
}

/// Has the process group killed when this process ends.
pub(crate) fn adopt(group: u32) {
    tell("add", group);
}

/// The process group is gone and its number may be given to somebody else.
pub(crate) fn release(group: u32) {
    tell("del", group);
}

fn root() -> &'static Path {
    &guardian().root
}

/// A directory that is removed with the value, and at the latest with this process. `RMQ_TEST_KEEP=1` keeps it.
pub fn temp_dir(name: &str) -> TempDir {
    let mut dir = tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(root())
        .expect("a temporary directory can be made");
    dir.disable_cleanup(std::env::var_os("RMQ_TEST_KEEP").is_some());
    dir
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait;

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").process_group(0).spawn().unwrap()
    }

    #[test]
    fn at_the_end_of_its_pipe_it_kills_what_it_was_told_of_and_nothing_else() {
        let root = tempfile::tempdir().unwrap().keep();
        std::fs::create_dir(root.join("store")).unwrap();
        let (mut first, mut released, mut second) = (sleeper(), sleeper(), sleeper());
        let mut shell = launch(&root, "");
        let mut pipe = shell.stdin.take().unwrap();
        for child in [&first, &released, &second] {
            writeln!(pipe, "add {}", child.id()).unwrap();
        }
        writeln!(pipe, "del {}", released.id()).unwrap();
        drop(pipe);

        assert!(shell.wait().unwrap().success());
        for child in [&mut first, &mut second] {
            wait::until("the process to be killed", Duration::from_secs(5), || {
                child.try_wait().unwrap().is_some()
            });
        }
        assert!(released.try_wait().unwrap().is_none(), "it was released");
        released.kill().unwrap();
        released.wait().unwrap();
        assert!(!root.exists());
    }
}
