//! What the real files use that is not their subject, as small as it can be: each object knows
//! whose hands it is in.

use crate::sync;

/// Begins an execution.
pub fn begin() {
    sync::begin();
    crate::os::begin();
    spans::SHARED.begin();
    // The pool's lock and the list of all locals are touched before there are threads.
    crate::pool::tend_all(crate::cache::Which::All);
    assert!(crate::pool::all().next().is_none(), "no local is listed in a new execution");
}

/// The pool gives its first local out once in a process, which no two executions would do alike.
pub fn forget_first_local() {
    static IS_OUT: std::sync::Once = std::sync::Once::new();
    IS_OUT.call_once(|| {
        loom::model(|| {
            sync::begin();
            assert!(crate::pool::acquire().is_some());
        });
    });
}

pub mod clock {
    pub fn before(epoch: u8) -> u8 {
        epoch - 1
    }

    pub fn is_old(stamp: u8, now: u8) -> bool {
        stamp + 2 <= now
    }
}

pub mod size {
    pub const CHUNK: usize = 16 << 10;
    /// The least slot, in bytes.
    pub const SLOT: usize = 16;

    pub fn chunks_of(size: usize) -> usize {
        size.div_ceil(CHUNK)
    }

    /// The only class.
    #[derive(Clone, Copy)]
    pub struct Class;

    impl Class {
        pub fn size(self) -> u32 {
            SLOT as u32
        }
    }
}

/// Spans: records alone, without memory. Each is in one hand.
pub mod span {
    use crate::sync::{Cell, keep};

    #[derive(Clone, Copy)]
    pub enum State {
        Internal,
    }

    #[derive(Debug)]
    pub struct Span {
        chunks: usize,
        /// Set before the span is given up, and read by whoever has it next.
        pub stamp: Cell<u8>,
        next: Cell<Option<&'static Span>>,
    }

    impl Span {
        /// Makes a span that lives as long as the execution.
        pub fn new(chunks: usize) -> &'static Self {
            keep(Self { chunks, stamp: Cell::new(0), next: Cell::new(None) })
        }

        pub fn chunks(&self) -> usize {
            self.chunks
        }

        pub fn behind(&self) -> impl Iterator<Item = &'static Span> {
            core::iter::successors(self.next.get(), |span| span.next.get())
        }
    }

    /// A list without ways back, for few spans.
    #[derive(Debug)]
    pub struct SpanList(Cell<Option<&'static Span>>);

    impl SpanList {
        pub const fn new() -> Self {
            Self(Cell::new(None))
        }

        pub fn first(&self) -> Option<&'static Span> {
            self.0.get()
        }

        pub fn push(&self, span: &'static Span) {
            span.next.set(self.0.replace(Some(span)));
        }

        pub fn remove(&self, span: &Span) {
            let rest: Vec<_> = self.iter().filter(|other| !core::ptr::eq(*other, span)).collect();
            self.0.set(None);
            rest.into_iter().rev().for_each(|span| self.push(span));
        }

        pub fn iter(&self) -> impl Iterator<Item = &'static Span> {
            core::iter::successors(self.first(), |span| span.next.get())
        }
    }
}

/// The supply: it keeps what it is given, and has memory for locals.
pub mod spans {
    use super::local::{Kind, Local};
    use super::span::{Span, State};
    use crate::lock::Lock;
    use crate::sync::keep;
    use core::cell::{Cell, RefCell, UnsafeCell};
    use core::ptr::NonNull;

    pub static SHARED: Spans = Spans::new();

    pub struct Spans {
        lock: Lock<()>,
        given: RefCell<Vec<&'static Span>>,
        locals: Cell<usize>,
    }

    // SAFETY: All threads of a model are one of the system's.
    unsafe impl Sync for Spans {}

    /// Memory for a local.
    pub struct Taken {
        pub span: Place,
    }

    pub struct Place(NonNull<Local>);

    impl Place {
        pub fn set_state(&self, _state: State) {}

