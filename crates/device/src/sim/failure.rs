//! Failures on demand, and the count of calls.

use crate::device::DeviceError;
use std::fmt;

/// A function of the software device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Device::allocate`](crate::Device::allocate).
    Allocate,
    /// [`Device::free`](crate::Device::free).
    Free,
    /// [`Device::map`](crate::Device::map).
    Map,
    /// [`Device::unmap`](crate::Device::unmap).
    Unmap,
    /// [`Device::flush`](crate::Device::flush).
    Flush,
    /// [`Device::invalidate`](crate::Device::invalidate).
    Invalidate,
    /// [`Device::budgets`](crate::Device::budgets); when it fails it says that it cannot say.
    Budgets,
    /// [`Resources::create_buffer`](crate::Resources::create_buffer).
    CreateBuffer,
    /// [`Resources::create_image`](crate::Resources::create_image).
    CreateImage,
    /// [`Resources::requirements`](crate::Resources::requirements).
    Requirements,
    /// [`Resources::bind`](crate::Resources::bind).
    Bind,
    /// [`Resources::destroy`](crate::Resources::destroy).
    Destroy,
    /// Work on the device: copies, fills, reads and writes.
    Work,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 13] = [
        Self::Allocate,
        Self::Free,
        Self::Map,
        Self::Unmap,
        Self::Flush,
        Self::Invalidate,
        Self::Budgets,
        Self::CreateBuffer,
        Self::CreateImage,
        Self::Requirements,
        Self::Bind,
        Self::Destroy,
        Self::Work,
    ];

    /// Returns the error that a driver usually fails with, or nothing when the call cannot fail.
    #[must_use]
    pub const fn usual_error(self) -> Option<DeviceError> {
        match self {
            Self::Allocate | Self::Bind => Some(DeviceError::OutOfDeviceMemory),
            Self::Map => Some(DeviceError::MapFailed),
            Self::Flush | Self::Invalidate | Self::CreateBuffer | Self::CreateImage => {
                Some(DeviceError::OutOfHostMemory)
            }
            Self::Budgets | Self::Work => Some(DeviceError::Lost),
            Self::Free | Self::Unmap | Self::Requirements | Self::Destroy => None,
        }
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allocate => "allocate",
            Self::Free => "free",
            Self::Map => "map",
            Self::Unmap => "unmap",
            Self::Flush => "flush",
            Self::Invalidate => "invalidate",
            Self::Budgets => "budgets",
            Self::CreateBuffer => "create_buffer",
            Self::CreateImage => "create_image",
            Self::Requirements => "requirements",
            Self::Bind => "bind",
            Self::Destroy => "destroy",
            Self::Work => "work",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure to come.
#[derive(Debug)]
struct Failure {
    /// Which call; nothing stands for any that can fail.
    call: Option<Call>,
    /// How many calls from now; the one that makes it zero fails.
    calls_left: u64,
    /// With what; nothing stands for the call's usual error.
    error: Option<DeviceError>,
}

/// The failures to come and the calls that were.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pending: Vec<Failure>,
    counts: [u64; Call::ALL.len()],
}

impl Failures {
    /// Returns how often a function was called.
    pub(super) const fn count(&self, call: Call) -> u64 {
        self.counts[call as usize]
    }

    /// Lets the `n`-th call from now fail once.
    pub(super) fn add(&mut self, call: Option<Call>, n: u64, error: Option<DeviceError>) {
        assert!(n > 0, "the first call from now is number 1");
        assert!(
            call.is_none_or(|call| call.usual_error().is_some()),
            "a call that fails is one that can"
        );
        self.pending.push(Failure { call, calls_left: n, error });
    }

    /// Returns how many failures are to come.
    pub(super) const fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Forgets the failures to come.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Counts a call, which fails when its time has come.
    pub(super) fn enter(&mut self, call: Call) -> Result<(), DeviceError> {
        self.counts[call as usize] += 1;
        let Some(usual) = call.usual_error() else { return Ok(()) };
        let mut struck = None;
        self.pending.retain_mut(|failure| {
            if failure.call.is_some_and(|only| only != call) {
                return true;
            }
            failure.calls_left -= 1;
            if failure.calls_left == 0 {
                struck = struck.or(Some(failure.error.unwrap_or(usual)));
            }
            failure.calls_left > 0
        });
        struck.map_or(Ok(()), Err)
    }
}
