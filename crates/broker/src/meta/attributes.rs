//! Attributes of topics and groups: which exist, and how a request changes them (`+key=value`, `-key`).

use std::collections::BTreeMap;

/// What values an attribute takes.
enum Kind {
    Choice(&'static [&'static str]),
    Range(i64, i64),
    Boolean,
    Text,
}

/// One attribute that Java knows.
pub(super) struct Attribute {
    name: &'static str,
    /// May change after the creation.
    changeable: bool,
    kind: Kind,
}

const fn attribute(name: &'static str, changeable: bool, kind: Kind) -> Attribute {
    Attribute { name, changeable, kind }
}

/// Java's TopicAttributes.
pub(super) const OF_TOPICS: &[Attribute] = &[
    attribute("queue.type", false, Kind::Choice(&["BatchCQ", "SimpleCQ"])),
    attribute("cleanup.policy", false, Kind::Choice(&["DELETE", "COMPACTION"])),
    attribute(
        "message.type",
        true,
        Kind::Choice(&["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED", "LITE", "PRIORITY"]),
    ),
    attribute("reserve.time", true, Kind::Range(-1, i64::MAX)),
    attribute("lite.topic.expiration", true, Kind::Range(-1, 30 * 24 * 60)),
];

/// Java's SubscriptionGroupAttributes.
pub(super) const OF_GROUPS: &[Attribute] = &[
    attribute("priority.factor", true, Kind::Range(0, 100)),
    attribute("lite.bind.topic", true, Kind::Text),
    attribute("lite.sub.model", true, Kind::Choice(&["Shared", "Exclusive"])),
    attribute("lite.sub.reset.offset.exclusive", true, Kind::Boolean),
    attribute("lite.sub.reset.offset.unsubscribe", true, Kind::Boolean),
    attribute("lite.sub.client.quota", true, Kind::Range(-1, i64::MAX)),
    attribute("lite.sub.client.max.event.cnt", true, Kind::Range(10, i64::MAX)),
    attribute("lite.sub.wildcard", true, Kind::Text),
];

impl Attribute {
    /// Java's checks and words.
    fn verify(&self, value: &str) -> Result<(), String> {
        let name = self.name;
        match &self.kind {
            Kind::Choice(allowed) if !allowed.contains(&value) => {
                Err(format!("value is not in set: [{}]", allowed.join(", ")))
            }
            Kind::Range(least, most) => match value.parse::<i64>() {
                Ok(number) if (*least..=*most).contains(&number) => Ok(()),
                Ok(_) => Err(format!("value is not in range({least}, {most})")),
                Err(_) => Err(format!("For input string: \"{value}\" of {name}")),
            },
            Kind::Boolean if !["true", "false"].contains(&value) => {
                Err("boolean attribute format is wrong.".into())
            }
            _ => Ok(()),
        }
    }
}

/// Reads `+key1=value1,-key2`; the keys keep their sign.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut changes = BTreeMap::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (key, value) = match part.split_once('=') {
            Some((key, _)) if !key.contains('+') => {
                return Err(format!("add/alter attribute format is wrong: {key}"));
            }
            Some((key, value)) => (key, value),
            None if !part.contains('-') => return Err(format!("delete attribute format is wrong: {part}")),
            None => (part, ""),
        };
        if changes.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("key duplication: {key}"));
        }
    }
    Ok(changes)
}

/// Applies signed changes to the attributes that are there (`None`: the thing is being created).
pub(super) fn alter(
    known: &[Attribute],
    current: Option<&BTreeMap<String, String>>,
    changes: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut result = current.cloned().unwrap_or_default();
    let mut seen = Vec::new();
    for (signed, value) in changes {
        let mut characters = signed.chars();
        let sign = characters.next();
        let key = characters.as_str();
        if key.is_empty() || key.contains(['+', '-']) {
            return Err("kv string format wrong.".into());
        }
        if seen.contains(&key) {
            return Err(format!("alter duplication key. key: {key}"));
        }
        seen.push(key);
        let is_there = current.is_some_and(|current| current.contains_key(key));
        match (sign, current) {
            (Some('+'), _) => {}
            (_, None) => {
                return Err(format!("only add attribute is supported while creating topic. key: {key}"));
            }
            (Some('-'), _) if !is_there => return Err(format!("attempt to delete a nonexistent key: {key}")),
            (Some('-'), _) => {}
            _ => return Err(format!("wrong format key: {key}")),
        }
        let attribute = known
            .iter()
            .find(|attribute| attribute.name == key)
            .ok_or_else(|| format!("unsupported key: {key}"))?;
        if current.is_some() && !attribute.changeable {
            return Err(format!("attempt to update an unchangeable attribute. key: {key}"));
        }
        if sign == Some('-') {
            result.remove(key);
        } else {
            attribute.verify(value)?;
            result.insert(key.to_owned(), value.clone());
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn altered(current: Option<&str>, changes: &str) -> Result<BTreeMap<String, String>, String> {
        let current = current.map(|text| {
            text.split(',')
                .filter_map(|part| part.split_once('='))
                .map(|(k, v)| (k.into(), v.into()))
                .collect()
        });
        alter(OF_TOPICS, current.as_ref(), &parse(changes)?)
    }

    #[test]
    fn attributes_are_added_changed_and_deleted() {
        let created = altered(None, "+queue.type=BatchCQ,+message.type=FIFO").unwrap();
        assert_eq!(created["message.type"], "FIFO");
        let changed = altered(Some("queue.type=BatchCQ,message.type=FIFO"), "+message.type=DELAY").unwrap();
        assert_eq!(changed["message.type"], "DELAY");
        assert_eq!(changed["queue.type"], "BatchCQ");
        assert!(altered(Some("message.type=FIFO"), "-message.type").unwrap().is_empty());
    }

    #[test]
    fn wrong_changes_are_refused_in_javas_words() {
        for (current, changes, reason) in [
            (None, "message.type=FIFO", "add/alter attribute format is wrong: message.type"),
            (None, "message.type", "delete attribute format is wrong: message.type"),
            (
                None,
                "-message.type",
                "only add attribute is supported while creating topic. key: message.type",
            ),
            (None, "+nonsense=1", "unsupported key: nonsense"),
            (None, "+message.type=FIFO,+message.type=DELAY", "key duplication: +message.type"),
            (Some("a=b"), "-message.type", "attempt to delete a nonexistent key: message.type"),
            (
                Some("a=b"),
                "+queue.type=BatchCQ",
                "attempt to update an unchangeable attribute. key: queue.type",
            ),
            (None, "+reserve.time=-2", "value is not in range(-1, 9223372036854775807)"),
        ] {
            assert_eq!(altered(current, changes).unwrap_err(), reason, "{changes}");
        }
    }
}
