//! Aids that let mistakes with memory show themselves while a program is developed.
//!
//! An allocator that is made with [`Aids`] keeps bytes free behind every allocation and sees when
//! somebody wrote there, fills memory that is new or free so that nobody relies on what was in it,
//! or is stricter than the device about places. All of it holds for the allocator's pools too, and
//! costs nothing while it is off.
//!
//! ```
//! use polder_device::debug::Aids;
//! use polder_device::sim::{Preset, Sim};
//! use polder_device::{
//!     Access, Allocator, Mapping, Options, Request, Requirements, Strategy, Wish,
//! };
//!
//! let aids = Aids { margin: 16, detect_corruption: true, ..Aids::default() };
//! let options = Options { aids, ..Options::default() };
//! let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), options);
//! let wish = Wish {
//!     access: Access::HostWrites,
//!     mapping: Mapping::Persistent,
//!     name: Some("short"),
//!     ..Wish::default()
//! };
//! let needs = Requirements { size: 1000, ..Requirements::ANY };
//! let allocation = allocator.allocate(&Request::new(needs, wish))?;
//! let first = allocation.pointer().unwrap().get();
//! // SAFETY: The mistake that is looked for. The margin is mapped, and nobody uses it.
//! unsafe { first.add(1003).write(0) };
//!
//! let found = allocator.check_corruption(u32::MAX)?.found;
//! assert_eq!((found[0].name.as_deref(), found[0].past_end), (Some("short"), 3));
//! allocator.free(allocation)?; // and an error is logged
//! assert_eq!(allocator.corruptions(), found);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::allocation::AllocationId;
use crate::device::DeviceProperties;
use core::fmt;
use thiserror::Error;

/// What every margin is a multiple of, in bytes: one word of the pattern.
pub const MARGIN_UNIT: u64 = 4;

/// The word that margins are filled with.
pub(crate) const PATTERN: u32 = 0x7F84_E666;
/// What a new allocation is filled with.
pub(crate) const CREATED: u8 = 0xDC;
/// What a freed allocation is filled with.
pub(crate) const DESTROYED: u8 = 0xEF;

/// What an allocator does to let mistakes with memory show; by default nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aids {
    /// Bytes kept free behind every allocation in a shared block: a multiple of [`MARGIN_UNIT`].
    /// Sizes in handles and reports are without it; reports show it as a free region.
    pub margin: u64,
    /// Whether margins have a pattern, which is looked at when the allocation moves or is freed
    /// and by [`Allocator::check_corruption`](crate::Allocator::check_corruption). In memory that
    /// is host-visible and coherent alone, for elsewhere the host cannot tell what is there.
    pub detect_corruption: bool,
    /// Whether host-visible memory is filled: with `0xDC` when it is allocated, with `0xEF` when
    /// it is freed. Memory that was ordered with an [`extra`](crate::Request::extra) is not, for
    /// its bytes may be somebody's.
    pub fill: bool,
    /// The granularity is at least this, in bytes, whatever the device says: a power of two.
    pub granularity_least: u64,
    /// Whether every allocation gets a block of its own, but for those that forbid a new one and
    /// those in a pool whose blocks all have one size.
    pub always_dedicated: bool,
    /// What every offset is a multiple of, in bytes: a power of two.
    pub align_least: u64,
}

impl Default for Aids {
    fn default() -> Self {
        Self {
            margin: 0,
            detect_corruption: false,
            fill: false,
            granularity_least: 1,
            always_dedicated: false,
            align_least: 1,
        }
    }
}

