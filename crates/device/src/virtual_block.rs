//! Divides a range of numbers that is not device memory: a large buffer, a texture atlas, a table
//! of descriptors. No device is needed.
//!
//! A [`VirtualBlock`] hands out offsets in a range of a given size, by one of two
//! [divisions](crate::division): two-level segregated fit, or linear as stack, double stack or
//! ring. What it hands out is named by a [`VirtualAllocation`] of 64 bits and carries a value of
//! the user's own type. The handle is the allocation's slot and the slot's generation, combined
//! with a number that each block has for itself: one that was freed before, and one of another
//! block, is found out in constant time and refused. (What VMA calls a virtual block, with the
//! same capabilities.)
//!
//! # Invariants
//!
//! 1. A slot has data exactly while it is live, and then a part of the division with its offset
//!    and size.
//! 2. The division has no other parts.
//! 3. A slot that is not live is vacant, or has had its last generation.

mod error;
mod report;

pub use error::{VirtualError, VirtualMisuse};
pub use report::Detail;

use crate::device::Tiling;
use crate::division::granularity::SLOTS_MAX;
use crate::division::linear::{self, Linear};
use crate::division::mixed::Mixed;
use crate::division::tlsf::{self, Tlsf};
use crate::division::{Ask, Division, Part, Region};
use crate::request::Search;
use core::fmt;
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};

/// A slot is used so many times at the most. What is above it in 32 bits is the seal's.
const GENERATION_MAX: u32 = u32::MAX >> 1;
/// The one bit that every seal has and no slot and generation: so no handle is zero.
const SEAL: u64 = 1 << 63;
const LIVE: &str = "invariant 1: a live slot has data";
/// No slot.
const NONE: u32 = u32::MAX;
/// Where no buffers and images lie side by side, there is no granularity.
const NO_GRANULARITY: u64 = 1;

/// How a [`VirtualBlock`] divides its range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Any size, freed in any order, in constant time.
    #[default]
    Tlsf,
    /// One behind the other, and freed in about that order (a ring) or the opposite one (a stack),
    /// or from both ends (a double stack): what is asked for and freed decides which.
    Linear,
}

/// What is wanted of a [`VirtualBlock`]. Sizes and alignments are in the unit of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualRequest {
    /// How much; not zero.
    pub size: u64,
    /// What the offset is a multiple of: a power of two.
    pub align: u64,
    /// Where to look. [`Search::UpperAddress`] is for the linear algorithm alone, which ignores
    /// all others.
    pub search: Search,
}

impl VirtualRequest {
    /// A request for `size`, anywhere.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self { size, align: 1, search: Search::Quick }
    }
}

/// The name of what a [`VirtualBlock`] handed out: 64 bits, never zero.
///
/// A copy of it proves nothing: the block knows what was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VirtualAllocation(NonZeroU64);

impl VirtualAllocation {
    /// Returns the name as a number, for interfaces that know nothing else.
    #[must_use]
    pub const fn to_bits(self) -> NonZeroU64 {
        self.0
    }

    /// Makes the name from [`to_bits`](Self::to_bits) again. A wrong one is found out by whichever
    /// block it is shown.
    #[must_use]
    pub const fn from_bits(bits: NonZeroU64) -> Self {
        Self(bits)
    }
}

/// What a [`VirtualBlock`] handed out, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualPart {
    /// The name to free it by.
    pub allocation: VirtualAllocation,
    /// From the block's begin.
    pub offset: u64,
}

/// What a [`VirtualBlock`] knows of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualInfo<'a, T> {
    /// From the block's begin.
    pub offset: u64,
    /// As it was asked for.
    pub size: u64,
    /// The user's data.
    pub data: &'a T,
}

/// What the block knows of one slot.
struct Entry<T> {
    /// How often it was used; the handle of the use that goes on has this number.
    generation: u32,
    /// Live: the division's key. Vacant: the next vacant slot.
    key: u32,
    offset: u64,
    size: u64,
    /// Nothing while the slot is not live.
    data: Option<T>,
}

impl<T> Entry<T> {
    const UNUSED: Self = Self { generation: 0, key: NONE, offset: 0, size: 0, data: None };

