//! Where our own binaries are.

use std::path::PathBuf;

/// The path of one of our binaries, from the build that the running test or program belongs to.
///
/// # Panics
/// When it has not been built: cargo builds the binaries of a test's own package only.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    // A test lies in target/<profile>/deps, a program in target/<profile>.
    let deps = test.ancestors().find(|dir| dir.ends_with("deps"));
    let profile =
        deps.unwrap_or(&test).parent().unwrap_or_else(|| panic!("{} is in no directory", test.display()));
    let path = profile.join(name);
    if !path.is_file() {
        let package = match name {
            "mqnamesrv" => "rmq-namesrv",
            "mqbroker" => "rmq-broker",
            "mqadmin" => "rmq-mqadmin",
            "mqstore" => "rmq-store",
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
