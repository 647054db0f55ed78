//! Numbers that change places in the registers.

use crate::numerics::lanes::{Lanes, Square, transposed};

/// Transposes numbers, in the registers where the processor can.
#[derive(Clone, Copy)]
pub(super) struct Transposition(Option<Shuffling>);

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
type Shuffling = pulp::x86::V3;
#[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
type Shuffling = std::convert::Infallible;

impl Transposition {
    /// Calls a closure that is marked `#[inline(always)]`, as all it calls in a loop must be.
    #[inline(always)]
    pub(super) fn within<R>(work: impl FnOnce(Self) -> R) -> R {
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        if let Some(shuffling) = Shuffling::try_new() {
            return shuffling.vectorize(
                #[inline(always)]
                || work(Self(Some(shuffling))),
            );
        }
        work(Self(None))
    }

    /// The columns of some rows.
    #[inline(always)]
    pub(super) fn of<T: Lanes>(self, rows: &Square<T>) -> Square<T> {
        let Some(shuffling) = self.0 else { return transposed(rows) };
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        return T::transposed(shuffling, rows);
        #[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
        match shuffling {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::lanes::SIDE;

    #[test]
    fn rows_become_columns() {
        fn check<T: Lanes>(number: impl Fn(usize) -> T) {
            let rows = std::array::from_fn(|i| std::array::from_fn(|j| number(i * SIDE + j)));
            let columns = Transposition::within(
                #[inline(always)]
                |transposition| transposition.of(&rows),
            );
            for i in 0..SIDE {
                for j in 0..SIDE {
                    assert_eq!(columns[j][i], rows[i][j]);
                }
            }
            assert_eq!(Transposition(None).of(&rows), columns);
        }
        check(|number| number as f32);
        check(|number| number as f64);
    }
}
