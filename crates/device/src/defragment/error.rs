//! What can go wrong in a defragmentation, and what to do about it.

use super::MoveId;
use crate::allocation::{Allocation, AllocationId};
use crate::device::Device;
use crate::error::Misuse;
use thiserror::Error;

/// Why a defragmentation, or a step of it, was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DefragmentError {
    /// A limit of zero lets nothing move: allow at least one byte and one move.
    #[error("a pass has at least one byte and one move")]
    ZeroLimit,
    /// The device has no such memory type, or the pool is of another.
    #[error("there is no memory type {memory_type} here")]
    NoMemoryType {
        /// What was asked for.
        memory_type: u32,
    },
    /// The pool is linear: what lies in its blocks stays in the order in which it came, so there is
    /// nothing to gather. Make the pool general, or free its allocations in their order.
    #[error("the pool of memory type {memory_type} is linear, and nothing in it moves")]
    Linear {
        /// The pool's type.
        memory_type: u32,
    },
    /// Another defragmentation works there: end it first.
    #[error("another defragmentation works in memory type {memory_type}")]
    Busy {
        /// The type.
        memory_type: u32,
    },
    /// A pass is open: end it first.
    #[error("the last pass is still open")]
    PassOpen,
    /// No pass is open: there is nothing to answer and nothing to end.
    #[error("no pass is open")]
    NoPass,
    /// The move was proposed in another pass, or by another defragmentation.
    #[error("{id:?} is not of the open pass")]
    WrongPass {
        /// What was answered.
        id: MoveId,
    },
    /// The move has its answer.
    #[error("{id:?} was answered before")]
    Answered {
        /// What was answered again.
        id: MoveId,
    },
    /// The handle is not that of the allocation that moves.
    #[error("the move is of {expected}, not of {found}")]
    WrongAllocation {
        /// What moves.
        expected: AllocationId,
        /// Whose the handle is.
        found: AllocationId,
    },
    /// Somebody has mapped the allocation since the pass began: ignore the move, or unmap it.
    #[error("{id} is mapped, and its pointer would change")]
    Mapped {
        /// The allocation.
        id: AllocationId,
    },
    /// The allocation was freed.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

/// An allocation that was not destroyed: it comes back.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct NotDestroyed<D: Device> {
    /// Why.
    #[source]
    pub reason: DefragmentError,
    /// What was handed in.
    pub allocation: Allocation<D>,
}
