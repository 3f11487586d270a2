//! A first plan: the items one after the other, each to the lowest place that is free.
//!
//! The order decides. Large ones first is the best known one (Pisarchyk and Lee, "Efficient Memory
//! Management for Deep Neural Net Inference", 2020), but not always; several are tried.

use super::item::{Item, Layout};
use core::cmp::Reverse;

/// What an order sorts by.
type Key = fn(&Item) -> (u64, u64);

/// What comes first has the largest of one of these.
const ORDERS: [Key; 4] = [
    |item| (item.size, item.life.len()),
    |item| (item.size.saturating_mul(item.life.len()), 0),
    |item| (item.size.ilog2().into(), item.life.len()),
    |item| (item.life.len(), item.size),
];

/// The lowest of the plans that the orders give, and how many places were looked at.
pub fn greedy(items: &[Item]) -> (Layout, u64) {
    let plans = ORDERS.map(|key| in_order(items, key));
    let best = plans.into_iter().min_by_key(Layout::height).expect("there are orders");
    (best, ORDERS.len() as u64 * (items.len() as u64).pow(2) / 2)
}

fn in_order(items: &[Item], key: Key) -> Layout {
    let mut order: Vec<_> = (0..).zip(items).collect();
    order.sort_by_key(|(_, item)| Reverse(key(item)));
    let mut layout = Layout::default();
    for (index, item) in order {
        let begin = layout.lowest(item);
        layout.insert(index, item, begin);
    }
    layout
}
