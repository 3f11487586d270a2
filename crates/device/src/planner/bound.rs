//! How little memory can ever be enough.
//!
//! At each moment the items alive then lie side by side, so their sizes add up. Items aligned to
//! at least `align` moreover begin at multiples of it, so each but the highest takes a multiple
//! of it. The most that this asks for at any moment, with any alignment, no plan can go below.

use super::item::Item;

/// The bytes that items take at the least, wherever they are placed. Takes time in proportion to
/// the items alive at each moment, summed over the moments at which one begins.
pub fn bound(items: &[Item]) -> u64 {
    let mut aligns: Vec<_> = items.iter().map(|item| item.align).collect();
    aligns.sort_unstable();
    aligns.dedup();
    let mut by_first: Vec<_> = items.iter().collect();
    by_first.sort_unstable_by_key(|item| item.life.first);
    let (mut alive, mut bound) = (Vec::<&Item>::new(), 0);
    for group in by_first.chunk_by(|one, other| one.life.first == other.life.first) {
        alive.retain(|item| item.life.last >= group[0].life.first);
        alive.extend(group);
        let highest = aligns.iter().map(|&align| stacked(&alive, align)).max();
        bound = bound.max(highest.unwrap_or(0));
    }
    bound
}

/// The bytes that the items aligned to at least `align` take side by side.
fn stacked(alive: &[&Item], align: u64) -> u64 {
    let (mut sum, mut padding_most) = (0, 0);
    for item in alive.iter().filter(|item| item.align >= align) {
        let size = item.size.next_multiple_of(align);
        sum += size;
        padding_most = padding_most.max(size - item.size);
    }
    sum - padding_most
}
