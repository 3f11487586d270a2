//! Checks of our own steps: in builds with debug assertions, and in any with the feature `debug`.
//!
//! What is found broken ends the process with one line: a panic would allocate, and might unwind
//! into a program that called `free`.

/// Whether steps are checked.
pub const IS_ON: bool = cfg!(any(debug_assertions, feature = "debug"));
/// Whether slow ways look at whole structures too.
pub const IS_DEEP: bool = cfg!(feature = "debug");

/// Ends the process if a rule of our own is broken.
macro_rules! ensure {
    ($holds:expr, $rule:literal) => {
        if $crate::ensure::IS_ON && !$holds {
            $crate::fail::broken($rule);
        }
    };
}

pub(crate) use ensure;
