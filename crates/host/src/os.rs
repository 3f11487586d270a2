//! The operating system, behind one contract: each file below has the same functions.
//!
//! None of them allocates, none of them panics, and each can be called before `main`. Sizes and
//! addresses are multiples of the page unless it is said otherwise.
//!
//! | function | what it does |
//! |---|---|
//! | `page_size()` | bytes of a page, asked at run time |
//! | `reserve(size, hint)` | address space without memory; near the hint where that is free |
//! | `reserve_readable(size)` | address space that reads as zero and costs no memory |
//! | `commit(base, size)` | makes a part of a reservation usable |
//! | `decommit(base, size)` | gives its memory back; it stays usable, and reads as zero |
//! | `protect(base, size)` | makes each access to a part of a reservation fault |
//! | `release(base, size)` | gives a reservation back |
//! | `relocate(source, target, size)` | moves pages without copying, where it can |
//! | `renew(base, size)` | gives back memory that pages were moved to, and undoes what that cost |
//! | `address_limit()` | the limit on address space, in bytes |
//! | `now_ms()` | a clock that never goes back, in milliseconds, coarse and cheap |
//! | `wait(word, value)`, `wake(word)` | sleeps while a word holds a value; may wake early |
//! | `random()` | a word that nobody can guess |
//! | `variables(begin, each)` | what the environment says, as far as it can be read yet |
//! | `start_thread(work)` | runs a function in a thread of our own |
//! | `sleep_ms(time)` | waits |
//! | `write(text)` | text to the standard error |
//! | `abort()` | ends the process |
//! | `at_thread_exit(value)` | hands `value` to `thread::on_exit` when this thread ends |
//! | `at_fork(before, parent, child)` | calls functions around each fork |
//! | `at_exit(function)` | calls a function when the process ends |

// Only the guards of the hardened build use all of the contract.
#![cfg_attr(not(feature = "hardened"), allow(dead_code))]

/// What became of pages that were to be moved. Only Linux moves any.
#[cfg_attr(not(any(target_os = "linux", miri, feature = "sim")), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relocation {
    /// The target holds what the source held, and is to be [renewed](renew) before anybody else
    /// gets it. Nobody may ask what the source holds.
    Moved,
    /// The source is as it was.
    Stayed,
    /// The source is as it was, and the target is nobody's to use any more.
    Lost,
}

#[cfg(all(any(target_os = "macos", target_os = "freebsd"), not(any(miri, feature = "sim"))))]
mod bsd;
#[cfg(all(target_os = "freebsd", not(any(miri, feature = "sim"))))]
mod freebsd;
#[cfg(all(target_os = "linux", not(any(miri, feature = "sim"))))]
mod linux;
#[cfg(all(target_os = "macos", not(any(miri, feature = "sim"))))]
mod macos;
#[cfg(any(miri, feature = "sim"))]
mod sim;
#[cfg(all(unix, not(any(miri, feature = "sim"))))]
mod unix;
#[cfg(not(any(target_os = "linux", miri, feature = "sim")))]
mod unmoved;
#[cfg(all(windows, not(any(miri, feature = "sim"))))]
mod windows;

#[cfg(all(any(target_os = "macos", target_os = "freebsd"), not(any(miri, feature = "sim"))))]
pub use bsd::*;
#[cfg(all(target_os = "freebsd", not(any(miri, feature = "sim"))))]
pub use freebsd::*;
#[cfg(all(target_os = "linux", not(any(miri, feature = "sim"))))]
pub use linux::*;
#[cfg(all(target_os = "macos", not(any(miri, feature = "sim"))))]
pub use macos::*;
#[cfg(any(miri, feature = "sim"))]
pub use sim::*;
#[cfg(all(unix, not(any(miri, feature = "sim"))))]
pub use unix::*;
#[cfg(not(any(target_os = "linux", miri, feature = "sim")))]
pub use unmoved::*;
#[cfg(all(windows, not(any(miri, feature = "sim"))))]
pub use windows::*;

#[cfg(not(any(
    target_os = "freebsd",
    target_os = "linux",
    target_os = "macos",
    target_os = "windows"
)))]
compile_error!("polder-host runs on Linux, macOS, Windows and FreeBSD");

#[cfg(not(target_pointer_width = "64"))]
compile_error!("polder-host needs addresses of 64 bits");

#[cfg(test)]
mod tests;
