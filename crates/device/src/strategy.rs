//! What every allocator of device memory can do, and the strategies to choose from.
//!
//! A [`Strategy`] allocates and frees, counts what is used and held, maps, and can be disposed of.
//! They are exchangeable: whatever is written against the trait, the
//! [factory](crate::Factory) above all, works over any of them, over a user's own too, and over
//! the default [`Allocator`](crate::Allocator).
//!
//! | strategy | for | cost |
//! |---|---|---|
//! | [`Dedicated`] | few, large resources | a call of the driver each |
//! | [`Tlsf`] | anything | constant time |
//! | [`Buddy`] | sizes near powers of two | logarithmic time, up to half of a part unused |
//! | [`Slab`] | very many of few sizes | constant time, some of a slab unused |
//! | [`Linear`] | what is freed in the order of its making, or the opposite | constant time |
//! | [`Combined`] | short-lived and other things, each by a strategy of its own | theirs |
//!
//! ```
//! use polder_device::sim::{Preset, Sim};
//! use polder_device::strategy::{Buddy, Setup, Strategy};
//! use polder_device::{Request, Requirements, Wish};
//! use std::sync::Arc;
//!
//! let buddy = Buddy::new(Arc::new(Sim::preset(Preset::Lavapipe)), Setup::default());
//! let needs = Requirements { size: 1000, align: 256, ..Requirements::ANY };
//! let allocation = buddy.allocate(&Request::new(needs, Wish::default()))?;
//! assert_eq!((allocation.size(), buddy.used()), (1000, 1000));
//! buddy.free(allocation)?;
//! assert!(buddy.dispose().is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod by_reference;
mod combined;
mod suballocator;

pub use crate::arena::{Coherence, Neighbours, Rules, Tied};
pub use combined::{Combined, DevicesDiffer};
pub(crate) use suballocator::Family;
pub use suballocator::{Buddy, Dedicated, Linear, Pool, Setup, Slab, Suballocator, Tlsf};

use crate::allocation::{Allocation, AllocationId, HostPointer};
use crate::arena::{check_range, check_within};
use crate::device::Device;
use crate::error::{AllocError, FreeError, MapError, Misuse};
use crate::request::Request;
use core::ops::Range;

/// An allocator of device memory. See the [module](self).
///
/// # Safety
///
/// Safe code writes to what an implementation hands out:
/// - an allocation lies in live memory of [`device`](Strategy::device), of the memory type that it
///   names, meets the request's requirements, and is nobody else's until it is freed;
/// - a pointer from [`map`](Strategy::map) is to the allocation's bytes until it is unmapped or
///   freed;
/// - [`expect_live`](Strategy::expect_live) refuses what is not this strategy's or was freed.
pub unsafe trait Strategy<D: Device>: Send + Sync {
    /// Returns the device that the memory comes from.
    fn device(&self) -> &D;

