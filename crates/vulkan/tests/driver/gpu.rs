//! An instance, a device and a queue for one test.

use crate::messages::{Checker, LAYER, Messages};
use ash::{ext, vk};
use polder_vulkan::{Builder, Features, Vulkan};
use std::env;
use std::ffi::{CStr, c_char};
use std::sync::{Arc, Mutex};

/// The driver that the machine is said to have.
const DRIVER_VARIABLE: &str = "VULKAN_TEST_DRIVER";

/// What a driver may be without, and with it the tests that want it.
// Who wants the kernel's buffers is there on Unix alone.
#[cfg_attr(not(unix), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    SparseBinding,
    SparseBuffers,
    SparseImages,
    DeepSparseImages,
    OpaqueFd,
    DmaBuf,
    Maintenance4,
    Maintenance5,
    Budgets,
}

/// What drivers are known to have, from a version on: no test that wants it is left out there.
const KNOWN: [(&str, u32, &[Part]); 2] = [
    (
        "lavapipe",
        vk::make_api_version(0, 25, 0, 0),
        &[
            Part::SparseBinding,
            Part::SparseBuffers,
            Part::SparseImages,
            Part::DeepSparseImages,
            Part::OpaqueFd,
            Part::Maintenance4,
            Part::Maintenance5,
            Part::Budgets,
        ],
    ),
    ("swiftshader", 0, &[Part::OpaqueFd, Part::Maintenance4]),
];

/// What a test wants of its device.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the application says it was written for.
    pub api_version: u32,
    /// Which of the features that are there are enabled.
    pub enable: fn(Features) -> Features,
    /// Extensions of the instance that every loader has.
    pub instance_extensions: &'static [&'static CStr],
}

impl Default for Options {
    fn default() -> Self {
        let api_version = vk::API_VERSION_1_3;
        Self { api_version, enable: |supported| supported, instance_extensions: &[] }
    }
}

/// A queue and what its command buffers come from; Vulkan wants both used by one at a time.
#[derive(Debug)]
pub struct Queue {
    pub queue: vk::Queue,
    /// What sparse resources are bound on, where the device has them: the same, or another.
    pub sparse: vk::Queue,
    pub pool: vk::CommandPool,
    /// Number of the queue's family.
    pub family: u32,
}

/// A device with all that belongs to it; asserts when dropped that no message came.
pub struct Gpu {
    pub instance: ash::Instance,
    messenger: Option<(ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT)>,
    messages: Arc<Messages>,
    pub physical_device: vk::PhysicalDevice,
    pub device: ash::Device,
    pub features: Features,
    pub queue: Mutex<Queue>,
    /// What of sparse resources is enabled.
    pub sparse: vk::PhysicalDeviceFeatures,
    driver: String,
    /// The library stays loaded until the rest is gone: fields are dropped in this order.
    pub entry: ash::Entry,
}

impl Gpu {
    /// Makes the usual device; `None`, once that was said, where the machine has none.
    pub fn open() -> Option<Self> {
        Self::open_with(&Options::default())
    }

    /// Makes a device.
    pub fn open_with(options: &Options) -> Option<Self> {
        let driver = env::var(DRIVER_VARIABLE).unwrap_or_default();
        // SAFETY: The loader is the system's own and does no harm when it is loaded.
        let Ok(entry) = (unsafe { ash::Entry::load() }) else { return left_out() };
        let checker = Checker::find(&entry);
        let messages = Messages::new(&driver);
        let Some(instance) = make_instance(&entry, checker, &messages, options) else {
            return left_out();
        };
        let Some(physical_device) = best(&instance) else {
            // SAFETY: It was just made, and nothing was made from it.
            unsafe { instance.destroy_instance(None) };
            return left_out();
        };
        let messenger = (checker != Checker::None).then(|| messenger(&entry, &instance, &messages));
        // SAFETY: The physical device is the instance's, which was made for this version.
        let supported =
            unsafe { Features::supported(&instance, physical_device, options.api_version) };
        let features = (options.enable)(supported.expect("a driver lists its extensions"));
        // SAFETY: The physical device is the instance's.
        let all = unsafe { instance.get_physical_device_features(physical_device) };
        let sparse = sparse_features(&all);
        let (device, queue) = make_device(&instance, physical_device, &features, &sparse);
        let queue = Mutex::new(queue);
        Some(Self {
            instance,
            messenger,
            messages,
            physical_device,
            device,
            features,
            queue,
            sparse,
            driver,
            entry,
        })
    }

