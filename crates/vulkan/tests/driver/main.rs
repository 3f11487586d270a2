//! The device heap on whatever Vulkan driver the machine has.
//!
//! Each test makes an instance and a device of its own, with the validation layer where there is
//! one; any message of it fails the test. Without a driver the tests say so and pass, unless
//! `VULKAN_TEST_DRIVER` names one that should be there.

mod aids;
mod callbacks;
mod defragment;
mod device;
#[cfg(unix)]
mod external;
mod gpu;
mod heap;
mod later;
mod messages;
mod pools;
mod ranges;
mod sparse;
// What passes resources on is for `external` alone.
#[cfg_attr(not(unix), allow(dead_code))]
mod work;
