//! The rules of a device, and how breaking one is reported.

use super::failure::Call;
use crate::device::DeviceError;
use std::fmt;

macro_rules! rules {
    ($($name:ident: $text:literal,)*) => {
        /// A rule that Vulkan leaves to the caller, and the software device enforces.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = concat!("*", $text, "*.")] $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the rule as a sentence.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

rules! {
    LiveMemory: "a call is given a block that lives",
    LiveBuffer: "a call is given a buffer that lives",
    LiveImage: "a call is given an image that lives",
    BlockNotEmpty: "a block has at least one byte",
    BlockSize: "a block is at most as large as the device allows",
    HeapSize: "a block is at most as large as its heap",
    MemoryTypeNumber: "a memory type is one of the device's",
    Priority: "a priority is between 0 and 1",
    DeviceMask: "a device mask names devices of the group",
    DedicatedSize: "a dedicated block is exactly as large as its resource needs",
    FreeWhileBound: "a block is freed after the resources in it are destroyed",
    HostVisible: "only host-visible memory is mapped",
    MappedInstance: "a block with several instances is not mapped",
    MappedOnce: "a block is mapped once at a time",
    Mapped: "a block is unmapped, flushed and invalidated only while it is mapped",
    MappedRange: "a flushed or invalidated range is not empty and lies in its block",
    Atom: "a flushed or invalidated range begins and ends at atoms, or at the block's end",
    ResourceSize: "a resource has at least one and at most 2^48 bytes",
    HasUsage: "a resource has a usage",
    ImageExtent: "an image has width, height, layers, mip levels and bytes per texel",
    MipLevels: "an image is halved at most until one texel is left",
    Transient: "a transient image is a render target and nothing else",
    HasMemoryType: "a resource is one for which the device has a memory type",
    BoundOnce: "a resource is bound once",
    BindMemoryType: "a resource is bound to a memory type that it allows",
    BindAlign: "a resource is bound at a multiple of its alignment",
    BindRange: "a resource lies in its block",
    Overlap: "a resource shares no byte with another one in its block",
    Granularity: "a linear and an optimal resource share no page of the granularity",
    DedicatedAlone: "a dedicated block takes its own resource alone, at its begin",
    DedicatedRequired: "a resource that works only alone gets a dedicated block",
    DeviceAddress: "a buffer with a device address lies in a block that can have one",
    Bound: "the device works on resources that are bound",
    WorkRange: "the device works on bytes that lie in the resource",
    Transfer: "the device copies and fills resources that are made for transfers",
    CopyOverlap: "the two ends of a copy share no byte",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A broken rule: which call broke it, and with which values. The call changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The call.
    pub call: Call,
    /// The rule.
    pub rule: Rule,
    /// The values that broke it, by name.
    pub values: Vec<(&'static str, u64)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.rule)?;
        for (place, (name, value)) in self.values.iter().enumerate() {
            let mark = if place == 0 { ';' } else { ',' };
            write!(f, "{mark} {name} {value}")?;
        }
        Ok(())
    }
}

/// Why a call was refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The caller broke a rule.
    Broken(Rule, Vec<(&'static str, u64)>),
    /// The device could not.
    Failed(DeviceError),
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Self {
        Self::Failed(error)
    }
}

/// Refuses unless `kept`.
pub(super) fn require(
    kept: bool,
    rule: Rule,
    values: &[(&'static str, u64)],
) -> Result<(), Refusal> {
    if kept { Ok(()) } else { Err(Refusal::Broken(rule, values.to_vec())) }
}
