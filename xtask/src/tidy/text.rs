//! Rust text without what only people read.
//!
//! A scan for comments, strings and characters, enough to know that a word is code. Whatever is
//! no code becomes spaces; line breaks stay, so that a place in the code is one in the text.

/// The text with comments and literals blanked.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (len, is_code) = match comment(rest).or_else(|| literal(rest)) {
            Some(len) => (len, false),
            None => (word(rest).unwrap_or(first.len_utf8()), true),
        };
        let (token, after) = rest.split_at(len);
        if is_code {
            code.push_str(token);
        } else {
            code.extend(token.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// The words of a line of code, each with a part for each `_` or change of case.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// The parts of a name, in small letters: `SizeClass` and `size_class` are `size`, `class`.
pub fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        if (c == '_' || (c.is_uppercase() && was_small)) && parts.last() != Some(&String::new()) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("there is always a part").extend(c.to_lowercase());
        }
        was_small = c.is_lowercase();
    }
    parts
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a name or number that the text begins with: an `r` inside is no raw string.
fn word(text: &str) -> Option<usize> {
    let len = text.find(|c| !is_word(c)).unwrap_or(text.len());
    (len > 0).then_some(len)
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut inner = text.strip_prefix("/*")?;
    let mut depth = 1;
    while depth > 0 && !inner.is_empty() {
        let step = if inner.starts_with("*/") {
            depth -= 1;
            2
        } else if inner.starts_with("/*") {
            depth += 1;
            2
        } else {
            inner.chars().next().map_or(0, char::len_utf8)
        };
        inner = &inner[step..];
    }
    Some(text.len() - inner.len())
}

fn literal(text: &str) -> Option<usize> {
    raw_string(text).or_else(|| string(text)).or_else(|| character(text))
}

fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|after| after.starts_with(['"', '#']))
    })?;
    let after = &text[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inner = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inner.find(&close).map_or(inner.len(), |at| at + close.len());
    Some(text.len() - inner.len() + end)
}

fn string(text: &str) -> Option<usize> {
    let inner = ["\"", "b\"", "c\""].iter().find_map(|open| text.strip_prefix(open))?;
    Some(text.len() - inner.len() + closed(inner, '"'))
}

fn character(text: &str) -> Option<usize> {
    let inner = ["'", "b'"].iter().find_map(|open| text.strip_prefix(open))?;
    let mut chars = inner.chars();
    let first = chars.next()?;
    // With no quote after one character, this is a lifetime.
    let is_character = first == '\\' || chars.next() == Some('\'');
    is_character.then(|| text.len() - inner.len() + closed(inner, '\''))
}

/// The length up to and with the closing quote.
fn closed(inner: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in inner.char_indices() {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    inner.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(text: &str) -> String {
        code_of(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(squeezed("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(squeezed(r#"a "b \" c" d b"e" f"#), "a d f");
        assert_eq!(squeezed("a r#\"b \" c\"# d r\"e\\\" f"), "a d f");
        assert_eq!(squeezed(r"a '\'' b '\\' c 'd' e"), "a b c e");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(squeezed("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
        assert_eq!(squeezed("r#type for_r"), "r#type for_r");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "a\n/* b\n c */\n\"d\n e\"\nf";
        assert_eq!(code_of(text).lines().count(), text.lines().count());
        assert_eq!(code_of(text).lines().last(), Some("f"));
    }

    #[test]
    fn a_name_has_parts() {
        assert_eq!(parts("SizeClass_of"), ["size", "class", "of"]);
        assert_eq!(parts("HTTPServer"), ["httpserver"]);
        assert_eq!(words("let a_b = C::d(1);").collect::<Vec<_>>(), ["let", "a_b", "C", "d", "1"]);
    }
}
