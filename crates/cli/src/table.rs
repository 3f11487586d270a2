//! Text in columns.
//!
//! A [`Table`] knows its columns' heads and sides, takes rows, and is written when all widths are
//! known. Notes stand between rows and count for no width.

use std::fmt;

/// The space before the table.
const INDENT: &str = "  ";
/// The space between columns.
const GAP: &str = "  ";

/// On which side of its column a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Rows under heads.
#[derive(Debug)]
pub struct Table<const N: usize> {
    heads: [(&'static str, Side); N],
    lines: Vec<Line<N>>,
}

#[derive(Debug)]
enum Line<const N: usize> {
    Row([String; N]),
    Note(String),
}

impl<const N: usize> Table<N> {
    pub const fn new(heads: [(&'static str, Side); N]) -> Self {
        Self { heads, lines: Vec::new() }
    }

    pub fn row(&mut self, row: [String; N]) {
        self.lines.push(Line::Row(row));
    }

    pub fn note(&mut self, note: String) {
        self.lines.push(Line::Note(note));
    }

    /// The width of each column, in characters.
    fn widths(&self) -> [usize; N] {
        let mut widths = self.heads.map(|(head, _)| head.chars().count());
        for line in &self.lines {
            let Line::Row(row) = line else { continue };
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        widths
    }

    fn align(&self, row: [&str; N]) -> String {
        let columns = row.into_iter().zip(self.widths()).zip(self.heads);
        let texts = columns.map(|((text, width), (_, side))| match side {
            Side::Left => format!("{text:<width$}"),
            Side::Right => format!("{text:>width$}"),
        });
        texts.collect::<Vec<_>>().join(GAP)
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = self.align(self.heads.map(|(head, _)| head));
        writeln!(f, "{INDENT}{}", heads.trim_end())?;
        for line in &self.lines {
            let text = match line {
                Line::Row(row) => self.align(row.each_ref().map(String::as_str)),
                Line::Note(note) => note.clone(),
            };
            writeln!(f, "{INDENT}{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let mut table = Table::new([("name", Side::Left), ("n", Side::Right)]);
        table.row(["a".into(), "1,000".into()]);
        table.note("a note that is wider than all of it".into());
        table.row(["longer".into(), "2".into()]);
        let lines = [
            "  name        n",
            "  a       1,000",
            "  a note that is wider than all of it",
            "  longer      2",
        ];
        assert_eq!(table.to_string(), lines.map(|line| format!("{line}\n")).concat());
    }
}
