//! The Vulkan device that all peers share.

use ash::vk;
use polder_device::{Allocator, Options, Wish};
use polder_vulkan::{Features, Vulkan};
use std::error::Error;
use std::ffi::CStr;
use vk_mem::AllocatorCreateFlags;

/// An instance and a device, with all that Polder can make use of switched on.
pub struct Gpu {
    /// The instance.
    pub instance: ash::Instance,
    /// The first physical device that the loader names.
    pub physical_device: vk::PhysicalDevice,
    /// The device.
    pub device: ash::Device,
    /// The one memory type that every peer allocates from, as a bit.
    pub memory_types: u32,
    features: Features,
    /// The instance's functions are the loader's.
    _entry: ash::Entry,
}

impl Gpu {
    /// What the instance is made for.
    pub const API_VERSION: u32 = vk::API_VERSION_1_3;

    /// Opens the first device.
    pub fn open() -> Result<Self, Box<dyn Error>> {
        // SAFETY: The loader is the system's own.
        let entry = unsafe { ash::Entry::load() }?;
        let application = vk::ApplicationInfo::default().api_version(Self::API_VERSION);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: The create info is valid: no layers, no extensions.
        let instance = unsafe { entry.create_instance(&info, None) }?;
        // SAFETY: The instance is live.
        let physical_devices = unsafe { instance.enumerate_physical_devices() }?;
        let physical_device = *physical_devices.first().ok_or("there is no Vulkan device")?;
        // SAFETY: The physical device belongs to the instance, made for this version.
        let features =
            unsafe { Features::supported(&instance, physical_device, Self::API_VERSION) }?;
        let names = features.extension_names();
        let names: Vec<_> = names.into_iter().map(CStr::as_ptr).collect();
        let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
        let info = vk::DeviceCreateInfo::default();
        let info = info.queue_create_infos(&queues).enabled_extension_names(&names);
        let mut structs = features.structs();
        let info = structs.chain(info);
        // SAFETY: Every device has a queue family 0; the extensions and features are supported.
        let device = unsafe { instance.create_device(physical_device, &info, None) }?;
        let mut gpu =
            Self { instance, physical_device, device, memory_types: 0, features, _entry: entry };
        let allocator = Allocator::new(gpu.polder(), Options::default());
        let types = allocator.explain(u32::MAX, &Wish::default()).types;
        gpu.memory_types = 1 << types.first().ok_or("the device has no memory type")?.0;
        Ok(gpu)
    }

    /// Returns the device as Polder sees it.
    pub fn polder(&self) -> Vulkan {
        // SAFETY: Instance and device belong together; the benchmarks drop what they made of a
        // `Gpu` before it; the features were enabled when the device was made.
        unsafe { Vulkan::new(&self.instance, self.physical_device, &self.device, self.features) }
    }

    /// Makes an allocator of VMA's with nothing switched on.
    pub fn vma(&self) -> vk_mem::Allocator {
        self.vma_with(AllocatorCreateFlags::empty())
    }

    /// Tells whether the driver can be asked for its budgets.
    pub const fn has_budgets(&self) -> bool {
        self.features.memory_budget
    }

    /// Makes an allocator of VMA's.
    pub fn vma_with(&self, flags: AllocatorCreateFlags) -> vk_mem::Allocator {
        let mut info =
            vk_mem::AllocatorCreateInfo::new(&self.instance, &self.device, self.physical_device);
        info.vulkan_api_version = Self::API_VERSION;
        info.flags = flags;
        // SAFETY: The three belong together, and the benchmarks drop the allocator before them.
        let allocator = unsafe { vk_mem::Allocator::new(info) };
        allocator.expect("the device is there")
    }

    /// Returns the names of device and driver.
    pub fn name(&self) -> String {
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: The physical device belongs to the instance, which has Vulkan 1.2 or later.
        unsafe {
            self.instance.get_physical_device_properties2(self.physical_device, &mut properties);
        }
        let text = |bytes: Result<&CStr, _>| {
            bytes.map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
        };
        let device = text(properties.properties.device_name_as_c_str());
        let name = text(driver.driver_name_as_c_str());
        format!("{device}, driver {name} {}", text(driver.driver_info_as_c_str()))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: All that was made from the device is gone.
        unsafe { self.device.destroy_device(None) };
        // SAFETY: The device was the only thing made from the instance.
        unsafe { self.instance.destroy_instance(None) };
    }
}

/// What all factories make buffers of.
pub fn buffer_info(size: u64) -> vk::BufferCreateInfo<'static> {
    let usage = vk::BufferUsageFlags::TRANSFER_DST | vk::BufferUsageFlags::STORAGE_BUFFER;
    vk::BufferCreateInfo::default().size(size).usage(usage)
}
