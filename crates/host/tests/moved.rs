//! Large objects whose pages were moved: what becomes of the spans that they were moved to.

#[allow(dead_code)]
mod model;

use model::{Contents, Model, Random};
use polder_host::sim::{self, Call};
use std::sync::{Mutex, MutexGuard, PoisonError};

const MIB: usize = 1 << 20;

/// Which calls fail is the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An object that pages were moved to, before one that keeps it from growing.
fn moved(size: usize) -> Model {
    let mut model = Model::default();
    assert!(model.allocate(MIB, 16, Contents::Any) && model.allocate(MIB, 16, Contents::Any));
    let calls = sim::calls(Call::Relocate);
    assert!(model.reallocate(0, size), "there is memory");
    assert_eq!(sim::calls(Call::Relocate), calls + 1, "its pages are moved");
    // The object that has changed is the last.
    model
}

/// More often than there may be spans that pages were moved to.
#[test]
#[cfg_attr(miri, ignore = "thousands of megabytes")]
fn pages_are_moved_however_often_they_were_before() {
    let _alone = alone();
    for _ in 0..4100 {
        let mut model = moved(2 * MIB);
        model.free(1);
        model.free(0);
    }
}

/// The longest that a test's objects are.
const LONG: usize = 4 * MIB;

#[test]
fn an_object_keeps_what_it_holds_when_its_place_can_not_be_renewed() {
    let _alone = alone();
    let mut model = moved(LONG);
    sim::fail(Call::Renew, 0, 1);
    // The model looks at each byte, whether the object is shorter afterwards or as it was.
    model.resize_in_place(1, MIB);
    model.reallocate(1, MIB);
    sim::fail_none();
    model.free(1);
    assert!(model.allocate(LONG, 16, Contents::Any), "there is memory");
    model.free_all(&mut Random(1));
}

/// With guards, what a thread keeps faults, and is made usable for an object of another place in
/// its span.
#[test]
fn what_can_not_be_made_usable_again_is_nobodys() {
    const CHUNK: usize = 16 << 10;
    let _alone = alone();
    for calls in 1..3 {
        let mut model = Model::default();
        assert!(model.allocate(MIB, 4 * CHUNK, Contents::Any), "there is memory");
        model.free(0);
        sim::fail(Call::Commit, 0, calls);
        model.allocate(MIB + 3 * CHUNK, 16, Contents::Any);
        sim::fail_none();
        assert!(model.allocate(LONG, 16, Contents::Any), "there is memory");
        model.free_all(&mut Random(1));
    }
}