    fn data(&self) -> &T {
        self.data.as_ref().expect(LIVE)
    }

    fn data_mut(&mut self) -> &mut T {
        self.data.as_mut().expect(LIVE)
    }
}

/// A range of numbers, of which parts are handed out. See the [module](self).
///
/// Each allocation carries a `T`; `()` for none. Costs: some 300 bytes; an allocation takes 56
/// bytes and its `T` with TLSF, as much with the linear algorithm, and a free region 32.
///
/// ```
/// use polder_device::{Algorithm, VirtualBlock, VirtualRequest};
///
/// let mut atlas = VirtualBlock::new(1 << 20, Algorithm::Tlsf)?;
/// let aligned = VirtualRequest { align: 256, ..VirtualRequest::new(5000) };
/// let grass = atlas.allocate(aligned, "grass")?;
/// let stone = atlas.allocate(VirtualRequest::new(3000), "stone")?;
/// assert!(grass.offset.is_multiple_of(256));
/// assert_eq!(*atlas.info(stone.allocation)?.data, "stone");
///
/// assert_eq!(atlas.free(grass.allocation)?, "grass");
/// assert!(atlas.free(grass.allocation).is_err(), "it was freed before");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct VirtualBlock<T = ()> {
    division: Mixed,
    entries: Vec<Entry<T>>,
    vacant: u32,
    /// What this block's handles are combined with.
    seal: u64,
    size: u64,
}

