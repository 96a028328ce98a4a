//! Names of protocol versions.

/// Java's name: the ordinal counts a snapshot and a release per version, ten versions per minor one, from 4.0.0 on.
pub(crate) fn name(ordinal: i32) -> String {
    const V4_0_0_SNAPSHOT: i32 = 212;
    const HIGHER_VERSION: i32 = 612;
    if ordinal < V4_0_0_SNAPSHOT {
        return format!("V3({ordinal})");
    }
    if ordinal >= HIGHER_VERSION {
        return "HIGHER_VERSION".to_owned();
    }
    let number = (ordinal - V4_0_0_SNAPSHOT) / 2;
    let (major, minor, patch) = (4 + number / 100, number / 10 % 10, number % 10);
    let snapshot = if ordinal % 2 == 0 { "_SNAPSHOT" } else { "" };
    format!("V{major}_{minor}_{patch}{snapshot}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_java() {
        for (ordinal, expected) in [
            (213, "V4_0_0"),
            (233, "V4_1_0"),
            (232, "V4_1_0_SNAPSHOT"),
            (401, "V4_9_4"),
            (413, "V5_0_0"),
            (513, "V5_5_0"),
            (612, "HIGHER_VERSION"),
            (900, "HIGHER_VERSION"),
        ] {
            assert_eq!(name(ordinal), expected);
        }
    }
}