    /// The heap's view of the device. It is dropped before the device.
    pub fn vulkan(&self) -> Vulkan {
        // SAFETY: The handles belong together, the tests drop the heap's view first, `features`
        // is what `make_device` enabled, and the tests' create infos are valid.
        unsafe { Vulkan::new(&self.instance, self.physical_device, &self.device, self.features) }
    }

    /// The heap's view of the device, with other functions in its table.
    pub fn vulkan_with(&self, change: fn(&mut ash::DeviceFnV1_0)) -> Vulkan {
        let mut functions = self.device.fp_v1_0().clone();
        change(&mut functions);
        let device = ash::Device::from_parts_1_3(
            self.device.handle(),
            functions,
            self.device.fp_v1_1().clone(),
            self.device.fp_v1_2().clone(),
            self.device.fp_v1_3().clone(),
        );
        // SAFETY: As in `vulkan`; what is changed keeps to what the function is for.
        unsafe { Vulkan::new(&self.instance, self.physical_device, &device, self.features) }
    }

    /// The heap's view of the device, made with something more; what the tests add is valid as
    /// long as the `Gpu`.
    pub fn build(&self, more: impl for<'a> FnOnce(Builder<'a>) -> Builder<'a>) -> Vulkan {
        let (instance, device) = (&self.instance, &self.device);
        let builder = Builder::new(instance, self.physical_device, device, self.features);
        // SAFETY: As above.
        unsafe { more(builder).build() }
    }

    /// The same, as a group of one device.
    pub fn group(&self) -> Vulkan {
        let devices = [self.physical_device];
        let (instance, device) = (&self.instance, &self.device);
        let builder = Builder::new(instance, self.physical_device, device, self.features);
        // SAFETY: As above; a device that was made without a group is one of itself.
        unsafe { builder.group(&devices).build() }
    }

    pub fn properties(&self) -> vk::PhysicalDeviceProperties {
        // SAFETY: Instance and physical device live as long as `self`.
        unsafe { self.instance.get_physical_device_properties(self.physical_device) }
    }

    pub fn memory_properties(&self) -> vk::PhysicalDeviceMemoryProperties {
        // SAFETY: As above.
        unsafe { self.instance.get_physical_device_memory_properties(self.physical_device) }
    }

    /// What Vulkan 1.1 says of the largest block.
    pub fn block_size_max(&self) -> u64 {
        let mut maintenance3 = vk::PhysicalDeviceMaintenance3Properties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut maintenance3);
        // SAFETY: As above; the tests that ask have Vulkan 1.1.
        unsafe {
            self.instance.get_physical_device_properties2(self.physical_device, &mut properties);
        }
        maintenance3.max_memory_allocation_size
    }

    /// Says that a test is left out for want of something; fails where the driver has it.
    pub fn left_out(&self, part: Part) {
        let version = self.properties().driver_version;
        let mut known =
            KNOWN.iter().filter(|(name, since, _)| *name == self.driver && *since <= version);
        let is_known = known.any(|(.., parts)| parts.contains(&part));
        assert!(!is_known, "{} of version {version:#x} has {part:?}", self.driver);
        println!("left out: no {part:?} here");
    }

    /// Whether submitted work is done; some drivers only answer questions.
    pub fn executes(&self) -> bool {
        !self.driver.starts_with("radv:") && !self.is_mock()
    }

    /// Whether the driver only says what a driver could say.
    pub fn is_mock(&self) -> bool {
        self.driver == "mock"
    }

    /// Takes what the layer said so far; `None` where there is no layer.
    pub fn take_messages(&self) -> Option<Vec<String>> {
        self.messenger.is_some().then(|| self.messages.take())
    }

    /// Whether memory runs out at the size that the heap states, as on a real device.
    pub fn has_real_heaps(&self) -> bool {
        self.driver.starts_with("radv:")
    }

    /// Whether several threads may call the driver; the shim keeps its state without a lock.
    pub fn takes_threads(&self) -> bool {
        !self.driver.starts_with("radv:")
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let queue = self.queue.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: The pool is the device's, and `work` waits for all that it submits.
        unsafe { self.device.destroy_command_pool(queue.pool, None) };
        // SAFETY: The tests drop what they made from the device first; what they forgot is what
        // the layer reports.
        unsafe { self.device.destroy_device(None) };
        if let Some((functions, messenger)) = &self.messenger {
            // SAFETY: It was made from this instance and is destroyed once.
            unsafe { functions.destroy_debug_utils_messenger(*messenger, None) };
        }
        // SAFETY: The device and the messenger were all that was made from it.
        unsafe { self.instance.destroy_instance(None) };
        if !std::thread::panicking() {
            self.messages.assert_none();
        }
    }
}

