//! Java's `String.hashCode`, which decides tags codes and index slots.

/// Java's `String.hashCode`: `h = 31*h + c` over UTF-16 code units, wrapping.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The code that a ConsumeQueue keeps for a TAGS property: its hash, sign-extended; 0 without tags.
pub fn tags_code(tags: &str) -> i64 {
    i64::from(string_hash(tags))
}

/// The hash under which an IndexFile keeps a key: never negative; `i32::MIN` becomes 0.
pub fn index_hash(key: &str) -> i32 {
    string_hash(key).checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(string_hash(""), 0);
        assert_eq!(string_hash("TagA"), 2598919);
        assert_eq!(string_hash("标签"), 857175);
        assert_eq!(string_hash("😀"), 1772899);
        assert_eq!(index_hash("WIREREF_T1#k1"), 1688201051);
        assert_eq!(index_hash("WIREREF_T1#k1") % 5_000_000, 3201051);
    }

    #[test]
    fn the_smallest_hash_has_no_positive_twin() {
        // The classic collision string: its Java hash is exactly i32::MIN.
        assert_eq!(string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(index_hash("polygenelubricants"), 0);
        assert_eq!(tags_code("polygenelubricants"), -2147483648);
    }
}
