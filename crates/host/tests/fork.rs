//! Forks of a process whose threads are in the middle of anything.
//!
//! The system in software has no forks, and Windows has none.
#![cfg(all(unix, not(any(miri, feature = "sim"))))]

#[allow(dead_code)]
mod model;

use model::{Contents, Limits, Model, Object, Random};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::thread;

const LIMITS: Limits = Limits { size: 100 << 10, align: 4096, bytes: 2 << 20, objects: 500 };
const FORKS: usize = 100;
/// Seconds after which a child that hangs is ended.
const CHILD_SECONDS: u32 = 60;
/// What a child ends with when all went well.
const WELL: i32 = 42;

/// Runs `work` in a child, and tells how that ended.
fn in_a_child(work: impl FnOnce()) -> i32 {
    // SAFETY: The child calls nothing but Polder, and `alarm` and `_exit`, which are safe there.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: The call has no conditions.
        unsafe { libc::alarm(CHILD_SECONDS) };
        work();
        // SAFETY: As above.
        unsafe { libc::_exit(WELL) };
    }
    let mut status = 0;
    // SAFETY: The place is a status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -status }
}

fn work(model: &mut Model, random: &mut Random) {
    (0..200).for_each(|_| model.step(random, &LIMITS));
}

#[test]
fn a_child_may_allocate_and_free_whatever_the_threads_were_doing() {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| channel::<Object>()).unzip();
        for (index, receiver) in receivers.into_iter().enumerate() {
            let (next, is_done) = (senders[(index + 1) % 3].clone(), &is_done);
            scope.spawn(move || {
                let (mut model, mut random) = (Model::default(), Random(index as u64));
                while !is_done.load(Relaxed) {
                    work(&mut model, &mut random);
                    for _ in 0..model.len() / 8 {
                        let _ = next.send(model.take(0));
                    }
                    receiver.try_iter().for_each(Object::free);
                }
                model.free_all(&mut random);
            });
        }
        let (mut model, mut random) = (Model::default(), Random(99));
        for fork in 0..FORKS {
            work(&mut model, &mut random);
            let ended = in_a_child(|| {
                work(&mut model, &mut random);
                assert!(model.allocate(10 << 20, 16, Contents::Zero));
                model.free_all(&mut random);
                polder_host::trim();
                work(&mut model, &mut random);
            });
            if ended != WELL {
                is_done.store(true, Relaxed);
                panic!("child {fork} ended with {ended}");
            }
        }
        is_done.store(true, Relaxed);
        model.free_all(&mut random);
    });
}

#[test]
fn a_child_of_a_child_is_no_less() {
    let (mut model, mut random) = (Model::default(), Random(7));
    work(&mut model, &mut random);
    let ended = in_a_child(|| {
        work(&mut model, &mut random);
        let ended = in_a_child(|| model.free_all(&mut random));
        assert_eq!(ended, WELL);
    });
    assert_eq!(ended, WELL);
}
