//! The persisted tables: topics, consumer groups, consumer offsets. Each is one of Java's JSON files.
//!
//! A table changes in memory at once; [`save`] writes it behind. Whoever must not answer before the change is on
//! disk (an admin request, a topic created on a send) awaits `save`, and any number of waiters share one write.

mod attributes;
pub mod groups;
pub mod json_file;
pub mod offsets;
mod strangers;
pub mod topics;

pub use groups::Groups;
pub use json_file::{MetaError, replace_file};
pub use offsets::Offsets;
pub use topics::Topics;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use json_file::Sheet;

/// A table that is kept in one JSON file.
pub trait Saved: Send + Sync + 'static {
    #[doc(hidden)]
    fn sheet(&self) -> &Sheet;
    /// The file's text.
    fn text(&self) -> Result<String, MetaError>;

    /// Writes the table if it changed since the last write. Blocks on the disk.
    fn save_now(&self) -> Result<(), MetaError> {
        self.sheet().write(|| self.text())
    }
}

/// Returns when everything that changed before the call is on disk.
pub async fn save<T: Saved>(table: &Arc<T>) -> Result<(), MetaError> {
    let wanted = table.sheet().version();
    let _turn = table.sheet().turn().await;
    if table.sheet().is_saved(wanted) {
        return Ok(());
    }
    let table = table.clone();
    match tokio::task::spawn_blocking(move || table.save_now()).await {
        Ok(result) => result,
        // The runtime is stopping; the last save of the shutdown follows.
        Err(_) => Ok(()),
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
