//! A set of small integers that finds the next member in constant time.
//!
//! One bit a member in words of 64, and one summary word with a bit for each word that is not
//! zero: finding the next member looks at one word, the summary, and one more word.
//!
//! # Invariants
//!
//! 1. Bit `w` of the summary is set exactly when word `w` is not zero.

const WORD_BITS: u32 = u64::BITS;

/// A set of the integers below `WORDS * 64`. Takes `8 * (WORDS + 1)` bytes; `WORDS` is at most 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitSet<const WORDS: usize> {
    summary: u64,
    words: [u64; WORDS],
}

impl<const WORDS: usize> Default for BitSet<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WORDS: usize> BitSet<WORDS> {
    /// One more than the largest member there can be.
    pub const LIMIT: u32 = WORDS as u32 * WORD_BITS;

    /// Makes the empty set.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(WORDS <= 64, "the summary is one word") };
        Self { summary: 0, words: [0; WORDS] }
    }

    /// Adds `member`; one that is in already stays.
    ///
    /// # Panics
    ///
    /// When `member` is not below [`LIMIT`](Self::LIMIT).
    #[inline]
    pub const fn insert(&mut self, member: u32) {
        let word = member / WORD_BITS;
        self.words[word as usize] |= 1 << (member % WORD_BITS);
        self.summary |= 1 << word;
    }

    /// Removes `member`; one that is not in is no error.
    ///
    /// # Panics
    ///
    /// When `member` is not below [`LIMIT`](Self::LIMIT).
    #[inline]
    pub const fn remove(&mut self, member: u32) {
        let word = member / WORD_BITS;
        self.words[word as usize] &= !(1 << (member % WORD_BITS));
        if self.words[word as usize] == 0 {
            self.summary &= !(1 << word);
        }
    }

    /// Tells whether `member` is in.
    #[inline]
    #[must_use]
    pub const fn contains(&self, member: u32) -> bool {
        member < Self::LIMIT
            && self.words[(member / WORD_BITS) as usize] >> (member % WORD_BITS) & 1 == 1
    }

    /// Returns the least member that is at least `from`, in constant time.
    #[inline]
    #[must_use]
    pub const fn next(&self, from: u32) -> Option<u32> {
        if from >= Self::LIMIT {
            return None;
        }
        let word = from / WORD_BITS;
        let rest = self.words[word as usize] >> (from % WORD_BITS);
        if rest != 0 {
            return Some(from + rest.trailing_zeros());
        }
        // Two shifts, for a shift by 64 is none.
        let later = self.summary >> word >> 1;
        if later == 0 {
            return None;
        }
        let word = word + 1 + later.trailing_zeros();
        Some(word * WORD_BITS + self.words[word as usize].trailing_zeros())
    }

    /// Returns the greatest member, in constant time.
    #[inline]
    #[must_use]
    pub const fn last(&self) -> Option<u32> {
        match self.summary.checked_ilog2() {
            Some(word) => Some(word * WORD_BITS + self.words[word as usize].ilog2()),
            None => None,
        }
    }

    /// Tells whether no member is in.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.summary == 0
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::BitSet;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const STEPS: usize = if cfg!(miri) { 4 } else { 200 };

    proptest! {
        #[test]
        fn it_answers_as_an_ordered_set_does(
            steps in proptest::collection::vec((any::<bool>(), 0u32..192), 0..STEPS),
        ) {
            let (mut real, mut model) = (BitSet::<3>::new(), BTreeSet::new());
            for (add, member) in steps {
                if add {
                    real.insert(member);
                    model.insert(member);
                } else {
                    real.remove(member);
                    model.remove(&member);
                }
                prop_assert_eq!(real.contains(member), add);
                prop_assert_eq!(real.last(), model.last().copied());
                prop_assert_eq!(real.is_empty(), model.is_empty());
                for from in 0..200 {
                    prop_assert_eq!(real.next(from), model.range(from..).next().copied());
                }
            }
        }
    }

    #[test]
    fn a_full_set_of_64_words_finds_every_member() {
        let mut set = BitSet::<64>::new();
        (0..BitSet::<64>::LIMIT).for_each(|member| set.insert(member));
        assert!((0..BitSet::<64>::LIMIT).all(|member| set.next(member) == Some(member)));
        assert_eq!(set.last(), Some(4095));
    }
}
