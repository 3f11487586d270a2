//! The end of the process when its memory can't be trusted any more: one line, without allocating.

use crate::os;

/// The longest line, in bytes.
const LINE_MOST: usize = 256;

/// A line in the making; what does not fit is left away.
#[derive(Debug)]
pub struct Line {
    text: [u8; LINE_MOST],
    len: usize,
}

impl Line {
    /// Begins a line as all of ours begin.
    pub const fn new() -> Self {
        let line = Self { text: [0; LINE_MOST], len: 0 };
        line.text("polder: ")
    }

    /// Adds text.
    #[must_use]
    pub const fn text(mut self, text: &str) -> Self {
        let mut index = 0;
        while index < text.len() && self.len < LINE_MOST - 1 {
            self.text[self.len] = text.as_bytes()[index];
            self.len += 1;
            index += 1;
        }
        self
    }

    /// Adds bytes that are text by the word of whoever wrote them.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        for &byte in bytes.iter().take(LINE_MOST - 1 - self.len) {
            self.text[self.len] = byte;
            self.len += 1;
        }
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.digits(number, 10)
    }

    /// Adds an address.
    #[must_use]
    pub fn address(self, address: usize) -> Self {
        self.text("0x").digits(address as u64, 16)
    }

    fn digits(self, mut number: u64, base: u64) -> Self {
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b"0123456789abcdef"[(number % base) as usize];
            number /= base;
            if number == 0 {
                return self.bytes(&digits[first..]);
            }
        }
    }

    /// Writes the line to the standard error.
    pub fn write(mut self) {
        self.text[self.len] = b'\n';
        os::write(&self.text[..=self.len]);
    }

    /// Writes the line, and ends the process.
    pub fn abort(self) -> ! {
        self.write();
        os::abort()
    }
}

/// Ends the process: a rule does not hold that our own records rest on.
#[cold]
#[inline(never)]
pub fn broken(rule: &str) -> ! {
    Line::new().text("broken rule: ").text(rule).abort()
}

/// Ends the process: the program frees what is not a live object of ours.
#[cold]
pub fn invalid_free(address: usize) -> ! {
    Line::new().text("free of ").address(address).text(", which is no live object").abort()
}

/// Ends the process: the program gives another size to what is not a live object of ours.
#[cold]
pub fn invalid_resize(address: usize) -> ! {
    Line::new().text("realloc of ").address(address).text(", which is no live object").abort()
}
