//! The ways of a request: the one that is taken a million times, and those when memory is short.

use super::{Allocator, threads};
use crate::allocation::Allocation;
use crate::arena::{Arena, Session};
use crate::choice::{Ranking, expect_possible};
use crate::device::{DedicatedWish, Device, mask_of_all};
use crate::division::mixed::Mixed;
use crate::error::{AllocError, ShortageCause};
use crate::request::{Access, BudgetRule, Lifetime, Placement, Request};
use crate::supply::{HeapAccount, Refusal, shortage};
use polder_core::stats::Stats;

type Outcome<D> = Result<Allocation<D>, Refusal>;

/// The memory types that were tried in vain, each with why.
#[derive(Clone, Copy)]
struct Failed {
    /// The one that suits the request best of those for which more room would help.
    best: (u32, Refusal),
    last: (u32, Refusal),
}

impl<D: Device> Allocator<D> {
    /// Tells whether a request gets a block of its own wherever there is room.
    #[inline]
    pub(super) fn is_alone(&self, request: &Request<'_, D>) -> bool {
        match request.requirements.dedicated {
            _ if request.wish.placement == Placement::Dedicated => true,
            DedicatedWish::Required => true,
            DedicatedWish::Preferred => {
                request.wish.placement == Placement::Auto && self.supply.has_blocks_to_spare()
            }
            DedicatedWish::None => false,
        }
    }

    /// Allocates from what this thread's arena has; or nothing.
    #[inline(always)]
    pub(super) fn place(
        &self,
        memory_type: u32,
        request: &Request<'_, D>,
    ) -> Result<Option<Allocation<D>>, Refusal> {
        let (arena, mut session) = self.work_in(memory_type, request.wish.lifetime);
        let placed = arena.place(&mut session, request);
        arena.end(session);
        placed
    }

    /// The arena that this thread keeps to, or the next that nobody works in.
    #[inline(always)]
    fn work_in(
        &self,
        memory_type: u32,
        lifetime: Lifetime,
    ) -> (&Arena<D, Mixed>, Session<'_, D, Mixed>) {
        let first = self.first_arena(memory_type, lifetime);
        let home = threads::home(self.arena_count);
        let arena = self.arena(first + home);
        if let Some(session) = arena.try_lock() {
            return (arena, session);
        }
        for number in (home + 1..self.arena_count).chain(0..home) {
            let arena = self.arena(first + number);
            if let Some(session) = arena.try_lock() {
                threads::move_home(number);
                return (arena, session);
            }
        }
        (arena, arena.lock())
    }

    /// Allocates from new blocks and from elsewhere; before it fails, the user may let something
    /// go.
    #[cold]
    pub(super) fn allocate_slowly(
        &self,
        ranking: &Ranking,
        request: &Request<'_, D>,
    ) -> Result<Allocation<D>, AllocError> {
        let devices = mask_of_all(self.properties().group.devices);
        expect_possible(request, request.wish.lifetime == Lifetime::General, devices)?;
        let size = request.requirements.size;
        let mut found = self.search(ranking, request);
        if let Err(Failed { best: (memory_type, refusal), .. }) = found
            && self.supply.tell_no_room(self.supply.heap_of(memory_type), size, refusal)
        {
            found = self.search(ranking, request);
        }
        match found {
            Ok(allocation) => {
                self.tell_of_growth();
                Ok(allocation)
            }
            Err(Failed { last: (memory_type, refusal), .. }) => {
                let allowed = request.requirements.memory_types;
                let spill = ranking.spill(allowed, self.properties(), &request.wish);
                let account = HeapAccount { spill, ..self.account(memory_type) };
                Err(shortage(&self.supply, refusal, size, account))
            }
        }
    }

    /// Tries each memory type in turn; among those that are as good as each other, what lies
    /// within the budget first.
    fn search(&self, ranking: &Ranking, request: &Request<'_, D>) -> Result<Allocation<D>, Failed> {
        let rules: &[_] = match request.wish.budget {
            BudgetRule::Within => &[BudgetRule::Within],
            BudgetRule::Prefer => &[BudgetRule::Within, BudgetRule::Prefer],
        };
        let allowed = request.requirements.memory_types;
        let ranked = ranking.reachable(allowed, self.properties(), &request.wish);
        let ranked: Vec<_> = ranked.collect();
        let mut failed: Option<Failed> = None;
        for equals in ranked.chunk_by(|one, other| one.1 == other.1) {
            for &rule in rules {
                for memory_type in self.in_turn(equals, request) {
                    match self.obtain(memory_type, request, rule) {
                        Ok(allocation) => return Ok(allocation),
                        Err(refusal) => {
                            let last = (memory_type, refusal);
                            let best = match failed {
                                // Of the best type, what its last way met.
                                Some(Failed { best, .. })
                                    if best.0 != memory_type && best.1.is_for_want_of_room() =>
                                {
                                    best
                                }
                                _ => last,
                            };
                            failed = Some(Failed { best, last });
                            if let Refusal::Device(_) = refusal {
                                return Err(Failed { best: last, last });
                            }
                        }
                    }
                }
            }
        }
        Err(failed.expect("a valid request has a memory type"))
    }

