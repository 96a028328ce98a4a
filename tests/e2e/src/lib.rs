//! Our daemons as an operator meets them: processes with ports, signals, exit codes and config files, and raw sockets
//! with bytes that no client would send. The tests are in `tests/`; see also tests/interop for what official clients see.

use std::time::Duration;

/// How long anything may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);
