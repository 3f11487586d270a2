//! What memory looks like, as tables: of a device its heaps, memory types and blocks; of the
//! process its heap and size classes.
//!
//! It knows nothing of where a snapshot or the statistics came from.

use crate::table::{Side, Table};
use crate::units::{bytes, count, percent};
use polder::Snapshot;
use polder::device::snapshot::{BlockSnapshot, TypeSnapshot};
use polder::host::{ClassStats, Stats};
use std::io::{self, Write};

/// How many blocks of a memory type are shown, the largest.
const BLOCKS_SHOWN_MAX: usize = 6;
/// How many size classes are shown, those with the most memory.
const CLASSES_SHOWN_MAX: usize = 8;
/// How many characters the bar has that shows how full a block is.
const BAR_LEN: u64 = 12;

/// Prints all tables.
///
/// # Errors
///
/// Those of `out`.
pub fn print_snapshot(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    let tables = [
        ("Heaps", heaps(snapshot).to_string()),
        ("Memory types", memory_types(snapshot).to_string()),
        ("Blocks", blocks(snapshot).to_string()),
    ];
    print_tables(out, &tables)
}

/// Prints the tables of the process's heap.
///
/// # Errors
///
/// Those of `out`.
pub fn print_host(out: &mut impl Write, stats: &Stats) -> io::Result<()> {
    let tables = [
        ("The process's heap", host(stats).to_string()),
        ("Size classes", classes(stats.classes()).to_string()),
    ];
    print_tables(out, &tables)
}

fn print_tables(out: &mut impl Write, tables: &[(&str, String)]) -> io::Result<()> {
    tables.iter().try_for_each(|(title, table)| write!(out, "\n{title}\n{table}"))
}

fn heaps(snapshot: &Snapshot) -> Table<8> {
    let mut table = Table::new([
        ("heap", Side::Right),
        ("of", Side::Left),
        ("size", Side::Right),
        ("budget", Side::Right),
        ("in use", Side::Right),
        ("held", Side::Right),
        ("used", Side::Right),
        ("of held", Side::Right),
    ]);
    for (index, heap) in snapshot.heaps.iter().enumerate() {
        table.row([
            index.to_string(),
            if heap.device_local { "device" } else { "host" }.to_owned(),
            bytes(heap.size),
            bytes(heap.budget),
            bytes(heap.usage),
            bytes(heap.held),
            bytes(heap.used),
            percent(heap.used, heap.held),
        ]);
    }
    table
}

fn memory_types(snapshot: &Snapshot) -> Table<8> {
    let mut table = Table::new([
        ("type", Side::Right),
        ("heap", Side::Right),
        ("blocks", Side::Right),
        ("count", Side::Right),
        ("held", Side::Right),
        ("used", Side::Right),
        ("largest free", Side::Right),
        ("properties", Side::Left),
    ]);
    for (index, kind) in held_types(snapshot) {
        table.row([
            index.to_string(),
            kind.heap.to_string(),
            count(kind.blocks.len() as u64),
            count(kind.allocations()),
            bytes(kind.held()),
            bytes(kind.used()),
            bytes(kind.largest_free()),
            kind.properties.iter().map(|name| short(name)).collect::<Vec<_>>().join(" "),
        ]);
    }
    table
}

fn blocks(snapshot: &Snapshot) -> Table<7> {
    let mut table = Table::new([
        ("type", Side::Right),
        ("arena", Side::Right),
        ("size", Side::Right),
        ("used", Side::Right),
        ("count", Side::Right),
        ("largest free", Side::Right),
        ("", Side::Left),
    ]);
    for (index, kind) in held_types(snapshot) {
        let mut blocks: Vec<_> = kind.blocks.iter().collect();
        blocks.sort_by_key(|block| std::cmp::Reverse((block.size, block.used)));
        let shown = blocks.len().min(BLOCKS_SHOWN_MAX);
        for block in &blocks[..shown] {
            table.row([
                index.to_string(),
                block.arena.to_string(),
                bytes(block.size),
                bytes(block.used),
                count(block.allocations.into()),
                bytes(block.largest_free),
                fullness(block),
            ]);
        }
        if shown < blocks.len() {
            table.note(rest(
                blocks[shown..].iter().map(|block| Extent { held: block.size, used: block.used }),
            ));
        }
    }
    table
}

fn host(stats: &Stats) -> Table<7> {
    let mut table = Table::new([
        ("used", Side::Right),
        ("held", Side::Right),
        ("peak", Side::Right),
        ("address space", Side::Right),
        ("given back", Side::Right),
        ("large objects", Side::Right),
        ("remote frees", Side::Right),
    ]);
    table.row([
        bytes(stats.used),
        bytes(stats.held),
        bytes(stats.peak),
        bytes(stats.reserved),
        bytes(stats.purged),
        format!("{} of {}", count(stats.large), bytes(stats.large_used)),
        count(stats.remote_frees),
    ]);
    table
}

