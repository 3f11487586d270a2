//! Allocating and freeing device memory between holes: many small allocations, a random half of
//! them freed, then pairs of allocation and free.

use super::Context;
use crate::measure::{Contest, Figures};
use crate::peer::{ForEachHeap, Heap, for_each_heap, gpu_allocator, polder, vma};
use crate::report::{Limit, Report};
use crate::table::thousands;
use crate::workload::{Aligns, Needs, Order, Sizes, Workload};

/// 256 B to 16 KiB.
const SIZES: Sizes = Sizes::Steps { step: 256, count: 64 };
const ALIGNS: Aligns = Aligns::Fixed(256);
/// How many are allocated before half of them are freed.
const COUNTS: [usize; 3] = [2_000, 16_000, 100_000];
const FEW: &str = "2,000";
const MANY: &str = "16,000";
const MOST: &str = "100,000";

/// Measures it with both orders of frees.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let last = measure(context, Order::Last);
    let words = "Sizes 256 B to 16 KiB in steps of 256; as many as the column says are allocated \
                 and a random half freed; a pair allocates and frees that again.";
    report.section("Device memory, between holes", words, &last.table());
    let random = measure(context, Order::Random);
    let words = "As above, but a pair frees a random one and allocates another.";
    report.section("Device memory, random replacement", words, &random.table());
    let flat = last.ratio((polder::NAME, MOST), (polder::NAME, FEW));
    report.target(&format!("between holes: {MOST} / {FEW}"), Limit::AtMost(1.5), flat);
    let slow = last.ratio((gpu_allocator::NAME, MANY), (polder::NAME, MANY));
    let rule = format!("between holes: gpu-allocator / Polder, {MANY}");
    report.target(&rule, Limit::AtLeast(300.0), slow);
    judge(&last, "between holes", report);
    judge(&random, "random replacement", report);
}

fn measure(context: &Context<'_>, order: Order) -> Figures {
    let mut contest = Contest::default();
    for_each_heap(context.gpu, &mut Entrants { context, order, contest: &mut contest });
    contest.run(context.effort)
}

struct Entrants<'c, 'a> {
    context: &'c Context<'a>,
    order: Order,
    contest: &'c mut Contest<'a>,
}

impl<'a> ForEachHeap<'a> for Entrants<'_, 'a> {
    fn visit<H: Heap + 'a>(&mut self, name: &'static str, make: impl Fn() -> H) {
        if !self.context.wants(name) {
            return;
        }
        for count in COUNTS {
            let mut workload = Workload::full(make(), count, Needs::new(SIZES, ALIGNS)).halved();
            let order = self.order;
            self.contest.add(name, &thousands(count as u64), move || workload.pair(order));
        }
    }
}

fn judge(figures: &Figures, order: &str, report: &mut Report) {
    for count in [FEW, MANY, MOST] {
        let ratio = figures.ratio((polder::NAME, count), (vma::NAME, count));
        report.target(&format!("{order}: Polder / VMA, {count}"), Limit::AtMost(0.5), ratio);
    }
}
