//! The whole pages of a range.
//!
//! The system's pages may be longer than a chunk, and the system rounds lengths up to its pages: so
//! of what may begin or end within a page, only these are given back, hidden or moved.

// Only the guards of the hardened build hide pages.
#![cfg_attr(not(feature = "hardened"), allow(dead_code))]

use crate::os;
use core::ptr::NonNull;

/// Returns where the first whole page of a range begins, and the bytes of all of them; none where
/// there is no whole one.
pub fn within(start: NonNull<u8>, size: usize) -> Option<(NonNull<u8>, usize)> {
    within_pages(start, size, os::page_size())
}

fn within_pages(start: NonNull<u8>, size: usize, page: usize) -> Option<(NonNull<u8>, usize)> {
    let address = start.addr().get();
    let first = address.checked_next_multiple_of(page)?;
    let end = (address + size) & !(page - 1);
    if end <= first {
        return None;
    }
    // SAFETY: The range reaches from `start` beyond `first`.
    let pages = unsafe { start.add(first - address) };
    Some((pages, end - first))
}

/// Makes each access to the whole pages of a part of a reservation fault. False when the system
/// refuses.
///
/// # Safety
///
/// The range is part of a reservation of the caller's, and used by nobody.
pub unsafe fn protect(start: NonNull<u8>, size: usize) -> bool {
    // SAFETY: As promised to us.
    within(start, size).is_none_or(|(pages, size)| unsafe { os::protect(pages, size) })
}

/// Makes usable again what [`protect`] has made fault in a range. False when the system has no
/// memory.
///
/// # Safety
///
/// The range is part of a reservation of the caller's.
pub unsafe fn commit(start: NonNull<u8>, size: usize) -> bool {
    // SAFETY: As promised to us.
    within(start, size).is_none_or(|(pages, size)| unsafe { os::commit(pages, size) })
}

#[cfg(test)]
mod tests {
    use super::within_pages;
    use core::ptr::NonNull;

    #[test]
    fn pages_that_are_not_whole_stay_out() {
        let mut room = [0u8; 64];
        let align = room.as_ptr().align_offset(16);
        let place = NonNull::new(room[align..].as_mut_ptr()).unwrap();
        let within = |first: usize, size| {
            // SAFETY: The offset is in the array.
            let (pages, size) = within_pages(unsafe { place.add(first) }, size, 16)?;
            Some((pages.addr().get() - place.addr().get(), size))
        };
        assert_eq!(within(0, 16), Some((0, 16)));
        assert_eq!(within(0, 47), Some((0, 32)));
        assert_eq!(within(1, 31), Some((16, 16)));
        assert_eq!(within(1, 30), None);
        assert_eq!(within(4, 8), None);
        assert_eq!(within(16, 0), None);
    }
}
