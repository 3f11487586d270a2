//! How far a phase is: a bar on a terminal, and one line when it is over.

use crate::units::{bytes, count};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, Write};
use std::time::Instant;

/// Says a line on standard output. Who closed that does not want to read it, and the work goes on.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// One phase of the demo.
pub struct Progress {
    name: &'static str,
    bar: ProgressBar,
    begin: Instant,
    made: u64,
    retired: u64,
    bytes: u64,
}

impl Progress {
    /// Begins a phase of so many steps.
    pub fn new(name: &'static str, steps: u64) -> Self {
        // Hides itself where standard error is no terminal.
        let bar = ProgressBar::new(steps);
        let style = ProgressStyle::with_template("  {msg:<8} {bar:40} {human_pos} of {human_len}");
        bar.set_style(style.expect("the template names what a bar knows"));
        bar.set_message(name);
        Self { name, bar, begin: Instant::now(), made: 0, retired: 0, bytes: 0 }
    }

    /// Says how many steps are done.
    pub fn advance_to(&self, step: u64) {
        self.bar.set_position(step);
    }

    /// Counts resources.
    pub const fn count(&mut self, made: u64, retired: u64) {
        self.made += made;
        self.retired += retired;
    }

    /// Counts bytes on their way to the device.
    pub const fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Ends the phase and says in a line what was done.
    pub fn end(self) {
        self.bar.finish_and_clear();
        let (name, time) = (self.name, self.begin.elapsed().as_secs_f64());
        let (made, retired) = (count(self.made), count(self.retired));
        let bytes = bytes(self.bytes);
        let what = format!("{made:>8} made {retired:>8} freed {bytes:>11} uploaded");
        say(&format!("  {name:<8}{what} {time:>7.2} s"));
    }
}