impl<T> VirtualBlock<T> {
    /// Makes a block of `size` units of whatever it stands for, all of them free.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock};
    /// let ring = VirtualBlock::<()>::new(1 << 16, Algorithm::Linear)?;
    /// assert!(ring.is_empty());
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`VirtualError::ZeroSize`].
    pub fn new(size: u64, algorithm: Algorithm) -> Result<Self, VirtualError> {
        if size == 0 {
            return Err(VirtualError::ZeroSize);
        }
        let division = match algorithm {
            Algorithm::Tlsf => {
                Mixed::General(Tlsf::new(&tlsf::Config::default(), size, NO_GRANULARITY))
            }
            Algorithm::Linear => {
                let config = linear::Config { mode: linear::Mode::Adaptive };
                Mixed::ShortLived(Linear::new(&config, size, NO_GRANULARITY))
            }
        };
        Ok(Self { division, entries: Vec::new(), vacant: NONE, seal: fresh_seal(), size })
    }

    /// Hands out a part of the range, which carries `data` until it is freed. Takes constant time
    /// but for [`Search::LowestOffset`] with TLSF, which looks at every region; an error drops
    /// `data`.
    ///
    /// ```
    /// use polder_device::{Algorithm, Search, VirtualBlock, VirtualRequest};
    /// let mut stack = VirtualBlock::new(1000, Algorithm::Linear)?;
    /// let low = VirtualRequest::new(100);
    /// let high = VirtualRequest { search: Search::UpperAddress, ..low };
    /// assert_eq!(stack.allocate(low, ())?.offset, 0);
    /// assert_eq!(stack.allocate(high, ())?.offset, 900);
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`VirtualError`]; nothing has changed.
    #[inline]
    pub fn allocate(
        &mut self,
        request: VirtualRequest,
        data: T,
    ) -> Result<VirtualPart, VirtualError> {
        let slot = match self.vacant {
            NONE => self.unused_slot().ok_or_else(|| no_room(&self.division, &request))?,
            vacant => vacant,
        };
        let Part { key, offset } = place(&mut self.division, &request, slot)?;
        if self.vacant == NONE {
            // In place: `unused_slot` reserved it.
            self.entries.push(Entry::UNUSED);
        }
        let entry = &mut self.entries[slot as usize];
        self.vacant = entry.key;
        let generation = entry.generation + 1;
        *entry = Entry { generation, key, offset, size: request.size, data: Some(data) };
        Ok(VirtualPart { allocation: self.name(slot, generation), offset })
    }

    /// Takes a part back and returns its data, in constant time.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock, VirtualMisuse, VirtualRequest};
    /// let [mut one, mut other] = [0, 0].map(|_| VirtualBlock::new(10, Algorithm::Tlsf).unwrap());
    /// let allocation = one.allocate(VirtualRequest::new(10), ())?.allocation;
    /// assert_eq!(other.free(allocation), Err(VirtualMisuse::WrongBlock { allocation }));
    /// assert_eq!(one.free(allocation), Ok(()));
    /// assert_eq!(one.free(allocation), Err(VirtualMisuse::Stale { allocation }));
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The handle was misused; nothing has changed. A handle of another block is taken for one of
    /// this block's with a probability of one in 2^63 for each live allocation.
    #[inline]
    pub fn free(&mut self, allocation: VirtualAllocation) -> Result<T, VirtualMisuse> {
        let slot = self.live_slot(allocation)?;
        Ok(self.free_slot(slot))
    }

    /// Takes all parts back and drops their data; their handles are stale. Takes time in
    /// proportion to the number of slots.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock, VirtualRequest};
    /// let mut block = VirtualBlock::new(10, Algorithm::Tlsf)?;
    /// let part = block.allocate(VirtualRequest::new(10), ())?;
    /// block.clear();
    /// assert!(block.is_empty() && block.info(part.allocation).is_err());
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    pub fn clear(&mut self) {
        for slot in 0..self.entries.len() {
            if self.entries[slot].data.is_some() {
                self.free_slot(slot);
            }
        }
    }

    /// Tells whether nothing is handed out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.division.count() == 0
    }

    /// Returns the length of the range.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns where an allocation lies, how large it is and what it carries.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock, VirtualInfo, VirtualRequest};
    /// let mut block = VirtualBlock::new(10, Algorithm::Tlsf)?;
    /// let part = block.allocate(VirtualRequest::new(7), 'a')?;
    /// assert_eq!(block.info(part.allocation)?, VirtualInfo { offset: 0, size: 7, data: &'a' });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The handle was misused.
    pub fn info(&self, allocation: VirtualAllocation) -> Result<VirtualInfo<'_, T>, VirtualMisuse> {
        let entry = &self.entries[self.live_slot(allocation)?];
        Ok(VirtualInfo { offset: entry.offset, size: entry.size, data: entry.data() })
    }

    /// Returns an allocation's data, to be changed or replaced.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock, VirtualRequest};
    /// let mut block = VirtualBlock::new(10, Algorithm::Tlsf)?;
    /// let part = block.allocate(VirtualRequest::new(7), "old")?;
    /// *block.data_mut(part.allocation)? = "new";
    /// assert_eq!(block.free(part.allocation)?, "new");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The handle was misused.
    pub fn data_mut(&mut self, allocation: VirtualAllocation) -> Result<&mut T, VirtualMisuse> {
        let slot = self.live_slot(allocation)?;
        Ok(self.entries[slot].data_mut())
    }

    /// Returns every allocation, in no order that means anything.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock, VirtualRequest};
    /// let mut block = VirtualBlock::new(10, Algorithm::Tlsf)?;
    /// let part = block.allocate(VirtualRequest::new(7), 'a')?;
    /// assert!(block.iter().all(|(name, info)| name == part.allocation && info.size == 7));
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (VirtualAllocation, VirtualInfo<'_, T>)> {
        (0..).zip(&self.entries).filter_map(|(slot, entry)| {
            let data = entry.data.as_ref()?;
            let info = VirtualInfo { offset: entry.offset, size: entry.size, data };
            Some((self.name(slot, entry.generation), info))
        })
    }

    /// Verifies the invariants of the [module](self) and of the division; for tests. Takes time in
    /// proportion to the number of slots and regions.
    ///
    /// # Errors
    ///
    /// The rule that is broken.
    pub fn check(&self) -> Result<(), &'static str> {
        self.division.check()?;
        let mut parts = 0;
        let mut agree = true;
        self.division.walk(&mut |Region { offset, size, slot }| {
            let Some(slot) = slot else { return };
            let entry = &self.entries[slot as usize];
            parts += 1;
            agree &= entry.data.is_some() && (entry.offset, entry.size) == (offset, size);
        });
        let live = self.entries.iter().filter(|entry| entry.data.is_some()).count();
        let vacant = self.vacant_slots().take(self.entries.len() + 1).count();
        let last = |entry: &&Entry<T>| entry.data.is_none() && entry.generation == GENERATION_MAX;
        let over = self.entries.iter().filter(last).count();
        if !agree {
            return Err("1: a live slot has its part");
        }
        if parts != live {
            return Err("2: a part has its live slot");
        }
        if live + vacant + over != self.entries.len() {
            return Err("3: a slot that is not live is vacant");
        }
        Ok(())
    }

    fn vacant_slots(&self) -> impl Iterator<Item = u32> {
        let some = |slot: u32| (slot != NONE).then_some(slot);
        let next = move |&slot: &u32| some(self.entries[slot as usize].key);
        core::iter::successors(some(self.vacant), next)
    }

    /// The first slot that was never used, with room for its entry.
    fn unused_slot(&mut self) -> Option<u32> {
        let slot = u32::try_from(self.entries.len()).ok().filter(|&slot| slot < SLOTS_MAX)?;
        self.entries.try_reserve(1).ok()?;
        Some(slot)
    }

    #[inline]
    fn free_slot(&mut self, slot: usize) -> T {
        let entry = &mut self.entries[slot];
        self.division.free(entry.key);
        if entry.generation < GENERATION_MAX {
            entry.key = core::mem::replace(&mut self.vacant, slot as u32);
        }
        entry.data.take().expect(LIVE)
    }

    #[inline]
    const fn name(&self, slot: u32, generation: u32) -> VirtualAllocation {
        let bits = ((generation as u64) << 32 | slot as u64) ^ self.seal;
        VirtualAllocation(NonZeroU64::new(bits).expect("a seal has a bit that no slot has"))
    }

    /// The slot that a handle names, while it is live.
    #[inline]
    fn live_slot(&self, allocation: VirtualAllocation) -> Result<usize, VirtualMisuse> {
        let bits = allocation.0.get() ^ self.seal;
        let (slot, generation) = (bits as u32, (bits >> 32) as u32);
        match self.entries.get(slot as usize) {
            Some(entry) if entry.generation == generation && entry.data.is_some() => {
                Ok(slot as usize)
            }
            Some(entry) if (1..=entry.generation).contains(&generation) => {
                Err(VirtualMisuse::Stale { allocation })
            }
            _ => Err(VirtualMisuse::WrongBlock { allocation }),
        }
    }
}

