//! What of a device the heap can make use of, and how a program switches it on.
//!
//! [`Features::supported`] asks a physical device; [`Features::extension_names`] and
//! [`Features::structs`] say the same to the creation of the device; [`Vulkan::new`] is told what
//! was switched on. All of it is optional: without any, the heap keeps to Vulkan 1.0.
//!
//! [`Vulkan::new`]: crate::Vulkan::new

use crate::error::device_error;
use ash::{amd, ext, khr, vk};
use core::ffi::CStr;
use polder_device::DeviceError;

/// What the heap makes use of, beside Vulkan 1.0.
///
/// ```
/// use ash::vk;
/// use polder_vulkan::Features;
/// let features = Features {
///     api_version: vk::API_VERSION_1_3,
///     memory_budget: true,
///     ..Features::default()
/// };
/// assert_eq!(features.extension_names(), [c"VK_EXT_memory_budget"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `VkApplicationInfo::apiVersion` of the instance, at most what the device offers.
    pub api_version: u32,
    /// `VK_KHR_get_memory_requirements2` and `VK_KHR_dedicated_allocation`: the driver says which
    /// resources want a block of their own. Part of Vulkan 1.1, so from there always on.
    pub dedicated_allocation: bool,
    /// `bufferDeviceAddress`, by Vulkan 1.2 or `VK_KHR_buffer_device_address`.
    pub device_address: bool,
    /// `VK_KHR_bind_memory2`: binding with a chain. Part of Vulkan 1.1, so from there always on.
    pub bind_memory2: bool,
    /// `maintenance4`, by Vulkan 1.3 or `VK_KHR_maintenance4`: the driver says what a buffer or an
    /// image would need without one being made.
    pub maintenance4: bool,
    /// `maintenance5`, by Vulkan 1.4 or `VK_KHR_maintenance5` on Vulkan 1.3: buffers may have
    /// their usage in `VkBufferUsageFlags2CreateInfo`.
    pub maintenance5: bool,
    /// `VK_KHR_external_memory_fd`: memory goes and comes by file descriptor.
    pub external_memory_fd: bool,
    /// `VK_EXT_external_memory_dma_buf`, with the one before: by Linux's own buffers.
    pub external_memory_dma_buf: bool,
    /// `VK_KHR_external_memory_win32`: memory goes and comes by Windows' handles.
    pub external_memory_win32: bool,
    /// `VK_EXT_memory_budget`: what the driver grants now. The instance has Vulkan 1.1, or the
    /// extension that [`Builder::properties2`](crate::Builder::properties2) names.
    pub memory_budget: bool,
    /// `memoryPriority` of `VK_EXT_memory_priority`: what the driver evicts last.
    pub memory_priority: bool,
    /// `deviceCoherentMemory` of `VK_AMD_device_coherent_memory`. Without it, memory types that
    /// are device coherent are never used, as Vulkan demands.
    pub device_coherent_memory: bool,
    /// `protectedMemory` of Vulkan 1.1. Without it, protected memory types are never used.
    pub protected_memory: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            api_version: vk::API_VERSION_1_0,
            dedicated_allocation: false,
            device_address: false,
            bind_memory2: false,
            maintenance4: false,
            maintenance5: false,
            external_memory_fd: false,
            external_memory_dma_buf: false,
            external_memory_win32: false,
            memory_budget: false,
            memory_priority: false,
            device_coherent_memory: false,
            protected_memory: false,
        }
    }
}

