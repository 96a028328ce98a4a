//! Where our own binaries are.

use std::path::PathBuf;

/// The path of one of our binaries, from the build that the running test belongs to (`target/<profile>/deps/<test>`).
///
/// # Panics
/// When it has not been built: cargo builds the binaries of a test's own package only.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test
        .ancestors()
        .find(|dir| dir.ends_with("deps"))
        .and_then(|deps| deps.parent())
        .unwrap_or_else(|| panic!("{} is not below target/<profile>/deps", test.display()));
    let path = profile.join(name);
    if !path.is_file() {
        let package = match name {
            "mqnamesrv" => "rmq-namesrv",
            "mqbroker" => "rmq-broker",
            "mqadmin" => "rmq-mqadmin",
            other => other,
        };
        let release = if profile.ends_with("release") { " --release" } else { "" };
        panic!(
            "{} is missing: run `cargo build -p {package}{release}` first (bin/test does)",
            path.display()
        );
    }
    path
}
