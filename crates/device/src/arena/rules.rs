//! What a user says of an arena's blocks: how many, how large, how they are ordered.
//!
//! An arena of the default allocator has none of these rules; those of a pool come from its
//! [`Setup`](crate::strategy::Setup). They hold on every way to a block, for each of them passes
//! one of the two functions that take one.

use super::{Arena, Session};
use crate::allocation::Allocation;
use crate::device::{Device, mask_of_all};
use crate::division::Division;
use crate::error::ShortageCause;
use crate::growth::Growth;
use crate::request::{BudgetRule, Mapping, Request};
use crate::supply::Refusal;

/// Whether linear and optimal parts keep out of each other's pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Neighbours {
    /// As the device's granularity asks.
    #[default]
    Apart,
    /// The user answers for it that all are of one tiling.
    Alike,
}

/// What a user says of the blocks of a pool or a strategy; by default nothing.
#[derive(Clone, Copy, Debug)]
pub struct Rules<X> {
    /// Every block has exactly this size, in bytes, and none is for one allocation alone.
    pub block_size: Option<u64>,
    /// So many shared blocks stay once they are there.
    pub blocks_least: u32,
    /// No more blocks are taken.
    pub blocks_most: u32,
    /// Most bytes in blocks.
    pub limit: Option<u64>,
    /// Of every block, whatever a wish says.
    pub priority: Option<f32>,
    /// What every offset is a multiple of, in bytes.
    pub align: u64,
    /// Whether the granularity counts.
    pub neighbours: Neighbours,
    /// The devices of a [group](crate::device::Group) that have the blocks, a bit each; 0 for all.
    pub device_mask: u32,
    /// What else is said of every block.
    pub extra: Option<X>,
}

impl<X> Default for Rules<X> {
    fn default() -> Self {
        Self {
            block_size: None,
            blocks_least: 0,
            blocks_most: u32::MAX,
            limit: None,
            priority: None,
            align: 1,
            neighbours: Neighbours::default(),
            device_mask: 0,
            extra: None,
        }
    }
}

impl<D: Device, V: Division> Arena<D, V> {
    /// Refuses a block that the rules forbid.
    pub(super) fn expect_allowed(
        &self,
        session: &Session<'_, D, V>,
        size: u64,
    ) -> Result<(), Refusal> {
        let Rules { blocks_most, limit, .. } = self.config.rules;
        if session.stats().blocks >= u64::from(blocks_most) {
            let count_max = blocks_most.into();
            return Err(Refusal::Short(ShortageCause::BlockCount { count_max }));
        }
        match limit {
            Some(limit) if session.held().saturating_add(size) > limit => {
                Err(Refusal::Short(ShortageCause::Limit { limit }))
            }
            _ => Ok(()),
        }
    }

    /// The devices of a group that have its blocks, a bit each.
    pub fn devices(&self) -> u32 {
        match self.config.rules.device_mask {
            0 => mask_of_all(self.supply.properties().group.devices),
            mask => mask,
        }
    }

    /// The granularity that its divisions keep, in bytes.
    pub fn granularity(&self) -> u64 {
        let least = self.config.care.aids.granularity_least;
        match self.config.rules.neighbours {
            Neighbours::Apart => self.supply.properties().limits.granularity.max(least),
            Neighbours::Alike => 1,
        }
    }

    /// Allocates from a new block of the size that is the rule, or says what the most is.
    pub(super) fn grow_by_rule(
        &self,
        session: &mut Session<'_, D, V>,
        request: &Request<'_, D>,
        rule: BudgetRule,
    ) -> Result<Allocation<D>, Refusal> {
        let size = self.config.rules.block_size.expect("the rule says a size");
        let size_max = size.min(V::size_max(&self.config.division)).saturating_sub(self.margin);
        let refused = Refusal::Short(ShortageCause::Strategy { size_max });
        let ask = self.ask(request, 0);
        if V::block_size_least(&self.config.division, ask.size, ask.align) > size {
            return Err(refused);
        }
        let block = self.take_block(session, self.mapping(request), size, rule)?;
        self.place_first(session, request, block)?.ok_or(refused)
    }

    /// Takes blocks until there are as many as the rules say: of the size that is the rule, or as
    /// growth says, and smaller ones where memory is short. What was taken stays when one fails.
    pub fn fill(&self, rule: BudgetRule) -> Result<(), Refusal> {
        let Rules { block_size, blocks_least, .. } = self.config.rules;
        let Growth { size_least, size_most } = self.config.growth;
        let first = self.config.growth.next(self.held_of_type()).min(size_most);
        let sizes = || match block_size {
            Some(size) => Growth::sizes(size, size),
            None => Growth::sizes(first, size_least.min(first)),
        };
        self.with(|session| {
            while session.stats().blocks < u64::from(blocks_least) {
                let block = self.take_one_of(session, Mapping::Counted, sizes(), rule)?;
                session.note_empty(block);
            }
            Ok(())
        })
    }
}
