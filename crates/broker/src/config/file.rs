//! The operator's configuration file: read at start, and changed in place when a key is changed by a request.

use std::path::{Path, PathBuf};

use rmq_proto::properties_file::Properties;

use super::ConfigError;

/// A `.properties` file. Java rewrites the whole file with every key; here the operator's lines and comments stay.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// Names a file; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // A later change of the working directory must not lose it.
        Self { path: std::path::absolute(&path).unwrap_or(path) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all keys.
    pub fn read(&self) -> Result<Properties, ConfigError> {
        let text = std::fs::read_to_string(&self.path).map_err(|error| self.error(error))?;
        Properties::parse(&text).map_err(|error| self.error(error))
    }

    /// Replaces the values of these keys, or adds them at the end.
    pub(super) fn write(&self, changes: &Properties) -> Result<(), ConfigError> {
        let old = std::fs::read_to_string(&self.path).map_err(|error| self.error(error))?;
        let new = edited(&old, changes);
        crate::meta::replace_file(&self.path, new.as_bytes()).map_err(|error| self.error(error))
    }

    fn error(&self, reason: impl ToString) -> ConfigError {
        ConfigError::File { path: self.path.display().to_string(), reason: reason.to_string() }
    }
}

fn edited(text: &str, changes: &Properties) -> String {
    let mut remaining = changes.clone();
    let mut lines: Vec<String> = Vec::new();
    let mut dropping = false;
    for line in text.lines() {
        let continues = line.ends_with('\\');
        // The continuation lines of a replaced value go with it.
        if dropping {
            dropping = continues;
            continue;
        }
        match key_of(line).and_then(|key| changes.get(key).map(|value| (key, value))) {
            Some((key, value)) => {
                dropping = continues;
                if remaining.remove(key).is_some() {
                    lines.push(escaped(key, value));
                }
            }
            None => lines.push(line.to_owned()),
        }
    }
    lines.extend(remaining.iter().map(|(key, value)| escaped(key, value)));
    lines.join("\n") + "\n"
}

fn key_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with(['#', '!']) {
        return None;
    }
    line.split(['=', ':', ' ', '\t']).next().filter(|key| !key.is_empty())
}

fn escaped(key: &str, value: &str) -> String {
    let mut one = Properties::default();
    one.set(key, value);
    one.to_file_text().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_comments_and_other_lines() {
        let old = "# mine\nbrokerName = a\nmessageDelayLevel = 1s \\\n  5s\nfileReservedTime=48\n";
        let changes = Properties::parse("messageDelayLevel=2s\nbrokerPermission=4").unwrap();
        assert_eq!(
            edited(old, &changes),
            "# mine\nbrokerName = a\nmessageDelayLevel=2s\nfileReservedTime=48\nbrokerPermission=4\n"
        );
    }
}
