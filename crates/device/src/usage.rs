//! Requests in the words of Vulkan Memory Allocator, as ways to make a [`Wish`].
//!
//! An [`Intent`] says what the memory is for: a [`Usage`], what the host does with it, and
//! properties of the user's own. With what the resource is used by, it becomes the properties that
//! VMA would require, prefer and avoid, under [`Access::Stated`]; so the same memory type is
//! chosen: of those that have all that is required, the first with the fewest missed.
//! Who has no such habits says an [`Access`] and need not come here.

use crate::device::{DeviceKind, MemoryProperties};
use crate::error::Contradiction;
use crate::request::{Access, Mapping, Placement, Wish};

/// What memory is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Chosen by what the resource is used by and by what the host does.
    #[default]
    Auto,
    /// As `Auto`, in device memory where both would do.
    PreferDevice,
    /// As `Auto`, in host memory where both would do.
    PreferHost,
    /// What the properties say, and no more.
    Unknown,
    /// Device memory. (Old)
    DeviceOnly,
    /// Host-visible and coherent memory. (Old)
    HostOnly,
    /// Host-visible memory that the device reaches fast. (Old)
    HostToDevice,
    /// Host-visible memory that the host reads fast. (Old)
    DeviceToHost,
    /// Host memory, whether visible or not. (Old)
    HostCopy,
    /// Memory that need not be there, for images that live in tiles; always in a block of its own.
    LazilyAllocated,
}

/// What the host does with memory, for the three automatic usages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostAccess {
    /// Nothing: it is never mapped.
    #[default]
    None,
    /// Writes in order.
    Sequential,
    /// Reads, or writes anywhere.
    Random,
    /// As `Sequential`, or nothing where device memory is not visible: then the user copies through
    /// another buffer.
    SequentialOrTransfer,
    /// As `Random`, or nothing, as above.
    RandomOrTransfer,
}

impl HostAccess {
    /// Every access.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Sequential,
        Self::Random,
        Self::SequentialOrTransfer,
        Self::RandomOrTransfer,
    ];

    const fn may_transfer(self) -> bool {
        matches!(self, Self::SequentialOrTransfer | Self::RandomOrTransfer)
    }
}

/// What uses a resource, as its create info says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UsedBy {
    /// Nobody knows: there are requirements alone.
    #[default]
    Unknown,
    /// Copies and fills alone.
    Transfers,
    /// Shaders and fixed functions of the device.
    Device,
}

/// What somebody who knows VMA asks for. The other fields of the [`Wish`] are set on what it
/// becomes.
///
/// ```
/// use polder_device::sim::{BufferInfo, Preset, Sim};
/// use polder_device::{Allocator, Factory, HostAccess, Intent, Options, Strategy, Usage, Wish};
///
/// let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
/// let info = BufferInfo::default();
/// let intent = Intent { host: HostAccess::Sequential, ..Intent::of(Usage::PreferHost) };
/// let wish = Wish { name: Some("staging"), ..allocator.buffer_wish(&info, &intent)? };
/// let mut staging = allocator.create_buffer(&info, &wish)?;
/// allocator.write(staging.allocation_mut(), 0, &[7; 16])?;
/// allocator.destroy_buffer(staging)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// What the memory is for.
    pub usage: Usage,
    /// What the host does with it.
    pub host: HostAccess,
    /// Properties that the memory type must have beside.
    pub required: MemoryProperties,
    /// Properties that it had better have beside.
    pub preferred: MemoryProperties,
    /// When it has a host pointer. VMA's "mapped" is [`Mapping::WhereVisible`].
    pub mapping: Mapping,
}

impl Intent {
    /// A usage, and nothing else.
    #[must_use]
    pub fn of(usage: Usage) -> Self {
        Self { usage, ..Self::default() }
    }

