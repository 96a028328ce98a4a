//! A Java `.properties` file: what both kinds of daemon are configured with.

use std::fmt;

/// Keys and values in order; setting a key again replaces its value.
#[derive(Clone, Debug, Default)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// Sets one key.
    pub fn set(&mut self, key: &str, value: impl fmt::Display) {
        self.0.retain(|(known, _)| known != key);
        self.0.push((key.to_owned(), value.to_string()));
    }

    /// The value of a key that was set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(key, value)| writeln!(f, "{key}={}", value.replace('\\', "\\\\")))
    }
}
