//! Rules about one file and its lines: width, beginning, length, marks and private paths.

use super::{File, Finding, text};

/// Wider lines do not fit beside another file.
const COLUMNS_MAX: usize = 100;

/// A longer file is more than one idea.
const LINES_MAX: usize = 499;

/// Notes to oneself; each word is put together here so that it does not stand in this file.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Macros for code that is not finished.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Folders of one machine.
const PRIVATE: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ho", "me/")];

/// A folder of every machine that only a test may use.
const TEMPORARY: &str = concat!("/t", "mp/");

/// The findings of one file.
pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let rule = if file.is_rust() { rust_line(line) } else { None };
        let rule = rule.or_else(|| private(file, line));
        findings.extend(rule.map(|rule| Finding::new(&file.path, index + 1, rule)));
    }
    if file.is_rust() {
        findings.extend(file.code.lines().enumerate().filter_map(|(index, line)| {
            unfinished(line).map(|rule| Finding::new(&file.path, index + 1, rule))
        }));
        findings.extend(whole(file));
    }
    findings
}

fn rust_line(line: &str) -> Option<String> {
    let columns = line.chars().count();
    if columns > COLUMNS_MAX {
        return Some(format!("{columns} columns: at most {COLUMNS_MAX}"));
    }
    let mark = text::words(line).find(|word| MARKS.contains(word))?;
    Some(format!("`{mark}`: do it, or make it an issue"))
}

fn private(file: &File, line: &str) -> Option<String> {
    let is_test = !file.is_rust() || file.is_trial();
    let temporary = (!is_test).then_some(TEMPORARY);
    let path = PRIVATE.into_iter().chain(temporary).find(|path| line.contains(path))?;
    Some(format!("`{path}` is a path of one machine"))
}

fn unfinished(code: &str) -> Option<String> {
    let is_called = |name: &&&str| code.contains(&format!("{name}!"));
    let names = UNFINISHED.iter().filter(is_called);
    let name = names.into_iter().find(|name| text::words(code).any(|word| word == **name))?;
    Some(format!("`{name}!` is not finished"))
}

fn whole(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        findings.push(Finding::new(&file.path, 1, "a file begins with `//!`: what it is for"));
    }
    let lines = lines_before_tests(&file.text);
    if lines > LINES_MAX && !file.is_trial() {
        let rule = format!("{lines} lines without tests: at most {LINES_MAX}");
        findings.push(Finding::new(&file.path, lines, rule));
    }
    findings
}

/// How many lines stand before the tests that end a file.
fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    let is_tail = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    lines.windows(2).position(is_tail).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<String> {
        let file = File::new(path, text.to_string());
        check(&file).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_good_file_has_no_finding() {
        assert_eq!(rules("a.rs", "//! What it is for.\n\nfn f() {}\n"), [""; 0]);
    }

    #[test]
    fn width_counts_characters() {
        let text = |width: usize| format!("//! {}\n", "é".repeat(width - 4));
        assert_eq!(rules("a.rs", &text(100)), [""; 0]);
        assert_eq!(rules("a.rs", &text(101)), ["a.rs:1: 101 columns: at most 100"]);
        assert_eq!(rules("a.md", &text(101)), [""; 0]);
    }

    #[test]
    fn marks_are_found_in_comments_and_macros_in_code() {
        let text =
            format!("//! x\n// {}: later\nfn f() {{ todo!() }}\n// a dbg!() call\n", MARKS[0]);
        let found = rules("a.rs", &text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:2:") && found[1].starts_with("a.rs:3: `todo!`"));
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(
            rules("a.rs", "fn f() {}\n"),
            ["a.rs:1: a file begins with `//!`: what it is for"]
        );
    }

    #[test]
    fn the_tests_that_end_a_file_do_not_count() {
        let body = format!("//! x\n{}", "\n".repeat(498));
        assert_eq!(rules("a.rs", &format!("{body}#[cfg(test)]\nmod tests {{\n}}\n")), [""; 0]);
        assert_eq!(rules("a.rs", &format!("{body}\n")).len(), 1);
        assert_eq!(rules("tests/a.rs", &format!("{body}\n")), [""; 0]);
    }

    #[test]
    fn paths_of_one_machine_are_found_everywhere() {
        assert_eq!(rules("a.md", &format!("see {}x\n", PRIVATE[0])).len(), 1);
        let text = format!("//! {TEMPORARY}x\n");
        assert_eq!((rules("src/a.rs", &text).len(), rules("tests/a.rs", &text).len()), (1, 0));
    }
}
