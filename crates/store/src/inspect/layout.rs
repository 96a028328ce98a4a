//! Where a store's files lie and how long they are: as configured, or as found.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use rmq_proto::properties_file::Properties;

use super::{InspectError, entries};
use crate::{
    config::{DelayLevels, StoreConfig},
    derived::{index_file::Shape, queue_file::UNIT_LEN, queues::directories},
    error::{IoContext, StoreError},
    file::mapped_files::list,
};

/// Queues that are looked at to find the length of queue files.
const SAMPLE: usize = 1_000;

/// Where a store's files lie and how long they are.
#[derive(Debug, Clone)]
pub struct Layout {
    config: StoreConfig,
    is_configured: bool,
    /// Why the sizes may be wrong.
    doubts: Vec<String>,
}

impl Layout {
    /// As a broker is configured. Only sizes, places, delay levels and `index_enable` matter.
    pub fn configured(config: StoreConfig) -> Self {
        Self { config, is_configured: true, doubts: Vec::new() }
    }

    /// As a broker's config file says, with Java's keys and defaults; the store is at `root` whatever
    /// `storePathRootDir` says.
    pub fn from_properties(root: &Path, file: &Properties) -> Result<Self, InspectError> {
        let mut config = StoreConfig::new(root);
        set(file, "mappedFileSizeCommitLog", &mut config.mapped_file_size_commit_log)?;
        set(file, "mappedFileSizeConsumeQueue", &mut config.mapped_file_size_consume_queue)?;
        set(file, "maxHashSlotNum", &mut config.index_slots)?;
        set(file, "maxIndexNum", &mut config.index_entries)?;
        set(file, "messageIndexEnable", &mut config.index_enable)?;
        if let Some(dir) = file.get("storePathCommitLog").filter(|dir| !dir.is_empty()) {
            config.commit_log_dir = Some(dir.into());
        }
        if let Some(levels) = file.get("messageDelayLevel") {
            config.delay_levels = DelayLevels::parse(levels)?;
        }
        Ok(Self::configured(config))
    }

    /// As the files of the store at `root` show.
    pub fn find(root: &Path) -> Result<Self, InspectError> {
        let mut layout = Self { config: StoreConfig::new(root), is_configured: false, doubts: Vec::new() };
        layout.find_log()?;
        layout.find_queues()?;
        layout.find_index()?;
        Ok(layout)
    }

    /// The settings of a broker that fit.
    pub(crate) fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// Whether the settings come from a broker's configuration.
    pub(crate) fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// Why files can't be written with these sizes; empty if they can.
    pub(crate) fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn find_log(&mut self) -> Result<(), StoreError> {
        let files = list(&self.config.commit_log_dir())?;
        let Some(longest) = files.iter().map(|(_, len)| *len).max().filter(|len| *len > 0) else {
            return Ok(());
        };
        let same = files.iter().filter(|(_, len)| *len == longest).count();
        let spacing = files.windows(2).map(|pair| pair[1].0 - pair[0].0).min();
        let len = match spacing {
            Some(spacing) if same < 2 && !spacing.is_multiple_of(longest) => spacing,
            _ => longest,
        };
        if files.len() < 2 && !len.is_multiple_of(4096) {
            self.doubt("mappedFileSizeCommitLog", format!("the only log file has {len} bytes"));
        }
        // Shorter files are cut ones of some length that nobody knows.
        if (4096..=i32::MAX as u64).contains(&len) {
            self.config.mapped_file_size_commit_log = len;
        } else {
            self.doubt("mappedFileSizeCommitLog", format!("the log files seem to have {len} bytes"));
        }
        Ok(())
    }

    fn find_queues(&mut self) -> Result<(), StoreError> {
        let dir = self.config.consume_queue_dir();
        if !dir.exists() {
            return Ok(());
        }
        let default = self.config.mapped_file_size_consume_queue;
        let mut lengths = BTreeMap::<u64, usize>::new();
        let topics = directories(&dir)?;
        let mut queues = topics.iter().map(|(_, path)| directories(path));
        let mut left = SAMPLE;
        while left > 0
            && let Some(found) = queues.next()
        {
            for (_, path) in found?.iter().take(left) {
                left -= 1;
                list(path)?.into_iter().for_each(|(_, len)| *lengths.entry(len).or_default() += 1);
            }
        }
        let is_possible = |len: u64| len > 0 && len.is_multiple_of(UNIT_LEN as u64);
        let possible = lengths.iter().filter(|(len, _)| is_possible(**len));
        let Some((len, count)) = possible.max_by_key(|(len, count)| (**count, **len == default, **len))
        else {
            return Ok(());
        };
        self.config.mapped_file_size_consume_queue = *len;
        if *len != default && (*count < 2 || lengths.len() > 1) {
            let found: Vec<_> = lengths.keys().map(u64::to_string).collect();
            let why = format!("the queue files have {} bytes", found.join(" or "));
            self.doubt("mappedFileSizeConsumeQueue", why);
        }
        Ok(())
    }

    fn find_index(&mut self) -> Result<(), InspectError> {
        let default = Shape { slots: self.config.index_slots, entries: self.config.index_entries };
        let (files, _) = index_files(&self.config)?;
        let mut is_other = false;
        for path in files {
            let len = path.metadata().doing("look at", &path)?.len();
            if len == default.file_len() {
                return Ok(());
            }
            is_other = true;
            if let Some(shape) = Shape::of(&path).doing("read", &path)? {
                (self.config.index_slots, self.config.index_entries) = (shape.slots, shape.entries);
                return Ok(());
            }
        }
        if is_other {
            let why = format!("no index file has Java's {} bytes", default.file_len());
            self.doubt("maxHashSlotNum and maxIndexNum", why);
        }
        Ok(())
    }

    fn doubt(&mut self, key: &str, why: String) {
        self.doubts.push(format!("{why}: give the broker's config file, which sets {key}, with -c"));
    }
}

fn set<T: FromStr>(file: &Properties, key: &str, place: &mut T) -> Result<(), InspectError> {
    if let Some(text) = file.get(key) {
        let wrong = || InspectError::Config(format!("{key} = {text} in the config file makes no sense"));
        *place = text.trim().parse().map_err(|_| wrong())?;
    }
    Ok(())
}

/// Paths of the index files, oldest first, and of what else lies beside them.
pub(crate) fn index_files(config: &StoreConfig) -> Result<(Vec<PathBuf>, Vec<PathBuf>), InspectError> {
    let dir = config.root_dir.join("index");
    let names = entries(&dir)?;
    let (files, others): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|(name, kind)| kind.is_file() && name.bytes().all(|byte| byte.is_ascii_digit()));
    let paths = |names: Vec<(String, _)>| names.iter().map(|(name, _)| dir.join(name)).collect();
    Ok((paths(files), paths(others)))
}
