//! Numbers as people read them.

/// Writes a number with a comma after each three digits.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number of bytes with the largest unit that it fills, and one decimal.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1 << 10 {
        return format!("{number} B");
    }
    let unit = (number.ilog2() / 10).min(UNITS.len() as u32);
    let name = UNITS[unit as usize - 1];
    format!("{:.1} {name}", number as f64 / (1_u64 << (10 * unit)) as f64)
}

/// Writes a share of a whole in per cent; a dash when there is no whole.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", 100.0 * part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_stand_together() {
        let texts = [0, 12, 999, 1_000, 1_234_567].map(count);
        assert_eq!(texts, ["0", "12", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn bytes_come_in_the_largest_unit_that_they_fill() {
        let texts = [0, 1023, 1024, 1536, 1 << 20, 24 << 30, u64::MAX].map(bytes);
        let expected =
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "24.0 GiB", "16777216.0 TiB"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn nothing_has_no_share() {
        assert_eq!([percent(0, 0), percent(1, 3)], ["-", "33.3 %"]);
    }
}
