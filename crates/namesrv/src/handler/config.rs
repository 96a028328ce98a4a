//! The name server's own configuration: codes 318 and 319.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rmq_proto::code::ResponseCode;
use rmq_proto::command::Command;
use rmq_proto::properties_file::Properties;
use tracing::{info, warn};

use super::Answer;
use crate::config::{ChangeError, Config};
use crate::error::Rejection;
use crate::kv_store::replace_file;

/// Shows and changes the configuration.
#[derive(Debug)]
pub(crate) struct ConfigHandler {
    pub(crate) config: Arc<RwLock<Config>>,
    /// One change at a time, so that the file holds the latest.
    pub(crate) change: Mutex<()>,
}

impl ConfigHandler {
    /// GET_NAMESRV_CONFIG: all keys and values, sorted. There are no secrets among them.
    pub(crate) fn get(&self, _request: &Command) -> Answer {
        let lines = self.config.read().lines();
        Ok(Command::success().with_body(lines))
    }

    /// UPDATE_NAMESRV_CONFIG. All of the changes are made, or none.
    ///
    /// Java takes any key that is not on its black list, ignores wrong values, and says success; here
    /// only keys that have an effect while running can change, and a wrong value is refused.
    pub(crate) fn update(&self, request: &Command) -> Answer {
        let bytes = request.body.bytes();
        let text = std::str::from_utf8(&bytes).map_err(|error| Rejection::failed(error.to_string()))?;
        let wanted = Properties::parse(text).map_err(|error| Rejection::failed(error.to_string()))?;
        let _one_at_a_time = self.change.lock();
        let mut config = self.config.read().clone();
        if wanted.iter().any(|(key, _)| config.is_black_listed(key)) {
            return Err(Rejection::new(ResponseCode::NO_PERMISSION, "Can not update config in black list."));
        }
        let mut changed = Vec::new();
        for (key, value) in wanted.iter() {
            match config.change(key, value) {
                Ok(()) => changed.push((key, value.trim())),
                // Java says success, so tools that set keys of several versions at once rely on it.
                Err(ChangeError::Unknown) => warn!(key, "an unknown configuration key was sent, ignored"),
                Err(ChangeError::Fixed) => {
                    let remark =
                        format!("{key} cannot change while the name server runs; set it in its file");
                    return Err(Rejection::new(ResponseCode::NO_PERMISSION, remark));
                }
                Err(ChangeError::Value(allowed)) => {
                    return Err(Rejection::failed(format!("{key} must be {allowed}, not {value}")));
                }
            }
        }
        if !changed.is_empty() {
            save(&config.config_store_path, &changed)
                .map_err(|error| Rejection::failed(format!("the change could not be saved: {error}")))?;
            info!(?changed, "configuration changed");
            *self.config.write() = config;
        }
        Ok(Command::success())
    }
}

/// Writes changes into the operator's file. Java replaces the file by a list of all keys; keeping its
/// other lines keeps the operator's comments and order.
fn save(path: &Path, changed: &[(&str, &str)]) -> io::Result<()> {
    let before = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    replace_file(path, with_changes(&before, changed).as_bytes())
}

fn with_changes(text: &str, changed: &[(&str, &str)]) -> String {
    let key_of = |line: &str| -> String {
        let key = line.trim_start().split(|c: char| c.is_whitespace() || c == '=' || c == ':').next();
        key.unwrap_or_default().to_owned()
    };
    let is_changed = |line: &&str| changed.iter().any(|(key, _)| *key == key_of(line));
    let kept = text.lines().filter(|line| !is_changed(line)).map(str::to_owned);
    let fresh = changed.iter().map(|(key, value)| format!("{key}={value}"));
    kept.chain(fresh).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(folder: &Path) -> ConfigHandler {
        let config = Config::at_home(folder);
        ConfigHandler { config: Arc::new(RwLock::new(config)), change: Mutex::default() }
    }

    fn update(handler: &ConfigHandler, text: &str) -> Result<(), (ResponseCode, String)> {
        let request = Command::request(rmq_proto::code::RequestCode::UPDATE_NAMESRV_CONFIG);
        handler
            .update(&request.with_body(text.to_owned()))
            .map(|_| ())
            .map_err(|rejection| (rejection.code, rejection.remark))
    }

    #[test]
    fn a_change_takes_effect_and_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let handler = handler(folder.path());
        let path = handler.config.read().config_store_path.clone();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "# ours\nlistenPort=0\n  enableTopicList : true\n").unwrap();
        update(&handler, "enableTopicList=false\nnoSuchKey=1\n").unwrap();
        assert!(!handler.config.read().enable_topic_list);
        assert_eq!(fs::read_to_string(&path).unwrap(), "# ours\nlistenPort=0\nenableTopicList=false\n");
        assert!(update(&handler, "").is_ok());
    }

    #[test]
    fn what_may_not_change_does_not_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let handler = handler(folder.path());
        let before = handler.config.read().clone();
        let cases = [
            ("kvConfigPath=/x", ResponseCode::NO_PERMISSION, "Can not update config in black list."),
            (
                "listenPort=1",
                ResponseCode::NO_PERMISSION,
                "listenPort cannot change while the name server runs; set it in its file",
            ),
            (
                "enableAllTopicList=yes",
                ResponseCode::SYSTEM_ERROR,
                "enableAllTopicList must be true or false, not yes",
            ),
        ];
        for (text, code, remark) in cases {
            let with_good = format!("enableTopicList=false\n{text}\n");
            assert_eq!(update(&handler, &with_good), Err((code, remark.to_owned())));
            assert_eq!(*handler.config.read(), before);
        }
        assert!(!before.config_store_path.exists());
    }
}
