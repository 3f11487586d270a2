//! The C functions of a peer written in C, under the standard names.
//!
//! `build.rs` lets the linker give these names to the peer's functions; the bodies here stand in
//! for a linker that does not.

use libc::{c_int, c_void};

#[cfg(any(feature = "mimalloc2", feature = "mimalloc3", feature = "mimalloc3-secure"))]
use libmimalloc_sys as _;
#[cfg(feature = "rpmalloc")]
use rpmalloc_sys as _;
#[cfg(feature = "snmalloc")]
use snmalloc_sys as _;
#[cfg(feature = "jemalloc")]
use tikv_jemalloc_sys as _;

macro_rules! forward {
    ($prefix:literal: $($name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {
        mod peer {
            use libc::{c_int, c_void};

            unsafe extern "C" {
                $(
                    #[link_name = concat!($prefix, stringify!($name))]
                    pub fn $name($($argument: $kind),*) $(-> $result)?;
                )*
            }
        }
        $(
            /// As the C standard or the system's manual says.
            ///
            /// # Safety
            ///
            /// As there.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $kind),*) $(-> $result)? {
                // SAFETY: The peer's function has the same contract, which the caller keeps.
                unsafe { peer::$name($($argument),*) }
            }
        )*
    };
}

macro_rules! forward_all {
    ($prefix:literal) => {
        forward! { $prefix:
            malloc(size: usize) -> *mut c_void;
            free(block: *mut c_void);
            calloc(count: usize, size: usize) -> *mut c_void;
            realloc(block: *mut c_void, size: usize) -> *mut c_void;
            memalign(align: usize, size: usize) -> *mut c_void;
            aligned_alloc(align: usize, size: usize) -> *mut c_void;
            posix_memalign(block: *mut *mut c_void, align: usize, size: usize) -> c_int;
            malloc_usable_size(block: *mut c_void) -> usize;
        }
    };
}

#[cfg(feature = "jemalloc")]
forward_all!("_rjem_");
#[cfg(any(feature = "mimalloc2", feature = "mimalloc3", feature = "mimalloc3-secure"))]
forward_all!("mi_");
#[cfg(feature = "rpmalloc")]
forward_all!("rp");
#[cfg(feature = "snmalloc")]
forward_all!("sn_");
