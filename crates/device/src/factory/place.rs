//! Whether a resource can lie at a place in an allocation.

use crate::allocation::Allocation;
use crate::device::{DedicatedWish, Resource, Resources};
use crate::error::PlaceError;
use crate::strategy::Strategy;

/// Finds what keeps a resource from lying `offset` bytes from an allocation's begin: for back ends
/// that bind in ways of their own. [`Factory::bind`](super::Factory::bind) asks it itself.
///
/// # Errors
///
/// [`PlaceError`] says what does not fit.
///
/// # Safety
///
/// `resource` came from the strategy's device, is live and is not a disjoint image.
pub unsafe fn expect_place<D: Resources, S: Strategy<D> + ?Sized>(
    strategy: &S,
    resource: Resource<D::Buffer, D::Image>,
    allocation: &Allocation<D>,
    offset: u64,
) -> Result<(), PlaceError> {
    let tied = strategy.tied_to(allocation)?;
    // SAFETY: The caller promises that the resource is this device's and live.
    let needs = unsafe { strategy.device().requirements(resource) };
    if tied.is_some_and(|own| own != resource) {
        return Err(PlaceError::BlockOfOther);
    }
    if tied.is_none() && needs.dedicated == DedicatedWish::Required {
        return Err(PlaceError::NeedsOwnBlock);
    }
    let (size, room, memory_type) = (needs.size, allocation.size(), allocation.memory_type());
    if offset.checked_add(size).is_none_or(|end| end > room) {
        return Err(PlaceError::PastEnd { offset, size, room });
    }
    let (offset, align) = (allocation.offset() + offset, needs.align);
    if !offset.is_multiple_of(align) {
        return Err(PlaceError::Align { offset, align });
    }
    let allowed = needs.memory_types;
    if allowed >> memory_type & 1 == 0 {
        return Err(PlaceError::MemoryType { memory_type, allowed });
    }
    Ok(())
}
