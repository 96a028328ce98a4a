//! Java's `.properties` text: the form of config files and of config requests.
//!
//! Java takes bytes above 127 for Latin-1; here text is UTF-8, which is what people write into files.
//!
//! ```
//! use rmq_proto::properties_file::Properties;
//!
//! let mut config = Properties::parse("# ports\nlistenPort = 10911\n").unwrap();
//! config.set("brokerName", "broker-a");
//! assert_eq!(config.get("listenPort"), Some("10911"));
//! assert_eq!(config.to_sorted_lines(), "brokerName=broker-a\nlistenPort=10911\n");
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Keys and values in the order in which they were first set.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    /// `None` where an entry was removed.
    entries: Vec<Option<(String, String)>>,
    places: BTreeMap<String, usize>,
}

/// Why text is not a `.properties` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// `\u` without four hexadecimal digits; Java refuses the whole file.
    #[error("line {line}: malformed \\uxxxx encoding")]
    Unicode {
        /// Counted from 1.
        line: usize,
    },
}

impl Properties {
    /// Reads a file: comments with `#` and `!`, keys that end at `=`, `:` or blanks, lines continued
    /// by a backslash, escapes.
    pub fn parse(text: &str) -> Result<Self, PropertiesError> {
        let mut properties = Self::default();
        let text = text.replace("\r\n", "\n");
        let mut lines = text.split(['\n', '\r']).enumerate().map(|(at, line)| (at + 1, line));
        while let Some((at, line)) = lines.next() {
            let line = line.trim_start_matches(BLANKS);
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let mut whole = String::from(line);
            while ends_open(&whole) {
                whole.pop();
                let next = lines.next().map_or("", |(_, next)| next);
                whole.push_str(next.trim_start_matches(BLANKS));
            }
            let (key, value) = split(&whole);
            let unescape = |text| unescape(text).ok_or(PropertiesError::Unicode { line: at });
            properties.set(unescape(key)?, unescape(value)?);
        }
        Ok(properties)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let entry = self.entries.get(*self.places.get(key)?)?;
        entry.as_ref().map(|(_, value)| value.as_str())
    }

    /// Sets a value; a key that is there keeps its place.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let pair = (key.into(), value.into());
        match self.places.entry(pair.0.clone()) {
            Entry::Occupied(place) => self.entries[*place.get()] = Some(pair),
            Entry::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push(Some(pair));
            }
        }
    }

    /// Takes a key out and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let place = self.places.remove(key)?;
        self.entries.get_mut(place)?.take().map(|(_, value)| value)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Lines `key=value` sorted by key, as Java answers when asked for a configuration. It escapes
    /// nothing, so values with backslashes are not read back the same: use [`Self::to_file_text`]
    /// for files.
    pub fn to_sorted_lines(&self) -> String {
        let mut lines: Vec<_> = self.iter().collect();
        // Java sorts by UTF-16 code units: the same for all keys that exist.
        lines.sort_unstable();
        lines.into_iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    /// Lines that [`Self::parse`], and Java, read back to the same keys and values.
    pub fn to_file_text(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.iter() {
            escape(key, true, &mut text);
            text.push('=');
            escape(value, false, &mut text);
            text.push('\n');
        }
        text
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut properties = Self::default();
        pairs.into_iter().for_each(|(key, value)| properties.set(key, value));
        properties
    }
}

/// The same keys with the same values, in any order.
impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Eq for Properties {}

const BLANKS: [char; 3] = [' ', '\t', '\x0C'];

/// An odd number of backslashes at the end continues the line; an even number is backslashes.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value, both still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let key_ends = |letter: char| {
        let ends = !escaped && (BLANKS.contains(&letter) || letter == '=' || letter == ':');
        escaped = letter == '\\' && !escaped;
        ends
    };
    let (key, rest) = line.split_at(line.find(key_ends).unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(BLANKS))
}

fn unescape(text: &str) -> Option<String> {
    // `\u` gives UTF-16 code units, of which two may make one letter.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let plain = match (letter, letter == '\\') {
            (_, false) => letter,
            _ => match letters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('f') => '\x0C',
                Some('u') => {
                    let digits = letters
                        .as_str()
                        .get(..4)
                        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
                    units.push(u16::from_str_radix(digits, 16).ok()?);
                    letters = letters.as_str().get(4..)?.chars();
                    continue;
                }
                Some(other) => other,
                None => break,
            },
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

