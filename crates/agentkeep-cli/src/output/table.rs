//! Aligned tables without borders.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::text;

/// Longest text in a column that is not an id, unless all is asked for.
const WIDE: usize = 48;

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Columns {
    table: Table,
    long: bool,
}

impl Columns {
    /// A table with these headings; `long` shows texts in full.
    pub(crate) fn new(headings: &[&str], long: bool) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
        Self { table, long }
    }

    /// Numbers stand to the right.
    pub(crate) fn right(mut self, column: usize) -> Self {
        if let Some(column) = self.table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        self
    }

    /// Text that may be cut short.
    pub(crate) fn brief(&self, content: Option<String>) -> String {
        match content {
            None => "-".to_owned(),
            Some(content) if self.long => content,
            Some(content) => text::shortened(&content, WIDE),
        }
    }

    /// Adds a row; foreign text is made safe here.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.table.add_row(cells.map(|cell| text::one_line(&cell)));
    }

    /// The table as lines.
    pub(crate) fn finish(mut self) -> String {
        // The margins between the columns, none at the left.
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut lines = String::new();
        for line in self.table.lines() {
            lines.push_str(line.trim_end());
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let mut columns = Columns::new(&["id", "name", "n"], false).right(2);
        let name = columns.brief(Some("研究助手 🔬".into()));
        columns.row(["a".into(), name, "7".into()]);
        let name = columns.brief(Some("x".repeat(60)));
        columns.row(["evil\u{1b}[2J\n".into(), name, "1234".into()]);
        columns.row(["c".into(), columns.brief(None), "0".into()]);
        let expected = "\
ID               NAME                                                 N
a                研究助手 🔬                                          7
evil\\u{1b}[2J\\n  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…  1234
c                -                                                    0
";
        assert_eq!(columns.finish(), expected);
    }
}
