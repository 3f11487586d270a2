//! The answer of `check`, which every structure with invariants has.

/// The number of an invariant that does not hold, in the list of the structure's module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub u32);

pub(crate) fn ensure(holds: bool, invariant: u32) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(invariant)) }
}
