//! Boxes and what shares them.

use crate::Pattern;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

/// These patterns.
pub const PATTERNS: &[Pattern] = &[
    Pattern::new("Box<dyn Fn>", functions),
    Pattern::new("Rc tree", trees::<RcNode>),
    Pattern::new("Arc tree", trees::<ArcNode>),
];

const LIVE: u64 = 64;
/// A tree of this depth has 255 nodes.
const DEPTH: u32 = 8;
const NODES: u64 = (1 << DEPTH) - 1;

fn functions(times: u64) {
    let mut live: Vec<Box<dyn Fn(u64) -> u64>> = Vec::new();
    for number in 0..times {
        let (one, other) = (black_box(number), black_box(!number));
        match number % 3 {
            0 => live.push(Box::new(move |more| one + more)),
            1 => live.push(Box::new(move |more| one ^ other ^ more)),
            _ => live.push(Box::new(move |more| [one, other, more, number].iter().sum())),
        }
        if number % LIVE == 0 {
            black_box(live.drain(..).map(|function| function(number & 7)).max());
        }
    }
}

struct Node<P> {
    _key: u64,
    _children: Option<[P; 2]>,
}

/// A pointer that shares a node.
trait Shared: Sized {
    fn node(key: u64, children: Option<[Self; 2]>) -> Self;
}

struct RcNode(#[expect(dead_code, reason = "held to be dropped")] Rc<Node<RcNode>>);
struct ArcNode(#[expect(dead_code, reason = "held to be dropped")] Arc<Node<ArcNode>>);

impl Shared for RcNode {
    fn node(key: u64, children: Option<[Self; 2]>) -> Self {
        Self(Rc::new(Node { _key: key, _children: children }))
    }
}

impl Shared for ArcNode {
    fn node(key: u64, children: Option<[Self; 2]>) -> Self {
        Self(Arc::new(Node { _key: key, _children: children }))
    }
}

fn tree<P: Shared>(depth: u32) -> P {
    let children = (depth > 1).then(|| [tree(depth - 1), tree(depth - 1)]);
    P::node(depth.into(), children)
}

fn trees<P: Shared>(times: u64) {
    for _ in 0..times.div_ceil(NODES) {
        drop(black_box(tree::<P>(DEPTH)));
    }
}
