//! What can go wrong with ranges of buffers. Nothing has changed after any of these.

use super::{BufferRange, Divisible, Pass, RangeId};
use crate::allocation::AllocatorId;
use crate::error::{CreateError, MapError};
use crate::request::Access;
use core::fmt;

/// Why an arena of buffers did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// The sizes of buffers are powers of two, the least first.
    #[error("buffers of {size_least} to {size_most} bytes: powers of two, the least first")]
    BadOptions {
        /// What was asked for.
        size_least: u64,
        /// What was asked for.
        size_most: u64,
    },
    /// The size is zero: ask for at least one byte.
    #[error("a range has a size, and zero was asked for")]
    ZeroSize,
    /// The alignment is no power of two.
    #[error("an alignment is a power of two, and {align} was asked for")]
    BadAlign {
        /// What was asked for.
        align: u64,
    },
    /// No buffer can be so large.
    #[error("no buffer has room for {size} bytes aligned to {align}")]
    TooLarge {
        /// What was asked for.
        size: u64,
        /// What was asked for.
        align: u64,
    },
    /// There was no buffer with room, and none could be made.
    #[error(transparent)]
    Buffer(#[from] CreateError),
    /// The host does not touch what this arena hands out: make one for another access.
    #[error("the arena is for {access:?}, so its ranges have no host pointer")]
    NoHostAccess {
        /// What the arena was made for.
        access: Access,
    },
    /// The part lies outside of the range, or the device failed.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The range was misused.
    #[error(transparent)]
    Misuse(#[from] RangeMisuse),
}

/// How a range was misused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeMisuse {
    /// The range belongs to another arena: use it there.
    #[error("the range belongs to {found}, not to {expected}")]
    WrongArena {
        /// Who was asked.
        expected: AllocatorId,
        /// Whose it is.
        found: AllocatorId,
    },
    /// The range was freed before.
    #[error("the range {id:?} was freed before")]
    Stale {
        /// Its name.
        id: RangeId,
    },
}

/// A free that was refused: what was handed in comes back.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct RangeFreeError<D: Divisible> {
    /// Why.
    #[source]
    pub reason: RangeMisuse,
    /// What was handed in, as it was.
    pub range: BufferRange<D>,
}

/// A pass was to be ended by an arena that did not begin it. It comes back.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct PassError<D: Divisible> {
    /// Whose it is.
    #[source]
    pub reason: RangeMisuse,
    /// The pass, still open.
    pub pass: Pass<D>,
}

/// What was still handed out when an arena ended. Its buffers are destroyed all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RangeLeaks {
    /// The name, if the user gave one, and the bytes of each.
    pub sizes: Vec<(Option<String>, u64)>,
}

impl fmt::Display for RangeLeaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: u64 = self.sizes.iter().map(|(_, size)| size).sum();
        write!(f, "{} ranges of {bytes} bytes were not freed", self.sizes.len())?;
        self.sizes.iter().try_for_each(|(name, size)| {
            write!(f, "\n  {}: {size} bytes", name.as_deref().unwrap_or("unnamed"))
        })
    }
}
