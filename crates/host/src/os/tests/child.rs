//! What holds in a process that is worse off than the tests': a child of theirs.

use crate::os::{error_place, set_error_number, write};

/// Tells whether `claim` holds in a child. It calls the system alone: other threads were in the
/// middle of anything.
pub fn holds_in_a_child(claim: impl FnOnce() -> bool) -> bool {
    // SAFETY: The child calls what is safe in one.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_held = claim();
        // SAFETY: The call has no conditions.
        unsafe { libc::_exit(i32::from(!is_held)) };
    }
    assert!(child > 0, "there can be a child");
    let mut status = -1;
    // SAFETY: The place is a status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status == 0
}

#[test]
fn a_claim_holds_in_a_child_or_does_not() {
    assert!(holds_in_a_child(|| true));
    assert!(!holds_in_a_child(|| false));
}

#[test]
fn a_line_that_nobody_takes_leaves_the_error_number() {
    let is_left = holds_in_a_child(|| {
        // SAFETY: Nobody in the child needs it.
        unsafe { libc::close(libc::STDERR_FILENO) };
        set_error_number(7);
        write(b"a line\n");
        // SAFETY: The C library says that the place is this thread's.
        unsafe { *error_place() == 7 }
    });
    assert!(is_left);
}