fn classes(classes: &[ClassStats]) -> Table<6> {
    let mut table = Table::new([
        ("size", Side::Right),
        ("slabs", Side::Right),
        ("held", Side::Right),
        ("used", Side::Right),
        ("count", Side::Right),
        ("", Side::Left),
    ]);
    let mut held: Vec<_> = classes.iter().filter(|class| class.slabs > 0).collect();
    held.sort_by_key(|class| std::cmp::Reverse(class.size * class.slots));
    let shown = held.len().min(CLASSES_SHOWN_MAX);
    for class in &held[..shown] {
        table.row([
            bytes(class.size),
            count(class.slabs),
            bytes(class.size * class.slots),
            bytes(class.size * class.used),
            count(class.used),
            bar(class.used, class.slots),
        ]);
    }
    if shown < held.len() {
        table.note(rest(held[shown..].iter().map(|class| Extent {
            held: class.size * class.slots,
            used: class.size * class.used,
        })));
    }
    table
}

/// The memory types that have blocks.
fn held_types(snapshot: &Snapshot) -> impl Iterator<Item = (usize, &TypeSnapshot)> {
    snapshot.memory_types.iter().enumerate().filter(|(_, kind)| !kind.blocks.is_empty())
}

/// How much a row that is not shown has.
#[derive(Clone, Copy, Default)]
struct Extent {
    held: u64,
    used: u64,
}

fn rest(hidden: impl ExactSizeIterator<Item = Extent>) -> String {
    let number = count(hidden.len() as u64);
    let sum =
        |sum: Extent, one: Extent| Extent { held: sum.held + one.held, used: sum.used + one.used };
    let Extent { held, used } = hidden.fold(Extent::default(), sum);
    format!("      and {number} more of {} with {} used", bytes(held), bytes(used))
}

/// Shows how full a block is; a dedicated one is full always.
fn fullness(block: &BlockSnapshot) -> String {
    if block.dedicated { "dedicated".to_owned() } else { bar(block.used, block.size) }
}

fn bar(part: u64, whole: u64) -> String {
    let full = (part * BAR_LEN).div_ceil(whole.max(1)).min(BAR_LEN) as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(BAR_LEN as usize - full))
}

/// The everyday name of a property.
fn short(property: &str) -> String {
    let lower = property.to_lowercase().replace('_', " ");
    let plain = match &*lower {
        "device local" => "device",
        "host visible" => "host",
        "host coherent" => "coherent",
        "host cached" => "cached",
        "lazily allocated" => "lazy",
        other => other,
    };
    plain.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polder::device::DeviceKind;
    use polder::device::snapshot::HeapSnapshot;

    fn block(size: u64, used: u64) -> BlockSnapshot {
        let regions = Vec::new();
        let largest_free = size - used;
        BlockSnapshot {
            arena: 0,
            size,
            used,
            allocations: 1,
            largest_free,
            dedicated: false,
            maps: 0,
            regions,
        }
    }

    #[test]
    fn only_the_largest_blocks_are_shown() {
        let blocks = (1..=BLOCKS_SHOWN_MAX as u64 + 2).map(|n| block(n << 20, 1 << 20)).collect();
        let properties = vec!["DEVICE_LOCAL".to_owned(), "HOST_VISIBLE".to_owned()];
        let heap = HeapSnapshot {
            size: 1 << 30,
            device_local: true,
            budget: 1 << 30,
            usage: 0,
            limit: None,
            held: 36 << 20,
            used: 8 << 20,
        };
        let snapshot = Snapshot {
            device: String::new(),
            kind: DeviceKind::Cpu,
            heaps: vec![heap],
            memory_types: vec![TypeSnapshot { heap: 0, properties, blocks }],
        };
        let mut out = Vec::new();
        print_snapshot(&mut out, &snapshot).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("and 2 more of 3.0 MiB with 2.0 MiB used"), "{text}");
        assert!(text.contains("  device host\n"), "{text}");
        assert!(text.contains("8.0 MiB  1.0 MiB      1       7.0 MiB  ██░"), "{text}");
    }

    #[test]
    fn the_classes_with_the_most_memory_are_shown() {
        let object = std::hint::black_box(Box::new([0u64; 100]));
        let mut out = Vec::new();
        print_host(&mut out, &polder::host::stats()).unwrap();
        drop(object);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("\nThe process's heap\n"), "{text}");
        let classes = text.split_once("\nSize classes\n").unwrap().1.lines();
        assert!((2..=2 + CLASSES_SHOWN_MAX).contains(&classes.count()), "{text}");
    }

    #[test]
    fn a_bar_is_as_full_as_its_block() {
        assert_eq!(fullness(&block(100, 0)), "░".repeat(12));
        assert_eq!(fullness(&block(100, 1)), format!("█{}", "░".repeat(11)));
        assert_eq!(fullness(&block(100, 100)), "█".repeat(12));
    }
}
