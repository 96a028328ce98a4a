//! The disks of a store: how full they are, and whether that lets records in.
//!
//! They are looked at once a second while records or questions come, so that a disk which is full stops
//! appends, and one which has space again lets them in, without a thread for it. Between two looks the
//! log itself leaves the reserve alone: it asks for free space whenever it allocates some.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use parking_lot::Mutex;

use crate::{
    config::{Clock, Retention, StoreConfig},
    error::{AppendError, IoContext, StoreError},
};

/// How often the disks are looked at.
const LOOK_EVERY_MS: u64 = 1_000;
/// A full disk counts as free again only with this much more than it has to keep: the answer must not
/// flicker while the last blocks come and go.
const RESUME_BYTES: u64 = 1024 * 1024;

/// How full the fullest disk of a store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Percent, rounded up as `df` and Java do.
    pub(crate) used_percent: u8,
    /// Bytes that ordinary users can still have.
    pub(crate) free_bytes: u64,
}

/// The disks of a store and the limits on them.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Log and root may lie on two disks. Java looks at both, too.
    dirs: [PathBuf; 2],
    clock: Clock,
    looked_at_ms: AtomicI64,
    full: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    retention: Retention,
    usage: Usage,
    /// Why appends are refused.
    full: Option<String>,
    /// That the disks can't be looked at, or refuse without being full, was said; once is enough.
    told: bool,
}

impl Disk {
    /// The disks of a store with that configuration; not looked at yet.
    pub(crate) fn new(config: &StoreConfig) -> Self {
        Self {
            dirs: [config.commit_log_dir(), config.root_dir.clone()],
            clock: config.clock.clone(),
            looked_at_ms: AtomicI64::new(i64::MIN),
            full: AtomicBool::new(false),
            state: Mutex::new(State {
                retention: config.retention.clone(),
                usage: Usage::default(),
                full: None,
                told: false,
            }),
        }
    }

    /// The limits of this moment.
    pub(crate) fn retention(&self) -> Retention {
        self.state.lock().retention.clone()
    }

    /// Other limits, which count at once.
    pub(crate) fn set_retention(&self, retention: Retention) {
        self.state.lock().retention = retention;
        self.look();
    }

    /// Refuses appends to a full disk. Costs two atomic loads and the time of day, except once a second.
    pub(crate) fn check(&self) -> Result<(), AppendError> {
        self.look_if_stale();
        if !self.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        match &self.state.lock().full {
            Some(why) => Err(AppendError::DiskFull(why.clone())),
            None => Ok(()),
        }
    }

    /// How full the disks are, at most a second ago.
    pub(crate) fn usage(&self) -> Usage {
        self.look_if_stale();
        self.state.lock().usage
    }

    /// Why appends are refused, if so, at most a second ago.
    pub(crate) fn full(&self) -> Option<String> {
        self.check().err().map(|error| error.to_string())
    }

