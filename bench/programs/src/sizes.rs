//! How large blocks are, as programs ask for them.

use crate::random::Random;

/// A size in `least..end`, each doubling as often as any other. Both are powers of two.
pub fn doublings(random: &mut Random, least: usize, end: usize) -> usize {
    let count = u64::from(end.ilog2() - least.ilog2());
    let doubling = least << random.below(count);
    doubling + random.below(doubling as u64) as usize
}

/// A size in `least..end`, each as often as any other.
pub fn even(random: &mut Random, least: usize, end: usize) -> usize {
    least + random.below((end - least) as u64) as usize
}

/// The size of a string: most are short, few are long.
pub fn text(random: &mut Random) -> usize {
    match random.below(100) {
        0..70 => even(random, 4, 24),
        70..95 => even(random, 24, 80),
        95..99 => even(random, 80, 400),
        _ => even(random, 400, 4_000),
    }
}
