//! Buffers and images with their memory, in one call.
//!
//! [`Factory`] works over every [`Strategy`], a user's own too. Whatever step fails, those before
//! it are undone and the error says which it was.

mod place;

pub use place::expect_place;

use crate::allocation::Allocation;
use crate::device::{Resource, Resources, Tiling};
use crate::error::{AllocError, Contradiction, CreateError, FreeError};
use crate::frame_queue::{Freeable, Waiting};
use crate::request::{Placement, Request, Wish};
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
        bind_new(self, make_buffer(self, info, wish, None)?)
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
        bind_new(self, make_image(self, info, wish, None)?)
    }

    /// Creates a buffer in a block of its own, of which the device is told `extra`.
    ///
    /// # Errors
    ///
    /// As [`create_buffer`](Self::create_buffer).
    fn create_dedicated_buffer(
        &self,
        info: &D::BufferInfo<'_>,
        wish: &Wish<'_>,
        extra: &D::Extra,
    ) -> Result<Buffer<D>, CreateError> {
        let wish = Wish { placement: Placement::Dedicated, ..*wish };
        let made = make_buffer(self, info, &wish, Some(extra))?;
        bind_new(self, made)
    }

    /// Creates an image in a block of its own, of which the device is told `extra`.
    ///
    /// # Errors
    ///
    /// As [`create_image`](Self::create_image).
    fn create_dedicated_image(
        &self,
        info: &D::ImageInfo<'_>,
        wish: &Wish<'_>,
        extra: &D::Extra,
    ) -> Result<Image<D>, CreateError> {
        let wish = Wish { placement: Placement::Dedicated, ..*wish };
        let made = make_image(self, info, &wish, Some(extra))?;
        bind_new(self, made)
    }

    /// Creates a buffer and allocates memory for it, and does not bind the two: the caller does, by
    /// [`bind`](Self::bind) or with the device's own call and whatever that takes beside.
    ///
    /// # Errors
    ///
    /// As [`create_buffer`](Self::create_buffer).
    fn create_unbound_buffer(
        &self,
        info: &D::BufferInfo<'_>,
        wish: &Wish<'_>,
    ) -> Result<Buffer<D>, CreateError> {
        make_buffer(self, info, wish, None)
    }

    /// Creates an image and allocates memory for it, and does not bind the two.
    ///
    /// # Errors
    ///
    /// As [`create_image`](Self::create_image).
    fn create_unbound_image(
        &self,
        info: &D::ImageInfo<'_>,
        wish: &Wish<'_>,
    ) -> Result<Image<D>, CreateError> {
        make_image(self, info, wish, None)
    }

    /// Creates a buffer in an allocation where other resources may lie, `offset` bytes from its
    /// begin. Destroying it, before the allocation is freed, is the caller's part.
    ///
    /// ```
    /// use polder_device::sim::{BufferInfo, Preset, Sim};
    /// use polder_device::{Aliasing, Allocator, Factory, Options, Strategy, Wish};
    /// use polder_device::{Resource, Resources};
    ///
    /// let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), Options::default());
    /// let wish = Wish { aliasing: Aliasing::Allowed, ..Wish::default() };
    /// let large = BufferInfo { size: 64 << 10, ..BufferInfo::default() };
    /// let small = BufferInfo { size: 4 << 10, ..BufferInfo::default() };
    /// let first = allocator.create_buffer(&large, &wish)?;
    /// let second = allocator.create_aliasing_buffer(&small, first.allocation(), 8 << 10)?;
    /// // SAFETY: It was just made, and nothing uses it.
    /// unsafe { allocator.device().destroy(Resource::Buffer(second)) };
    /// allocator.destroy_buffer(first)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CreateError`] names the step that failed; those before it are undone.
    fn create_aliasing_buffer(
        &self,
        info: &D::BufferInfo<'_>,
        allocation: &Allocation<D>,
        offset: u64,
    ) -> Result<D::Buffer, CreateError> {
        let handle = self.device().create_buffer(info).map_err(CreateError::Create)?;
        bind_alias(self, Resource::Buffer(handle), allocation, offset)?;
        Ok(handle)
    }

    /// Creates an image in an allocation where other resources may lie, as
    /// [`create_aliasing_buffer`](Self::create_aliasing_buffer) does with a buffer.
    ///
    /// # Errors
    ///
    /// [`CreateError`] names the step that failed; those before it are undone.
    fn create_aliasing_image(
        &self,
        info: &D::ImageInfo<'_>,
        allocation: &Allocation<D>,
        offset: u64,
    ) -> Result<D::Image, CreateError> {
        let handle = self.device().create_image(info).map_err(CreateError::Create)?;
        bind_alias(self, Resource::Image(handle), allocation, offset)?;
        Ok(handle)
    }

    /// Allocates memory for a resource that the caller has made, and does not bind it. `tiling` is
    /// that of an image, and linear for a buffer.
    ///
    /// # Errors
    ///
    /// Those of [`AllocError`]; nothing has changed.
    ///
    /// # Safety
    ///
    /// `resource` came from this strategy's device, is live and is not a disjoint image.
    unsafe fn allocate_for(
        &self,
        resource: Resource<D::Buffer, D::Image>,
        tiling: Tiling,
        wish: &Wish<'_>,
    ) -> Result<Allocation<D>, AllocError> {
        // SAFETY: The caller promises that the resource is this device's and live.
        let requirements = unsafe { self.device().requirements(resource) };
        let mut request = Request::new(requirements, *wish);
        (request.resource, request.tiling) = (Some(resource), tiling);
        // What a buffer was made with is not to be asked of the device.
        request.device_address = matches!(resource, Resource::Buffer(_));
        self.allocate(&request)
    }

    /// Binds a resource to an allocation, `offset` bytes from its begin.
    ///
    /// # Errors
    ///
    /// [`CreateError::Place`] when it cannot lie there, and nothing has changed;
    /// [`CreateError::Bind`] when the device fails, and the resource can only be destroyed then.
    ///
    /// # Safety
    ///
    /// - `resource` came from this strategy's device, is live, has no memory and is not a disjoint
    ///   image.
    /// - Nothing else lies there.
    unsafe fn bind(
        &self,
        resource: Resource<D::Buffer, D::Image>,
        allocation: &Allocation<D>,
        offset: u64,
    ) -> Result<(), CreateError> {
        // SAFETY: The caller promises that the resource is this device's and live.
        let placed = unsafe { expect_place(self, resource, allocation, offset) };
        placed.map_err(CreateError::Place)?;
        let place = allocation.offset() + offset;
        // SAFETY: The caller promises a live resource without memory and a place of its own; the
        // allocation lives and the place satisfies the requirements, as was just checked.
        let bound = unsafe { self.device().bind(resource, allocation.memory(), place) };
        bound.map_err(CreateError::Bind)
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

/// Creates a buffer and allocates for it.
fn make_buffer<D: Resources, S: Strategy<D> + ?Sized>(
    strategy: &S,
    info: &D::BufferInfo<'_>,
    wish: &Wish<'_>,
    extra: Option<&D::Extra>,
) -> Result<Buffer<D>, CreateError> {
    let device = strategy.device();
    let handle = device.create_buffer(info).map_err(CreateError::Create)?;
    let resource = Resource::Buffer(handle);
    // SAFETY: The device just made it.
    let requirements = unsafe { device.requirements(resource) };
    let mut request = Request::new(requirements, *wish);
    (request.resource, request.extra) = (Some(resource), extra);
    request.device_address = device.needs_device_address(info);
    request.usage = device.buffer_usage(info);
    let allocation = allocate_new(strategy, resource, &request)?;
    Ok(Bound { handle, allocation })
}

/// Creates an image and allocates for it.
fn make_image<D: Resources, S: Strategy<D> + ?Sized>(
    strategy: &S,
    info: &D::ImageInfo<'_>,
    wish: &Wish<'_>,
    extra: Option<&D::Extra>,
) -> Result<Image<D>, CreateError> {
    let device = strategy.device();
    let handle = device.create_image(info).map_err(CreateError::Create)?;
    let resource = Resource::Image(handle);
    // SAFETY: The device just made it.
    let requirements = unsafe { device.requirements(resource) };
    let mut request = Request::new(requirements, *wish);
    (request.resource, request.extra) = (Some(resource), extra);
    request.tiling = device.tiling(info);
    request.usage = device.image_usage(info);
    let allocation = allocate_new(strategy, resource, &request)?;
    Ok(Bound { handle, allocation })
}

/// Allocates for a new resource; destroys it when there is no memory.
fn allocate_new<D: Resources, S: Strategy<D> + ?Sized>(
    strategy: &S,
    resource: Resource<D::Buffer, D::Image>,
    request: &Request<'_, D>,
) -> Result<Allocation<D>, CreateError> {
    strategy.allocate(request).map_err(|error| {
        destroy(strategy.device(), resource);
        CreateError::Allocate(error)
    })
}

/// Binds a new resource to the memory that was allocated for it; undoes both when that fails.
fn bind_new<D: Resources, S: Sort<D>>(
    strategy: &(impl Strategy<D> + ?Sized),
    made: Bound<D, S>,
) -> Result<Bound<D, S>, CreateError> {
    let (device, resource) = (strategy.device(), S::resource(made.handle));
    let (memory, offset) = (made.allocation.memory(), made.allocation.offset());
    // SAFETY: The resource is new, so it has no memory; the allocation is of this device and live,
    // meets the requirements, and is nobody else's.
    match unsafe { device.bind(resource, memory, offset) } {
        Ok(()) => Ok(made),
        Err(error) => {
            destroy(device, resource);
            strategy.undo(made.allocation).expect("the allocation was just made here");
            Err(CreateError::Bind(error))
        }
    }
}

/// Binds a new resource where others lie; destroys it when that fails.
fn bind_alias<D: Resources, S: Strategy<D> + ?Sized>(
    strategy: &S,
    resource: Resource<D::Buffer, D::Image>,
    allocation: &Allocation<D>,
    offset: u64,
) -> Result<(), CreateError> {
    let device = strategy.device();
    // SAFETY: Our callers have just made the resource.
    let placed = unsafe { expect_place(strategy, resource, allocation, offset) };
    let bound = placed.map_err(CreateError::Place).and_then(|()| {
        let place = allocation.offset() + offset;
        // SAFETY: The resource is new, so it has no memory; the allocation lives and the place
        // satisfies the requirements, as was just checked.
        let bound = unsafe { device.bind_alias(resource, allocation.memory(), place) };
        bound.map_err(CreateError::Bind)
    });
    bound.inspect_err(|_| destroy(device, resource))
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
