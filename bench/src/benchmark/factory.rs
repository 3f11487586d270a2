//! Creating and destroying buffers with their memory.

use super::Context;
use crate::measure::Contest;
use crate::peer::{Peer, driver, polder, vma};
use crate::report::{Limit, Report};
use crate::workload::{Aligns, Needs, Order, Sizes, Workload};

/// Always 64 KiB.
const SIZES: Sizes = Sizes::Steps { step: 64 << 10, count: 1 };
const SETTING: &str = "64 KiB";
/// How many buffers live meanwhile.
const LIVE: usize = 100;

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut contest = Contest::default();
    add(context, &mut contest, polder::NAME, || polder::Factory::new(context.gpu));
    add(context, &mut contest, vma::NAME, || vma::Factory::new(context.gpu));
    add(context, &mut contest, driver::NAME, || driver::Factory::new(context.gpu));
    let figures = contest.run(context.effort);
    let words = "A buffer is created, its memory allocated and bound, and both destroyed again, \
                 while 100 others live. The driver's part: create, ask for the requirements, bind \
                 to memory that is there, destroy.";
    report.section("Buffers", words, &figures.table());
    let ratio = figures.ratio((polder::NAME, SETTING), (vma::NAME, SETTING));
    report.target("create and destroy a buffer: Polder / VMA", Limit::AtMost(1.0), ratio);
}

fn add<'a, P: Peer + 'a>(
    context: &Context<'a>,
    contest: &mut Contest<'a>,
    name: &str,
    make: impl FnOnce() -> P,
) {
    if context.wants(name) {
        let needs = Needs::new(SIZES, Aligns::Fixed(1));
        let mut workload = Workload::full(make(), LIVE, needs);
        contest.add(name, SETTING, move || workload.pair(Order::Last));
    }
}
