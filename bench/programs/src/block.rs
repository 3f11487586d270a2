//! A block from the C functions, freed when it is dropped.

use libc::{c_int, c_void};
use std::arch::asm;
use std::process::abort;
use std::ptr::NonNull;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn posix_memalign(block: *mut *mut c_void, align: usize, size: usize) -> c_int;
}

/// Memory of at least one byte.
pub struct Block {
    address: NonNull<u8>,
    size: usize,
}

// SAFETY: The C functions take a block from any thread, and nothing else knows the address.
unsafe impl Send for Block {}

impl Block {
    /// Allocates.
    #[inline(always)]
    pub fn new(size: usize) -> Self {
        // SAFETY: `malloc` takes any size.
        Self::from_raw(unsafe { malloc(size) }, size)
    }

    /// Allocates zeroes.
    #[inline(always)]
    pub fn zeroed(size: usize) -> Self {
        // SAFETY: `calloc` takes any size.
        Self::from_raw(unsafe { calloc(1, size) }, size)
    }

    /// Allocates at a multiple of a power of two, eight or more.
    #[inline(always)]
    pub fn aligned(size: usize, align: usize) -> Self {
        let mut block = std::ptr::null_mut();
        // SAFETY: The variable can be written; other alignments are refused with an error.
        let refused = unsafe { posix_memalign(&raw mut block, align, size) };
        if refused != 0 {
            abort();
        }
        Self::from_raw(block, size)
    }

    /// Makes it larger or smaller.
    #[inline(always)]
    pub fn resize(&mut self, size: usize) {
        // SAFETY: The block is live, and its old address is overwritten without being freed again.
        let block = unsafe { realloc(self.address.as_ptr().cast(), size) };
        let Some(address) = NonNull::new(hidden(block).cast()) else { abort() };
        self.address = address;
        self.size = size;
    }

    #[inline(always)]
    fn from_raw(block: *mut c_void, size: usize) -> Self {
        let Some(address) = NonNull::new(hidden(block).cast()) else { abort() };
        Self { address, size }
    }

    /// Returns how many bytes it has.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Writes its first byte and its last.
    #[inline(always)]
    pub fn touch(&mut self) {
        self.write(0);
        self.write(self.size - 1);
    }

    /// Writes a byte into each of its pages.
    pub fn touch_pages(&mut self) {
        (0..self.size).step_by(4096).for_each(|offset| self.write(offset));
    }

    /// Writes all its bytes.
    pub fn fill(&mut self, byte: u8) {
        // SAFETY: The block is live, has `size` bytes, and nobody else knows it.
        unsafe { self.address.write_bytes(byte, self.size) };
    }

    /// Writes a byte as often as it is told, as a program does that works on it.
    pub fn work(&mut self, times: u64) {
        for time in 0..times {
            self.write(time as usize % self.size);
        }
    }

    #[inline(always)]
    fn write(&mut self, offset: usize) {
        assert!(offset < self.size, "a block is written inside");
        // SAFETY: Just checked, so the place lies in the block, which is live.
        let place = unsafe { self.address.add(offset) };
        // SAFETY: As above; nobody else knows the block.
        unsafe { place.write_volatile(1) };
    }
}

impl Drop for Block {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: It came from the C functions, and this is its end.
        unsafe { free(self.address.as_ptr().cast()) };
    }
}

/// Keeps the compiler from leaving out a block that is freed unused. No instruction.
#[inline(always)]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "nothing is read through the pointer")]
fn hidden(mut block: *mut c_void) -> *mut c_void {
    // SAFETY: No instruction: the value comes out as it went in.
    unsafe { asm!("/* {0} */", inout(reg) block, options(nomem, nostack, preserves_flags)) };
    block
}
