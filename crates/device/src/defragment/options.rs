//! What a user says of a defragmentation: how much is done, where, and how much at once.

use super::{DefragmentError, Effort};

/// How an allocator or a pool is defragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How much is done for how few bytes.
    pub effort: Effort,
    /// The one memory type to work in; nothing for all.
    pub memory_type: Option<u32>,
    /// Most bytes that the moves of one pass have together; not zero. An allocation that is larger
    /// never moves.
    pub bytes_per_pass_max: u64,
    /// Most moves of one pass; not zero.
    pub moves_per_pass_max: u32,
}

impl Default for Options {
    /// Balanced, everywhere, without limits.
    fn default() -> Self {
        Self {
            effort: Effort::default(),
            memory_type: None,
            bytes_per_pass_max: u64::MAX,
            moves_per_pass_max: u32::MAX,
        }
    }
}

impl Options {
    /// Finds what keeps these options from being obeyed where `has` tells which memory types are.
    pub(super) fn expect_possible(
        &self,
        has: impl FnOnce(u32) -> bool,
    ) -> Result<(), DefragmentError> {
        if self.bytes_per_pass_max == 0 || self.moves_per_pass_max == 0 {
            return Err(DefragmentError::ZeroLimit);
        }
        match self.memory_type {
            Some(memory_type) if !has(memory_type) => {
                Err(DefragmentError::NoMemoryType { memory_type })
            }
            _ => Ok(()),
        }
    }
}
