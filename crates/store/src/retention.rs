//! Giving disk space back: the oldest log files go, and what was derived from them follows.

use std::time::SystemTime;

use chrono::{Local, TimeZone, Timelike};

use crate::{
    config::Retention,
    error::{IoContext, StoreError},
    log::commit_log::CommitLog,
};

/// Why log files may be deleted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Only what is too much, if that is limited.
    Size,
    /// It is the hour, the disk is rather full, or an operator asks: expired files.
    Expired,
    /// The disk is so full that unexpired files go too.
    Forced,
}

/// What is to be seen when files may be deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion {
    /// Usage of the disk, percent.
    pub(crate) used_percent: u8,
    /// Appends are refused for lack of space.
    pub(crate) is_full: bool,
    /// An operator wants expired files to go.
    pub(crate) is_asked: bool,
    /// The time, ms.
    pub(crate) now_ms: i64,
}

impl Retention {
    /// Java keeps this limit inside these bounds, whatever is configured.
    pub(crate) fn warning_percent(&self) -> u8 {
        self.disk_warning_percent.clamp(35, 90)
    }

    /// Likewise.
    fn forcibly_percent(&self) -> u8 {
        self.disk_clean_forcibly_percent.clamp(30, 85)
    }

    /// What may be deleted now.
    pub(crate) fn reason(&self, occasion: Occasion) -> Reason {
        let Occasion { used_percent, is_full, is_asked, now_ms } = occasion;
        // Java: each of these levels lets expired files go, also if unexpired ones must stay.
        let is_urgent = is_full || used_percent > self.forcibly_percent().min(self.warning_percent());
        if is_urgent && self.clean_forcibly {
            Reason::Forced
        } else if is_urgent
            || is_asked
            || used_percent > self.disk_max_used_percent
            || is_hour(&self.delete_when, now_ms)
        {
            Reason::Expired
        } else {
            Reason::Size
        }
    }
}

/// Whether the local hour is one of `04;16`.
fn is_hour(when: &str, now_ms: i64) -> bool {
    let Some(now) = Local.timestamp_millis_opt(now_ms).earliest() else {
        return false;
    };
    when.split(';').any(|hour| hour.trim().parse() == Ok(now.hour()))
}

/// Where the log may begin: the oldest files go, in order and never the last, while there is a reason to.
pub(crate) fn new_start(
    log: &CommitLog,
    retention: &Retention,
    reason: Reason,
    now_ms: i64,
) -> Result<u64, StoreError> {
    let mut files = log.files().all();
    files.pop();
    let reserved_ms = u128::from(retention.file_reserved_time_h) * 3_600_000;
    let mut start = log.start();
    for file in files.iter().take(retention.delete_files_max) {
        let limit = retention.max_log_bytes;
        let is_too_much = limit > 0 && log.end().saturating_sub(file.start()) > limit;
        let is_unwanted = is_too_much
            || match reason {
                Reason::Size => false,
                Reason::Expired => {
                    now_ms as u128
                        >= modified_ms(file.modified().doing("look at", file.path())?) + reserved_ms
                }
                Reason::Forced => true,
            };
        // Unsynced files would have to be synced first, and the file that is written is one of them even
        // when an empty one lies behind it already.
        let is_synced = log.flushed().get() as u64 >= file.end();
        if !is_synced || !is_unwanted {
            break;
        }
        start = file.end();
    }
    Ok(start)
}

fn modified_ms(modified: SystemTime) -> u128 {
    modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
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
        let retention = Retention { delete_when: String::new(), ..Retention::default() };
        let calm = Occasion { used_percent: 75, is_full: false, is_asked: false, now_ms: 0 };
        let used = |used_percent| Occasion { used_percent, ..calm };
        assert_eq!(retention.reason(calm), Reason::Size);
        assert_eq!(retention.reason(Occasion { is_asked: true, ..calm }), Reason::Expired);
        assert_eq!(retention.reason(used(76)), Reason::Expired);
        assert_eq!(retention.reason(used(86)), Reason::Forced);
        assert_eq!(retention.reason(Occasion { is_full: true, ..calm }), Reason::Forced);
        let patient = Retention { clean_forcibly: false, disk_max_used_percent: 95, ..retention };
        for urgent in [used(86), used(91), Occasion { is_full: true, ..calm }] {
            assert_eq!(patient.reason(urgent), Reason::Expired, "{urgent:?}");
        }
        assert_eq!(patient.reason(used(85)), Reason::Size);
    }
}
