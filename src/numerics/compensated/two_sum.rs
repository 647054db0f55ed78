//! A sum and what rounding has lost of it.

/// Sums with what rounding has lost of each.
pub(super) struct Sums<'a> {
    pub(super) rounded: &'a mut [f64],
    pub(super) corrections: &'a mut [f64],
}

/// Adds a term to a sum and what rounding loses to the correction (Knuth's two-sum).
#[inline(always)]
pub(super) fn add(sum: &mut f64, correction: &mut f64, term: f64) {
    let rounded = *sum + term;
    let added = rounded - *sum;
    *correction += (*sum - (rounded - added)) + (term - added);
    *sum = rounded;
}
