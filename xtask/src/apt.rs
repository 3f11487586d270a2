//! The package sources of a Debian machine, in both of apt's notations.
//!
//! A source is one line (`deb [options] URI suite components`) or a stanza of fields. Only what
//! names a mirror is read: where it is, which suites it has and the key that signs them.

use std::fs;
use std::path::PathBuf;

/// One mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    uri: String,
    suites: Vec<String>,
    /// A file of keys. A key written out in the stanza itself is not taken: apt then looks among
    /// its trusted ones.
    key: Option<String>,
}

impl Source {
    /// Whether the mirror has this suite.
    pub fn has(&self, suite: &str) -> bool {
        self.suites.iter().any(|found| found == suite)
    }

    /// Whether both are on one mirror.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.uri == other.uri
    }

    /// The line for a suite of this mirror.
    pub fn line(&self, suite: &str) -> String {
        let options = self.key.as_ref().map_or(String::new(), |key| format!("[signed-by={key}] "));
        format!("deb {options}{} {suite} main\n", self.uri)
    }
}

/// All mirrors that the machine's own sources name.
pub fn sources_of_machine() -> Vec<Source> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(parts.map(|part| part.path()));
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).flat_map(|t| parse(&t)).collect()
}

/// The mirrors of one file.
pub fn parse(text: &str) -> Vec<Source> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let stanzas = lines.split(|line| line.trim().is_empty()).filter_map(parse_stanza);
    lines.iter().filter_map(|line| parse_line(line)).chain(stanzas).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let mut rest = line.trim().strip_prefix("deb ")?.trim_start();
    let mut key = None;
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (options, after) = bracketed.split_once(']')?;
        key = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        rest = after;
    }
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let has_main = words.any(|component| component == "main");
    has_main.then(|| Source {
        uri: uri.to_string(),
        suites: vec![suite.to_string()],
        key: key.map(String::from),
    })
}

fn parse_stanza(lines: &[&str]) -> Option<Source> {
    let field = |name: &str| {
        lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
        })
    };
    let has = |name: &str, word: &str| {
        field(name).is_some_and(|value| value.split_whitespace().any(|found| found == word))
    };
    let is_off = has("Enabled", "no") || has("Enabled", "false");
    if is_off || !has("Types", "deb") || !has("Components", "main") {
        return None;
    }
    Some(Source {
        uri: field("URIs")?.split_whitespace().next()?.to_string(),
        suites: field("Suites")?.split_whitespace().map(String::from).collect(),
        key: field("Signed-By").filter(|key| key.starts_with('/')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
Types: deb
# where the image was made from
URIs: http://mirror/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://mirror/off
Suites: bookworm
Components: main
Enabled: no
";

    #[test]
    fn a_stanza_is_a_source_unless_it_is_off() {
        let sources = parse(STANZAS);
        assert_eq!(sources.len(), 1);
        assert!(sources[0].has("bookworm-updates") && !sources[0].has("bookworm-backports"));
        let line = "deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror/debian x main\n";
        assert_eq!(sources[0].line("x"), line);
    }

    #[test]
    fn a_line_is_a_source_unless_it_is_a_comment() {
        let text = "# deb http://a/debian x main\ndeb http://b/debian trixie main contrib\n\
                    deb-src http://c/debian x main\ndeb [arch=amd64] http://d/debian x main\n";
        let sources = parse(text);
        let uris: Vec<_> = sources.iter().map(|source| source.uri.as_str()).collect();
        assert_eq!(uris, ["http://b/debian", "http://d/debian"]);
        assert_eq!(sources[0].line("trixie"), "deb http://b/debian trixie main\n");
    }

    #[test]
    fn other_archives_are_no_debian_mirror() {
        assert_eq!(parse("deb https://tools/apt tools-bookworm stable\n"), []);
    }
}
