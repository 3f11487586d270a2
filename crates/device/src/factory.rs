//! Buffers and images with their memory, in one call.
//!
//! [`Factory`] works over every [`Strategy`], a user's own too. Whatever step fails, those before
//! it are undone and the error says which it was.

use crate::allocation::Allocation;
use crate::allocator::{Freeable, Waiting};
use crate::device::{Resource, Resources};
use crate::error::{Contradiction, CreateError, FreeError};
use crate::request::{Request, Wish};
use crate::strategy::Strategy;
use crate::usage::Intent;
use core::fmt;

/// Which sort of resource a [`Bound`] is.
pub trait Sort<D: Resources> {
    /// The device's handle.
    type Handle: Copy + fmt::Debug + Send + Sync + 'static;

    /// Names the handle as a resource.
    fn resource(handle: Self::Handle) -> Resource<D::Buffer, D::Image>;
}

/// The sort of buffers.
#[derive(Debug)]
pub enum BufferSort {}
/// The sort of images.
#[derive(Debug)]
pub enum ImageSort {}

impl<D: Resources> Sort<D> for BufferSort {
    type Handle = D::Buffer;

    fn resource(handle: D::Buffer) -> Resource<D::Buffer, D::Image> {
        Resource::Buffer(handle)
    }
}

impl<D: Resources> Sort<D> for ImageSort {
    type Handle = D::Image;

    fn resource(handle: D::Image) -> Resource<D::Buffer, D::Image> {
        Resource::Image(handle)
    }
}

/// A buffer or an image, and the memory that it is bound to.
///
/// It is destroyed by value, by the factory that made it; dropping it destroys nothing.
#[must_use = "a resource that is dropped stays until its allocator ends"]
pub struct Bound<D: Resources, S: Sort<D>> {
    handle: S::Handle,
    allocation: Allocation<D>,
}

/// A buffer with its memory.
pub type Buffer<D> = Bound<D, BufferSort>;
/// An image with its memory.
pub type Image<D> = Bound<D, ImageSort>;

impl<D: Resources, S: Sort<D>> Bound<D, S> {
    /// Returns the device's handle.
    #[must_use]
    pub const fn handle(&self) -> S::Handle {
        self.handle
    }

    /// Returns its memory.
    pub const fn allocation(&self) -> &Allocation<D> {
        &self.allocation
    }

    /// Returns its memory, to write it.
    pub const fn allocation_mut(&mut self) -> &mut Allocation<D> {
        &mut self.allocation
    }

    /// Puts another resource in the place of this one, which comes back.
    pub(crate) const fn replace_handle(&mut self, handle: S::Handle) -> S::Handle {
        core::mem::replace(&mut self.handle, handle)
    }

    /// Parts the resource from its memory: the caller destroys the one and frees the other.
    pub fn into_parts(self) -> (S::Handle, Allocation<D>) {
        (self.handle, self.allocation)
    }

    /// Joins what [`into_parts`](Self::into_parts) parted.
    ///
    /// # Safety
    ///
    /// The resource is live and bound to this allocation.
    pub const unsafe fn from_parts(handle: S::Handle, allocation: Allocation<D>) -> Self {
        Self { handle, allocation }
    }
}

impl<D: Resources, S: Sort<D>> fmt::Debug for Bound<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}", self.handle, self.allocation)
    }
}

impl<D: Resources, S: Sort<D>> Freeable<D> for Bound<D, S> {
    fn memory(&self) -> &Allocation<D> {
        &self.allocation
    }

    fn into_waiting(self) -> Waiting<D> {
        let destroy = Some((destroy::<D> as _, S::resource(self.handle)));
        Waiting { destroy, allocation: self.allocation }
    }
}

fn destroy<D: Resources>(device: &D, resource: Resource<D::Buffer, D::Image>) {
    // SAFETY: A `Bound` has a live resource and is taken by value; that nothing uses it any more
    // is what the caller says by completing the frame or by freeing it.
    unsafe { device.destroy(resource) };
}

