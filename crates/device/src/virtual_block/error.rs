//! What can go wrong with a virtual block. Nothing has changed after any of these.

use super::VirtualAllocation;

/// Why a virtual block gave nothing. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VirtualError {
    /// The size is zero: ask for at least one.
    #[error("a virtual block and what lies in it have a size, and zero was asked for")]
    ZeroSize,
    /// The alignment is no power of two.
    #[error("an alignment is a power of two, and {align} was asked for")]
    BadAlign {
        /// What was asked for.
        align: u64,
    },
    /// The block is not linear: ask without an upper address, or make a linear one.
    #[error("only a linear block has upper addresses")]
    UpperAddressNotLinear,
    /// The linear block went round its end and is used as a ring: it has an upper end again when
    /// what lies behind the newest allocation is freed.
    #[error("a linear block that is used as a ring has no upper addresses")]
    UpperAddressInRing,
    /// No free region that was looked at holds the request, or the host has no memory for its
    /// record: free something.
    #[error("no room for {size} aligned to {align}: no free region is larger than {room}")]
    NoRoom {
        /// What was asked for.
        size: u64,
        /// What was asked for.
        align: u64,
        /// No free region that may be given is larger than this.
        room: u64,
    },
}

/// How a [`VirtualAllocation`] was misused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VirtualMisuse {
    /// It was freed before, by itself or with all others.
    #[error("the virtual allocation {allocation:?} was freed before")]
    Stale {
        /// The handle.
        allocation: VirtualAllocation,
    },
    /// This block never handed it out: use it with its own block.
    #[error("the virtual allocation {allocation:?} is another block's")]
    WrongBlock {
        /// The handle.
        allocation: VirtualAllocation,
    },
}
