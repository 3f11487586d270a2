//! What guards objects: nothing, or with the feature `hardened` all that is in `checked.rs`.
//!
//! Two modules with the same items; which one is built is chosen here and nowhere else.
//!
//! | item | what it is |
//! |---|---|
//! | `begin` | makes the process's key, before there is a list |
//! | `State` | what a local keeps |
//! | `class_of`, `padded` | the class, and the bytes to allocate, for an object of some size |
//! | `ROOM_LEAST` | the least slot that is handed out |
//! | `seal`, `seal_again`, `seal_large` | make an object of a place that is handed out |
//! | `open`, `open_quick` | check an object that is given up, and clear it |
//! | `ensure_live` | checks an object that gets another size |
//! | `take_all` | the slots of a slab that came back, in the order of their next use |
//! | `usable`, `usable_large` | how much of an object's room the program may use |
//! | `load`, `load_quick`, `store`, `arrived` | the links of free slots |
//! | `ensure_free` | checks a slot that is handed out |
//! | `link_fresh` | the order in which fresh slots are handed out |
//! | `FENCES`, `PADDING`, `fence`, `fence_again` | chunks around a large object that fault |
//! | `object_of` | where a large object begins in its span |
//! | `hide`, `show` | a large object whose span is kept for the next |
//! | `unfence`, `forget` | make the whole of a span usable again, or forget that it is not |
//! | `GAP` | bytes between records and objects that fault |

#[cfg(feature = "hardened")]
mod checked;
#[cfg(not(feature = "hardened"))]
mod plain;

#[cfg(feature = "hardened")]
pub use checked::*;
#[cfg(not(feature = "hardened"))]
pub use plain::*;
