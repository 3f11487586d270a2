//! Two strategies under one roof: one for what lives shortly, one for the rest.

use super::{Coherence, Strategy, Tied};
use crate::allocation::{Allocation, AllocationId, HostPointer};
use crate::arena::check_within;
use crate::device::Device;
use crate::error::{AllocError, FreeError, MapError, Misuse};
use crate::request::{Lifetime, Request};
use core::ops::Range;

/// Sends each request to the strategy for its [`Lifetime`], and each allocation back to the one
/// that it came from. A short-lived request that its strategy refuses goes to the other.
#[derive(Debug)]
pub struct Combined<S, G> {
    short_lived: S,
    general: G,
}

/// Two strategies over different devices, which came back.
#[derive(Debug)]
pub struct DevicesDiffer<S, G> {
    /// The one for what lives shortly.
    pub short_lived: S,
    /// The one for the rest.
    pub general: G,
}

impl<S, G> Combined<S, G> {
    /// Combines two different strategies over one device; what is used and held is their sum.
    ///
    /// # Errors
    ///
    /// [`DevicesDiffer`] when their devices are not the very same value: share it in an
    /// [`Arc`](std::sync::Arc).
    pub fn new<D: Device>(short_lived: S, general: G) -> Result<Self, DevicesDiffer<S, G>>
    where
        S: Strategy<D>,
        G: Strategy<D>,
    {
        if core::ptr::eq(short_lived.device(), general.device()) {
            Ok(Self { short_lived, general })
        } else {
            Err(DevicesDiffer { short_lived, general })
        }
    }

    /// Returns the strategy for what lives shortly.
    pub const fn short_lived(&self) -> &S {
        &self.short_lived
    }

    /// Returns the strategy for the rest.
    pub const fn general(&self) -> &G {
        &self.general
    }
}

// SAFETY: Every answer is that of one of the two; whose an allocation is, its id tells.
unsafe impl<D: Device, S: Strategy<D>, G: Strategy<D>> Strategy<D> for Combined<S, G> {
    fn device(&self) -> &D {
        self.general.device()
    }

    fn allocate(&self, request: &Request<'_, D>) -> Result<Allocation<D>, AllocError> {
        match request.wish.lifetime {
            Lifetime::General => self.general.allocate(request),
            Lifetime::ShortLived => match self.short_lived.allocate(request) {
                result @ (Ok(_) | Err(AllocError::Device(_))) => result,
                Err(_) => self.general.allocate(request),
            },
        }
    }

    fn free(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        match self.short_lived.free(allocation) {
            Err(FreeError { reason: Misuse::WrongAllocator { .. }, allocation }) => {
                self.general.free(allocation)
            }
            result => result,
        }
    }

    fn undo(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        match self.short_lived.undo(allocation) {
            Err(FreeError { reason: Misuse::WrongAllocator { .. }, allocation }) => {
                self.general.undo(allocation)
            }
            result => result,
        }
    }

    fn expect_live(&self, allocation: &Allocation<D>) -> Result<(), Misuse> {
        match self.short_lived.expect_live(allocation) {
            Err(Misuse::WrongAllocator { .. }) => self.general.expect_live(allocation),
            answer => answer,
        }
    }

    fn tied_to(&self, allocation: &Allocation<D>) -> Result<Option<Tied<D>>, Misuse> {
        match self.short_lived.tied_to(allocation) {
            Err(Misuse::WrongAllocator { .. }) => self.general.tied_to(allocation),
            answer => answer,
        }
    }

    fn used(&self) -> u64 {
        self.short_lived.used() + self.general.used()
    }

    fn held(&self) -> u64 {
        self.short_lived.held() + self.general.held()
    }

    fn live(&self) -> Vec<AllocationId> {
        let mut live = self.short_lived.live();
        live.extend(self.general.live());
        live
    }

    fn map(&self, allocation: &Allocation<D>) -> Result<HostPointer, MapError> {
        either(self.short_lived.map(allocation), || self.general.map(allocation))
    }

    fn unmap(&self, allocation: &Allocation<D>) -> Result<(), MapError> {
        either(self.short_lived.unmap(allocation), || self.general.unmap(allocation))
    }

    fn make_coherent(
        &self,
        allocation: &Allocation<D>,
        range: Range<u64>,
        which: Coherence,
    ) -> Result<(), MapError> {
        let first = self.short_lived.make_coherent(allocation, range.clone(), which);
        either(first, || self.general.make_coherent(allocation, range, which))
    }

    /// What each of the two does in one call.
    fn make_all_coherent(
        &self,
        ranges: &[(&Allocation<D>, Range<u64>)],
        which: Coherence,
    ) -> Result<(), MapError> {
        let (mut short_lived, mut general) = (Vec::new(), Vec::new());
        for (allocation, range) in ranges {
            check_within(allocation.size(), range)?;
            match self.short_lived.expect_live(allocation) {
                Err(Misuse::WrongAllocator { .. }) => {
                    self.general.expect_live(allocation)?;
                    general.push((*allocation, range.clone()));
                }
                answer => {
                    answer?;
                    short_lived.push((*allocation, range.clone()));
                }
            }
        }
        self.short_lived.make_all_coherent(&short_lived, which)?;
        self.general.make_all_coherent(&general, which)
    }
}

/// The first answer, unless it says that the allocation is the other's.
fn either<T>(
    first: Result<T, MapError>,
    second: impl FnOnce() -> Result<T, MapError>,
) -> Result<T, MapError> {
    match first {
        Err(MapError::Misuse(Misuse::WrongAllocator { .. })) => second(),
        answer => answer,
    }
}
