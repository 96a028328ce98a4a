//! Members of a JSON file that this broker does not know: they are written back as they were.
//!
//! A newer broker, or a plugin of Java's, may keep more in `topics.json` than we read. Its directory may be ours
//! for a while only.

use rmq_proto::fastjson;
use serde::Serialize;
use serde_json::Value;

/// What a file had besides what was read from it.
#[derive(Debug, Default)]
pub(super) struct Strangers(Vec<Stranger>);

#[derive(Debug)]
struct Stranger {
    /// Names of the objects around it, from the outermost on.
    path: Vec<String>,
    name: String,
    value: Value,
}

impl Strangers {
    /// What stands in a file but not in the table that was read from it.
    pub(super) fn of(file: &[u8], read: &impl Serialize) -> Result<Self, fastjson::Error> {
        let known: Value = fastjson::from_slice(&fastjson::to_vec(read)?)?;
        let mut found = Self::default();
        found.compare(&fastjson::from_slice(file)?, &known, &mut Vec::new());
        Ok(found)
    }

    fn compare(&mut self, file: &Value, known: &Value, path: &mut Vec<String>) {
        let (Value::Object(file), Value::Object(known)) = (file, known) else {
            return;
        };
        for (name, value) in file {
            match known.get(name) {
                Some(known) => {
                    path.push(name.clone());
                    self.compare(value, known, path);
                    path.pop();
                }
                // Java leaves out what is null.
                None if value.is_null() => {}
                None => {
                    let (path, name, value) = (path.clone(), name.clone(), value.clone());
                    self.0.push(Stranger { path, name, value });
                }
            }
        }
    }

    /// The text of a table with them in it, but for those of entries that are gone. Number keys are in quotes
    /// then, which Java reads as well.
    pub(super) fn put_back(&self, text: String) -> Result<String, fastjson::Error> {
        if self.0.is_empty() {
            return Ok(text);
        }
        let mut table: Value = fastjson::from_slice(text.as_bytes())?;
        for Stranger { path, name, value } in &self.0 {
            let home = path.iter().try_fold(&mut table, |home, name| home.get_mut(name));
            if let Some(Value::Object(home)) = home {
                home.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        fastjson::to_string_pretty(&table)
    }
}

#[cfg(test)]
mod tests {
    use rmq_proto::body::{ConsumerOffsets, TopicConfigs};

    use super::*;

    #[test]
    fn unknown_members_stay_where_they_were() {
        let file = br#"{"dataVersion":{"counter":3,"era":7},"future":[1,{"a":2}],"topicConfigTable":{
            "A":{"topicName":"A","colour":"red","perm":6},"B":{"topicName":"B","colour":"blue"}}}"#;
        let mut table: TopicConfigs = fastjson::from_slice(file).unwrap();
        let strangers = Strangers::of(file, &table).unwrap();
        table.topic_config_table.remove("B");
        let text = strangers.put_back(fastjson::to_string_pretty(&table).unwrap()).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(written["future"], serde_json::json!([1, {"a": 2}]));
        assert_eq!(written["dataVersion"]["era"], 7);
        let topics = &written["topicConfigTable"];
        assert_eq!((&topics["A"]["colour"], topics["B"].is_null()), (&Value::from("red"), true));
        assert_eq!(fastjson::from_slice::<TopicConfigs>(text.as_bytes()).unwrap(), table);
    }

    #[test]
    fn number_keys_are_no_strangers() {
        let file = br#"{"strange":{"T@G":9},"offsetTable":{"T@G":{0:5,1:6}}}"#;
        let table: ConsumerOffsets = fastjson::from_slice(file).unwrap();
        let strangers = Strangers::of(file, &table).unwrap();
        assert_eq!(strangers.0.len(), 1);
        let text = strangers.put_back(fastjson::to_string_pretty(&table).unwrap()).unwrap();
        assert_eq!(fastjson::from_slice::<ConsumerOffsets>(text.as_bytes()).unwrap(), table);
        assert!(text.contains("strange"));
    }

    #[test]
    fn a_text_without_strangers_is_untouched() {
        let text = "{\n\t\"offsetTable\":{\"T@G\":{0:5}}\n}".to_owned();
        assert_eq!(Strangers::default().put_back(text.clone()).unwrap(), text);
    }
}
