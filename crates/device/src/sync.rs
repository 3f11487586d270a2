//! The lock and the atomic word of the arenas: those of `std`, or those of the model checker.

#[cfg(not(loom))]
mod words {
    pub use std::sync::{Mutex, MutexGuard, TryLockError};

    /// An atomic word of a queue or a slot.
    pub type Word = core::sync::atomic::AtomicU32;
}

#[cfg(loom)]
mod words {
    use core::sync::atomic::Ordering;
    pub use loom::sync::{Mutex, MutexGuard};
    pub use std::sync::TryLockError;

    /// An atomic word that loom watches.
    #[derive(Debug, Default)]
    pub struct Word(loom::sync::atomic::AtomicU32);

    impl Word {
        /// Makes a word.
        #[must_use]
        pub fn new(value: u32) -> Self {
            Self(loom::sync::atomic::AtomicU32::new(value))
        }
    }

    impl polder_core::queue::Word for Word {
        type Value = u32;

        fn load(&self, order: Ordering) -> u32 {
            self.0.load(order)
        }

        fn store(&self, value: u32, order: Ordering) {
            self.0.store(value, order);
        }

        fn swap(&self, value: u32, order: Ordering) -> u32 {
            self.0.swap(value, order)
        }

        fn compare_exchange(
            &self,
            current: u32,
            new: u32,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u32, u32> {
            self.0.compare_exchange(current, new, success, failure)
        }
    }
}

pub use words::{Mutex, MutexGuard, TryLockError, Word};
