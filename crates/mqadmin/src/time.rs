//! Times as Java's tool prints and reads them: in this machine's time zone.

use chrono::{DateTime, Local, NaiveDateTime, TimeZone};

fn local(time_ms: i64) -> Option<DateTime<Local>> {
    Local.timestamp_millis_opt(time_ms).single()
}

/// `2026-11-23 10:15:00,123`.
pub(crate) fn with_millis(time_ms: i64) -> String {
    local(time_ms)
        .map_or_else(|| time_ms.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S,%3f").to_string())
}

/// `2026-11-23 10:15:00`.
pub(crate) fn with_seconds(time_ms: i64) -> String {
    local(time_ms).map_or_else(|| time_ms.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// Milliseconds since the epoch, from such a number or from `2026-11-23#10:15:00:123`.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Ok(time_ms) = text.parse() {
        return Some(time_ms);
    }
    let (seconds, millis) = text.rsplit_once(':')?;
    let seconds = NaiveDateTime::parse_from_str(seconds, "%Y-%m-%d#%H:%M:%S").ok()?;
    let seconds = Local.from_local_datetime(&seconds).earliest()?;
    Some(seconds.timestamp_millis() + millis.parse::<i64>().ok()?)
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    Local::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_time_can_be_read() {
        let now = now_ms();
        let printed = with_millis(now).replace(' ', "#").replace(',', ":");
        assert_eq!(parse(&printed), Some(now));
        assert_eq!(parse("1700000000000"), Some(1_700_000_000_000));
        assert_eq!(parse("yesterday"), None);
    }
}