impl Features {
    /// Asks what `physical_device` offers.
    ///
    /// `api_version` is what the application wrote into `VkApplicationInfo`. Protected memory is
    /// never in the answer: a program that wants it knows, and sets it. Beneath Vulkan 1.1 only
    /// dedicated allocation and `bind_memory2` can be: the rest stands on extensions of the
    /// instance, or is asked through functions that came with it.
    ///
    /// # Errors
    ///
    /// Those of `vkEnumerateDeviceExtensionProperties`: out of memory.
    ///
    /// # Safety
    ///
    /// - `instance` is live, was made for `api_version`, and `physical_device` is one of its.
    pub unsafe fn supported(
        instance: &ash::Instance,
        physical_device: vk::PhysicalDevice,
        api_version: u32,
    ) -> Result<Self, DeviceError> {
        // SAFETY: The caller promises that the instance is live and the physical device its own.
        let properties = unsafe { instance.get_physical_device_properties(physical_device) };
        // SAFETY: As above.
        let offered = unsafe { instance.enumerate_device_extension_properties(physical_device) }
            .map_err(device_error)?;
        let named = Self::named(api_version.min(properties.api_version), |name| {
            offered.iter().any(|extension| extension.extension_name_as_c_str() == Ok(name))
        });
        if !named.is_1_1() {
            let Self { dedicated_allocation, bind_memory2, .. } = named;
            return Ok(Self { dedicated_allocation, bind_memory2, ..named.core() });
        }

        let mut structs = named.structs();
        let mut query = structs
            .iter()
            .fold(vk::PhysicalDeviceFeatures2::default(), vk::PhysicalDeviceFeatures2::push_next);
        // SAFETY: As above; instance and device both have Vulkan 1.1, and the chained structures
        // are those of extensions and versions that the device offers.
        unsafe { instance.get_physical_device_features2(physical_device, &mut query) };
        Ok(structs.switchable(named))
    }

    /// Returns the device extensions that have to be enabled for this.
    ///
    /// What is core in [`api_version`](Self::api_version) needs none.
    #[must_use]
    pub fn extension_names(&self) -> Vec<&'static CStr> {
        let wanted = EXTENSIONS.iter().filter(|extension| (extension.wanted)(self));
        wanted
            .filter(|extension| !extension.is_core(self))
            .map(|extension| extension.name)
            .collect()
    }

    /// Returns the feature structures that have to be switched on for this.
    #[must_use]
    pub fn structs(&self) -> FeatureStructs {
        let address = || vk::PhysicalDeviceBufferDeviceAddressFeatures::default();
        let priority = || vk::PhysicalDeviceMemoryPriorityFeaturesEXT::default();
        let coherent = || vk::PhysicalDeviceCoherentMemoryFeaturesAMD::default();
        let protected = || vk::PhysicalDeviceProtectedMemoryFeatures::default();
        let maintenance4 = || vk::PhysicalDeviceMaintenance4Features::default();
        let maintenance5 = || vk::PhysicalDeviceMaintenance5FeaturesKHR::default();
        FeatureStructs {
            address: self.device_address.then(|| address().buffer_device_address(true)),
            priority: self.memory_priority.then(|| priority().memory_priority(true)),
            coherent: self.device_coherent_memory.then(|| coherent().device_coherent_memory(true)),
            protected: self.protected_memory.then(|| protected().protected_memory(true)),
            maintenance4: self.maintenance4.then(|| maintenance4().maintenance4(true)),
            maintenance5: self.maintenance5.then(|| maintenance5().maintenance5(true)),
        }
    }

    pub(crate) fn is_1_1(&self) -> bool {
        self.api_version >= vk::API_VERSION_1_1
    }

    pub(crate) fn is_shared_by_fd(&self) -> bool {
        self.external_memory_fd || self.external_memory_dma_buf
    }

    /// Nothing but the version.
    fn core(self) -> Self {
        Self { api_version: self.api_version, ..Self::default() }
    }

    /// Everything but protected memory whose extensions are core or in `offered`.
    fn named(api_version: u32, offered: impl Fn(&CStr) -> bool) -> Self {
        let core = Self { api_version, ..Self::default() };
        let has = |wanted: Self| {
            let mut needed = EXTENSIONS.iter().filter(|extension| (extension.wanted)(&wanted));
            needed.all(|extension| extension.is_core(&wanted) || offered(extension.name))
        };
        Self {
            dedicated_allocation: has(Self { dedicated_allocation: true, ..core }),
            device_address: has(Self { device_address: true, ..core }),
            bind_memory2: has(Self { bind_memory2: true, ..core }),
            maintenance4: core.is_1_1() && has(Self { maintenance4: true, ..core }),
            maintenance5: api_version >= vk::API_VERSION_1_3
                && has(Self { maintenance5: true, ..core }),
            external_memory_fd: has(Self { external_memory_fd: true, ..core }),
            external_memory_dma_buf: has(Self { external_memory_dma_buf: true, ..core }),
            external_memory_win32: has(Self { external_memory_win32: true, ..core }),
            memory_budget: has(Self { memory_budget: true, ..core }),
            memory_priority: has(Self { memory_priority: true, ..core }),
            device_coherent_memory: has(Self { device_coherent_memory: true, ..core }),
            ..core
        }
    }
}

