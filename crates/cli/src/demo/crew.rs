//! The workers' threads.
//!
//! Every frame each worker gets an order and answers it; between frames all of them wait. The
//! channels end with the crew, so that no failure leaves a thread waiting.

use super::stage::Stage;
use super::timed::Times;
use super::worker::{Done, Order, Worker};
use crate::Failure;
use polder::device::Resources;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Threads that make and destroy resources.
pub struct Crew<'scope, D: Resources> {
    members: Vec<Member<'scope, D>>,
    live: usize,
}

struct Member<'scope, D: Resources> {
    orders: Sender<Order>,
    answers: Receiver<Result<Done<D>, Failure>>,
    thread: ScopedJoinHandle<'scope, Times>,
}

impl<'scope, D: Resources> Crew<'scope, D> {
    /// Starts a thread for each worker.
    pub fn start<'env, S: Stage<Device = D> + 'env>(
        scope: &'scope Scope<'scope, 'env>,
        workers: impl Iterator<Item = Worker<'env, S>>,
    ) -> Self {
        let start = |worker: Worker<'env, S>| {
            let (orders, their_orders) = channel();
            let (their_answers, answers) = channel();
            let thread = scope.spawn(move || worker.work(&their_orders, &their_answers));
            Member { orders, answers, thread }
        };
        Self { members: workers.map(start).collect(), live: 0 }
    }

    /// How many resources live, without those that wait for the device.
    pub const fn live(&self) -> usize {
        self.live
    }

    /// Lets all members do their shares at the same time, and returns what they did.
    ///
    /// # Errors
    ///
    /// The first member's that failed; what the others did stays with them.
    pub fn obey(&mut self, order: &Order) -> Result<Vec<Done<D>>, Failure> {
        const ENDED: &str = "a thread ended before its time";
        for (index, member) in self.members.iter().enumerate() {
            let share = order.share(index, self.members.len());
            member.orders.send(share).map_err(|_| ENDED)?;
        }
        let answers = self.members.iter().map(|member| member.answers.recv());
        let answers: Vec<_> = answers.collect::<Result<_, _>>().map_err(|_| ENDED)?;
        let done: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
        self.live += done.iter().map(|done| done.made).sum::<usize>();
        self.live -= done.iter().map(|done| done.retired).sum::<usize>();
        Ok(done)
    }

    /// Lets all members destroy what they have, and returns how long their calls took.
    pub fn end(self) -> Vec<Times> {
        let end = |Member { orders, thread, .. }: Member<'_, D>| {
            drop(orders);
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        self.members.into_iter().map(end).collect()
    }
}
