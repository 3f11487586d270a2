//! What guards objects: nothing, or with the feature `hardened` all that is in `checked.rs`.
//!
//! Two modules with the same items; which one is built is chosen here and nowhere else.
//!
//! | item | what it is |
//! |---|---|
//! | `begin` | makes the process's keys, before there is a list |
//! | `State` | what a local keeps |
//! | `padded` | the bytes to allocate for an object of some size |
//! | `seal`, `seal_again`, `seal_large` | make an object of a place that is handed out |
//! | `open` | checks an object that is given up, and clears it |
//! | `ensure_live` | checks an object that gets another size |
//! | `take_all` | the slots of a slab that came back, in the order of their next use |
//! | `usable`, `usable_large` | how much of an object's room the program may use |
//! | `load`, `store` | the links of free slots |
//! | `link_fresh` | the order in which fresh slots are handed out |
//! | `FENCES`, `PADDING`, `fence`, `fence_again` | chunks around a large object that fault |
//! | `object_of` | where a large object begins in its span |
//! | `hide`, `show` | a large object whose span is kept for the next |
//! | `unfence` | makes the whole of a span usable again |
//! | `GAP` | bytes between records and objects that fault |

#[cfg(feature = "hardened")]
mod checked;
#[cfg(not(feature = "hardened"))]
mod plain;

#[cfg(feature = "hardened")]
pub use checked::*;
#[cfg(not(feature = "hardened"))]
pub use plain::*;