        pub fn start(&self) -> NonNull<u8> {
            self.0.cast()
        }
    }

    impl Spans {
        pub const fn new() -> Self {
            let given = RefCell::new(Vec::new());
            Self { lock: Lock::new(()), given, locals: Cell::new(0) }
        }

        /// Forgets what it was given.
        pub fn begin(&self) {
            drop(self.lock.lock());
            self.given.take();
            self.locals.set(0);
        }

        pub fn take(&self, _chunks: usize, _align: usize) -> Option<Taken> {
            self.locals.set(self.locals.get() + 1);
            let memory = keep(UnsafeCell::new(Local::new(Kind::Thread)));
            Some(Taken { span: Place(NonNull::new(memory.get()).expect("it is a place")) })
        }

        /// Returns how many locals there is memory for.
        pub fn locals(&self) -> usize {
            self.locals.get()
        }

        pub fn give(&self, span: &'static Span, _epoch: u8) {
            let _guard = self.lock.lock();
            assert_eq!(span.stamp.replace(0), 1, "a span that is given up is in one hand");
            self.given.borrow_mut().push(span);
        }

        pub fn count(&self) -> usize {
            self.given.borrow().len()
        }
    }
}

/// Slots: two words each, and what is known of them.
pub mod slot {
    use super::local::Local;
    use super::size::{Class, SLOT};
    use crate::sync::{AtomicPtr, Cell, keep};
    use core::ptr::{NonNull, null_mut};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Slot(NonNull<Words>);

    #[derive(Debug)]
    #[repr(align(16))]
    pub struct Words {
        pub(super) owner: &'static Local,
        next: Cell<Option<Slot>>,
        header: Cell<usize>,
        link: AtomicPtr<Words>,
        is_home: Cell<bool>,
    }

    const _: () = assert!(align_of::<Words>() == SLOT, "distances are counted in slots");

    impl Words {
        pub fn link(&self) -> &AtomicPtr<Words> {
            &self.link
        }
    }

    impl Slot {
        /// Makes the slots of a slab, all of them in a program's hands.
        pub fn slab<const LEN: usize>(owner: &'static Local) -> [Self; LEN] {
            let words = || Words {
                owner,
                next: Cell::new(None),
                header: Cell::new(0),
                link: AtomicPtr::new(null_mut()),
                is_home: Cell::new(false),
            };
            let slab = keep([(); LEN].map(|()| words()));
            slab.as_ptr().expose_provenance();
            core::array::from_fn(|index| {
                let slot = Self(NonNull::from(&slab[index]));
                // Others touch its words before its owner does.
                assert_eq!((slot.next(), slot.numbers()), (None, [0]));
                slot
            })
        }

        fn words(&self) -> &'static Words {
            // SAFETY: Slabs live as long as the execution.
            unsafe { self.0.as_ref() }
        }

        /// Says that the slot came back to its owner.
        pub fn come_home(self) {
            assert!(!self.words().is_home.replace(true), "a slot comes back once");
        }

        pub fn node(self) -> *mut Words {
            self.0.as_ptr()
        }

        /// # Safety
        ///
        /// The node is a slot's.
        pub unsafe fn from_node(node: NonNull<Words>) -> Self {
            Self(node)
        }

        pub fn address(self) -> usize {
            self.0.addr().get()
        }

        pub fn next(self) -> Option<Self> {
            self.words().next.get()
        }

        pub fn set_next(self, next: Option<Self>, _class: Class) {
            self.words().next.set(next);
        }

        pub fn numbers(self) -> [usize; 1] {
            [self.words().header.get()]
        }

        pub fn set_numbers(self, [header]: [usize; 1]) {
            self.words().header.set(header);
        }

        /// # Safety
        ///
        /// There is a slot that many bytes from here.
        pub unsafe fn at_distance(self, bytes: isize) -> Self {
            // SAFETY: As promised to us.
            Self(unsafe { self.0.byte_offset(bytes) })
        }
    }
}

