//! What the validation layer and the loader say, collected to be asserted at the end.

use ash::{ext, vk};
use core::ffi::{CStr, c_void};
use std::sync::{Arc, Mutex, PoisonError};

/// Messages that are known to be wrong: the driver on which they come, and their names.
const FALSE_ALARMS: [(&str, &str); 1] =
    // The layer calls a size too large that the driver itself allows.
    [("mock", "UNASSIGNED-vkAllocateMemory-maxMemoryAllocationSize")];

/// The layer that checks everything.
pub const LAYER: &CStr = c"VK_LAYER_KHRONOS_validation";

/// The messages of one instance.
#[derive(Debug, Default)]
pub struct Messages {
    driver: String,
    texts: Mutex<Vec<String>>,
}

impl Messages {
    pub fn new(driver: &str) -> Arc<Self> {
        Arc::new(Self { driver: driver.to_owned(), texts: Mutex::default() })
    }

    /// Fails with all messages, if there are any.
    pub fn assert_none(&self) {
        let texts = self.take();
        assert!(texts.is_empty(), "the validation layer is silent, not:\n{}", texts.join("\n"));
    }

    /// Takes what was said so far.
    pub fn take(&self) -> Vec<String> {
        core::mem::take(&mut self.texts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What makes a messenger send its messages here, for as long as `self` lives.
    pub fn messenger(self: &Arc<Self>) -> vk::DebugUtilsMessengerCreateInfoEXT<'static> {
        let user: *const Self = Arc::as_ptr(self);
        vk::DebugUtilsMessengerCreateInfoEXT::default()
            .message_severity(
                vk::DebugUtilsMessageSeverityFlagsEXT::WARNING
                    | vk::DebugUtilsMessageSeverityFlagsEXT::ERROR,
            )
            .message_type(
                vk::DebugUtilsMessageTypeFlagsEXT::GENERAL
                    | vk::DebugUtilsMessageTypeFlagsEXT::VALIDATION
                    | vk::DebugUtilsMessageTypeFlagsEXT::PERFORMANCE,
            )
            .pfn_user_callback(Some(collect))
            .user_data(user.cast_mut().cast())
    }

    fn add(&self, id: &str, text: &str) {
        let is_false = |(driver, alarm): &(&str, &str)| self.driver == *driver && id == *alarm;
        if !FALSE_ALARMS.iter().any(is_false) {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            texts.push(format!("{id}: {text}"));
        }
    }
}

/// # Safety
///
/// - `data` is null or what Vulkan hands to a messenger.
/// - `user` is what [`Messages::messenger`] said, and the messages live.
unsafe extern "system" fn collect(
    _severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    _kind: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    user: *mut c_void,
) -> vk::Bool32 {
    // SAFETY: The caller promises messages that live.
    let messages = unsafe { &*user.cast::<Messages>() };
    // SAFETY: The caller promises Vulkan's data, or null.
    if let Some(data) = unsafe { data.as_ref() } {
        // SAFETY: In Vulkan's data the strings are null or closed by a zero.
        let id = unsafe { data.message_id_name_as_c_str() }.unwrap_or_default();
        // SAFETY: As above.
        let text = unsafe { data.message_as_c_str() }.unwrap_or_default();
        messages.add(&id.to_string_lossy(), &text.to_string_lossy());
    }
    vk::FALSE
}

/// Which of its checkers the layer can be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checker {
    /// There is no layer.
    None,
    /// By `VK_EXT_layer_settings`.
    BySettings,
    /// By its elder, `VK_EXT_validation_features`.
    ByFeatures,
}

impl Checker {
    /// Looks what the machine has.
    pub fn find(entry: &ash::Entry) -> Self {
        // SAFETY: The entry point came from a loaded library.
        let layers = unsafe { entry.enumerate_instance_layer_properties() }.unwrap_or_default();
        if !layers.iter().any(|layer| layer.layer_name_as_c_str() == Ok(LAYER)) {
            return Self::None;
        }
        // SAFETY: As above; the layer was just named.
        let offered = unsafe { entry.enumerate_instance_extension_properties(Some(LAYER)) };
        let offered = offered.unwrap_or_default();
        let settings = Ok(ext::layer_settings::NAME);
        match offered.iter().any(|extension| extension.extension_name_as_c_str() == settings) {
            true => Self::BySettings,
            false => Self::ByFeatures,
        }
    }

    /// The instance extensions that it takes.
    pub fn extension_names(self) -> &'static [&'static CStr] {
        match self {
            Self::None => &[],
            Self::BySettings => &[ext::debug_utils::NAME, ext::layer_settings::NAME],
            Self::ByFeatures => &[ext::debug_utils::NAME, ext::validation_features::NAME],
        }
    }
}
