//! The statistics as text, without allocating.

use crate::fail::Line;
use crate::os;
use crate::stats::{Stats, stats};

/// Prints the statistics when the process ends.
pub fn at_exit() {
    os::at_exit(print);
}

/// Prints the statistics to the standard error.
pub extern "C" fn print() {
    let stats = stats();
    print_totals(&stats);
    for class in stats.classes().iter().filter(|class| class.slabs > 0) {
        Line::new()
            .text("size ")
            .number(class.size)
            .text(": ")
            .number(class.used)
            .text(" of ")
            .number(class.slots)
            .text(" slots used, in slabs: ")
            .number(class.slabs)
            .write();
    }
}

fn print_totals(stats: &Stats) {
    let figures = [
        ("used", stats.used),
        ("held", stats.held),
        ("peak", stats.peak),
        ("reserved", stats.reserved),
        ("purged", stats.purged),
        ("in large objects", stats.large_used),
    ];
    for (name, bytes) in figures {
        Line::new().text(name).text(": ").number(bytes).text(" B").write();
    }
    Line::new().text("large objects: ").number(stats.large).write();
    Line::new().text("freed by other threads: ").number(stats.remote_frees).write();
}