/// Says that there is no device; fails where one was promised.
fn left_out<T>() -> Option<T> {
    let promised = env::var_os(DRIVER_VARIABLE);
    assert_eq!(promised, None, "the driver that {DRIVER_VARIABLE} names is there");
    println!("left out: no Vulkan device here");
    None
}

fn make_instance(
    entry: &ash::Entry,
    checker: Checker,
    messages: &Arc<Messages>,
    options: &Options,
) -> Option<ash::Instance> {
    let pointers = |names: &[&CStr]| -> Vec<*const c_char> {
        names.iter().map(|name| name.as_ptr()).collect()
    };
    let layers = if checker == Checker::None { Vec::new() } else { pointers(&[LAYER]) };
    let extensions = pointers(&[checker.extension_names(), options.instance_extensions].concat());
    let application = vk::ApplicationInfo::default().api_version(options.api_version);
    let mut messenger = messages.messenger();

    let on = vk::TRUE;
    let setting = vk::LayerSettingEXT {
        value_count: 1,
        p_values: (&raw const on).cast(),
        ..vk::LayerSettingEXT::default()
            .layer_name(LAYER)
            .setting_name(c"validate_sync")
            .ty(vk::LayerSettingTypeEXT::BOOL32)
    };
    let settings = [setting];
    let mut settings = vk::LayerSettingsCreateInfoEXT::default().settings(&settings);
    let enables = [vk::ValidationFeatureEnableEXT::SYNCHRONIZATION_VALIDATION];
    let mut enables = vk::ValidationFeaturesEXT::default().enabled_validation_features(&enables);

    let mut info = vk::InstanceCreateInfo::default()
        .application_info(&application)
        .enabled_layer_names(&layers)
        .enabled_extension_names(&extensions);
    info = match checker {
        Checker::None => info,
        Checker::BySettings => info.push_next(&mut settings).push_next(&mut messenger),
        Checker::ByFeatures => info.push_next(&mut enables).push_next(&mut messenger),
    };
    if checker == Checker::None {
        println!("left out: no validation layer here");
    }
    // SAFETY: Layers and extensions are there (`Checker::find`), and the chain outlives the call;
    // the messages live in the same `Gpu` as the instance, or fall after it.
    unsafe { entry.create_instance(&info, None) }.ok()
}

fn messenger(
    entry: &ash::Entry,
    instance: &ash::Instance,
    messages: &Arc<Messages>,
) -> (ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT) {
    let functions = ext::debug_utils::Instance::new(entry, instance);
    // SAFETY: The instance has the extension, and the messages outlive it in `Gpu`.
    let made = unsafe { functions.create_debug_utils_messenger(&messages.messenger(), None) };
    (functions, made.expect("a messenger can be made"))
}