fn escape(text: &str, is_key: bool, out: &mut String) {
    for (at, letter) in text.chars().enumerate() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0C' => out.push_str("\\f"),
            ' ' if !is_key && at > 0 => out.push(' '),
            '\\' | '=' | ':' | '#' | '!' | ' ' => out.extend(['\\', letter]),
            ' '..='~' => out.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_java_reads() {
        let text = "# comment\r\n  ! another = one\nplain=1\nspaced  =  2 \ncolon:3\nblank 4\nempty\nlong=a,\\\n   \
                    b,\\\r\nc\nescaped\\ key\\==\\t\\u6807\\ud83d\\ude00\\q\npath=C:\\\\dir\nplain=9\nend=x\\";
        let read = Properties::parse(text).unwrap();
        let expected = [
            ("plain", "9"),
            ("spaced", "2 "),
            ("colon", "3"),
            ("blank", "4"),
            ("empty", ""),
            ("long", "a,b,c"),
            ("escaped key=", "\t标😀q"),
            ("path", "C:\\dir"),
            ("end", "x"),
        ];
        assert_eq!(read.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn reads_odd_lines_as_java_does() {
        let cases: [(&str, &[(&str, &str)]); 16] = [
            ("a=1\\\n# b\nc=2", &[("a", "1# b"), ("c", "2")]),
            ("a=1\\\n\nb=2", &[("a", "1"), ("b", "2")]),
            ("a=1\\\n   \nb=2", &[("a", "1"), ("b", "2")]),
            ("a==b", &[("a", "=b")]),
            ("a = = b", &[("a", "= b")]),
            (" : v", &[("", "v")]),
            ("a\\:b=c", &[("a:b", "c")]),
            ("a\\\n=b", &[("a", "b")]),
            ("a=1\r\rb=2", &[("a", "1"), ("b", "2")]),
            ("\\u0061=x", &[("a", "x")]),
            ("a=\\\\\\\nb", &[("a", "\\b")]),
            ("\\\n  a=1", &[("a", "1")]),
            ("a=b\\ ", &[("a", "b ")]),
            ("a\x0C=\x0C1", &[("a", "1")]),
            ("#c\\\nb=1", &[("b", "1")]),
            ("\\", &[("", "")]),
        ];
        for (text, expected) in cases {
            assert_eq!(Properties::parse(text).unwrap().iter().collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_broken_unicode() {
        for text in ["\na=\\u12", "\na=\\u12g4", "\na=\\u+123", "\na=\\u12é4"] {
            assert_eq!(Properties::parse(text), Err(PropertiesError::Unicode { line: 2 }), "{text}");
        }
    }

    #[test]
    fn keys_keep_their_places() {
        let mut some: Properties = [("b", "1"), ("a", "2"), ("c", "3")].into_iter().collect();
        some.set("a", "4");
        assert_eq!(some.remove("b").as_deref(), Some("1"));
        assert_eq!(some.remove("b"), None);
        assert_eq!(some.iter().collect::<Vec<_>>(), [("a", "4"), ("c", "3")]);
        assert_eq!(some.to_sorted_lines(), "a=4\nc=3\n");
        assert_eq!(some.len(), 2);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = Properties::parse(&text);
        }

        #[test]
        fn files_are_read_back(pairs in prop::collection::btree_map(".*", ".*", 0..8)) {
            let written: Properties = pairs.into_iter().collect();
            prop_assert_eq!(Properties::parse(&written.to_file_text()), Ok(written));
        }

        #[test]
        fn hard_letters_are_read_back(key in "[ \\\\=:#!\\t\\r\\n\\fu0]{0,12}", value in "[ \\\\=:#!\\t\\r\\n\\fu0]{0,12}") {
            let written: Properties = [(key, value)].into_iter().collect();
            prop_assert_eq!(Properties::parse(&written.to_file_text()), Ok(written));
        }
    }
}