    /// Returns the wish for a resource that is used so, on such a device.
    ///
    /// # Errors
    ///
    /// An automatic usage needs to know what the resource is used by, and to be mapped it needs an
    /// access of the host.
    pub fn wish(
        &self,
        device: DeviceKind,
        used_by: UsedBy,
    ) -> Result<Wish<'static>, Contradiction> {
        let mut masks = Masks { required: self.required, preferred: self.preferred, ..NOTHING };
        if self.is_automatic() {
            self.expect_clear(used_by)?;
            self.add_automatic(&mut masks, device, used_by);
        } else {
            self.add_old(&mut masks, device);
        }
        let special = MemoryProperties::DEVICE_COHERENT | MemoryProperties::DEVICE_UNCACHED;
        if !(self.required | self.preferred).intersects(special) {
            masks.avoided |= MemoryProperties::DEVICE_UNCACHED;
        }
        let Masks { required, preferred, avoided } = masks;
        let placement = match self.usage {
            Usage::LazilyAllocated => Placement::Dedicated,
            _ => Placement::Auto,
        };
        let (access, mapping) = (Access::Stated, self.mapping);
        Ok(Wish { access, required, preferred, avoided, placement, mapping, ..Wish::default() })
    }

    const fn is_automatic(&self) -> bool {
        matches!(self.usage, Usage::Auto | Usage::PreferDevice | Usage::PreferHost)
    }

    fn expect_clear(&self, used_by: UsedBy) -> Result<(), Contradiction> {
        if used_by == UsedBy::Unknown {
            return Err(Contradiction::UnknownUse);
        }
        if self.mapping != Mapping::Counted && self.host == HostAccess::None {
            return Err(Contradiction::MappedWithoutHostAccess);
        }
        Ok(())
    }

    fn add_automatic(&self, masks: &mut Masks, device: DeviceKind, used_by: UsedBy) {
        use MemoryProperties as P;
        // Where the device has memory of its own that the host may not see, a copy may do instead.
        let by_device = used_by == UsedBy::Device;
        let copies = self.host.may_transfer()
            && by_device
            && device != DeviceKind::IntegratedGpu
            && self.usage != Usage::PreferHost;
        match self.host {
            HostAccess::None => masks.lean(self.usage != Usage::PreferHost),
            HostAccess::Random | HostAccess::RandomOrTransfer => {
                masks.preferred |= P::HOST_CACHED;
                if copies {
                    masks.lean(true);
                } else {
                    masks.required |= P::HOST_VISIBLE;
                }
            }
            HostAccess::Sequential | HostAccess::SequentialOrTransfer => {
                masks.avoided |= P::HOST_CACHED;
                if copies {
                    masks.preferred |= P::DEVICE_LOCAL | P::HOST_VISIBLE;
                } else {
                    masks.required |= P::HOST_VISIBLE;
                    masks.lean(match self.usage {
                        Usage::PreferHost => false,
                        Usage::PreferDevice => true,
                        _ => by_device,
                    });
                }
            }
        }
    }

    fn add_old(&self, masks: &mut Masks, device: DeviceKind) {
        use MemoryProperties as P;
        // On one memory for both, whoever prefers to see it says nothing of where it is.
        let is_seen =
            device == DeviceKind::IntegratedGpu && self.preferred.contains(P::HOST_VISIBLE);
        let local = if is_seen { P::empty() } else { P::DEVICE_LOCAL };
        match self.usage {
            Usage::DeviceOnly => masks.preferred |= local,
            Usage::HostOnly => masks.required |= P::HOST_VISIBLE | P::HOST_COHERENT,
            Usage::HostToDevice => {
                masks.required |= P::HOST_VISIBLE;
                masks.preferred |= local;
            }
            Usage::DeviceToHost => {
                masks.required |= P::HOST_VISIBLE;
                masks.preferred |= P::HOST_CACHED;
            }
            Usage::HostCopy => masks.lean(false),
            Usage::LazilyAllocated => masks.required |= P::LAZILY_ALLOCATED,
            Usage::Unknown | Usage::Auto | Usage::PreferDevice | Usage::PreferHost => {}
        }
    }
}

/// What VMA makes of an intent.
#[derive(Clone, Copy)]
struct Masks {
    required: MemoryProperties,
    preferred: MemoryProperties,
    avoided: MemoryProperties,
}

const NOTHING: Masks = Masks {
    required: MemoryProperties::empty(),
    preferred: MemoryProperties::empty(),
    avoided: MemoryProperties::empty(),
};

impl Masks {
    /// Towards the device's own memory, or away from it.
    fn lean(&mut self, to_device: bool) {
        let side = if to_device { &mut self.preferred } else { &mut self.avoided };
        *side |= MemoryProperties::DEVICE_LOCAL;
    }
}
