//! What the user sets: by [`Settings`], or by variables of the environment.
//!
//! The variables are read once, when the first thread allocates; one that begins with `POLDER_`
//! and that nobody knows, or whose value makes no sense, is named on the standard error.

use crate::clock;
use crate::fail::Line;
use crate::os;
use crate::purge;
use crate::report;
use crate::spans::SHARED;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// How long free memory is kept for reuse, in milliseconds, unless it is set.
const PURGE_DELAY_MS: u64 = 1000;

static EPOCH_MS: AtomicU64 = AtomicU64::new(PURGE_DELAY_MS / 2);

/// Returns the length of an epoch in milliseconds: half the purge delay, not 0.
pub fn epoch_ms() -> u64 {
    // No partner: a number on its own.
    EPOCH_MS.load(Relaxed)
}

/// What can be set; what is not named stays as it is.
///
/// | variable | function | |
/// |---|---|---|
/// | `POLDER_PURGE_DELAY` | [`purge_delay_ms`](Self::purge_delay_ms) | milliseconds |
/// | `POLDER_LIMIT` | [`limit`](Self::limit) | bytes; `K`, `M`, `G` multiply |
/// | `POLDER_PURGE_THREAD` | [`purge_thread`](Self::purge_thread) | `1` |
/// | `POLDER_STATS` | [`stats_at_exit`](Self::stats_at_exit) | `1` |
///
/// ```
/// use polder_host::Settings;
///
/// Settings::new().purge_delay_ms(200).limit(4 << 30).apply();
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "settings do nothing until they are applied"]
pub struct Settings {
    purge_delay_ms: Option<u64>,
    limit: Option<u64>,
    purge_thread: bool,
    stats_at_exit: bool,
}

impl Settings {
    /// Sets nothing.
    pub const fn new() -> Self {
        Self { purge_delay_ms: None, limit: None, purge_thread: false, stats_at_exit: false }
    }

    /// Keeps free memory for reuse for this many milliseconds before it goes back to the system;
    /// 1000 if it is not set.
    pub const fn purge_delay_ms(mut self, delay: u64) -> Self {
        self.purge_delay_ms = Some(delay);
        self
    }

    /// Gives no more than this many bytes, counted in whole spans: an allocation that would pass
    /// it fails.
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.limit = Some(bytes);
        self
    }

    /// Starts a thread that gives memory back when its time has come, even if no thread of the
    /// program allocates any more. Without it that is done along the way.
    pub const fn purge_thread(mut self) -> Self {
        self.purge_thread = true;
        self
    }

    /// Prints the statistics to the standard error when the process ends.
    pub const fn stats_at_exit(mut self) -> Self {
        self.stats_at_exit = true;
        self
    }

    /// Makes it so from now on.
    pub fn apply(self) {
        if let Some(delay) = self.purge_delay_ms {
            // No partner: as above.
            EPOCH_MS.store((delay / 2).max(1), Relaxed);
            clock::restart();
        }
        if let Some(limit) = self.limit {
            SHARED.set_limit(limit);
        }
        if self.purge_thread {
            purge::start();
        }
        if self.stats_at_exit {
            report::at_exit();
        }
    }

    /// Adds what one variable says; none when it is not ours to understand.
    fn variable(mut self, name: &[u8], value: &[u8]) -> Option<Self> {
        match name {
            b"PURGE_DELAY" => self.purge_delay_ms = Some(number(value)?),
            b"LIMIT" => self.limit = Some(number(value)?),
            b"PURGE_THREAD" => self.purge_thread = switch(value)?,
            b"STATS" => self.stats_at_exit = switch(value)?,
            _ => return None,
        }
        Some(self)
    }
}

/// Reads the environment.
pub fn read() {
    let mut settings = Settings::new();
    os::variables(b"POLDER_", |text| {
        let Some(rest) = text.strip_prefix(b"POLDER_") else { return };
        let end = rest.iter().position(|&byte| byte == b'=').unwrap_or(rest.len());
        let (name, value) = (&rest[..end], rest.get(end + 1..).unwrap_or(&[]));
        match settings.variable(name, value) {
            Some(more) => settings = more,
            None => Line::new().bytes(text).text(" is no setting of ours").write(),
        }
    });
    settings.apply();
}

fn switch(value: &[u8]) -> Option<bool> {
    match value {
        b"1" => Some(true),
        b"0" | b"" => Some(false),
        _ => None,
    }
}

/// A number, in bytes where a unit follows.
fn number(value: &[u8]) -> Option<u64> {
    let (digits, unit) = match value.split_last()? {
        (b'K' | b'k', digits) => (digits, 1 << 10),
        (b'M' | b'm', digits) => (digits, 1 << 20),
        (b'G' | b'g', digits) => (digits, 1 << 30),
        _ => (value, 1u64),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })?;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::{Settings, number, switch};

    #[test]
    fn numbers_have_units() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"1500"), Some(1500));
        assert_eq!(number(b"64K"), Some(64 << 10));
        assert_eq!(number(b"3g"), Some(3 << 30));
        for wrong in [
            &b""[..],
            b"M",
            b"-1",
            b"1.5",
            b"1KB",
            b"99999999999999999999",
            b"18446744073709551615K",
        ] {
            assert_eq!(number(wrong), None);
        }
    }

    #[test]
    fn a_variable_is_known_or_it_is_told() {
        assert_eq!(Settings::new().variable(b"LIMIT", b"1M").unwrap().limit, Some(1 << 20));
        assert!(Settings::new().variable(b"STATS", b"1").unwrap().stats_at_exit);
        assert!(Settings::new().variable(b"STATS", b"yes").is_none());
        assert!(Settings::new().variable(b"LIMITS", b"1M").is_none());
        assert_eq!(switch(b"0"), Some(false));
    }
}
