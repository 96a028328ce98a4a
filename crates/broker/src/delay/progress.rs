//! How far each delay level has been delivered: `delayOffset.json`.
//!
//! An offset is written only when the messages delivered below it are on disk. So a power cut can make
//! delayed messages come twice, but never lose them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rmq_proto::{
    body::{DataVersion, DelayOffsets},
    fastjson,
};
use rmq_store::fault;

use crate::meta::{MetaError, Saved, json_file::Sheet, now_ms};

/// Offsets by level, in memory and in the file.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    sheet: Sheet,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    version: DataVersion,
    offsets: BTreeMap<i32, i64>,
    /// End in the log of the last delivered message.
    delivered: i64,
    /// Offsets that wait until the log is on disk up to that place.
    settling: Option<(BTreeMap<i32, i64>, i64)>,
    /// Offsets that may be written.
    settled: BTreeMap<i32, i64>,
}

impl Progress {
    /// Reads the file in the directory of the tables.
    pub(super) fn open(directory: &Path) -> Result<Self, MetaError> {
        let path = directory.join("delayOffset.json");
        let sheet = Sheet::new(path.clone());
        let file: DelayOffsets = sheet.read()?.unwrap_or_default();
        let state = State {
            version: file.data_version.unwrap_or_default(),
            settled: file.offset_table.clone(),
            offsets: file.offset_table,
            ..State::default()
        };
        Ok(Self { path, sheet, state: Mutex::new(state) })
    }

    /// The next offset of a level.
    pub(super) fn get(&self, level: i32) -> i64 {
        self.state.lock().offsets.get(&level).copied().unwrap_or(0)
    }

    /// Corrects the offset of a level without a delivery.
    pub(super) fn correct(&self, level: i32, offset: i64) {
        self.state.lock().offsets.insert(level, offset);
    }

    /// All messages of the level below `offset` are delivered; the last of them ends at `end` in the log.
    pub(super) fn advance(&self, level: i32, offset: i64, end: i64) {
        let mut state = self.state.lock();
        state.offsets.insert(level, offset);
        state.delivered = state.delivered.max(end);
    }

    /// What is delivered, as code 45 shows it.
    pub(super) fn snapshot(&self) -> DelayOffsets {
        let state = self.state.lock();
        DelayOffsets { data_version: Some(state.version), offset_table: state.offsets.clone() }
    }

    /// Writes what is safe to write, given that the log is on disk up to `flushed`.
    pub(super) fn save(&self, flushed: i64) -> Result<(), MetaError> {
        self.settle(flushed);
        // Only for tests that look at the files; saving has its own points.
        let _ = fault::hit(fault::DELAY_PROGRESS);
        self.save_now()
    }

    /// Notes what is safe to write by now. The more often, the fewer messages come twice after a crash.
    pub(super) fn settle(&self, flushed: i64) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.delivered <= flushed {
            state.settling = Some((state.offsets.clone(), state.delivered));
        }
        let ready = state.settling.take_if(|(_, end)| *end <= flushed);
        if let Some((offsets, _)) = ready.filter(|(offsets, _)| *offsets != state.settled) {
            state.settled = offsets;
            state.version.advance(now_ms());
            self.sheet.touch();
        }
        if state.settling.is_none() && state.offsets != state.settled {
            state.settling = Some((state.offsets.clone(), state.delivered));
        }
    }
}

impl Saved for Progress {
    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    fn text(&self) -> Result<String, MetaError> {
        let file = {
            let state = self.state.lock();
            DelayOffsets { data_version: Some(state.version), offset_table: state.settled.clone() }
        };
        fastjson::to_string_pretty(&file).map_err(|error| MetaError::new(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(directory: &Path, level: i32) -> i64 {
        Progress::open(directory).unwrap().get(level)
    }

    #[test]
    fn an_offset_is_written_after_its_messages() {
        let directory = tempfile::tempdir().unwrap();
        let progress = Progress::open(directory.path()).unwrap();
        progress.advance(1, 10, 1_000);
        progress.save(900).unwrap();
        assert_eq!(in_file(directory.path(), 1), 0);
        // Deliveries go on, so the end of the log is never quite on disk.
        progress.advance(1, 20, 2_000);
        progress.save(1_900).unwrap();
        assert_eq!(in_file(directory.path(), 1), 10);
        progress.save(2_000).unwrap();
        assert_eq!(in_file(directory.path(), 1), 20);
        assert_eq!(progress.snapshot().offset_table, BTreeMap::from([(1, 20)]));
    }

    #[test]
    fn javas_file_is_read_and_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("delayOffset.json");
        std::fs::write(&path, "{\n\t\"offsetTable\":{12:0,1:3\n\t}\n}").unwrap();
        let progress = Progress::open(directory.path()).unwrap();
        assert_eq!((progress.get(1), progress.get(12), progress.get(2)), (3, 0, 0));
        progress.advance(1, 4, 0);
        progress.save(0).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("1:4"), "level numbers are written bare: {text}");
    }
}