/// The physical device that a program would take: a real one before a processor.
fn best(instance: &ash::Instance) -> Option<vk::PhysicalDevice> {
    const ORDER: [vk::PhysicalDeviceType; 4] = [
        vk::PhysicalDeviceType::DISCRETE_GPU,
        vk::PhysicalDeviceType::INTEGRATED_GPU,
        vk::PhysicalDeviceType::VIRTUAL_GPU,
        vk::PhysicalDeviceType::CPU,
    ];
    // SAFETY: The instance is live.
    let all = unsafe { instance.enumerate_physical_devices() }.unwrap_or_default();
    let rank = |&device: &vk::PhysicalDevice| {
        // SAFETY: The instance just named this device.
        let kind = unsafe { instance.get_physical_device_properties(device) }.device_type;
        ORDER.iter().position(|&one| one == kind).unwrap_or(ORDER.len())
    };
    all.into_iter().min_by_key(rank)
}

/// The queue families that copy and that bind sparse resources: one, where one does both.
fn families(instance: &ash::Instance, physical_device: vk::PhysicalDevice) -> [u32; 2] {
    // SAFETY: The physical device is the instance's.
    let families = unsafe { instance.get_physical_device_queue_family_properties(physical_device) };
    // Queues for graphics or computing also copy, whether they say so or not.
    let copies = vk::QueueFlags::GRAPHICS | vk::QueueFlags::COMPUTE | vk::QueueFlags::TRANSFER;
    let can_copy = |family: &vk::QueueFamilyProperties| family.queue_flags.intersects(copies);
    let can_bind = |family: &vk::QueueFamilyProperties| {
        family.queue_flags.contains(vk::QueueFlags::SPARSE_BINDING)
    };
    let both = families.iter().position(|family| can_copy(family) && can_bind(family));
    let copies = both.or_else(|| families.iter().position(can_copy));
    let copies = copies.expect("a device has a queue that copies") as u32;
    let binds = both.or_else(|| families.iter().position(can_bind));
    [copies, binds.map_or(copies, |family| family as u32)]
}

/// Those of `all` that are about sparse resources.
fn sparse_features(all: &vk::PhysicalDeviceFeatures) -> vk::PhysicalDeviceFeatures {
    vk::PhysicalDeviceFeatures {
        sparse_binding: all.sparse_binding,
        sparse_residency_buffer: all.sparse_residency_buffer,
        sparse_residency_image2_d: all.sparse_residency_image2_d,
        sparse_residency_image3_d: all.sparse_residency_image3_d,
        ..vk::PhysicalDeviceFeatures::default()
    }
}

fn make_device(
    instance: &ash::Instance,
    physical_device: vk::PhysicalDevice,
    features: &Features,
    sparse: &vk::PhysicalDeviceFeatures,
) -> (ash::Device, Queue) {
    let [family, binds] = families(instance, physical_device);
    let queues = [family, binds].map(|family| {
        vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0])
    });
    let queues = if family == binds { &queues[..1] } else { &queues[..] };
    let names: Vec<_> = features.extension_names().iter().map(|name| name.as_ptr()).collect();
    let mut structs = features.structs();
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(queues)
        .enabled_extension_names(&names)
        .enabled_features(sparse);
    let info = structs.chain(info);
    // SAFETY: `features` and `sparse` name what the physical device supports; the families are its.
    let device = unsafe { instance.create_device(physical_device, &info, None) };
    let device = device.expect("a device can be made");
    // SAFETY: The device was made with one queue of this family.
    let queue = unsafe { device.get_device_queue(family, 0) };
    // SAFETY: As above.
    let sparse = unsafe { device.get_device_queue(binds, 0) };
    let info = vk::CommandPoolCreateInfo::default().queue_family_index(family);
    // SAFETY: As above.
    let pool = unsafe { device.create_command_pool(&info, None) };
    let pool = pool.expect("a command pool can be made");
    (device, Queue { queue, sparse, pool, family })
}
