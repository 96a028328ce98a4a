//! Tables: in the columns of Java's tool, or as JSON.

use serde_json::{Map, Value};

/// One column: its title as Java prints it, and its name in JSON.
pub(crate) type Column = (&'static str, &'static str);

/// Rows to print. The formats are Java's, with `%-22s` and `%16s` only; Java sometimes aligns the titles
/// otherwise than the rows.
#[derive(Debug)]
pub(crate) struct Table {
    columns: &'static [Column],
    title_format: &'static str,
    row_format: &'static str,
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) fn new(
        columns: &'static [Column],
        title_format: &'static str,
        row_format: &'static str,
    ) -> Self {
        Self { columns, title_format, row_format, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Value>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Titles and rows, one line each.
    pub(crate) fn text(&self) -> String {
        let titles: Vec<_> = self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        let mut text = line(self.title_format, &titles);
        for row in &self.rows {
            let cells: Vec<_> = row.iter().map(cell_text).collect();
            text.push('\n');
            text.push_str(&line(self.row_format, &cells));
        }
        text
    }

    /// One object per row.
    pub(crate) fn json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let pairs =
                self.columns.iter().zip(row).map(|((_, name), cell)| ((*name).to_owned(), cell.clone()));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }
}

fn cell_text(cell: &Value) -> String {
    match cell {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Fills cells into a format of `%s`, `%-22s` and `%16s`; missing cells are empty.
pub(crate) fn line(format: &str, cells: &[String]) -> String {
    let mut text = String::new();
    let mut cells = cells.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let Some((width, after)) = after.split_once('s') else { break };
        let cell = cells.next().map_or("", String::as_str);
        match width.strip_prefix('-').map_or(width.parse::<usize>(), str::parse) {
            Ok(width_chars) if width.starts_with('-') => text.push_str(&format!("{cell:<width_chars$}")),
            Ok(width_chars) => text.push_str(&format!("{cell:>width_chars$}")),
            Err(_) => text.push_str(cell),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Java cuts long names so that the columns stay aligned.
pub(crate) fn front(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_padded_as_printf_does() {
        let cells = ["a", "bb", "ccccc", "d"].map(str::to_owned);
        assert_eq!(line("%-3s|%4s %-2s=%s.", &cells), "a  |  bb ccccc=d.");
    }

    #[test]
    fn a_table_is_text_or_json() {
        let mut table = Table::new(&[("#Name", "name"), ("#QID", "queueId")], "%-6s %s", "%-6s %s");
        table.row([Value::from("x"), Value::from(3)]);
        assert_eq!(table.text(), "#Name  #QID\nx      3");
        assert_eq!(table.json().to_string(), r#"[{"name":"x","queueId":3}]"#);
    }

    #[test]
    fn long_names_are_cut_by_characters() {
        assert_eq!(front("标签x", 2), "标签");
    }
}
