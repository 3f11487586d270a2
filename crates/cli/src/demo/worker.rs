//! A thread that makes and destroys resources.
//!
//! A [`Worker`] obeys one [`Order`] per frame: it gives up what the device is done with, picks
//! resources to retire and makes new ones, and answers with what is to be copied. Resources stay
//! with it; only their names travel. When no more orders can come, it destroys what it has.

use super::random::fill;
use super::scene::{Filling, Item, Scene, Shape};
use super::stage::{Payload, PayloadOf, Stage};
use super::timed::{Phase, Timed, Times};
use crate::Failure;
use polder::device::{Device, Resource, Resources};
use polder::{Allocator, Buffer, Factory, Image, Strategy};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender};

/// What is done in a frame, by one worker or by all together.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub phase: Phase,
    pub frame: u64,
    /// The device is done with this frame and all before it.
    pub completed: u64,
    pub make_count_max: usize,
    pub retire_count_max: usize,
    /// The most bytes to make, and to retire; one resource may pass it.
    pub bytes_max: u64,
}

impl Order {
    /// An order to do nothing, to begin others with.
    pub const NOTHING: Self = Self {
        phase: Phase::Load,
        frame: 0,
        completed: 0,
        make_count_max: 0,
        retire_count_max: 0,
        bytes_max: u64::MAX,
    };

    /// The order for worker number `index` of `count`, which all together do what this one says.
    pub const fn share(&self, index: usize, count: usize) -> Self {
        Self {
            make_count_max: share(self.make_count_max, index, count),
            retire_count_max: share(self.retire_count_max, index, count),
            bytes_max: self.bytes_max.div_ceil(count as u64),
            ..*self
        }
    }
}

const fn share(total: usize, index: usize, count: usize) -> usize {
    total / count + (index < total % count) as usize
}

/// What a worker did in a frame.
#[derive(Debug)]
pub struct Done<D: Device> {
    /// Made and to be uploaded.
    pub uploads: Vec<PayloadOf<D>>,
    /// Retired and to be read back; they live until the frame is completed.
    pub downloads: Vec<PayloadOf<D>>,
    pub made: usize,
    pub retired: usize,
    /// Bytes that the host wrote where they are.
    pub written: u64,
}

/// A resource of the scene.
struct Held<D: Resources> {
    bound: Bound<D>,
    item: Item,
}

enum Bound<D: Resources> {
    Buffer(Buffer<D>),
    Image(Image<D>),
}

impl<D: Resources> Held<D> {
    fn payload(&self) -> PayloadOf<D> {
        let resource = match &self.bound {
            Bound::Buffer(buffer) => Resource::Buffer(buffer.handle()),
            Bound::Image(image) => Resource::Image(image.handle()),
        };
        Payload { resource, shape: self.item.shape, seed: self.item.seed }
    }
}

/// A thread's share of the scene.
pub struct Worker<'a, S: Stage> {
    strategy: Timed<'a, S::Device>,
    scene: Scene,
    live: Vec<Held<S::Device>>,
    /// Retired in the frame that stands with them, in the order of frames.
    leaving: VecDeque<(u64, Held<S::Device>)>,
    scratch: Vec<u8>,
}

impl<'a, S: Stage> Worker<'a, S> {
    pub fn new(allocator: &'a Allocator<S::Device>, scene: Scene) -> Self {
        let strategy = Timed::new(allocator);
        let (live, leaving, scratch) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { strategy, scene, live, leaving, scratch }
    }

    /// Obeys until no more orders can come, and returns how long its calls took.
    pub fn work(
        mut self,
        orders: &Receiver<Order>,
        answers: &Sender<Result<Done<S::Device>, Failure>>,
    ) -> Times {
        for order in orders {
            if answers.send(self.obey(&order)).is_err() {
                break;
            }
        }
        self.destroy_all();
        self.strategy.into_times()
    }