/// A device extension, and when it has to be named.
struct Extension {
    name: &'static CStr,
    wanted: fn(&Features) -> bool,
    /// The version that made it needless; no version has this number if none did.
    core_since: u32,
}

/// The core version of an extension that no version took in.
const NEVER: u32 = u32::MAX;

/// The version that took in `VK_KHR_maintenance5`.
const API_VERSION_1_4: u32 = vk::make_api_version(0, 1, 4, 0);

const EXTENSIONS: [Extension; 13] = [
    Extension {
        name: khr::get_memory_requirements2::NAME,
        wanted: |features| features.dedicated_allocation,
        core_since: vk::API_VERSION_1_1,
    },
    Extension {
        name: khr::dedicated_allocation::NAME,
        wanted: |features| features.dedicated_allocation,
        core_since: vk::API_VERSION_1_1,
    },
    Extension {
        name: khr::buffer_device_address::NAME,
        wanted: |features| features.device_address,
        core_since: vk::API_VERSION_1_2,
    },
    Extension {
        name: khr::bind_memory2::NAME,
        wanted: |features| features.bind_memory2,
        core_since: vk::API_VERSION_1_1,
    },
    Extension {
        name: khr::maintenance4::NAME,
        wanted: |features| features.maintenance4,
        core_since: vk::API_VERSION_1_3,
    },
    Extension {
        name: khr::maintenance5::NAME,
        wanted: |features| features.maintenance5,
        core_since: API_VERSION_1_4,
    },
    Extension {
        name: khr::external_memory::NAME,
        wanted: |features| features.is_shared_by_fd() || features.external_memory_win32,
        core_since: vk::API_VERSION_1_1,
    },
    Extension {
        name: khr::external_memory_fd::NAME,
        wanted: Features::is_shared_by_fd,
        core_since: NEVER,
    },
    Extension {
        name: ext::external_memory_dma_buf::NAME,
        wanted: |features| features.external_memory_dma_buf,
        core_since: NEVER,
    },
    Extension {
        name: khr::external_memory_win32::NAME,
        wanted: |features| features.external_memory_win32,
        core_since: NEVER,
    },
    Extension {
        name: ext::memory_budget::NAME,
        wanted: |features| features.memory_budget,
        core_since: NEVER,
    },
    Extension {
        name: ext::memory_priority::NAME,
        wanted: |features| features.memory_priority,
        core_since: NEVER,
    },
    Extension {
        name: amd::device_coherent_memory::NAME,
        wanted: |features| features.device_coherent_memory,
        core_since: NEVER,
    },
];

impl Extension {
    fn is_core(&self, features: &Features) -> bool {
        self.core_since <= features.api_version
    }
}

/// The feature structures of a [`Features`], to hang onto a `VkDeviceCreateInfo`.
///
/// A program that sets one of these features elsewhere (in `VkPhysicalDeviceVulkan12Features`,
/// say) does not use this: Vulkan lets no feature be set twice.
pub struct FeatureStructs {
    address: Option<vk::PhysicalDeviceBufferDeviceAddressFeatures<'static>>,
    priority: Option<vk::PhysicalDeviceMemoryPriorityFeaturesEXT<'static>>,
    coherent: Option<vk::PhysicalDeviceCoherentMemoryFeaturesAMD<'static>>,
    protected: Option<vk::PhysicalDeviceProtectedMemoryFeatures<'static>>,
    maintenance4: Option<vk::PhysicalDeviceMaintenance4Features<'static>>,
    maintenance5: Option<vk::PhysicalDeviceMaintenance5FeaturesKHR<'static>>,
}

