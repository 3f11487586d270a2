//! Tables that read well in a terminal and are Markdown.

use std::fmt;

/// A table: words in the first column, numbers in the others.
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// Makes a table without rows.
    pub fn new(corner: &str, columns: &[impl ToString]) -> Self {
        let mut table = Self(Vec::new());
        table.row(corner, columns.iter().map(ToString::to_string));
        table
    }

    /// Adds a row, a cell for each column.
    pub fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        let row: Vec<_> = std::iter::once(name.to_string()).chain(cells).collect();
        let same = self.0.first().is_none_or(|header| header.len() == row.len());
        assert!(same, "a row has a cell for each column");
        self.0.push(row);
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max();
        (0..self.0[0].len()).filter_map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.0.iter().enumerate() {
            write!(f, "| {:1$} |", row[0], widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(f, " {cell:>width$} |")?;
            }
            writeln!(f)?;
            if number == 0 {
                write!(f, "|{:-<1$}|", "", widths[0] + 2)?;
                widths[1..].iter().try_for_each(|width| write!(f, "{:-<1$}:|", "", width + 1))?;
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// A number with three digits or more that count, or a dash for one that is not there.
pub fn figure(number: Option<f64>) -> String {
    match number {
        None => "–".to_string(),
        Some(number) if number < 10.0 => format!("{number:.2}"),
        Some(number) if number < 100.0 => format!("{number:.1}"),
        Some(number) => thousands(number.round() as u64),
    }
}

/// A whole number with commas.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in MiB.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::{Table, figure};

    #[test]
    fn a_table_is_aligned_markdown() {
        let mut table = Table::new("ns", &["10", "1,000"]);
        table.row("a peer", [figure(Some(1.0)), figure(None)]);
        let expected = "| ns     |   10 | 1,000 |\n\
                        |--------|-----:|------:|\n\
                        | a peer | 1.00 |     – |\n";
        assert_eq!(table.to_string(), expected);
        assert_eq!(figure(Some(1_234_567.0)), "1,234,567");
    }
}
