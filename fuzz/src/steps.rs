//! The steps of the host heap's fuzz targets, against the oracle of its tests.
//!
//! The heap is over the system in software, so that an input also says which calls to the system
//! fail and how time passes. What other threads do is done by one other, step by step: an input
//! does the same each time.

use arbitrary::Arbitrary;
use polder_host::sim::{self, Call};
use polder_host::{Heap, HeapOptions, Polder, check, object, stats, trim};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

#[path = "../../crates/host/tests/model/mod.rs"]
#[allow(dead_code)]
mod model;

use model::{Contents, Model, Object, Random, Source};

/// One step; what it names is taken modulo what there is.
#[derive(Arbitrary, Debug)]
pub enum Step {
    Allocate {
        source: u8,
        size: Size,
        align: u8,
        is_zero: bool,
    },
    Reallocate {
        source: u8,
        index: u8,
        size: Size,
    },
    Resize {
        source: u8,
        index: u8,
        size: Size,
    },
    Free {
        source: u8,
        index: u8,
    },
    /// Another thread frees it.
    Send {
        source: u8,
        index: u8,
    },
    /// The other thread ends; the next thing that is sent begins a new one.
    EndThread,
    /// Another thread allocates and stays as it is.
    SendWish {
        size: Size,
    },
    Ask {
        source: u8,
        index: u8,
        offset: u32,
    },
    /// A heap goes with all that is in it, and is made again.
    Drop {
        source: u8,
    },
    Trim {
        source: u8,
    },
    Pass {
        ms: u16,
    },
    Fail {
        call: u8,
        after: u8,
        times: u8,
    },
    Succeed,
}

/// A number of bytes: each power of two is as likely.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Size {
    bits: u32,
    shift: u8,
}

/// Larger than a block.
const SIZE_BITS: u32 = 24;
const ALIGN_BITS: u32 = 21;
/// Bytes in live objects of one source.
const BYTES_MOST: usize = 40 << 20;
/// The limit of one of the heaps, in bytes.
const LIMIT: u64 = 1 << 20;
/// Which source has a limit.
const LIMITED: usize = 2;
/// Bytes of address space, of the 1 GiB that there is, from which on it may be too little.
const LOST_MOST: usize = 512 << 20;

impl Size {
    fn get(self) -> usize {
        (self.bits >> (u32::BITS - SIZE_BITS + u32::from(self.shift) % SIZE_BITS)) as usize
    }
}

/// A thread that does what it is told.
struct Other {
    tasks: Sender<Task>,
    done: Receiver<()>,
    thread: thread::JoinHandle<()>,
}

enum Task {
    Free(Object),
    Allocate(usize),
}

impl Other {
    fn begin() -> Self {
        let (tasks, received) = channel();
        let (says, done) = channel();
        let thread = thread::spawn(move || {
            let mut own = Model::default();
            for task in received {
                match task {
                    Task::Free(object) => object.free(),
                    Task::Allocate(size) => drop(own.allocate(size, 16, Contents::Any)),
                }
                says.send(()).expect("somebody waits");
            }
            own.free_all(&mut Random(1));
        });
        Self { tasks, done, thread }
    }

    fn end(self) {
        drop(self.tasks);
        self.thread.join().expect("it does not panic");
    }
}

/// Who holds what: the process's heap, and two of the input's own.
struct World {
    models: [Model; 3],
    other: Option<Other>,
    may_fail: bool,
}

/// Plays an input.
pub fn play(steps: &[Step]) {
    let mut world = World {
        models: [Model::default(), Model::default(), Model::default()],
        other: None,
        may_fail: false,
    };
    (1..=LIMITED).for_each(|source| world.make_heap(source));
    steps.iter().for_each(|step| world.step(step));
    world.end();
}

impl World {
    fn make_heap(&mut self, source: usize) {
        let options = HeapOptions::new();
        let options = if source == LIMITED { options.limit(LIMIT) } else { options };
        match Heap::new(options) {
            Some(heap) => self.models[source] = Model::of(Source::Heap(Arc::new(heap))),
            None => assert!(self.may_fail, "there is memory for a heap"),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Allocate { source, size, align, is_zero } => {
                let (source, contents) = (self.source(source), contents(is_zero));
                self.allocate(source, size.get(), 1 << (u32::from(align) % ALIGN_BITS), contents);
            }
            Step::Reallocate { source, index, size } => self.reallocate(source, index, size.get()),
            Step::Resize { source, index, size } => {
                if let Some((model, index)) = self.object(source, index)
                    && model.size + size.get() <= BYTES_MOST
                {
                    model.resize_in_place(index, size.get());
                }
            }
            Step::Free { source, index } => {
                if let Some((model, index)) = self.object(source, index) {
                    model.free(index);
                }
            }
            Step::Send { source, index } => {
                if let Some((model, index)) = self.object(source, index) {
                    let object = model.take(index);
                    self.tell(Task::Free(object));
                }
            }
            Step::SendWish { size } => self.tell(Task::Allocate(size.get() % (64 << 10))),
            Step::EndThread => drop(self.other.take().map(Other::end)),
            Step::Ask { source, index, offset } => {
                if let Some((model, index)) = self.object(source, index) {
                    ask(&model.objects()[index], offset as usize);
                }
            }
            Step::Drop { source } => self.drop_heap(source),
            Step::Trim { source } => self.trim(source),
            Step::Pass { ms } => sim::pass_ms(ms.into()),
            Step::Fail { call, after, times } => self.fail(call, after, times),
            Step::Succeed => self.succeed(),
        }
    }

