//! What a program asks of its allocations again and again, beside allocating and freeing them.

use super::Context;
use crate::measure::{Contest, Figures};
use crate::peer::{Calls, polder, vma};
use crate::report::{Limit, Report};
use vk_mem::AllocatorCreateFlags;

const BUDGETED: &str = "VMA, budget extension";
const MAP: &str = "map and unmap";
const PLACE: &str = "where it is";
const INFO: &str = "all that is known";
const FLUSH: &str = "flush, coherent";
const BUDGETS: &str = "heap budgets";
const SETTINGS: [&str; 5] = [MAP, PLACE, INFO, FLUSH, BUDGETS];

/// What takes VMA less is to take no longer, and everything else this share of its time.
const SHORT_NS: f64 = 10.0;
const SHARE: f64 = 0.7;

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut contest = Contest::default();
    let gpu = context.gpu;
    add(context, &mut contest, polder::NAME, || polder::Calls::new(gpu));
    add(context, &mut contest, vma::NAME, || vma::Calls::new(gpu, AllocatorCreateFlags::empty()));
    if gpu.has_budgets() {
        add(context, &mut contest, BUDGETED, || {
            vma::Calls::new(gpu, AllocatorCreateFlags::EXT_MEMORY_BUDGET)
        });
    }
    let figures = contest.run(context.effort);
    let words = "1,000 allocations of 4 KiB in coherent memory that the host sees, one after the \
                 other. Where it is: vmaGetAllocationInfo, and the fields of Polder's handle. All \
                 that is known: vmaGetAllocationInfo2, and what Polder's arena knows, with name, \
                 user data and block. Budgets of all heaps: Polder asks the driver now and then, \
                 as VMA does with the extension.";
    report.section("Calls", words, &figures.table());
    for setting in SETTINGS {
        judge(&figures, vma::NAME, setting, report);
    }
    judge(&figures, BUDGETED, BUDGETS, report);
}

fn add<'a, P: Calls + 'a>(
    context: &Context<'a>,
    contest: &mut Contest<'a>,
    name: &str,
    make: impl Fn() -> P,
) {
    if !context.wants(name) {
        return;
    }
    let [mut map, mut place, mut info, mut flush, mut budgets] = SETTINGS.map(|_| make());
    contest.add(name, MAP, move || map.map());
    contest.add(name, PLACE, move || place.place());
    contest.add(name, INFO, move || info.info());
    contest.add(name, FLUSH, move || flush.flush());
    contest.add(name, BUDGETS, move || budgets.budgets());
}

fn judge(figures: &Figures, other: &str, setting: &str, report: &mut Report) {
    let Some(time) = figures.median((other, setting)) else { return };
    let limit = Limit::AtMost(if time < SHORT_NS { 1.0 } else { SHARE });
    let ratio = figures.ratio((polder::NAME, setting), (other, setting));
    report.target(&format!("{setting}: Polder / {other}"), limit, ratio);
}
