//! Parts of a product.

#[cfg(feature = "simd")]
use std::ops::Range;

/// Which entries of a product are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Entries {
    All,
    /// Those in row i and column j with i ≥ j plus this number; others may be left out.
    FromDiagonal(isize),
    /// Those of so many rows.
    FirstRows(usize),
}

#[cfg(feature = "simd")]
impl Entries {
    /// How many columns have a wanted entry in some rows.
    #[inline(always)]
    pub(crate) fn columns(self, rows: &Range<usize>, columns: usize) -> usize {
        match self {
            Self::FromDiagonal(first) => columns.min(rows.end.saturating_add_signed(-first)),
            Self::FirstRows(count) if rows.start >= count => 0,
            Self::All | Self::FirstRows(_) => columns,
        }
    }

    /// The same for the columns after some of them.
    pub(crate) fn after(self, columns: usize) -> Self {
        match self {
            Self::FromDiagonal(first) => Self::FromDiagonal(first.saturating_add_unsigned(columns)),
            Self::All | Self::FirstRows(_) => self,
        }
    }
}