/// The map: slots know their owners themselves.
pub mod map {
    use super::local::Local;
    use super::slot::Words;

    pub struct Entry(&'static Local);

    pub fn entry(address: usize) -> Entry {
        let words = core::ptr::with_exposed_provenance::<Words>(address);
        // SAFETY: Only addresses of slots are asked for, and slabs live as long as the execution.
        Entry(unsafe { &*words }.owner)
    }

    impl Entry {
        pub fn tag(self) -> Self {
            self
        }

        pub fn owner(self) -> Option<&'static Local> {
            Some(self.0)
        }
    }
}

/// Locals: those parts that others touch, and a mark of whoever has one.
pub mod local {
    use super::size::Class;
    use super::slot::Slot;
    use super::span::Span;
    use super::spans::SHARED;
    use crate::cache::{Cache, Which};
    use crate::outgoing::Outgoing;
    use crate::pool::PoolLinks;
    use crate::queue::{Incoming, Messages, Nodes, message};
    use crate::sync::Cell;

    pub enum Kind {
        Thread,
    }

    pub struct Local {
        pub links: PoolLinks,
        pub cache: Cache,
        pub incoming: Incoming,
        outgoing: Outgoing,
        is_held: Cell<bool>,
        received: Cell<u32>,
    }

    // SAFETY: All threads of a model are one of the system's; who touches what is checked.
    unsafe impl Sync for Local {}

    impl core::fmt::Debug for Local {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("Local")
        }
    }

    impl Local {
        pub const fn new(_kind: Kind) -> Self {
            Self {
                links: PoolLinks::new(),
                cache: Cache::new(),
                incoming: Incoming::new(),
                outgoing: Outgoing::new(),
                is_held: Cell::new(false),
                received: Cell::new(0),
            }
        }

        pub fn address(&self) -> usize {
            (&raw const *self).addr()
        }

        /// Touches what other threads may touch before their owner does.
        pub fn settle(&'static self) -> &'static Self {
            let [slot] = Slot::slab(self);
            let mut messages = Messages::new();
            messages.push_back(&Nodes, message(slot, slot, 1));
            self.incoming.post(messages);
            self.receive_all();
            self.received.set(0);
            self.cache.hand_over(&SHARED, Which::All);
            self
        }

        /// Begins its use by a thread.
        pub fn arrive(&self) {
            self.hold();
            self.outgoing.post();
        }

        fn hold(&self) {
            assert!(!self.is_held.replace(true), "a local is in the hands of one thread");
        }

        /// Frees an object of another's.
        pub fn free(&self, slot: Slot, span: &'static Span) {
            assert!(self.outgoing.put(slot, span, Class), "there is room");
        }

        pub fn post(&self) {
            self.outgoing.post();
        }

        /// Ends its use by a thread, or by who tends it.
        pub fn depart(&self) {
            self.outgoing.close_all();
            self.is_held.set(false);
        }

        pub fn tidy(&'static self, which: Which) {
            self.hold();
            self.receive_all();
            self.cache.hand_over(&SHARED, which);
        }

        pub fn receive_all(&self) {
            while !self.incoming.is_empty() {
                // SAFETY: Whoever has the local is the only one.
                let Some(row) = (unsafe { self.incoming.pop() }) else { break };
                let mut at = Some(row.first);
                for left in (0..row.count).rev() {
                    let slot = at.expect("a row is as long as it says");
                    assert!(left > 0 || slot == row.last, "and ends where it says");
                    at = slot.next();
                    slot.come_home();
                }
                self.received.set(self.received.get() + row.count);
            }
        }

        /// How many slots came back.
        pub fn received(&self) -> u32 {
            self.received.get()
        }

        /// # Safety
        ///
        /// No other thread is in the process.
        pub unsafe fn repair_incoming(&self) {
            // SAFETY: As promised to us.
            unsafe { self.incoming.reset() };
        }
    }
}
