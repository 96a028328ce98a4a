//! Waiting for conditions, with a deadline: the only way in which a test spends time.

use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);

/// Polls `probe` until it yields a value.
///
/// # Panics
/// When `timeout` has passed without one, naming `what` was awaited.
#[track_caller]
pub fn value<T>(what: &str, timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        if Instant::now() >= deadline {
            panic!("waited {timeout:?} in vain for: {what}");
        }
        std::thread::sleep(POLL);
    }
}

/// Polls `condition` until it holds.
///
/// # Panics
/// As [`value`].
#[track_caller]
pub fn until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    value(what, timeout, || condition().then_some(()));
}

/// Polls `probe` until it answers what is `wanted`; a failure shows the last answer beside it.
///
/// # Panics
/// When `timeout` has passed first.
#[track_caller]
pub fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: &T,
    timeout: Duration,
    mut probe: impl FnMut() -> T,
) {
    let deadline = Instant::now() + timeout;
    loop {
        let seen = probe();
        if seen == *wanted {
            return;
        }
        if Instant::now() >= deadline {
            panic!("waited {timeout:?} in vain for: {what}\n  wanted: {wanted:?}\n  last seen: {seen:?}");
        }
        std::thread::sleep(POLL);
    }
}
