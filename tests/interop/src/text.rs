//! Making two servers' texts comparable.

/// Quotes the bare integer keys that Java's JSON has (`{0:"addr"}`), so that any JSON parser reads it.
pub fn bare_keys_quoted(json: &str) -> String {
    let bytes = json.as_bytes();
    let mut quoted = String::with_capacity(json.len() + 16);
    let mut in_string = false;
    let mut i = 0;
    while i < bytes.len() {
        let rest = &json[i..];
        if in_string && bytes[i] == b'\\' {
            quoted.push_str(&rest[..2]);
            i += 2;
            continue;
        }
        if bytes[i] == b'"' {
            in_string = !in_string;
        }
        let digits = digits(&rest[1..]);
        let key = !in_string && matches!(bytes[i], b'{' | b',') && digits > 0;
        if key && rest[1 + digits..].starts_with(':') {
            quoted.push_str(&format!("{}\"{}\"", &rest[..1], &rest[1..=digits]));
            i += 1 + digits;
            continue;
        }
        let c = rest.chars().next().unwrap_or_default();
        quoted.push(c);
        i += c.len_utf8();
    }
    quoted
}

/// Replaces what differs between two runs of one command: dates, times in milliseconds, rates, message ids, local
/// addresses, and widths of columns.
pub fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (mask, length) = mask_at(rest, masked.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '.'));
        if length > 0 {
            masked.push_str(mask);
            rest = &rest[length..];
        } else {
            masked.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    let lines = masked.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The mask for what stands at the start of `text`, and how long that is; 0 for nothing.
fn mask_at(text: &str, inside_word: bool) -> (&'static str, usize) {
    const DATE: &str = "0000-00-00 00:00:00";
    // Java prints addresses with a slash where no name was looked up.
    const LOCAL: [&str; 2] = ["127.0.0.1:", "/127.0.0.1:"];
    if inside_word {
        return ("", 0);
    }
    if has_shape(text, DATE) {
        let millis = text[DATE.len()..].strip_prefix(',').map_or(0, |rest| 1 + digits(rest));
        return ("<time>", DATE.len() + millis);
    }
    if let Some(local) = LOCAL.iter().find(|local| text.starts_with(**local)) {
        return ("<addr>", local.len() + digits(&text[local.len()..]));
    }
    let hex = text.bytes().take_while(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b)).count();
    if hex >= 32 {
        return ("<id>", hex);
    }
    let whole = digits(text);
    if whole >= 12 {
        return ("<millis>", whole);
    }
    match text[whole..].strip_prefix('.').map(|rest| (digits(rest), rest)) {
        Some((n, rest)) if whole > 0 && n > 0 && !rest[n..].starts_with('.') => ("<rate>", whole + 1 + n),
        _ => ("", 0),
    }
}

fn has_shape(text: &str, shape: &str) -> bool {
    let text = text.as_bytes();
    let same = |(i, expected): (usize, u8)| match expected {
        b'0' => text[i].is_ascii_digit(),
        other => text[i] == other,
    };
    text.len() >= shape.len() && shape.bytes().enumerate().all(same)
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_keys_are_quoted_and_strings_are_left_alone() {
        assert_eq!(bare_keys_quoted(r#"{0:"a{1:",12:[{3:4}]}"#), r#"{"0":"a{1:","12":[{"3":4}]}"#);
        assert_eq!(bare_keys_quoted(r#"{"a\"{0:":[1,2]}"#), r#"{"a\"{0:":[1,2]}"#);
    }

    #[test]
    fn what_changes_from_run_to_run_is_masked() {
        assert_eq!(
            masked(
                "at 2024-01-31 12:13:14,123  by 127.0.0.1:4711\n\n id=7F0000010000741A00000000000003F9 t=1700000000000 8 0.25 10.0.0.1"
            ),
            "at <time> by <addr>\nid=<id> t=<millis> 8 <rate> 10.0.0.1"
        );
    }
}
