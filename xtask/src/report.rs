//! Steps with a name and a time, and the summary that repeats what did not pass.
//!
//! A step that fails does not stop those after it: one run shows everything there is to repair.
//! A step that is left out is said where it happens and again at the end, so that a green run
//! never means more than it checked.

use std::process::ExitCode;
use std::time::Instant;

use crate::command::{Outcome, Stop};

/// What a step that is left out means for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Part of a larger run: the rest counts.
    IsSaid,
    /// It was all that was asked for.
    Fails,
}

/// The steps so far.
pub struct Report {
    missing: Missing,
    start: Instant,
    passed: usize,
    failed: Vec<String>,
    left_out: Vec<String>,
}

impl Report {
    /// A report without steps.
    pub fn new(missing: Missing) -> Self {
        Self { missing, start: Instant::now(), passed: 0, failed: Vec::new(), left_out: Vec::new() }
    }

    /// Runs one step and says how it ended; gives what the step made when it passed.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Outcome<T>) -> Option<T> {
        println!("== {name}");
        let start = Instant::now();
        let outcome = work();
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(made) => {
                self.passed += 1;
                println!("== {name}: passed in {seconds:.1} s\n");
                return Some(made);
            }
            Err(Stop::Failed(reason)) => {
                println!("== {name}: FAILED in {seconds:.1} s: {reason}\n");
                self.failed.push(format!("{name}: {reason}"));
            }
            Err(Stop::LeftOut(reason)) => self.leave_out(name, &reason),
        }
        None
    }

    /// Notes a step that this machine cannot run.
    pub fn leave_out(&mut self, name: &str, reason: &str) {
        println!("left out: {name}: {reason}\n");
        self.left_out.push(format!("{name}: {reason}"));
    }

    /// Prints the summary.
    pub fn finish(self) -> ExitCode {
        for line in &self.left_out {
            println!("left out: {line}");
        }
        for line in &self.failed {
            println!("FAILED: {line}");
        }
        let seconds = self.start.elapsed().as_secs_f64();
        let (passed, failed, left_out) = (self.passed, self.failed.len(), self.left_out.len());
        println!("{passed} passed, {failed} failed, {left_out} left out, in {seconds:.0} s");
        if self.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn is_good(&self) -> bool {
        let may_lack = self.missing == Missing::IsSaid;
        self.failed.is_empty() && (may_lack || self.left_out.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{failed, left_out};

    #[test]
    fn a_failure_is_kept_and_the_steps_after_it_run() {
        let mut report = Report::new(Missing::IsSaid);
        assert_eq!(report.step::<()>("one", || failed("broken")), None);
        assert_eq!(report.step("two", || Ok(2)), Some(2));
        assert!(!report.is_good());
    }

    #[test]
    fn what_is_left_out_fails_only_when_it_was_asked_for() {
        for (missing, good) in [(Missing::IsSaid, true), (Missing::Fails, false)] {
            let mut report = Report::new(missing);
            report.step::<()>("miri", || left_out("not here"));
            assert_eq!(report.is_good(), good);
        }
    }
}
