//! A broken rule of our own ends the process: nothing may unwind into a C program.

use core::panic::PanicInfo;

#[panic_handler]
fn end(_: &PanicInfo<'_>) -> ! {
    let text = "polder: a rule of the allocator's own is broken\n";
    // SAFETY: The pointer is to that many bytes.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    // SAFETY: The call has no conditions.
    unsafe { libc::abort() }
}
