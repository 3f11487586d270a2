//! The words of `crate::sync`, as the model checker has them.
//!
//! The checker's own can't be made by a `const fn` and do not outlive one execution of a model,
//! while ours stand in statics. So each of these makes one of the checker's when it is touched, and
//! another in the next execution. Who touches it first counts as its maker, before whom nobody may
//! touch it: a model touches what it shares before it starts threads.

pub use loom::hint::spin_loop;

use loom::cell::UnsafeCell;
use loom::sync::atomic;
use polder_core::queue::Word;
use std::any::Any;
use std::cell::{self, RefCell};
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::Ordering;

/// One look stands for many.
pub const SPINS: u32 = 1;

thread_local! {
    /// The number of the execution. All threads of a model are one of the system's.
    static EXECUTION: cell::Cell<u64> = const { cell::Cell::new(0) };
    static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Begins an execution: all words are made anew.
pub fn begin() {
    EXECUTION.set(EXECUTION.get() + 1);
    KEPT.take();
}

/// Keeps a value until the next execution begins.
pub fn keep<T: 'static>(value: T) -> &'static T {
    let value = Box::new(value);
    let place = &raw const *value;
    KEPT.with_borrow_mut(|kept| kept.push(value));
    // SAFETY: The value stays where it is, and nobody uses it when its execution is over.
    unsafe { &*place }
}

/// What is made anew in each execution.
struct Made<T: 'static>(cell::Cell<Option<(u64, &'static T)>>);

impl<T> Made<T> {
    const fn new() -> Self {
        Self(cell::Cell::new(None))
    }

    fn get(&self, make: impl FnOnce() -> T) -> &'static T {
        match self.0.get() {
            Some((execution, word)) if execution == EXECUTION.get() => word,
            _ => {
                let word = keep(make());
                self.0.set(Some((EXECUTION.get(), word)));
                word
            }
        }
    }
}

macro_rules! word {
    ($name:ident, $value:ty $(, $parameter:ident)?) => {
        pub struct $name$(<$parameter: 'static>)? {
            initial: $value,
            made: Made<atomic::$name$(<$parameter>)?>,
        }

        // SAFETY: All threads of a model are one of the system's, which change at the checker's
        // words alone; models that share statics run one after the other.
        unsafe impl$(<$parameter: 'static>)? Sync for $name$(<$parameter>)? {}

        impl$(<$parameter: 'static>)? $name$(<$parameter>)? {
            pub const fn new(initial: $value) -> Self {
                Self { initial, made: Made::new() }
            }
        }

        impl$(<$parameter: 'static>)? Deref for $name$(<$parameter>)? {
            type Target = atomic::$name$(<$parameter>)?;

            fn deref(&self) -> &Self::Target {
                self.made.get(|| atomic::$name::new(self.initial))
            }
        }

        impl$(<$parameter: 'static>)? Word for $name$(<$parameter>)? {
            type Value = $value;

            fn load(&self, order: Ordering) -> $value {
                (**self).load(order)
            }

            fn store(&self, value: $value, order: Ordering) {
                (**self).store(value, order);
            }

            fn swap(&self, value: $value, order: Ordering) -> $value {
                (**self).swap(value, order)
            }

            fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                (**self).compare_exchange(current, new, success, failure)
            }
        }

        impl$(<$parameter: 'static>)? fmt::Debug for $name$(<$parameter>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

word!(AtomicU32, u32);
word!(AtomicPtr, *mut T, T);

/// A cell that one thread at a time may touch: where two do that no atomic word has brought in an
/// order, the model fails.
pub struct Cell<T> {
    value: cell::Cell<T>,
    watched: Made<UnsafeCell<()>>,
}

impl<T> Cell<T> {
    pub const fn new(value: T) -> Self {
        Self { value: cell::Cell::new(value), watched: Made::new() }
    }

    pub fn set(&self, value: T) {
        drop(self.replace(value));
    }

    pub fn replace(&self, value: T) -> T {
        self.watched.get(|| UnsafeCell::new(())).with_mut(|_| self.value.replace(value))
    }

    pub fn take(&self) -> T
    where
        T: Default,
    {
        self.replace(T::default())
    }

    pub fn get(&self) -> T
    where
        T: Copy,
    {
        self.watched.get(|| UnsafeCell::new(())).with(|_| self.value.get())
    }
}

impl<T> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cell")
    }
}