/// Asks the division. Apart from the block, so that it is compiled once for every type of data.
#[inline]
fn place(division: &mut Mixed, request: &VirtualRequest, slot: u32) -> Result<Part, VirtualError> {
    let &VirtualRequest { size, align, search } = request;
    if size == 0 {
        return Err(VirtualError::ZeroSize);
    }
    if !align.is_power_of_two() {
        return Err(VirtualError::BadAlign { align });
    }
    if search == Search::UpperAddress {
        may_go_up(division)?;
    }
    let ask = Ask { size, align, tiling: Tiling::Linear, search, slot };
    division.allocate(&ask).ok_or_else(|| no_room(division, request))
}

fn may_go_up(division: &Mixed) -> Result<(), VirtualError> {
    match division {
        Mixed::General(_) => Err(VirtualError::UpperAddressNotLinear),
        Mixed::ShortLived(linear) if linear.is_wrapped() => Err(VirtualError::UpperAddressInRing),
        Mixed::ShortLived(_) => Ok(()),
    }
}

#[cold]
fn no_room(division: &Mixed, request: &VirtualRequest) -> VirtualError {
    let &VirtualRequest { size, align, .. } = request;
    VirtualError::NoRoom { size, align, room: division.room() }
}

/// A number that next to no other block of this process has, spread over all bits: the splitmix64
/// of Steele, Lea and Flood, which is one to one, after a counter; with one bit set two counts
/// have the same.
fn fresh_seal() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: only that the numbers differ matters.
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut bits = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31 | SEAL
}

impl<T> fmt::Debug for VirtualBlock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("VirtualBlock");
        shown.field("size", &self.size);
        shown.field("used", &self.division.used());
        shown.field("allocations", &self.division.count()).finish_non_exhaustive()
    }
}
