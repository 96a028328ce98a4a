//! The command line of one command, read the way Java's tool reads it: `-t x`, `-tx`, `--topic x`, `--topic=x`
//! and `-topic x` all mean the same.

use std::collections::BTreeMap;

/// One option of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arg {
    /// One letter; empty if there is only a long name.
    pub(crate) short: &'static str,
    pub(crate) long: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) takes_value: bool,
    pub(crate) required: bool,
}

/// An option with a value that may be left out.
pub(crate) const fn value(short: &'static str, long: &'static str, doc: &'static str) -> Arg {
    Arg { short, long, doc, takes_value: true, required: false }
}

/// An option with a value that must be there.
pub(crate) const fn required(short: &'static str, long: &'static str, doc: &'static str) -> Arg {
    Arg { required: true, ..value(short, long, doc) }
}

/// An option without value.
pub(crate) const fn flag(short: &'static str, long: &'static str, doc: &'static str) -> Arg {
    Arg { takes_value: false, ..value(short, long, doc) }
}

/// Options that every command has.
pub(crate) const COMMON: &[Arg] = &[
    flag("h", "help", "Print help"),
    flag("", "json", "Print JSON instead of text"),
    value("n", "namesrvAddr", "Name server address list, eg: '192.168.0.1:9876;192.168.0.2:9876'"),
];

/// The options that were given, by their long names.
#[derive(Debug, Default)]
pub(crate) struct Args(BTreeMap<&'static str, String>);

impl Args {
    /// Reads the words behind the command's name.
    pub(crate) fn parse(known: &[Arg], words: &[String]) -> Result<Self, String> {
        let mut args = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (arg, joined) = find(known, word)?;
            let value = match (arg.takes_value, joined) {
                (false, None) => String::new(),
                (false, Some(_)) => return Err(format!("Option {word} takes no value")),
                (true, Some(value)) => value,
                (true, None) => words.next().cloned().ok_or_else(|| missing_value(arg))?,
            };
            args.0.insert(arg.long, value);
        }
        Ok(args)
    }

    /// Whether all that must be there is. `one_of` names options of which exactly one must be there.
    pub(crate) fn check(&self, known: &[Arg], one_of: &[&str]) -> Result<(), String> {
        let missing: Vec<_> =
            known.iter().filter(|arg| arg.required && !self.has(arg.long)).map(|arg| arg.short).collect();
        match missing.len() {
            0 => {}
            // Java's words, plural and singular.
            1 => return Err(format!("Missing required option: {}", missing[0])),
            _ => return Err(format!("Missing required options: {}", missing.join(", "))),
        }
        let given: Vec<_> = one_of.iter().filter(|long| self.has(long)).collect();
        match (one_of.len(), given.len()) {
            (0, _) | (_, 1) => Ok(()),
            (_, 0) => Err(format!("Missing required option: one of --{}", one_of.join(", --"))),
            _ => Err(format!("Only one of these can be given: --{}", one_of.join(", --"))),
        }
    }

    /// Was the option given?
    pub(crate) fn has(&self, long: &str) -> bool {
        self.0.contains_key(long)
    }

    /// The option's value without spaces around it.
    pub(crate) fn get(&self, long: &str) -> Option<&str> {
        self.0.get(long).map(|value| value.trim())
    }
}

fn missing_value(arg: &Arg) -> String {
    let name = if arg.short.is_empty() { arg.long } else { arg.short };
    format!("Missing argument for option: {name}")
}

/// The option that a word names, and the value that is joined to it.
fn find<'k>(known: &'k [Arg], word: &str) -> Result<(&'k Arg, Option<String>), String> {
    let by_long = |name: &str| known.iter().find(|arg| arg.long == name);
    let by_short = |name: &str| known.iter().find(|arg| !arg.short.is_empty() && arg.short == name);
    let unknown = || format!("Unrecognized option: {word}");
    let Some(name) = word.strip_prefix('-') else {
        return Err(format!("Unexpected argument: {word}"));
    };
    let name = name.strip_prefix('-').unwrap_or(name);
    let (bare, value) = match name.split_once('=') {
        Some((bare, value)) => (bare, Some(value.to_owned())),
        None => (name, None),
    };
    if let Some(arg) = by_long(bare).or_else(|| by_short(bare)) {
        return Ok((arg, value));
    }
    let mut letters = name.char_indices();
    let (first, rest) = match (letters.next(), letters.next()) {
        (Some(_), Some((at, _))) if !word.starts_with("--") => name.split_at(at),
        _ => return Err(unknown()),
    };
    match by_short(first) {
        Some(arg) if arg.takes_value => Ok((arg, Some(rest.to_owned()))),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Arg] = &[required("t", "topic", ""), flag("l", "list", ""), value("", "attributes", "")];

    fn parse(line: &str) -> Result<Args, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Args::parse(KNOWN, &words)
    }

    #[test]
    fn all_of_javas_forms_are_read() {
        for line in ["-t x", "-tx", "--topic x", "--topic=x", "-topic x", "-t=x", "-topic=x"] {
            assert_eq!(parse(line).unwrap().get("topic"), Some("x"), "{line}");
        }
        let args = parse("-l -t x --attributes +a=b").unwrap();
        assert!(args.has("list"));
        assert_eq!(args.get("attributes"), Some("+a=b"));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("-z").unwrap_err(), "Unrecognized option: -z");
        assert_eq!(parse("x").unwrap_err(), "Unexpected argument: x");
        assert_eq!(parse("-t").unwrap_err(), "Missing argument for option: t");
        assert_eq!(parse("-l").unwrap().check(KNOWN, &[]).unwrap_err(), "Missing required option: t");
        assert!(parse("--list=x").is_err());
        assert!(parse("-t x").unwrap().check(KNOWN, &["attributes", "list"]).is_err());
        assert!(parse("-t x -l").unwrap().check(KNOWN, &["attributes", "list"]).is_ok());
    }
}
