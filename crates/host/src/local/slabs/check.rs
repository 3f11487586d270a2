//! The invariants of a local, verified slab by slab, by their numbers in `local.rs`.

use super::{Local, NEVER, wake};
use crate::ensure::{IS_DEEP, ensure};
use crate::map;
use crate::size::Class;
use crate::slot::Slot;
use crate::span::{Span, State};
use crate::thread;
use polder_core::check::Broken;

/// Slabs with free slots that a slow way looks at.
const LOOKS: usize = 4;

/// Verifies the calling thread's local; takes time in proportion to its free slots, and to the
/// spans of all threads.
///
/// # Errors
///
/// [`Broken`] names the first invariant that does not hold.
pub fn check() -> Result<(), Broken> {
    thread::local().check()
}

impl Local {
    /// Verifies every invariant.
    pub fn check(&'static self) -> Result<(), Broken> {
        Class::all().try_for_each(|class| self.check_class(class, usize::MAX))?;
        let mut found = Ok(());
        self.supply().each(|span| {
            if found.is_ok() && self.owns(span) && span.state() == State::Sleeping {
                found = self.check_sleeping(span);
            }
        });
        found
    }

    /// Verifies a class with the feature `debug`, as far as that is quickly done.
    #[inline(always)]
    pub(super) fn look_over(&'static self, class: Class) {
        if IS_DEEP {
            ensure!(self.check_class(class, LOOKS).is_ok(), "the slabs of a class are in order");
        }
    }

    /// Verifies the slabs of a class; of those with free slots, that many.
    fn check_class(&'static self, class: Class, most: usize) -> Result<(), Broken> {
        let slabs = self.slabs(class);
        self.check_current(class)?;
        for span in slabs.available.iter().take(most) {
            hold(span.state() == State::Available && !is_same(slabs.spare.get(), span), 3)?;
            let free = self.check_slab(class, span)?;
            hold(free == span.carved.get() - span.needed.get() && span.needed.get() > 0, 4)?;
        }
        if let Some(span) = slabs.fresh.get() {
            hold(span.carved.get() < class.shape().slots, 3)?;
        }
        if let Some(span) = slabs.spare.get() {
            hold(self.check_slab(class, span)? == span.carved.get(), 3)?;
        }
        Ok(())
    }

    fn check_current(&'static self, class: Class) -> Result<(), Broken> {
        let list = self.list(class).first();
        let Some(span) = self.slabs(class).current.get() else { return hold(list.is_none(), 1) };
        let listed = count(span, list).ok_or(Broken(1))?;
        let free = self.check_slab(class, span)?;
        hold(span.state() == State::Current, 4)?;
        hold(free == NEVER - span.needed.get() && free + listed <= span.carved.get(), 4)
    }

    fn check_sleeping(&'static self, span: &'static Span) -> Result<(), Broken> {
        let class = span.class();
        let (free, wake) = (self.check_slab(class, span)?, wake(class.shape(), span.carved.get()));
        hold(free < wake, 2)?;
        hold(free == wake - span.needed.get(), 4)
    }

    /// Returns how many slots are on the slab's own list.
    fn check_slab(&'static self, class: Class, span: &'static Span) -> Result<u32, Broken> {
        hold(self.owns(span) && span.class() == class, 5)?;
        count(span, span.freed.first()).ok_or(Broken(4))
    }

    fn owns(&self, span: &Span) -> bool {
        let tag = map::entry(span.start().addr().get()).tag();
        !tag.is_large() && tag.owner().is_some_and(|owner| core::ptr::eq(owner, self))
    }
}

fn hold(holds: bool, invariant: u32) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(invariant)) }
}

fn is_same(spare: Option<&Span>, span: &Span) -> bool {
    spare.is_some_and(|spare| core::ptr::eq(spare, span))
}

/// Counts the slots of a list; none when one is not a slot of the slab that was handed out, or
/// there are more than were.
fn count(span: &Span, first: Option<Slot>) -> Option<u32> {
    let (size, carved) = (span.class().shape().size as usize, span.carved.get());
    let mut slots = 0;
    let mut at = first;
    while let Some(slot) = at {
        let offset = slot.address().checked_sub(span.first_slot().addr().get())?;
        slots += 1;
        if offset % size != 0 || offset / size >= carved as usize || slots > carved {
            return None;
        }
        at = slot.next(span.class());
    }
    Some(slots)
}
