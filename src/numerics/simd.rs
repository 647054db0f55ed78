//! The vector units of the machine for plain loops.
//!
//! Binaries are compiled for the oldest processor of their kind. With the feature `simd`, on by default,
//! loops over the numbers of a sample run in a version for the processor at hand. Each number is computed
//! by the same operations in the same order, so results of these loops do not depend on it. Those of matrix
//! products may: see `linalg/packed.rs`.

/// Calls a closure that is marked `#[inline(always)]`, as all it calls in a loop must be.
#[inline(always)]
#[cfg(feature = "simd")]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Calls a closure.
#[inline(always)]
#[cfg(not(feature = "simd"))]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    work()
}
