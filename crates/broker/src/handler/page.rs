//! Pages of the sorted tables that codes 21 and 201 answer.

use std::collections::BTreeMap;

use rmq_proto::body::DataVersion;
use rmq_proto::fastjson;

/// Index of a page's first entry. Java begins anew if the asker's version of the table is not the present one.
pub(super) fn begin(wanted: Option<i32>, known: Option<&str>, present: &DataVersion) -> usize {
    let wanted = usize::try_from(wanted.unwrap_or(0)).unwrap_or(0);
    let known = known.and_then(|text| fastjson::from_slice::<DataVersion>(text.as_bytes()).ok());
    if known.as_ref() == Some(present) { wanted } else { 0 }
}

/// The entries of a page.
pub(super) fn cut<T>(table: BTreeMap<String, T>, begin: usize, most: i32) -> BTreeMap<String, T> {
    table.into_iter().skip(begin).take(usize::try_from(most).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_changed_table_begins_anew() {
        let present = DataVersion { counter: 2, state_version: 0, timestamp: 7 };
        let known = r#"{"counter":2,"stateVersion":0,"timestamp":7}"#;
        assert_eq!(begin(Some(5), Some(known), &present), 5);
        assert_eq!(begin(Some(5), Some("{}"), &present), 0);
        assert_eq!(begin(Some(5), None, &present), 0);
        assert_eq!(begin(Some(-1), Some(known), &present), 0);
        let table: BTreeMap<_, _> = (0..5).map(|n| (n.to_string(), n)).collect();
        assert_eq!(cut(table.clone(), 3, 10).len(), 2);
        assert!(cut(table, 9, 10).is_empty());
    }
}
