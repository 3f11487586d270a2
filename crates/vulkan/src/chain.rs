//! Chains of structures, as Vulkan hangs them onto its infos.

use ash::vk;
use core::ffi::c_void;
use core::iter::successors;

type Link = *const vk::BaseInStructure<'static>;

/// The structures of a chain, each with its type tag.
///
/// # Safety
///
/// - `first` is null or a structure of Vulkan's; each one names the next, the last one null.
/// - All of them live, and nobody writes them, until the iterator is gone.
pub(crate) unsafe fn links(
    first: *const c_void,
) -> impl Iterator<Item = (Link, vk::StructureType)> {
    let at = |link: Link| {
        // SAFETY: The caller promises that a structure of Vulkan's lives here; all begin like
        // this one.
        (!link.is_null()).then(|| (link, unsafe { *link }))
    };
    let links = successors(at(first.cast()), move |(_, link)| at(link.p_next));
    links.map(|(pointer, link)| (pointer, link.s_type))
}

/// The first structure of type `T` in a chain.
///
/// # Safety
///
/// As for [`links`], for as long as the answer is used.
pub(crate) unsafe fn find<'a, T: vk::TaggedStructure>(first: *const c_void) -> Option<&'a T> {
    // SAFETY: The caller promises what `links` asks for.
    let mut links = unsafe { links(first) };
    let (link, _) = links.find(|&(_, kind)| kind == T::STRUCTURE_TYPE)?;
    // SAFETY: The type tag says what the link is; that it lives is the caller's promise.
    Some(unsafe { &*link.cast() })
}
