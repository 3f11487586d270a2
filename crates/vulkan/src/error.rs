//! What a driver's `VkResult` means to the heap.

use ash::vk;
use polder_device::DeviceError;

/// Translates a result that is not success.
pub(crate) fn device_error(result: vk::Result) -> DeviceError {
    match result {
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => DeviceError::OutOfDeviceMemory,
        vk::Result::ERROR_OUT_OF_HOST_MEMORY => DeviceError::OutOfHostMemory,
        vk::Result::ERROR_TOO_MANY_OBJECTS => DeviceError::TooManyBlocks,
        vk::Result::ERROR_MEMORY_MAP_FAILED => DeviceError::MapFailed,
        vk::Result::ERROR_DEVICE_LOST => DeviceError::Lost,
        vk::Result::ERROR_VALIDATION_FAILED_EXT => {
            DeviceError::Invalid { rule: "the validation layer lets no faulty call pass" }
        }
        vk::Result::ERROR_INVALID_EXTERNAL_HANDLE => {
            DeviceError::Invalid { rule: "a handle names memory that this driver can import" }
        }
        other => DeviceError::Other { code: other.as_raw() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_heap_can_act_on_keeps_its_meaning() {
        let lost = device_error(vk::Result::ERROR_DEVICE_LOST);
        let full = device_error(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY);
        let odd = device_error(vk::Result::ERROR_COMPRESSION_EXHAUSTED_EXT);

        assert_eq!(lost, DeviceError::Lost);
        assert_eq!(full, DeviceError::OutOfDeviceMemory);
        assert_eq!(odd, DeviceError::Other { code: -1_000_338_000 });
    }
}
