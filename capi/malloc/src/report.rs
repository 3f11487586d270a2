//! What programs ask about the heap: GNU's `mallinfo2`, `malloc_stats`, `malloc_info` and
//! `malloc_trim`.
//!
//! The questions were made for another allocator; each figure is the nearest that this one has.

use core::ffi::{CStr, c_int};
use libc::FILE;
use polder_host::{ClassStats, Stats, print_stats, stats, trim};

/// What [`mallinfo2`] tells, in bytes where nothing else is said.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Information {
    /// Held for small objects.
    arena: usize,
    /// Free slots.
    ordblks: usize,
    /// Nothing here is called so.
    smblks: usize,
    /// How many large objects there are.
    hblks: usize,
    /// In large objects.
    hblkhd: usize,
    /// The most that was ever in use.
    usmblks: usize,
    /// Nothing here is called so.
    fsmblks: usize,
    /// In small objects.
    uordblks: usize,
    /// Held for small objects and not used.
    fordblks: usize,
    /// Nothing here is called so.
    keepcost: usize,
}

/// Returns what is held and used. Takes the supply's lock, and time for each thread there was.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> Information {
    let stats = stats();
    let arena = stats.held.saturating_sub(stats.large_used);
    let small = stats.used.saturating_sub(stats.large_used);
    let free = |class: &ClassStats| class.slots.saturating_sub(class.used);
    Information {
        arena: arena as usize,
        ordblks: stats.classes().iter().map(free).sum::<u64>() as usize,
        smblks: 0,
        hblks: stats.large as usize,
        hblkhd: stats.large_used as usize,
        usmblks: stats.peak as usize,
        fsmblks: 0,
        uordblks: small as usize,
        fordblks: arena.saturating_sub(small) as usize,
        keepcost: 0,
    }
}

/// Prints what is held and used to the standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    print_stats();
}

/// Gives free memory back to the system. Returns 1 if there was any. Memory is not kept for later
/// requests, whatever `pad` says.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_pad: usize) -> c_int {
    c_int::from(trim() > 0)
}

/// Writes what is held and used as XML. Returns 0, or EINVAL for options, of which there are none.
///
/// # Safety
///
/// `stream` is open for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut FILE) -> c_int {
    if options != 0 {
        return libc::EINVAL;
    }
    // SAFETY: As promised to us.
    unsafe { write_all(&stats(), stream) };
    0
}

/// # Safety
///
/// `stream` is open for writing.
unsafe fn write_all(stats: &Stats, stream: *mut FILE) {
    // SAFETY: As promised to us; the text has no place for a figure.
    unsafe { libc::fprintf(stream, c"<malloc version=\"polder-1\">\n".as_ptr()) };
    for class in stats.classes().iter().filter(|class| class.slabs > 0) {
        let line = c"  <size bytes=\"%zu\" used=\"%zu\" slots=\"%zu\" slabs=\"%zu\"/>\n".as_ptr();
        let ClassStats { size, used, slots, slabs, .. } = *class;
        // SAFETY: As promised to us; the line has places for four figures of 64 bits.
        unsafe { libc::fprintf(stream, line, size, used, slots, slabs) };
    }
    let totals = [
        (c"used", stats.used),
        (c"held", stats.held),
        (c"peak", stats.peak),
        (c"reserved", stats.reserved),
        (c"purged", stats.purged),
    ];
    for (name, bytes) in totals {
        let line = c"  <total type=\"%s\" size=\"%zu\"/>\n".as_ptr();
        // SAFETY: As promised to us; the line has places for a text and a figure of 64 bits.
        unsafe { libc::fprintf(stream, line, CStr::as_ptr(name), bytes) };
    }
    // SAFETY: As promised to us; the text has no place for a figure.
    unsafe { libc::fprintf(stream, c"</malloc>\n".as_ptr()) };
}
