//! Giving disk space back: the oldest log files go, and what was derived from them follows.

use std::{path::Path, time::SystemTime};

use chrono::{Local, TimeZone, Timelike};

use crate::{
    config::StoreConfig,
    error::{IoContext, StoreError},
    log::commit_log::CommitLog,
};

/// Why log files may be deleted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Not at all.
    None,
    /// It is the hour, the disk is rather full, or an operator asks: expired files.
    Expired,
    /// The disk is so full that unexpired files go too.
    Forced,
}

/// What may be deleted now. `asked`: an operator wants expired files to go.
pub(crate) fn reason(config: &StoreConfig, used_percent: u8, now_ms: i64, asked: bool) -> Reason {
    // Java keeps both levels inside these bounds, whatever is configured.
    let warning = config.disk_warning_percent.clamp(35, 90);
    let forcibly = config.disk_clean_forcibly_percent.clamp(30, 85);
    if config.clean_forcibly && (used_percent > warning || used_percent > forcibly) {
        Reason::Forced
    } else if asked || used_percent > config.disk_max_used_percent || is_hour(&config.delete_when, now_ms) {
        Reason::Expired
    } else {
        Reason::None
    }
}

/// Whether the disk is so full that appends are refused.
pub(crate) fn is_full(config: &StoreConfig, used_percent: u8) -> bool {
    used_percent > config.disk_warning_percent.clamp(35, 90)
}

/// Whether the local hour is one of `04;16`.
fn is_hour(when: &str, now_ms: i64) -> bool {
    let Some(now) = Local.timestamp_millis_opt(now_ms).earliest() else {
        return false;
    };
    when.split(';').any(|hour| hour.trim().parse() == Ok(now.hour()))
}

/// Deletes the oldest files, in order and never the last, while they are expired or `Reason::Forced`.
pub(crate) fn delete_log_files(
    log: &CommitLog,
    config: &StoreConfig,
    reason: Reason,
    now_ms: i64,
) -> Result<usize, StoreError> {
    if reason == Reason::None {
        return Ok(0);
    }
    let mut files = log.files().all();
    files.pop();
    let reserved_ms = config.file_reserved_time_h.saturating_mul(3_600_000);
    let mut delete_below = 0;
    for file in files.iter().take(config.delete_files_max) {
        let modified = file.modified().doing("look at", file.path())?;
        let modified_ms = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let is_expired = now_ms as u128 >= modified_ms + u128::from(reserved_ms);
        // Unsynced files would have to be synced first, and they are new anyway.
        let is_synced = log.flushed().get() as u64 >= file.end();
        if !is_synced || (reason != Reason::Forced && !is_expired) {
            break;
        }
        delete_below = file.end();
    }
    let deleted = log.files().delete(|file| file.end() <= delete_below)?;
    if deleted > 0 {
        tracing::info!(deleted, ?reason, log_start = log.start(), "log files are deleted");
    }
    Ok(deleted)
}

/// Share of the file system of `dir` that is used, percent, rounded up as `df` and Java do.
pub(crate) fn used_percent(dir: &Path) -> Result<u8, StoreError> {
    let stat = rustix::fs::statvfs(dir).doing("look at the disk of", dir)?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let total = used.saturating_add(stat.f_bavail);
    if total == 0 {
        return Ok(0);
    }
    Ok((used.saturating_mul(100).div_ceil(total)).min(100) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_local() {
        let now = 1_700_000_000_000;
        let hour = Local.timestamp_millis_opt(now).unwrap().hour();
        assert!(is_hour(&format!("{hour:02}"), now));
        assert!(is_hour(&format!("99; {hour}"), now));
        assert!(!is_hour(&format!("{}", (hour + 1) % 24), now));
        assert!(!is_hour("", now));
    }

    #[test]
    fn the_levels_decide() {
        let config = StoreConfig { delete_when: String::new(), ..StoreConfig::new("/") };
        assert_eq!(reason(&config, 75, 0, false), Reason::None);
        assert_eq!(reason(&config, 75, 0, true), Reason::Expired);
        assert_eq!(reason(&config, 76, 0, false), Reason::Expired);
        assert_eq!(reason(&config, 86, 0, false), Reason::Forced);
        assert!(!is_full(&config, 90));
        assert!(is_full(&config, 91));
        let patient = StoreConfig { clean_forcibly: false, ..config };
        assert_eq!(reason(&patient, 95, 0, false), Reason::Expired);
    }

    #[test]
    fn usage_is_a_percentage() {
        assert!(used_percent(Path::new("/")).unwrap() <= 100);
        assert!(used_percent(Path::new("/does/not/exist")).is_err());
    }
}
