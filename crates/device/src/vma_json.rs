//! The text in which Vulkan Memory Allocator tells of itself, which its viewers read.
//!
//! It is JSON, and what its objects are called and hold is VMA's to say; written here as it comes,
//! without a tree in between, for it is long where allocations are many.

use crate::device::{DeviceKind, DeviceProperties, MemoryProperties};
use polder_core::stats::{DetailedStats, Sizes};

/// A text that is being written. The caller sees to it that what begins ends. Spaces and lines are
/// VMA's own too.
#[derive(Debug, Default)]
pub struct Json {
    text: String,
    /// The objects and arrays that have begun, the innermost last.
    levels: Vec<Level>,
    /// Whether a member's name was written and its value comes next.
    is_named: bool,
}

/// An object or an array.
#[derive(Clone, Copy, Debug)]
struct Level {
    layout: Layout,
    is_empty: bool,
}

/// Where the members of an object or the elements of an array stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Each on a line of its own.
    Lines,
    /// All on one.
    Line,
}

/// Most digits of a number.
const DIGITS_MAX: usize = 20;

impl Json {
    /// Returns the text.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Goes to where the next member, element or value stands.
    fn separate(&mut self) {
        if core::mem::take(&mut self.is_named) {
            return;
        }
        let Some(level) = self.levels.last_mut() else { return };
        let Level { layout, is_empty } = *level;
        level.is_empty = false;
        if !is_empty {
            self.text.push_str(", ");
        }
        self.break_line(layout, self.levels.len());
    }

    fn break_line(&mut self, layout: Layout, depth: usize) {
        if layout == Layout::Lines {
            self.text.push('\n');
            (0..depth).for_each(|_| self.text.push_str("  "));
        }
    }

    /// Writes the name of a member; its value comes next. VMA's names need no escapes.
    pub fn key(&mut self, name: &str) {
        self.separate();
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\": ");
        self.is_named = true;
    }

    /// As [`key`](Self::key), for names with a number.
    pub fn key_with(&mut self, name: &str, number: u64) {
        self.separate();
        self.text.push('"');
        self.text.push_str(name);
        self.push_digits(number);
        self.text.push_str("\": ");
        self.is_named = true;
    }

    /// Begins an object or an array, by its bracket.
    pub fn begin(&mut self, bracket: char) {
        self.begin_in(bracket, Layout::Lines);
    }

    /// As [`begin`](Self::begin), with a layout.
    pub fn begin_in(&mut self, bracket: char, layout: Layout) {
        self.separate();
        self.text.push(bracket);
        self.levels.push(Level { layout, is_empty: true });
    }

    /// Ends an object or an array, by its bracket.
    pub fn end(&mut self, bracket: char) {
        let level = self.levels.pop().expect("what ends has begun");
        self.break_line(level.layout, self.levels.len());
        self.text.push(bracket);
    }

    /// Writes a number.
    pub fn number(&mut self, number: u64) {
        self.separate();
        self.push_digits(number);
    }

    fn push_digits(&mut self, mut number: u64) {
        let mut digits = [0; DIGITS_MAX];
        let mut begin = DIGITS_MAX;
        loop {
            begin -= 1;
            digits[begin] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.text.extend(digits[begin..].iter().map(|&digit| char::from(digit)));
    }

    /// Writes a string.
    pub fn string(&mut self, string: &str) {
        self.separate();
        self.text.push('"');
        string.chars().for_each(|char| self.push_escaped(char));
        self.text.push('"');
    }

    fn push_escaped(&mut self, char: char) {
        match char {
            '"' | '\\' => self.text.extend(['\\', char]),
            '\n' => self.text.push_str("\\n"),
            '\r' => self.text.push_str("\\r"),
            '\t' => self.text.push_str("\\t"),
            '\0'..' ' => self.text.push_str(&format!("\\u{:04x}", char as u32)),
            _ => self.text.push(char),
        }
    }

    /// Writes a member that is a number.
    pub fn member(&mut self, name: &str, number: u64) {
        self.key(name);
        self.number(number);
    }

    /// Writes a member that is a string.
    pub fn text_member(&mut self, name: &str, string: &str) {
        self.key(name);
        self.string(string);
    }

    /// Writes figures; the extremes only where there is more than one.
    pub fn stats(&mut self, stats: &DetailedStats) {
        self.begin('{');
        self.member("BlockCount", stats.blocks.count());
        self.member("BlockBytes", stats.blocks.total());
        self.member("AllocationCount", stats.allocations.count());
        self.member("AllocationBytes", stats.allocations.total());
        self.member("UnusedRangeCount", stats.free_regions.count());
        self.extremes(&stats.allocations, ["AllocationSizeMin", "AllocationSizeMax"]);
        self.extremes(&stats.free_regions, ["UnusedRangeSizeMin", "UnusedRangeSizeMax"]);
        self.end('}');
    }

    fn extremes(&mut self, sizes: &Sizes, [min_name, max_name]: [&str; 2]) {
        if let (Some(min), Some(max), 2..) = (sizes.min(), sizes.max(), sizes.count()) {
            self.member(min_name, min);
            self.member(max_name, max);
        }
    }

    /// Writes what a block says of itself before its regions.
    pub fn block_head(&mut self, size: u64, stats: &DetailedStats) {
        self.member("TotalBytes", size);
        self.member("UnusedBytes", size - stats.allocations.total());
        self.member("Allocations", stats.allocations.count());
        self.member("UnusedRanges", stats.free_regions.count());
    }

    /// Writes a free region.
    pub fn free_region(&mut self, offset: u64, size: u64) {
        self.begin_in('{', Layout::Line);
        self.member("Offset", offset);
        self.text_member("Type", "FREE");
        self.member("Size", size);
        self.end('}');
    }

    /// Writes the user's number as VMA writes the user's pointer.
    pub fn custom_data(&mut self, user_data: u64) {
        if user_data != 0 {
            self.text_member("CustomData", &format!("{user_data:#x}"));
        }
    }

    /// Writes what the device is.
    pub fn general(&mut self, properties: &DeviceProperties) {
        let [major, minor, patch] = properties.api_version;
        let limits = &properties.limits;
        self.begin('{');
        self.text_member("API", "Vulkan");
        self.text_member("apiVersion", &format!("{major}.{minor}.{patch}"));
        self.text_member("GPU", &properties.name);
        self.member("deviceType", device_type(properties.kind));
        self.member("maxMemoryAllocationCount", limits.block_count_max);
        self.member("bufferImageGranularity", limits.granularity);
        self.member("nonCoherentAtomSize", limits.non_coherent_atom_size);
        self.member("memoryHeapCount", properties.heaps.len() as u64);
        self.member("memoryTypeCount", properties.memory_types.len() as u64);
        self.end('}');
    }

    /// Writes the flags of a memory type, by the names that VMA has for them.
    pub fn type_flags(&mut self, properties: MemoryProperties) {
        self.key("Flags");
        self.begin_in('[', Layout::Line);
        for (name, flag) in properties.iter_names() {
            self.string(match flag {
                MemoryProperties::DEVICE_COHERENT => "DEVICE_COHERENT_AMD",
                MemoryProperties::DEVICE_UNCACHED => "DEVICE_UNCACHED_AMD",
                _ => name,
            });
        }
        self.end(']');
    }
}

/// Vulkan's number.
const fn device_type(kind: DeviceKind) -> u64 {
    match kind {
        DeviceKind::Other => 0,
        DeviceKind::IntegratedGpu => 1,
        DeviceKind::DiscreteGpu => 2,
        DeviceKind::VirtualGpu => 3,
        DeviceKind::Cpu => 4,
    }
}
