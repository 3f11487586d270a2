//! What is said of misuse: what the program did, with which object, and whose that is.
//!
//! The line is made without allocating, from what the map and the span's record say of the
//! address. That may be of another time than the mistake: the size and the owner are those of the
//! place, whatever object was there.

use crate::fail::Line;
use crate::map;
use crate::size::Class;
use crate::span::Span;
use crate::thread;

/// Ends the process: what the program did, and with which object.
#[cold]
#[inline(never)]
pub fn misuse(what: &str, object: usize) -> ! {
    place(Line::new().text(what).address(object), object).abort()
}

/// Adds what place the address is in, and whose.
fn place(line: Line, address: usize) -> Line {
    let entry = map::entry(address);
    let (tag, span) = (entry.tag(), entry.span());
    let Some(span) = span.filter(|span| span.offset_of(address).is_some()) else { return line };
    if tag.is_large() {
        let line = large(line, span);
        return if tag.owner().is_some() { line.text(", of a heap") } else { line };
    }
    let (Some(owner), Some(class)) = (tag.owner(), Class::from_index(tag.class_index())) else {
        return line;
    };
    let line = line.text(": a slot of ").number(u64::from(class.shape().size)).text(" B, of ");
    line.text(match owner {
        owner if owner.is_heap() => "a heap",
        owner if core::ptr::eq(owner, thread::local()) => "this thread",
        _ => "another thread",
    })
}

/// The size of a large object is known while it lives; then only that of its room is.
fn large(line: Line, span: &Span) -> Line {
    let (what, size) = match span.large_size().filter(|_| span.is_large()) {
        Some(size) => (": a large object of ", size),
        None => (": a large object, free, with room for ", super::object_of(span).1),
    };
    line.text(what).number(size as u64).text(" B")
}