    fn obey(&mut self, order: &Order) -> Result<Done<S::Device>, Failure> {
        self.strategy.enter(order.phase);
        self.let_go(order.completed)?;
        let (uploads, downloads) = (Vec::new(), Vec::new());
        let mut done = Done { uploads, downloads, made: 0, retired: 0, written: 0 };
        self.retire(order, &mut done);
        self.make(order, &mut done)?;
        Ok(done)
    }

    /// Destroys what was retired in a completed frame.
    fn let_go(&mut self, completed: u64) -> Result<(), Failure> {
        let ended = self.leaving.partition_point(|(frame, _)| *frame <= completed);
        let ended: Vec<_> = self.leaving.drain(..ended).collect();
        ended.into_iter().try_for_each(|(_, held)| self.destroy(held))
    }

    fn retire(&mut self, order: &Order, done: &mut Done<S::Device>) {
        let mut bytes = 0;
        while done.retired < order.retire_count_max && bytes < order.bytes_max {
            if self.live.is_empty() {
                break;
            }
            let index = self.scene.below(self.live.len());
            let held = self.live.swap_remove(index);
            if held.item.class.filling != Filling::None {
                done.downloads.push(held.payload());
            }
            bytes += held.item.shape.size();
            done.retired += 1;
            self.leaving.push_back((order.frame, held));
        }
    }

    fn make(&mut self, order: &Order, done: &mut Done<S::Device>) -> Result<(), Failure> {
        let mut bytes = 0;
        while done.made < order.make_count_max && bytes < order.bytes_max {
            let item = self.scene.item();
            let bound = self.create(&item)?;
            self.live.push(Held { bound, item });
            let held = self.live.last_mut().expect("one was just pushed");
            match item.class.filling {
                Filling::Copied => done.uploads.push(held.payload()),
                Filling::Written => {
                    done.written += write(&self.strategy, held, &mut self.scratch)?;
                }
                Filling::None => {}
            }
            bytes += item.shape.size();
            done.made += 1;
        }
        Ok(())
    }

    fn create(&self, item: &Item) -> Result<Bound<S::Device>, Failure> {
        let wish = item.class.wish();
        Ok(match item.shape {
            Shape::Buffer { role, size } => {
                let info = S::buffer_info(size, role);
                Bound::Buffer(self.strategy.create_buffer(&info, &wish)?)
            }
            Shape::Image { role, shape } => {
                let info = S::image_info(shape, role);
                Bound::Image(self.strategy.create_image(&info, &wish)?)
            }
        })
    }

    fn destroy(&self, held: Held<S::Device>) -> Result<(), Failure> {
        match held.bound {
            Bound::Buffer(buffer) => self.strategy.destroy_buffer(buffer)?,
            Bound::Image(image) => self.strategy.destroy_image(image)?,
        }
        Ok(())
    }

    /// Destroys everything; the device is idle.
    fn destroy_all(&mut self) {
        self.strategy.enter(Phase::Unload);
        let leaving = std::mem::take(&mut self.leaving).into_iter().map(|(_, held)| held);
        for held in leaving.chain(std::mem::take(&mut self.live)) {
            // One that is not destroyed is a leak, which is found and told at the end.
            let _ = self.destroy(held);
        }
    }
}

/// Lets the host fill a buffer, and returns how many bytes that were.
fn write<D: Resources>(
    strategy: &Timed<'_, D>,
    held: &mut Held<D>,
    scratch: &mut Vec<u8>,
) -> Result<u64, Failure> {
    let Bound::Buffer(buffer) = &mut held.bound else { return Ok(0) };
    let size = held.item.shape.size();
    scratch.resize(usize::try_from(size)?, 0);
    fill(held.item.seed, scratch);
    strategy.write(buffer.allocation_mut(), 0, scratch)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (total, count) in [(0, 1), (7, 1), (7, 3), (2, 3), (usize::MAX, 8)] {
            let shares = (0..count).map(|index| share(total, index, count));
            assert_eq!(shares.sum::<usize>(), total);
        }
    }
}