/// A structure that a device is asked with and created with.
trait Switch: vk::ExtendsPhysicalDeviceFeatures2 + vk::ExtendsDeviceCreateInfo {}
impl<T: vk::ExtendsPhysicalDeviceFeatures2 + vk::ExtendsDeviceCreateInfo> Switch for T {}

impl FeatureStructs {
    /// Hangs the structures onto `info`.
    pub fn chain<'a>(&'a mut self, info: vk::DeviceCreateInfo<'a>) -> vk::DeviceCreateInfo<'a> {
        self.iter().fold(info, vk::DeviceCreateInfo::push_next)
    }

    fn iter<'a>(&'a mut self) -> impl Iterator<Item = &'a mut (dyn Switch + 'static)> {
        let structs: [Option<&'a mut (dyn Switch + 'static)>; 6] = [
            self.address.as_mut().map(|one| one as _),
            self.priority.as_mut().map(|one| one as _),
            self.coherent.as_mut().map(|one| one as _),
            self.protected.as_mut().map(|one| one as _),
            self.maintenance4.as_mut().map(|one| one as _),
            self.maintenance5.as_mut().map(|one| one as _),
        ];
        structs.into_iter().flatten()
    }

    /// What of `named` the device says it can switch on, once it has filled the structures.
    fn switchable(&self, named: Features) -> Features {
        Features {
            device_address: self.address.is_some_and(|one| one.buffer_device_address != 0),
            memory_priority: self.priority.is_some_and(|one| one.memory_priority != 0),
            device_coherent_memory: self
                .coherent
                .is_some_and(|one| one.device_coherent_memory != 0),
            maintenance4: self.maintenance4.is_some_and(|one| one.maintenance4 != 0),
            maintenance5: self.maintenance5.is_some_and(|one| one.maintenance5 != 0),
            ..named
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_core_needs_no_extension() {
        let on = |api_version| Features {
            api_version,
            dedicated_allocation: true,
            device_address: true,
            ..Features::default()
        };
        let (dedicated, requirements) =
            (khr::dedicated_allocation::NAME, khr::get_memory_requirements2::NAME);
        let address = khr::buffer_device_address::NAME;

        assert_eq!(on(vk::API_VERSION_1_2).extension_names(), [c""; 0]);
        assert_eq!(on(vk::API_VERSION_1_1).extension_names(), [address]);
        assert_eq!(on(vk::API_VERSION_1_0).extension_names(), [requirements, dedicated, address]);
    }

    #[test]
    fn a_handle_s_extension_brings_those_that_it_stands_on() {
        let features = Features { external_memory_dma_buf: true, ..Features::default() };
        let (fd, dma_buf) = (khr::external_memory_fd::NAME, ext::external_memory_dma_buf::NAME);
        assert_eq!(features.extension_names(), [khr::external_memory::NAME, fd, dma_buf]);
        let on_1_1 = Features { api_version: vk::API_VERSION_1_1, ..features };
        assert_eq!(on_1_1.extension_names(), [fd, dma_buf]);
    }

    #[test]
    fn maintenance_is_offered_from_the_version_that_it_stands_on() {
        let all = |api_version| Features::named(api_version, |_| true);
        let [v1_0, v1_1, v1_3] =
            [vk::API_VERSION_1_0, vk::API_VERSION_1_1, vk::API_VERSION_1_3].map(all);
        assert_eq!([v1_0, v1_1, v1_3].map(|one| one.maintenance4), [false, true, true]);
        assert_eq!([v1_0, v1_1, v1_3].map(|one| one.maintenance5), [false, false, true]);
        assert!(!v1_3.extension_names().contains(&khr::maintenance4::NAME));
        assert!(v1_3.extension_names().contains(&khr::maintenance5::NAME));
    }

    #[test]
    fn a_feature_with_one_extension_missing_is_not_offered() {
        let only_half =
            Features::named(vk::API_VERSION_1_0, |name| name == khr::dedicated_allocation::NAME);
        assert_eq!(only_half, Features::default());
    }
}
