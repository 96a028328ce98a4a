//! The Go programs of tests/interop/go, built on demand.

use std::path::PathBuf;
use std::process::Command;

use crate::official::{build_once, interop_dir, run_tool};

/// The path of the driver program for the official Go client v2, built if its sources changed.
///
/// # Panics
/// When `go` is missing or the build fails.
pub fn go_program() -> PathBuf {
    let project = interop_dir("go");
    let program = project.join("target/driver");
    build_once(&project, &["go.mod", "go.sum", "main.go"], || {
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(&program).arg(".").current_dir(&project);
        run_tool(go, "apt-get install golang-go, or https://go.dev/dl");
    });
    program
}