    fn source(&self, source: u8) -> usize {
        usize::from(source) % self.models.len()
    }

    fn object(&mut self, source: u8, index: u8) -> Option<(&mut Model, usize)> {
        let model = &mut self.models[usize::from(source) % 3];
        let index = usize::from(index).checked_rem(model.len())?;
        Some((model, index))
    }

    /// Whether a request of this source may be refused.
    fn may_refuse(&self, source: usize) -> bool {
        self.may_fail || source == LIMITED || sim::reserved() > LOST_MOST
    }

    fn allocate(&mut self, source: usize, size: usize, align: usize, contents: Contents) {
        let may_refuse = self.may_refuse(source);
        let model = &mut self.models[source];
        if model.size + size <= BYTES_MOST {
            let has_memory = model.allocate(size, align, contents);
            assert!(has_memory || may_refuse, "there are {size} bytes at {align}");
        }
    }

    fn reallocate(&mut self, source: u8, index: u8, size: usize) {
        let may_refuse = self.may_refuse(self.source(source));
        let Some((model, index)) = self.object(source, index) else { return };
        if model.size + size <= BYTES_MOST {
            let has_memory = model.reallocate(index, size);
            assert!(has_memory || may_refuse, "there are {size} bytes");
        }
    }

    fn tell(&mut self, task: Task) {
        let other = self.other.get_or_insert_with(Other::begin);
        other.tasks.send(task).expect("it listens");
        other.done.recv().expect("it answers");
    }

    fn drop_heap(&mut self, source: u8) {
        let source = self.source(source);
        if source > 0 {
            self.models[source].abandon();
            self.make_heap(source);
        }
    }

    fn trim(&self, source: u8) {
        match self.models[self.source(source)].source() {
            Source::Process => drop(trim()),
            Source::Heap(heap) => heap.trim(),
        }
    }

    fn fail(&mut self, call: u8, after: u8, times: u8) {
        self.may_fail = true;
        match Call::ALL.get(usize::from(call) % (Call::ALL.len() + 1)) {
            Some(&call) => sim::fail(call, after.into(), times.into()),
            None => sim::fail_any(after.into(), times.into()),
        }
    }

    fn succeed(&mut self) {
        sim::fail_none();
        self.may_fail = false;
        assert_eq!(check(), Ok(()));
    }

    /// Frees everything: the process's heap is used by the next input.
    fn end(mut self) {
        self.succeed();
        self.other.take().map(Other::end);
        (1..=LIMITED).for_each(|source| self.models[source].abandon());
        self.models[0].free_all(&mut Random(0));
        trim();
        assert_eq!(check(), Ok(()));
        assert_eq!((stats().large, stats().large_used), (0, 0), "no object is left");
    }
}

fn contents(is_zero: bool) -> Contents {
    if is_zero { Contents::Zero } else { Contents::Any }
}

/// Asks about an address in an object, and beside it.
fn ask(object: &Object, offset: usize) {
    let start = object.place.as_ptr().cast_const();
    let usable = object::usable_size(start).expect("it is live");
    let bounds = start.addr()..start.addr() + usable;
    let place = start.wrapping_add(offset.checked_rem(usable).unwrap_or(0));
    assert_eq!(Polder.bounds(place), Some(bounds.clone()));
    assert_eq!(Polder.usable_size(place), (place == start).then_some(usable));
    for outside in [start.wrapping_sub(1), start.wrapping_add(usable.max(1))] {
        assert_ne!(Polder.bounds(outside), Some(bounds.clone()));
    }
    // SAFETY: A copy that leaves the object is refused, and one onto itself changes nothing.
    let copied = unsafe { Polder.copy(start, start.cast_mut(), usable + 1) };
    assert!(copied.is_err(), "it would leave the object");
}
