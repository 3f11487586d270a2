//! Whether an image is linear, read from its create info.
//!
//! Two of Vulkan's tilings say it outright. With the third, `DRM_FORMAT_MODIFIER`, an image is
//! linear when its modifier is zero, and the modifier hangs in the chain: one that the program
//! chose, or a list from which the driver chooses.

use crate::chain;
use ash::vk;
use polder_device::Tiling;

/// `DRM_FORMAT_MOD_LINEAR`.
const LINEAR: u64 = 0;

/// Returns the layout that `info` asks for; `None` where the driver may choose either.
pub(crate) fn tiling(info: &vk::ImageCreateInfo<'_>) -> Option<Tiling> {
    match info.tiling {
        vk::ImageTiling::LINEAR => Some(Tiling::Linear),
        vk::ImageTiling::OPTIMAL => Some(Tiling::Optimal),
        _ => common(modifiers(info)),
    }
}

/// The tiling that all of `modifiers` share.
fn common(modifiers: &[u64]) -> Option<Tiling> {
    let linear_count = modifiers.iter().filter(|&&modifier| modifier == LINEAR).count();
    match linear_count {
        0 => Some(Tiling::Optimal),
        all if all == modifiers.len() => Some(Tiling::Linear),
        _ => None,
    }
}

/// The modifiers that the chain of `info` allows.
fn modifiers<'a>(info: &'a vk::ImageCreateInfo<'_>) -> &'a [u64] {
    type Explicit<'a> = vk::ImageDrmFormatModifierExplicitCreateInfoEXT<'a>;
    type List<'a> = vk::ImageDrmFormatModifierListCreateInfoEXT<'a>;
    // SAFETY: A create info that is valid usage, as `Vulkan::new`'s caller promises, has a chain
    // of live structures; `info` borrows them.
    if let Some(one) = unsafe { chain::find::<Explicit<'a>>(info.p_next) } {
        return core::slice::from_ref(&one.drm_format_modifier);
    }
    // SAFETY: As above.
    let Some(list) = (unsafe { chain::find::<List<'a>>(info.p_next) }) else { return &[] };
    let count = list.drm_format_modifier_count as usize;
    // SAFETY: A valid list points to as many modifiers as it says; they are borrowed by `info` as
    // the chain is.
    unsafe { core::slice::from_raw_parts(list.p_drm_format_modifiers, count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: u64 = 0x0100_0000_0000_0002;

    fn drm<'a>() -> vk::ImageCreateInfo<'a> {
        vk::ImageCreateInfo::default().tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
    }

    fn of_list(modifiers: &[u64]) -> Option<Tiling> {
        let mut formats = vk::ImageFormatListCreateInfo::default();
        let mut list =
            vk::ImageDrmFormatModifierListCreateInfoEXT::default().drm_format_modifiers(modifiers);
        tiling(&drm().push_next(&mut list).push_next(&mut formats))
    }

    #[test]
    fn plain_tilings_speak_for_themselves() {
        let of =
            |tiling: vk::ImageTiling| super::tiling(&vk::ImageCreateInfo::default().tiling(tiling));
        assert_eq!(of(vk::ImageTiling::LINEAR), Some(Tiling::Linear));
        assert_eq!(of(vk::ImageTiling::OPTIMAL), Some(Tiling::Optimal));
    }

    #[test]
    fn a_chosen_modifier_is_linear_when_it_is_zero() {
        let of = |modifier| {
            let mut explicit = vk::ImageDrmFormatModifierExplicitCreateInfoEXT::default()
                .drm_format_modifier(modifier);
            tiling(&drm().push_next(&mut explicit))
        };
        assert_eq!(of(LINEAR), Some(Tiling::Linear));
        assert_eq!(of(OTHER), Some(Tiling::Optimal));
    }

    #[test]
    fn a_list_tells_only_what_all_its_modifiers_share() {
        assert_eq!(of_list(&[LINEAR]), Some(Tiling::Linear));
        assert_eq!(of_list(&[OTHER, OTHER]), Some(Tiling::Optimal));
        assert_eq!(of_list(&[OTHER, LINEAR]), None);
    }
}