    /// Allocates memory.
    ///
    /// # Errors
    ///
    /// Those of [`AllocError`]; nothing has changed.
    fn allocate(&self, request: &Request<'_, D>) -> Result<Allocation<D>, AllocError>;

    /// Allocates for all requests or for none, as sparse resources want their pages.
    ///
    /// # Errors
    ///
    /// That of the first request that fails; those before it are undone.
    fn allocate_all(&self, requests: &[Request<'_, D>]) -> Result<Vec<Allocation<D>>, AllocError> {
        let mut made = Vec::with_capacity(requests.len());
        for request in requests {
            match self.allocate(request) {
                Ok(allocation) => made.push(allocation),
                Err(error) => {
                    for allocation in made.into_iter().rev() {
                        self.undo(allocation).expect("the allocation was just made here");
                    }
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// Frees an allocation. Nothing may use its memory any more: no resource bound to it, no
    /// command that the device has yet to execute.
    ///
    /// # Errors
    ///
    /// The handle was misused and comes back; nothing has changed.
    fn free(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>>;

    /// Frees an allocation that the caller had and gives up at once, because something else failed:
    /// no block stays that was taken for it.
    ///
    /// # Errors
    ///
    /// As [`free`](Self::free).
    fn undo(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        self.free(allocation)
    }

    /// Tells whether an allocation is this strategy's and lives.
    ///
    /// # Errors
    ///
    /// How the handle was misused.
    fn expect_live(&self, allocation: &Allocation<D>) -> Result<(), Misuse>;

    /// Returns the one resource that an allocation's block is for, where the strategy has told the
    /// device of one: nothing else may be bound there.
    ///
    /// # Errors
    ///
    /// How the handle was misused.
    fn tied_to(&self, allocation: &Allocation<D>) -> Result<Option<Tied<D>>, Misuse> {
        self.expect_live(allocation).map(|()| None)
    }

    /// Returns the bytes in allocations.
    fn used(&self) -> u64;

    /// Returns the bytes in blocks.
    fn held(&self) -> u64;

    /// Returns the names of the live allocations.
    fn live(&self) -> Vec<AllocationId>;

    /// Tells whether anything is allocated.
    fn in_use(&self) -> bool {
        !self.live().is_empty()
    }

    /// Maps an allocation once more; the pointer is good until as many calls of
    /// [`unmap`](Self::unmap).
    ///
    /// # Errors
    ///
    /// Those of [`MapError`]; nothing has changed.
    fn map(&self, allocation: &Allocation<D>) -> Result<HostPointer, MapError>;

    /// Takes one mapping back.
    ///
    /// # Errors
    ///
    /// [`MapError::NotMapped`], or the handle was misused.
    fn unmap(&self, allocation: &Allocation<D>) -> Result<(), MapError>;

    /// Flushes or invalidates `range` (bytes from the allocation's begin) of a mapped allocation.
    /// Where host and device are coherent it costs next to nothing, and does not find out that the
    /// allocation was freed or is not mapped.
    ///
    /// # Errors
    ///
    /// Those of [`MapError`].
    fn make_coherent(
        &self,
        allocation: &Allocation<D>,
        range: Range<u64>,
        which: Coherence,
    ) -> Result<(), MapError>;

    /// Does as [`make_coherent`](Self::make_coherent) for ranges of many allocations. The default
    /// allocator and every [`Suballocator`] make one call of the device, the provided function one
    /// for each range.
    ///
    /// # Errors
    ///
    /// Those of [`MapError`]. Whether the handles are good and the ranges lie in their allocations
    /// is found before anything is done.
    fn make_all_coherent(
        &self,
        ranges: &[(&Allocation<D>, Range<u64>)],
        which: Coherence,
    ) -> Result<(), MapError> {
        for (allocation, range) in ranges {
            check_within(allocation.size(), range)?;
            self.expect_live(allocation)?;
        }
        let one = |(allocation, range): &(&_, Range<u64>)| {
            self.make_coherent(allocation, range.clone(), which)
        };
        ranges.iter().try_for_each(one)
    }

    /// Ends the strategy.
    ///
    /// # Errors
    ///
    /// Something is still allocated: the strategy comes back, as it was.
    fn dispose(self) -> Result<(), InUse<Self>>
    where
        Self: Sized,
    {
        let live = self.live();
        if live.is_empty() { Ok(()) } else { Err(InUse { strategy: self, live }) }
    }

    /// Makes host writes to `range` of a mapped allocation visible to the device.
    ///
    /// # Errors
    ///
    /// Those of [`MapError`].
    fn flush(&self, allocation: &Allocation<D>, range: Range<u64>) -> Result<(), MapError> {
        self.make_coherent(allocation, range, Coherence::Flush)
    }

    /// Makes device writes to `range` of a mapped allocation visible to the host.
    ///
    /// # Errors
    ///
    /// Those of [`MapError`].
    fn invalidate(&self, allocation: &Allocation<D>, range: Range<u64>) -> Result<(), MapError> {
        self.make_coherent(allocation, range, Coherence::Invalidate)
    }

    /// Makes host writes to many ranges of mapped allocations visible to the device: in one call
    /// of it, where the strategy is one of those here.
    ///
    /// ```
    /// use polder_device::sim::{BufferInfo, Call, Preset, Sim};
    /// use polder_device::{Access, Allocator, Factory, Mapping, Options, Strategy, Wish};
    ///
    /// let sim = Sim::preset(Preset::Mock);
    /// let allocator = Allocator::new(sim.clone(), Options::default());
    /// let wish = Wish { mapping: Mapping::Persistent, ..Wish::of(Access::HostReads) };
    /// let one = allocator.create_buffer(&BufferInfo::default(), &wish)?;
    /// let other = allocator.create_buffer(&BufferInfo::default(), &wish)?;
    /// // Here the host writes.
    /// allocator.flush_all(&[(one.allocation(), 0..100), (other.allocation(), 50..200)])?;
    /// assert_eq!(sim.calls(Call::Flush), 1);
    /// allocator.destroy_buffer(one)?;
    /// allocator.destroy_buffer(other)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`make_all_coherent`](Self::make_all_coherent).
    fn flush_all(&self, ranges: &[(&Allocation<D>, Range<u64>)]) -> Result<(), MapError> {
        self.make_all_coherent(ranges, Coherence::Flush)
    }

    /// Makes device writes to many ranges of mapped allocations visible to the host, as
    /// [`flush_all`](Self::flush_all) does with the host's.
    ///
    /// # Errors
    ///
    /// Those of [`make_all_coherent`](Self::make_all_coherent).
    fn invalidate_all(&self, ranges: &[(&Allocation<D>, Range<u64>)]) -> Result<(), MapError> {
        self.make_all_coherent(ranges, Coherence::Invalidate)
    }

    /// Copies `bytes` to the allocation, `offset` bytes from its begin, and makes them visible to
    /// the device: maps and flushes as needed. The device does not use that range meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`MapError`]; only [`MapError::Device`] may come after bytes were written.
    fn write(
        &self,
        allocation: &mut Allocation<D>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), MapError> {
        let len = bytes.len() as u64;
        check_range(allocation.size(), offset, len)?;
        with_pointer(self, allocation, |pointer| {
            let target = pointer.at(offset).get();
            // SAFETY: `offset..offset + len` lies in the allocation (checked above), which is
            // mapped while this runs, and `bytes` is host memory. `&mut` keeps other hosts out,
            // and that the device keeps out is the caller's part.
            unsafe { target.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            self.make_coherent(allocation, offset..offset + len, Coherence::Flush)
        })
    }

    /// Copies from the allocation, `offset` bytes from its begin, what the device wrote there:
    /// maps and invalidates as needed. The device does not write that range meanwhile, and
    /// somebody has written it before.
    ///
    /// # Errors
    ///
    /// Those of [`MapError`].
    fn read(
        &self,
        allocation: &Allocation<D>,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), MapError> {
        let len = bytes.len() as u64;
        check_range(allocation.size(), offset, len)?;
        with_pointer(self, allocation, |pointer| {
            self.make_coherent(allocation, offset..offset + len, Coherence::Invalidate)?;
            let source = pointer.at(offset).get();
            // SAFETY: As in `write`. Memory of a device is bytes from the moment the driver maps
            // it, also those that nobody wrote: it is not the compiler's uninitialised memory.
            unsafe { source.as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
            Ok(())
        })
    }

    /// Copies between two allocations that the host sees, as [`read`](Self::read) and
    /// [`write`](Self::write) do, without a copy in between.
    ///
    /// # Errors
    ///
    /// Those of [`MapError`]; only [`MapError::Device`] may come after bytes were written.
    fn copy(&self, from: Span<'_, D>, to: SpanMut<'_, D>, len: u64) -> Result<(), MapError> {
        check_range(from.allocation.size(), from.offset, len)?;
        check_range(to.allocation.size(), to.offset, len)?;
        with_pointer(self, from.allocation, |source| {
            let range = from.offset..from.offset + len;
            self.make_coherent(from.allocation, range, Coherence::Invalidate)?;
            with_pointer(self, to.allocation, |target| {
                let (source, target) = (source.at(from.offset), target.at(to.offset));
                // SAFETY: As in `write` and `read`; the two are different allocations, for one is
                // borrowed and the other borrowed mutably, so they do not overlap.
                unsafe { target.get().copy_from_nonoverlapping(source.get(), len as usize) };
                let range = to.offset..to.offset + len;
                self.make_coherent(to.allocation, range, Coherence::Flush)
            })
        })
    }
}

/// A place in an allocation that is read.
#[derive(Debug)]
pub struct Span<'a, D: Device> {
    /// The allocation.
    pub allocation: &'a Allocation<D>,
    /// Bytes from its begin.
    pub offset: u64,
}

/// A place in an allocation that is written.
#[derive(Debug)]
pub struct SpanMut<'a, D: Device> {
    /// The allocation.
    pub allocation: &'a mut Allocation<D>,
    /// Bytes from its begin.
    pub offset: u64,
}

/// Calls `work` with a pointer to the allocation's first byte, mapped meanwhile.
fn with_pointer<D: Device>(
    strategy: &(impl Strategy<D> + ?Sized),
    allocation: &Allocation<D>,
    work: impl FnOnce(HostPointer) -> Result<(), MapError>,
) -> Result<(), MapError> {
    if let Some(pointer) = allocation.pointer() {
        strategy.expect_live(allocation)?;
        return work(pointer);
    }
    let pointer = strategy.map(allocation)?;
    let result = work(pointer);
    strategy.unmap(allocation)?;
    result
}

/// Something is still allocated, so the strategy did not end.
#[derive(Debug)]
pub struct InUse<S> {
    /// The strategy, as it was.
    pub strategy: S,
    /// The names of what is allocated.
    pub live: Vec<AllocationId>,
}
