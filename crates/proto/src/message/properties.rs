//! A message's properties and their stored form: `key 0x01 value 0x02`, repeated.

use super::property;

const NAME_END: char = '\u{1}';
const PAIR_END: char = '\u{2}';

/// Properties in the order in which they were first set. Java keeps a HashMap, so readers must not
/// depend on the order; keeping it makes a decode-encode round trip exact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the stored form. Like Java, skips entries with an empty key or value and those shorter
    /// than 3 characters, accepts a missing last separator, and lets a later entry win.
    pub fn parse(raw: &str) -> Self {
        let mut properties = Self::new();
        for (key, value) in pairs(raw) {
            properties.set(key, value);
        }
        properties
    }

    /// The stored form, with the trailing separator.
    pub fn encode(&self) -> String {
        let len = self.0.iter().map(|(k, v)| k.len() + v.len() + 2).sum();
        let mut out = String::with_capacity(len);
        for (key, value) in &self.0 {
            append(&mut out, key, value);
        }
        out
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The value of `key` as a number; `None` if it is not there or not a number.
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    /// Whether `key` is there.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets `key`, replacing its value in place if it is there.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some(pair) => pair.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Sets `key` and returns self, for building.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the properties for which `keep(key, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.0.retain(|(k, v)| keep(k, v));
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags, if any.
    pub fn tags(&self) -> Option<&str> {
        self.get(property::TAGS)
    }

    /// The search keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.get(property::KEYS).unwrap_or_default();
        keys.split(' ').filter(|key| !key.is_empty())
    }

    /// The client's unique id, if any.
    pub fn unique_key(&self) -> Option<&str> {
        self.get(property::UNIQ_KEY)
    }

    /// The delay level; 0 if there is none or it is not a number.
    pub fn delay_level(&self) -> i32 {
        self.number(property::DELAY).unwrap_or(0)
    }

    /// Whether the sender waits for flush and replicas. Java parses WAIT with `Boolean.parseBoolean`:
    /// without it the sender waits, and any other text than "true" switches waiting off.
    pub fn waits_for_store(&self) -> bool {
        self.get(property::WAIT).is_none_or(|wait| wait.eq_ignore_ascii_case("true"))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut properties = Self::new();
        for (key, value) in pairs {
            properties.set(key, value);
        }
        properties
    }
}

/// Appends one pair to a stored form, closing the last pair first if its separator is missing.
pub fn append(raw: &mut String, key: &str, value: &str) {
    if !raw.is_empty() && !raw.ends_with(PAIR_END) {
        raw.push(PAIR_END);
    }
    raw.push_str(key);
    raw.push(NAME_END);
    raw.push_str(value);
    raw.push(PAIR_END);
}

/// Looks a property up in the stored form without parsing all of it.
pub fn get<'a>(raw: &'a str, key: &str) -> Option<&'a str> {
    pairs(raw).filter(|(name, _)| *name == key).last().map(|(_, value)| value)
}

/// The pairs of the stored form.
pub fn pairs(raw: &str) -> impl Iterator<Item = (&str, &str)> {
    raw.split(PAIR_END)
        .filter_map(|pair| pair.split_once(NAME_END))
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn malformed_entries_are_skipped_as_java_does() {
        let read = Properties::parse("a\u{1}1\u{2}\u{1}x\u{2}b\u{1}\u{2}c\u{2}\u{2}d\u{1}2");
        assert_eq!(read.iter().collect::<Vec<_>>(), [("a", "1"), ("d", "2")]);
        assert_eq!(Properties::parse(""), Properties::new());
    }

    #[test]
    fn a_value_may_hold_the_name_separator() {
        assert_eq!(get("a\u{1}1\u{1}2\u{2}", "a"), Some("1\u{1}2"));
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        let raw = "a\u{1}1\u{2}b\u{1}2\u{2}a\u{1}3\u{2}";
        assert_eq!(get(raw, "a"), Some("3"));
        assert_eq!(Properties::parse(raw).get("a"), Some("3"));
    }

    #[test]
    fn append_closes_an_open_pair() {
        let mut raw = String::from("a\u{1}1");
        append(&mut raw, "b", "2");
        assert_eq!(raw, "a\u{1}1\u{2}b\u{1}2\u{2}");
    }

    #[test]
    fn waiting_is_the_rule() {
        assert!(Properties::new().waits_for_store());
        assert!(Properties::new().with("WAIT", "TRUE").waits_for_store());
        assert!(!Properties::new().with("WAIT", "false").waits_for_store());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            pairs in prop::collection::btree_map("[^\u{1}\u{2}]{1,8}", "[^\u{1}\u{2}]{1,8}", 0..8)
        ) {
            let properties: Properties = pairs.clone().into_iter().collect();
            let raw = properties.encode();
            prop_assert_eq!(&Properties::parse(&raw), &properties);
            for (key, value) in &pairs {
                prop_assert_eq!(get(&raw, key), Some(value.as_str()));
            }
        }

        #[test]
        fn any_text_parses(raw in "[a\u{1}\u{2}é]{0,40}") {
            let once = Properties::parse(&raw);
            prop_assert_eq!(Properties::parse(&once.encode()), once);
        }
    }
}
