//! A broken rule of our own ends the process: nothing may unwind into a C program. One line says
//! where, without allocating.

use core::panic::PanicInfo;

#[panic_handler]
fn end(info: &PanicInfo<'_>) -> ! {
    write("polder: a rule of the allocator's own is broken");
    if let Some(place) = info.location() {
        write(" at ");
        write(place.file());
        write(" line ");
        write_number(place.line());
    }
    write("\n");
    // SAFETY: The call has no conditions.
    unsafe { libc::abort() }
}

fn write_number(number: u32) {
    if number >= 10 {
        write_number(number / 10);
    }
    let digit = (number % 10) as usize;
    write(&"0123456789"[digit..=digit]);
}

fn write(text: &str) {
    // SAFETY: The pointer is to that many bytes.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}
