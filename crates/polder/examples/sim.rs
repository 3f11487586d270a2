//! A staging buffer and a texture on the software device: the same as `vulkan.rs`, everywhere.

use polder::device::sim::{BufferInfo, ImageCopy, ImageInfo, Preset, Sim};
use polder::{Access, Allocator, Factory, Options, Strategy, Wish};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let sim = Sim::preset(Preset::AmdNavi31);
    let allocator = Allocator::new(sim.clone(), Options::default());

    let texels = [7; 256 << 10];
    let len = texels.len() as u64;
    let info = BufferInfo { size: len, ..BufferInfo::default() };
    let mut staging = allocator.create_buffer(&info, &Wish::of(Access::HostWrites))?;
    allocator.write(staging.allocation_mut(), 0, &texels)?;
    let texture = allocator.create_image(&ImageInfo::default(), &Wish::of(Access::DeviceOnly))?;
    println!("{:?} to {texture:?}", staging.handle());

    let (buffer, image) = (staging.handle(), texture.handle());
    let copy = ImageCopy { buffer, buffer_offset: 0, image, image_offset: 0, len };
    // SAFETY: This thread alone has the memory, and uses no pointer into it meanwhile.
    unsafe { sim.copy_buffer_to_image(&copy) }?;

    allocator.destroy_buffer(staging)?;
    allocator.destroy_image(texture)?;
    allocator.shutdown()?; // Names what was forgotten.
    assert_eq!(sim.violations(), []);
    Ok(())
}
