//! The official release: its jars, fetched by Maven, and the JVM that runs them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// What the Maven project in `tests/interop/java` builds.
#[derive(Debug)]
pub struct OfficialJars {
    /// Every official jar with its dependencies.
    pub lib: PathBuf,
    /// Our driver programs, compiled against them.
    pub classes: PathBuf,
}

impl OfficialJars {
    /// What goes after `-cp`.
    pub fn class_path(&self) -> OsString {
        let mut path = self.classes.clone().into_os_string();
        path.push(":");
        path.push(self.lib.join("*"));
        path
    }
}

/// The official jars and our Java programs, built if any of their sources changed. Parallel tests wait for one build.
///
/// # Panics
/// When `mvn` is missing or fails.
pub fn official_jars() -> &'static OfficialJars {
    static JARS: OnceLock<OfficialJars> = OnceLock::new();
    JARS.get_or_init(|| {
        let project = interop_dir("java");
        let target = project.join("target");
        build_once(&project, &["pom.xml", "src"], || {
            let mut mvn = Command::new("mvn");
            mvn.args(["-q", "-B", "process-classes"]).current_dir(&project);
            run_tool(mvn, "apt-get install maven");
        });
        OfficialJars { lib: target.join("lib"), classes: target.join("classes") }
    })
}

/// A `java` command with the official class path and `home` as the user's home (where logs and local offsets go). JVM
/// options and the main class are still to be added.
///
/// # Panics
/// When `java` is missing.
pub fn jvm(home: &Path) -> Command {
    let java = std::env::var_os("JAVA_HOME")
        .map_or_else(|| PathBuf::from("java"), |home| PathBuf::from(home).join("bin/java"));
    static CHECKED: OnceLock<()> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let mut version = Command::new(&java);
        version.arg("-version");
        run_tool(version, "apt-get install openjdk-17-jdk-headless");
    });
    let mut command = Command::new(java);
    // On two cores the serial collector and the first compiler tier give the shortest start.
    command
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
        .arg(format!("-Duser.home={}", home.display()))
        .arg("-cp")
        .arg(official_jars().class_path())
        .env_remove("NAMESRV_ADDR");
    command
}

/// A folder below tests/interop.
pub(crate) fn interop_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop").join(name)
}

/// Runs `build` unless `target/.built` is newer than everything it was built from; one process at a time.
pub(crate) fn build_once(project: &Path, sources: &[&str], build: impl FnOnce()) {
    let target = project.join("target");
    fs::create_dir_all(&target).unwrap_or_else(|e| panic!("{}: {e}", target.display()));
    let lock = File::create(target.join(".lock")).expect("the build lock can be made");
    lock.lock().expect("the build lock can be taken");

    let stamp = target.join(".built");
    let newest = sources.iter().filter_map(|source| newest_change(&project.join(source))).max();
    if modified(&stamp) < newest {
        build();
        File::create(&stamp).expect("the build stamp can be made");
    }
}

fn newest_change(path: &Path) -> Option<SystemTime> {
    let below = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| newest_change(&entry.path()))
        .max();
    below.max(modified(path))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// Runs a tool to its end; a missing or failing one ends the test with the reason.
pub(crate) fn run_tool(mut command: Command, remedy: &str) {
    let program = command.get_program().display().to_string();
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "{command:?} failed, {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            panic!("`{program}` is not installed, and tests with official clients need it: {remedy}")
        }
        Err(e) => panic!("`{program}` cannot be run: {e}"),
    }
}