    /// Equally good types, the one whose heap is least full first. Where the user has said all that
    /// counts it is the driver's order: that is VMA's choice too.
    fn in_turn(&self, equals: &[(u32, u32)], request: &Request<'_, D>) -> Vec<u32> {
        let mut types: Vec<_> = equals.iter().map(|&(memory_type, _)| memory_type).collect();
        if request.wish.access == Access::Stated {
            return types;
        }
        let heap_size = |heap: u32| self.properties().heaps[heap as usize].size;
        let full = |&memory_type: &u32| {
            let heap = self.supply.heap_of(memory_type);
            self.supply.held(heap) / (heap_size(heap) / 1000).max(1)
        };
        types.sort_by_key(full);
        types
    }

    /// Does everything to get memory of one type.
    fn obtain(&self, memory_type: u32, request: &Request<'_, D>, rule: BudgetRule) -> Outcome<D> {
        if request.wish.placement == Placement::Existing {
            let placed = self.place_anywhere(memory_type, request)?;
            return placed.ok_or(Refusal::Short(ShortageCause::NewBlockForbidden));
        }
        let always_dedicated = self.options.aids.always_dedicated;
        let alone = self.is_alone(request) || always_dedicated;
        let first = self.take(memory_type, request, rule, alone);
        let Err(Refusal::Short(cause)) = first else { return first };
        let size = request.requirements.size;
        if matches!(cause, ShortageCause::BlockSize { size_max } if size > size_max) {
            return first;
        }
        let must_be_alone = always_dedicated
            || request.requirements.dedicated == DedicatedWish::Required
            || request.wish.placement == Placement::Dedicated;
        if !must_be_alone && let Some(allocation) = self.place_anywhere(memory_type, request)? {
            return Ok(allocation);
        }
        // Empty blocks of any arena or pool may be what fills the heap, or the device's count.
        self.family.trim(match cause {
            ShortageCause::BlockCount { .. } => None,
            _ => Some(self.supply.heap_of(memory_type)),
        });
        let retried = self.take(memory_type, request, rule, alone);
        match retried {
            Err(Refusal::Short(_)) if !must_be_alone => {
                self.take(memory_type, request, rule, !alone)
            }
            result => result,
        }
    }

    /// Takes from a shared block, if need be a new one, or a block of its own.
    fn take(
        &self,
        memory_type: u32,
        request: &Request<'_, D>,
        rule: BudgetRule,
        alone: bool,
    ) -> Outcome<D> {
        let (arena, mut session) = self.work_in(memory_type, request.wish.lifetime);
        let result = if alone {
            arena.dedicate(&mut session, request, rule)
        } else {
            match arena.place(&mut session, request) {
                Ok(Some(allocation)) => Ok(allocation),
                Err(error @ Refusal::Device(_)) => Err(error),
                _ if self.is_large(arena, request) => arena.dedicate(&mut session, request, rule),
                _ => arena.grow(&mut session, request, rule),
            }
        };
        arena.end(session);
        result
    }

    /// Tells whether a request that found no room gets a block of its own. What lives shortly does
    /// not: a block each time would be a driver call each frame.
    fn is_large(&self, arena: &Arena<D, Mixed>, request: &Request<'_, D>) -> bool {
        request.wish.lifetime == Lifetime::General
            && arena.is_large(request.requirements.size)
            && self.supply.has_blocks_to_spare()
    }

    /// Allocates from what any arena of the type has, of either lifetime.
    fn place_anywhere(
        &self,
        memory_type: u32,
        request: &Request<'_, D>,
    ) -> Result<Option<Allocation<D>>, Refusal> {
        for arena in self.made_arenas().filter(|arena| arena.config().memory_type == memory_type) {
            match arena.with(|session| arena.place(session, request)) {
                Ok(None) | Err(Refusal::Short(_)) => {}
                result => return result,
            }
        }
        Ok(None)
    }

    /// The account of a type's heap, for an error.
    fn account(&self, memory_type: u32) -> HeapAccount {
        let heap = self.supply.heap_of(memory_type);
        let mut account =
            HeapAccount { memory_type, used: 0, held: 0, largest_free: 0, spill: None };
        for arena in self.made_arenas() {
            if self.supply.heap_of(arena.config().memory_type) == heap {
                let Stats { used, held, .. } = arena.stats();
                account.used += used;
                account.held += held;
                account.largest_free = account.largest_free.max(arena.largest_free());
            }
        }
        account
    }
}
