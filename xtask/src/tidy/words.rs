//! The glossary: one thing has one word.
//!
//! A word is looked for in the parts of names, so `free_bucket` and `BucketList` hold `bucket`.
//! Comments may say how others call a thing. Only words that no dependency forces on us can be
//! checked: the standard library has cells, and Vulkan has usages.

use super::{File, Finding, text};

/// Words that one folder does not use, each with the word to use instead.
struct Ban {
    /// The folders, by the beginning of their paths.
    folders: &'static [&'static str],
    words: &'static [(&'static str, &'static str)],
}

const BANS: [Ban; 4] = [
    Ban {
        folders: &["crates/"],
        words: &[
            ("backend", "source, or the name of the interface"),
            ("bucket", "bin or size class"),
            ("quota", "budget or limit"),
            ("superblock", "span"),
            ("tcache", "local"),
            ("upstream", "source"),
        ],
    },
    Ban {
        folders: &["crates/core/"],
        words: &[("hole", "free region"), ("metadata", "region"), ("huge", "dedicated")],
    },
    Ban {
        folders: &["crates/core/", "crates/device/"],
        words: &[("chunk", "block, region or suballocation"), ("cell", "slot")],
    },
    Ban {
        folders: &["crates/device/", "crates/vulkan/"],
        words: &[
            ("compaction", "pass"),
            ("defragger", "pass"),
            ("hole", "free region"),
            ("huge", "dedicated"),
            ("quantum", "granularity"),
            ("superpage", "block"),
        ],
    },
];

/// Names of the standard library that are not ours to choose.
const FOREIGN: [&str; 16] = [
    "Cell",
    "RefCell",
    "OnceCell",
    "UnsafeCell",
    "SyncUnsafeCell",
    "LazyCell",
    "cell",
    "chunks",
    "chunks_exact",
    "chunks_exact_mut",
    "chunks_mut",
    "as_chunks",
    "array_chunks",
    "rchunks",
    "metadata",
    "chunk_by",
];

/// The findings of one file: each word once, at its first place.
pub fn check(file: &File) -> Vec<Finding> {
    let bans = BANS.iter().filter(|ban| ban.holds_for(file));
    let banned = bans.flat_map(|ban| ban.words);
    banned.filter_map(|ban| first_use(file, ban)).collect()
}

fn first_use(file: &File, (word, instead): &(&str, &str)) -> Option<Finding> {
    let holds_word = |name: &&str| {
        !FOREIGN.contains(name) && text::parts(name).iter().any(|part| is(part, word))
    };
    file.code.lines().enumerate().find_map(|(index, line)| {
        let name = text::words(line).find(holds_word)?;
        let rule = format!("`{name}`: {word} is not our word, say {instead}");
        Some(Finding::new(&file.path, index + 1, rule))
    })
}

impl Ban {
    fn holds_for(&self, file: &File) -> bool {
        self.folders.iter().any(|folder| file.path.starts_with(folder))
    }
}

/// Whether a part of a name is the word, or more than one of it.
fn is(part: &str, word: &str) -> bool {
    part == word || part.strip_suffix('s') == Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<String> {
        let file = File::new(path, text.to_string());
        check(&file).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_banned_word_is_found_in_each_form_of_a_name() {
        for text in ["struct FreeBuckets;", "let bucket_index = 0;", "fn f(buckets: u32) {}"] {
            assert_eq!(rules("crates/device/src/a.rs", text).len(), 1, "{text}");
        }
        let found = rules("crates/device/src/a.rs", "struct Bucket;");
        let rule = "`Bucket`: bucket is not our word, say bin or size class";
        assert_eq!(found, [format!("crates/device/src/a.rs:1: {rule}")]);
    }

    #[test]
    fn comments_and_other_folders_are_free() {
        assert_eq!(rules("crates/core/src/a.rs", "// what others call a bucket\n"), [""; 0]);
        assert_eq!(rules("bench/src/a.rs", "struct Bucket;"), [""; 0]);
        assert_eq!(rules("crates/host/src/a.rs", "struct Chunk;"), [""; 0]);
        assert_eq!(rules("crates/core/src/a.rs", "struct Chunk;").len(), 1);
    }

    #[test]
    fn names_of_the_standard_library_are_free() {
        assert_eq!(rules("crates/core/src/a.rs", "x.chunks_exact(8); Cell::new(1);"), [""; 0]);
    }
}
