//! A strategy behind a reference, a box or a shared pointer is a strategy. To dispose of the
//! pointer ends what it owns: of a reference nothing, of a shared pointer the strategy with the
//! last.

use super::{Coherence, Span, SpanMut, Strategy, Tied};
use crate::allocation::{Allocation, AllocationId, HostPointer};
use crate::device::Device;
use crate::error::{AllocError, FreeError, MapError, Misuse};
use crate::request::Request;
use core::ops::Range;
use std::sync::Arc;

macro_rules! impl_through {
    ($($pointer:ty),*) => {$(
        // SAFETY: Every answer is that of the strategy behind the pointer.
        unsafe impl<D: Device, S: Strategy<D> + ?Sized> Strategy<D> for $pointer {
            fn device(&self) -> &D {
                (**self).device()
            }

            fn allocate(&self, request: &Request<'_, D>) -> Result<Allocation<D>, AllocError> {
                (**self).allocate(request)
            }

            fn free(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
                (**self).free(allocation)
            }

            fn undo(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
                (**self).undo(allocation)
            }

            fn expect_live(&self, allocation: &Allocation<D>) -> Result<(), Misuse> {
                (**self).expect_live(allocation)
            }

            fn tied_to(&self, allocation: &Allocation<D>) -> Result<Option<Tied<D>>, Misuse> {
                (**self).tied_to(allocation)
            }

            fn used(&self) -> u64 {
                (**self).used()
            }

            fn held(&self) -> u64 {
                (**self).held()
            }

            fn live(&self) -> Vec<AllocationId> {
                (**self).live()
            }

            fn map(&self, allocation: &Allocation<D>) -> Result<HostPointer, MapError> {
                (**self).map(allocation)
            }

            fn unmap(&self, allocation: &Allocation<D>) -> Result<(), MapError> {
                (**self).unmap(allocation)
            }

            fn make_coherent(
                &self,
                allocation: &Allocation<D>,
                range: Range<u64>,
                which: Coherence,
            ) -> Result<(), MapError> {
                (**self).make_coherent(allocation, range, which)
            }

            fn make_all_coherent(
                &self,
                ranges: &[(&Allocation<D>, Range<u64>)],
                which: Coherence,
            ) -> Result<(), MapError> {
                (**self).make_all_coherent(ranges, which)
            }

            fn in_use(&self) -> bool {
                (**self).in_use()
            }

            fn flush(&self, allocation: &Allocation<D>, range: Range<u64>) -> Result<(), MapError> {
                (**self).flush(allocation, range)
            }

            fn invalidate(
                &self,
                allocation: &Allocation<D>,
                range: Range<u64>,
            ) -> Result<(), MapError> {
                (**self).invalidate(allocation, range)
            }

            fn write(
                &self,
                allocation: &mut Allocation<D>,
                offset: u64,
                bytes: &[u8],
            ) -> Result<(), MapError> {
                (**self).write(allocation, offset, bytes)
            }

            fn read(
                &self,
                allocation: &Allocation<D>,
                offset: u64,
                bytes: &mut [u8],
            ) -> Result<(), MapError> {
                (**self).read(allocation, offset, bytes)
            }

            fn copy(
                &self,
                from: Span<'_, D>,
                to: SpanMut<'_, D>,
                len: u64,
            ) -> Result<(), MapError> {
                (**self).copy(from, to, len)
            }
        }
    )*};
}

impl_through!(&S, Box<S>, Arc<S>);
