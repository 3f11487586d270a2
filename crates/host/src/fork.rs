//! Forks of a process with threads: the child may allocate and free at once.
//!
//! Whoever forks holds all locks meanwhile, so none is left taken in the child. Locals of threads
//! that are not in the child stay as they are, for they may have been in the middle of anything:
//! what they hold is lost to the child, and nothing else is.

use crate::heap;
use crate::pool;
use crate::purge;
use crate::spans::SHARED;
use crate::thread;

/// Before a fork, in the thread that forks.
pub extern "C" fn before() {
    heap::hold_all();
    pool::hold();
    SHARED.hold();
}

/// After a fork, in the parent.
pub extern "C" fn parent() {
    SHARED.let_go();
    pool::let_go();
    heap::let_all_go();
}

/// After a fork, in the child.
pub extern "C" fn child() {
    SHARED.let_go();
    pool::let_go();
    heap::let_all_go();
    // SAFETY: The child has one thread, this one.
    unsafe { thread::local().repair_incoming() };
    // SAFETY: As above.
    unsafe { pool::repair() };
    purge::lose_thread();
}
