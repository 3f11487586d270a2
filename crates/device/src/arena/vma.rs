//! What an arena writes into VMA's text: its shared blocks with their regions, and its dedicated
//! allocations.

use super::block::Contents;
use super::entry::{Entry, Marks};
use super::state::State;
use super::{Arena, Session};
use crate::device::Device;
use crate::device::Tiling;
use crate::division::{Division, Region};
use crate::vma_json::{Json, Layout};

impl<D: Device, V: Division> Arena<D, V> {
    /// Writes each shared block as a member that is called by its number, from `first` on; returns
    /// the number after the last.
    pub fn write_shared(&self, json: &mut Json, first: u64) -> u64 {
        self.with(|session| {
            let mut number = first;
            for index in session.blocks() {
                if let Contents::Shared { division } = &session.block(index).contents {
                    json.key_with("", number);
                    write_block(json, session, index, division);
                    number += 1;
                }
            }
            number
        })
    }

    /// Writes each dedicated allocation as an element.
    pub fn write_dedicated(&self, json: &mut Json) {
        self.with(|session| {
            for index in session.blocks() {
                if let Contents::Dedicated { slot } = session.block(index).contents {
                    json.begin_in('{', Layout::Line);
                    session.write_allocation(json, slot);
                    json.end('}');
                }
            }
        });
    }
}

fn write_block<D: Device, V: Division>(
    json: &mut Json,
    session: &Session<'_, D, V>,
    index: u32,
    division: &V,
) {
    let block = session.block(index);
    let stats = session.tally(index, division);
    json.begin('{');
    json.member("MapRefCount", block.maps.into());
    json.block_head(block.grant.size, &stats);
    json.key("Suballocations");
    json.begin('[');
    let mut write = |region: Region| match session.slot_at(index, &region) {
        None => json.free_region(region.offset, region.size),
        Some(slot) => {
            json.begin_in('{', Layout::Line);
            json.member("Offset", region.offset);
            session.write_allocation(json, slot);
            json.end('}');
        }
    };
    division.walk(&mut |region| session.watch.part(region, &mut write));
    json.end(']');
    json.end('}');
}

/// Returns the name that VMA's text has for what lies in an allocation.
fn vma_name(entry: &Entry) -> &'static str {
    match entry.tiling {
        _ if entry.marks.contains(Marks::BUFFER) => "BUFFER",
        _ if !entry.marks.contains(Marks::IMAGE) => "UNKNOWN",
        Tiling::Linear => "IMAGE_LINEAR",
        Tiling::Optimal => "IMAGE_OPTIMAL",
    }
}

impl<D: Device, V: Division> State<D, V> {
    fn write_allocation(&self, json: &mut Json, slot: u32) {
        let entry = self.entry(slot);
        json.text_member("Type", vma_name(entry));
        json.member("Size", entry.size);
        json.member("Usage", self.usages.flags(entry.usage));
        if !entry.marks.contains(Marks::NOTED) {
            return;
        }
        if let Some(note) = self.note_of(slot) {
            json.custom_data(note.user_data);
            note.name.iter().for_each(|name| json.text_member("Name", name));
        }
    }
}