/// Makes and destroys resources with their memory, over any strategy.
pub trait Factory<D: Resources>: Strategy<D> {
    /// Returns the wish for a buffer that somebody who knows VMA would make.
    ///
    /// # Errors
    ///
    /// As [`Intent::wish`].
    fn buffer_wish(
        &self,
        info: &D::BufferInfo<'_>,
        intent: &Intent,
    ) -> Result<Wish<'static>, Contradiction> {
        let device = self.device();
        intent.wish(device.properties().kind, device.buffer_used_by(info))
    }

    /// Returns the wish for an image that somebody who knows VMA would make.
    ///
    /// # Errors
    ///
    /// As [`Intent::wish`].
    fn image_wish(
        &self,
        info: &D::ImageInfo<'_>,
        intent: &Intent,
    ) -> Result<Wish<'static>, Contradiction> {
        let device = self.device();
        intent.wish(device.properties().kind, device.image_used_by(info))
    }

    /// Creates a buffer, allocates memory for it and binds the two.
    ///
    /// # Errors
    ///
    /// [`CreateError`] names the step that failed; those before it are undone.
    fn create_buffer(
        &self,
        info: &D::BufferInfo<'_>,
        wish: &Wish<'_>,
    ) -> Result<Buffer<D>, CreateError> {
        let device = self.device();
        let handle = device.create_buffer(info).map_err(CreateError::Create)?;
        let resource = Resource::Buffer(handle);
        // SAFETY: The device just made it.
        let requirements = unsafe { device.requirements(resource) };
        let mut request = Request::new(requirements, *wish);
        request.resource = Some(resource);
        request.device_address = device.needs_device_address(info);
        let allocation = bind(self, resource, &request)?;
        Ok(Bound { handle, allocation })
    }

    /// Creates an image, allocates memory for it and binds the two.
    ///
    /// # Errors
    ///
    /// [`CreateError`] names the step that failed; those before it are undone.
    fn create_image(
        &self,
        info: &D::ImageInfo<'_>,
        wish: &Wish<'_>,
    ) -> Result<Image<D>, CreateError> {
        let device = self.device();
        let handle = device.create_image(info).map_err(CreateError::Create)?;
        let resource = Resource::Image(handle);
        // SAFETY: The device just made it.
        let requirements = unsafe { device.requirements(resource) };
        let mut request = Request::new(requirements, *wish);
        request.resource = Some(resource);
        request.tiling = device.tiling(info);
        let allocation = bind(self, resource, &request)?;
        Ok(Bound { handle, allocation })
    }

    /// Destroys a buffer and frees its memory. The device has ended all work with it.
    ///
    /// # Errors
    ///
    /// It is another allocator's, or its memory was freed; it comes back.
    fn destroy_buffer(&self, buffer: Buffer<D>) -> Result<(), FreeError<Buffer<D>>> {
        release(self, buffer)
    }

    /// Destroys an image and frees its memory. The device has ended all work with it.
    ///
    /// # Errors
    ///
    /// It is another allocator's, or its memory was freed; it comes back.
    fn destroy_image(&self, image: Image<D>) -> Result<(), FreeError<Image<D>>> {
        release(self, image)
    }
}

impl<D: Resources, S: Strategy<D> + ?Sized> Factory<D> for S {}

/// Allocates for a new resource and binds it; destroys it when either fails.
fn bind<D: Resources, S: Strategy<D> + ?Sized>(
    strategy: &S,
    resource: Resource<D::Buffer, D::Image>,
    request: &Request<'_, D>,
) -> Result<Allocation<D>, CreateError> {
    let device = strategy.device();
    let undo = |error| {
        destroy(device, resource);
        error
    };
    let allocation =
        strategy.allocate(request).map_err(|error| undo(CreateError::Allocate(error)))?;
    // SAFETY: The resource is new, so it has no memory; the allocation is of this device and live,
    // meets the requirements, and is nobody else's.
    let bound = unsafe { device.bind(resource, allocation.memory(), allocation.offset()) };
    if let Err(error) = bound {
        destroy(device, resource);
        strategy.undo(allocation).expect("the allocation was just made here");
        return Err(CreateError::Bind(error));
    }
    Ok(allocation)
}

/// Destroys a resource and frees its memory, if the memory is the strategy's.
fn release<D: Resources, S: Sort<D>>(
    strategy: &(impl Strategy<D> + ?Sized),
    bound: Bound<D, S>,
) -> Result<(), FreeError<Bound<D, S>>> {
    if let Err(reason) = strategy.expect_live(&bound.allocation) {
        return Err(FreeError { reason, allocation: bound });
    }
    let Bound { handle, allocation } = bound;
    destroy(strategy.device(), S::resource(handle));
    strategy.free(allocation).map_err(|FreeError { reason, allocation }| {
        // Another thread freed the memory by its name at this very moment.
        FreeError { reason, allocation: Bound { handle, allocation } }
    })
}
