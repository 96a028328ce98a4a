//! What a client under remote control tells: a kind, and named values.

use std::collections::BTreeMap;
use std::fmt;

/// One line of a client's answer, such as `sent` or `received`.
#[derive(Clone, PartialEq, Eq)]
pub struct Fact {
    /// What happened.
    pub kind: String,
    /// The values that came with it.
    pub fields: BTreeMap<String, String>,
}

impl Fact {
    /// Reads `KIND TAB KEY=VALUE TAB …`, with backslash escapes in the values.
    pub fn parse(line: &str) -> Fact {
        let mut parts = line.split('\t');
        let kind = parts.next().unwrap_or_default().to_owned();
        let fields = parts
            .filter_map(|part| part.split_once('='))
            .map(|(key, value)| (key.to_owned(), unescape(value)))
            .collect();
        Fact { kind, fields }
    }

    /// A value that may be absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    /// A value that must be there.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_else(|| panic!("no {key:?} in {self:?}"))
    }

    /// A value that must be there and a number.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn number(&self, key: &str) -> i64 {
        let text = self.text(key);
        text.parse().unwrap_or_else(|e| panic!("{key}={text}: {e} in {self:?}"))
    }
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.fields)
    }
}

/// The facts of one kind, in order.
pub fn of_kind(facts: &[Fact], kind: &str) -> Vec<Fact> {
    facts.iter().filter(|fact| fact.kind == kind).cloned().collect()
}

/// One value of each fact, sorted: for comparing what was sent with what arrived.
#[track_caller]
pub fn texts<'a>(facts: &'a [Fact], key: &str) -> Vec<&'a str> {
    let mut texts: Vec<_> = facts.iter().map(|fact| fact.text(key)).collect();
    texts.sort_unstable();
    texts
}

/// One number of each fact, in the order of the facts.
#[track_caller]
pub fn numbers(facts: &[Fact], key: &str) -> Vec<i64> {
    facts.iter().map(|fact| fact.number(key)).collect()
}

/// The inverse of [`unescape`], for what goes to the client.
pub(crate) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_escapes() {
        let value = "a\tb\nc\\n\r=d";
        let fact = Fact::parse(&format!("kind\tkey={}", escape(value)));
        assert_eq!(fact.text("key"), value);
    }
}
