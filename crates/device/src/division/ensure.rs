//! One line for one rule of a division's own check.

/// Gives the rule that does not hold.
pub(super) fn ensure(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}
