//! The vector units of the machine for plain loops.
//!
//! Binaries are compiled for the oldest processor of their kind. With the feature `simd`, on by default,
//! loops over the numbers of a sample run in a version for the processor at hand. Each number is computed
//! by the same operations in the same order, so results of these loops do not depend on it. Those of matrix
//! products may: see `linalg/packed.rs`.

/// Calls a closure that is marked `#[inline(always)]`, as all it calls in a loop must be.
#[inline(always)]
#[cfg(feature = "simd")]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Calls a closure.
#[inline(always)]
#[cfg(not(feature = "simd"))]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Bytes that a cache loads at once.
pub(crate) const LINE: usize = 64;

/// Asks the memory for numbers that are needed soon. It changes no result; without the feature `simd`, or on other
/// processors than x86-64, it does nothing.
#[derive(Clone, Copy)]
pub(crate) struct Prefetch(Option<Asking>);

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
type Asking = pulp::x86::V1;
#[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
type Asking = std::convert::Infallible;

impl Prefetch {
    pub(crate) fn new() -> Self {
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        return Self(Asking::try_new());
        #[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
        Self(None)
    }

    /// Asks for the cache line of the number at a place.
    #[inline(always)]
    pub(crate) fn ask<T>(self, numbers: &[T], place: usize) {
        let Some(asking) = self.0 else { return };
        let number = numbers.as_ptr().wrapping_add(place);
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        {
            /// Into the second cache: what is being computed needs the nearest one for itself.
            const SECOND: i32 = 2;
            asking.sse._mm_prefetch::<SECOND>(number.cast());
        }
        #[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
        match (asking, number) {}
    }

    /// The same for some places of a sample, but only of its beginning: further on the processor sees itself where this
    /// leads, and asks earlier.
    #[cfg(feature = "simd")]
    #[inline(always)]
    pub(crate) fn ask_for_beginning<T>(self, sample: &[T], places: std::ops::Range<usize>) {
        /// Bytes that are asked for.
        const BEGINNING: usize = 2048;
        if places.start < BEGINNING / size_of::<T>() {
            for place in places.step_by(LINE / size_of::<T>()) {
                self.ask(sample, place);
            }
        }
    }
}
