//! What is known of an allocation beyond its place, and remembered of few.

use super::entry::Marks;
use super::state::State;
use crate::device::Device;
use crate::division::Division;
use crate::pressure::Registration;
use crate::request::Request;
use std::backtrace::Backtrace;

/// What is remembered of few allocations.
#[derive(Debug, Default)]
pub struct Note {
    pub name: Option<Box<str>>,
    pub backtrace: Option<Box<Backtrace>>,
    /// A number of the user's own.
    pub user_data: u64,
    /// It may go when memory is short.
    pub evictable: Option<Registration>,
}

impl Note {
    const fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.backtrace.is_none()
            && self.user_data == 0
            && self.evictable.is_none()
    }
}

impl<D: Device, V: Division> State<D, V> {
    // Apart, for within `hand_out` it costs memory of which nothing is known some instructions.
    /// Writes down what is known of a new allocation beyond its place.
    #[inline(never)]
    pub(super) fn describe(&mut self, slot: u32, request: &Request<'_, D>, backtraces: bool) {
        let usage = self.usages.number(request.usage);
        let name = request.wish.name.map(Box::from);
        let backtrace = backtraces.then(|| Box::new(Backtrace::force_capture()));
        let mut marks = request.resource.as_ref().map_or(Marks::empty(), Marks::of);
        if name.is_some() || backtrace.is_some() {
            marks |= Marks::NOTED;
            self.notes.insert(slot, Note { name, backtrace, ..Note::default() });
        }
        let entry = self.entry_mut(slot);
        entry.marks |= marks;
        entry.usage = usage;
    }

    /// Changes what is remembered of an allocation.
    pub(super) fn change_note(&mut self, slot: u32, change: impl FnOnce(&mut Note)) {
        let note = self.notes.entry(slot).or_default();
        change(note);
        let noted = !note.is_empty();
        if !noted {
            self.notes.remove(&slot);
        }
        self.entry_mut(slot).marks.set(Marks::NOTED, noted);
    }

    pub(super) fn note_of(&self, slot: u32) -> Option<&Note> {
        self.notes.get(&slot)
    }
}