    fn look_if_stale(&self) {
        let (now, before) = (self.clock.now_ms(), self.looked_at_ms.load(Ordering::Relaxed));
        // Not `now - before`: a clock that was set back must not keep us from looking.
        let is_stale = now.abs_diff(before) >= LOOK_EVERY_MS;
        let swap =
            |now| self.looked_at_ms.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed);
        if is_stale && swap(now).is_ok() {
            self.look();
        }
    }

    /// Looks now.
    pub(crate) fn look(&self) -> Usage {
        self.looked_at_ms.store(self.clock.now_ms(), Ordering::Relaxed);
        let measured = self.measure();
        let mut state = self.state.lock();
        match measured {
            Ok(usage) => state.usage = usage,
            Err(error) => {
                if !std::mem::replace(&mut state.told, true) {
                    tracing::error!(%error, "the disk's usage is unknown");
                }
                return state.usage;
            }
        }
        let why = why_full(&state.retention, state.usage, state.full.is_some());
        self.set_full(&mut state, why);
        state.usage
    }

    /// The file system had no space, or only the reserve, for an append.
    pub(crate) fn ran_out(&self, why: &str) {
        let usage = self.look();
        let mut state = self.state.lock();
        if state.full.is_some() {
            return;
        }
        if usage.free_bytes < state.retention.disk_reserved_bytes.saturating_add(RESUME_BYTES) {
            self.set_full(&mut state, Some(why.to_owned()));
        } else if !std::mem::replace(&mut state.told, true) {
            // A quota, or no more files: each append tries again, since nothing shows when that ends.
            tracing::error!(why, "the log can't grow although the disk has space");
        }
    }

    /// Full until the next look.
    #[cfg(test)]
    pub(crate) fn pretend_full(&self) {
        self.set_full(&mut self.state.lock(), Some("a test says so".into()));
    }

    fn set_full(&self, state: &mut State, why: Option<String>) {
        match (&state.full, &why) {
            (None, Some(why)) => tracing::warn!(why, "the disk is full: messages are refused"),
            (Some(_), None) => tracing::info!(usage = ?state.usage, "the disk has space again"),
            _ => {}
        }
        self.full.store(why.is_some(), Ordering::Relaxed);
        state.full = why;
    }

    fn measure(&self) -> Result<Usage, StoreError> {
        let mut fullest = Usage { used_percent: 0, free_bytes: u64::MAX };
        for dir in &self.dirs {
            let stat = rustix::fs::statvfs(dir).doing("look at the disk of", dir)?;
            let used = stat.f_blocks.saturating_sub(stat.f_bfree);
            let all = used.saturating_add(stat.f_bavail).max(1);
            let percent = used.saturating_mul(100).div_ceil(all).min(100) as u8;
            fullest.used_percent = fullest.used_percent.max(percent);
            fullest.free_bytes = fullest.free_bytes.min(stat.f_bavail.saturating_mul(stat.f_frsize));
        }
        Ok(fullest)
    }
}

/// Why a disk is too full for appends, if so. `was_full`: they are refused already.
fn why_full(retention: &Retention, usage: Usage, was_full: bool) -> Option<String> {
    let Usage { used_percent, free_bytes } = usage;
    let (limit, reserved) = (retention.warning_percent(), retention.disk_reserved_bytes);
    if used_percent > limit {
        return Some(format!(
            "{used_percent} % are used, the limit diskSpaceWarningLevelRatio is {limit} %; free some space"
        ));
    }
    let least = if was_full { reserved.saturating_add(RESUME_BYTES) } else { reserved };
    (free_bytes < least).then(|| reserve_reached(free_bytes, reserved))
}

/// What to say when only the reserve is left.
pub(crate) fn reserve_reached(free_bytes: u64, reserved: u64) -> String {
    format!(
        "{free_bytes} bytes are free, diskReservedBytes keeps {reserved} of them for queues, offsets and \
         reads; free some space or lower it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage { used_percent: 50, free_bytes: 100 << 20 };

    #[test]
    fn a_disk_is_full_by_percent_or_by_bytes() {
        let retention = Retention::default();
        assert_eq!(why_full(&retention, USAGE, false), None);
        assert_eq!(why_full(&retention, Usage { used_percent: 90, ..USAGE }, false), None);
        let why = why_full(&retention, Usage { used_percent: 91, ..USAGE }, false).unwrap();
        assert!(why.contains("91 %") && why.contains("diskSpaceWarningLevelRatio is 90 %"), "{why}");
        assert_eq!(why_full(&retention, Usage { free_bytes: 64 << 20, ..USAGE }, false), None);
        let low = Usage { free_bytes: (64 << 20) - 1, ..USAGE };
        let why = why_full(&retention, low, false).unwrap();
        assert!(
            why.contains("67108863 bytes") && why.contains("67108864") && why.contains("diskReservedBytes")
        );
        assert_eq!(why_full(&Retention { disk_reserved_bytes: 0, ..retention }, low, false), None);
    }

    #[test]
    fn a_full_disk_is_free_again_a_little_later() {
        let retention = Retention::default();
        let enough = Usage { free_bytes: 65 << 20, ..USAGE };
        assert!(why_full(&retention, Usage { free_bytes: (65 << 20) - 1, ..USAGE }, true).is_some());
        assert_eq!(why_full(&retention, enough, true), None);
    }

    #[test]
    fn what_is_not_there_has_no_usage() {
        let disk = Disk::new(&StoreConfig::new("/does/not/exist"));
        assert!(disk.measure().is_err());
        assert_eq!(disk.look(), Usage::default());
        let disk = Disk::new(&StoreConfig { commit_log_dir: Some("/".into()), ..StoreConfig::new("/") });
        assert!(disk.measure().unwrap().used_percent <= 100);
    }
}