impl Aids {
    /// Verifies that an allocator can have these aids on a device; one that is made with others
    /// panics.
    ///
    /// ```
    /// use polder_device::debug::{Aids, BadAids};
    /// use polder_device::sim::{Preset, Sim};
    /// use polder_device::Device;
    ///
    /// let sim = Sim::preset(Preset::Lavapipe);
    /// let aids = Aids { margin: 10, ..Aids::default() };
    /// assert_eq!(aids.check(sim.properties()), Err(BadAids::MarginInPieces { margin: 10 }));
    /// ```
    ///
    /// # Errors
    ///
    /// [`BadAids`] names the value that is to be changed.
    pub fn check(&self, properties: &DeviceProperties) -> Result<(), BadAids> {
        let &Self { margin, detect_corruption, granularity_least, align_least, .. } = self;
        if !margin.is_multiple_of(MARGIN_UNIT) {
            return Err(BadAids::MarginInPieces { margin });
        }
        // Sizes of requests are at most those of heaps, so none overflows with its margin.
        let heap_most = properties.heaps.iter().map(|heap| heap.size).max().unwrap_or(0);
        let most = (u64::MAX / 2).saturating_sub(heap_most);
        if margin > most {
            return Err(BadAids::MarginTooLarge { margin, most });
        }
        if detect_corruption && margin == 0 {
            return Err(BadAids::NoMargin);
        }
        let powers = [("granularity_least", granularity_least), ("align_least", align_least)];
        match powers.into_iter().find(|(_, value)| !value.is_power_of_two()) {
            Some((name, value)) => Err(BadAids::NotPowerOfTwo { name, value }),
            None => Ok(()),
        }
    }

    /// As [`check`](Self::check), for those who were told to do that.
    pub(crate) fn expect_good(&self, properties: &DeviceProperties) {
        if let Err(error) = self.check(properties) {
            panic!("{error}");
        }
    }
}

/// Why an allocator cannot have some [`Aids`]: change the value that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadAids {
    /// The margin is no whole number of words.
    #[error("a margin is a multiple of {MARGIN_UNIT} bytes, and {margin} is none")]
    MarginInPieces {
        /// What was asked for.
        margin: u64,
    },
    /// The margin and the largest heap together are too large for the arithmetic.
    #[error("a margin has at most {most} bytes on this device, and {margin} were asked for")]
    MarginTooLarge {
        /// What was asked for.
        margin: u64,
        /// What would do.
        most: u64,
    },
    /// Corruption is seen in margins, and there is none.
    #[error("corruption is seen in margins: one of at least {MARGIN_UNIT} bytes is needed")]
    NoMargin,
    /// A value is no power of two.
    #[error("{name} is a power of two, not {value}")]
    NotPowerOfTwo {
        /// What it is called.
        name: &'static str,
        /// What it is.
        value: u64,
    },
}

/// An allocation behind whose end somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The allocation.
    pub id: AllocationId,
    /// Its name, if the user gave one.
    pub name: Option<String>,
    /// Its bytes.
    pub size: u64,
    /// Number of its memory type.
    pub memory_type: u32,
    /// Where in its block it begins, in bytes.
    pub offset: u64,
    /// How many bytes of the margin are whole before the first that is not.
    pub past_end: u64,
    /// Where it was made, if the allocator was told to remember.
    pub backtrace: Option<String>,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, size, memory_type, offset, past_end, backtrace } = self;
        let name = name.as_deref().unwrap_or("unnamed");
        write!(
            f,
            "somebody wrote behind {name}, {past_end} bytes past its end: {size} bytes at {offset} \
             of memory type {memory_type} ({id})"
        )?;
        backtrace.iter().try_for_each(|trace| write!(f, ", made at\n{trace}"))
    }
}

/// What a look at the margins found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The allocations whose margin is not as it was, in the order of memory types and arenas.
    pub found: Vec<Corruption>,
    /// How many margins were looked at.
    pub margins: u64,
    /// How many were not, for their block could not be mapped: now, or when they were to be
    /// written.
    pub unread: u64,
    /// The memory types, a bit each, that were asked for and cannot be checked: not visible to the
    /// host, or not coherent.
    pub skipped: u32,
}

impl Inspection {
    /// Adds what another look found.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { found, margins, unread, skipped } = other;
        self.found.extend(found);
        self.margins += margins;
        self.unread += unread;
        self.skipped |= skipped;
    }
}

/// None of the memory types that were asked for can be checked: the allocator does not [detect
/// corruption](Aids::detect_corruption), or the host cannot see it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no margin can be checked in the memory types {memory_types:#b}")]
pub struct NotInspected {
    /// Those of the device that were asked for, a bit each.
    pub memory_types: u32,
}

/// What an arena remembers and watches, as its allocator says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Care {
    /// Whether each allocation remembers where it was made.
    pub backtraces: bool,
    /// The aids.
    pub aids: Aids,
}
