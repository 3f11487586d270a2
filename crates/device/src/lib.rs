//! The device heap.
