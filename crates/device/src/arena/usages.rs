//! The usage flags of an arena's resources, each kind once.
//!
//! A program makes its resources with few kinds of usage, so an allocation's entry has room for the
//! number of one. They are for reports alone: what nobody reports costs a look at the kinds before.

/// Kinds of usage that were seen, by number; the first is that of no flags.
#[derive(Debug)]
pub(super) struct Usages {
    kinds: Vec<u64>,
}

impl Default for Usages {
    fn default() -> Self {
        Self { kinds: vec![0] }
    }
}

impl Usages {
    /// Returns the number of these flags; that of none when 255 other kinds were seen before.
    #[inline]
    pub fn number(&mut self, flags: u64) -> u8 {
        match self.kinds.iter().position(|&kind| kind == flags) {
            Some(place) => place as u8,
            None => self.add(flags),
        }
    }

    #[cold]
    fn add(&mut self, flags: u64) -> u8 {
        if self.kinds.len() > u8::MAX.into() {
            return 0;
        }
        self.kinds.push(flags);
        (self.kinds.len() - 1) as u8
    }

    /// Returns the flags of a number.
    pub fn flags(&self, number: u8) -> u64 {
        self.kinds[usize::from(number)]
    }
}

#[cfg(test)]
mod tests {
    use super::Usages;

    #[test]
    fn each_kind_comes_back_and_what_is_too_many_is_none() {
        let mut usages = Usages::default();
        for round in 0..2 {
            for flags in 0..300 {
                let flags = flags << 40;
                let number = usages.number(flags);
                let known = if flags >> 40 <= 255 { flags } else { 0 };
                assert_eq!(usages.flags(number), known, "round {round}");
            }
        }
    }
}
