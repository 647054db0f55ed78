//! Vectors of probabilities.

use crate::error::{Argument, Error, Result};

/// By how much the sum of probabilities that were computed in `f64` may miss 1.
pub(crate) const ROUNDING: f64 = 1e-9;

/// The sum of probabilities, which is 1 up to a tolerance. An entry k that is none is named by `place(k)`, and the whole
/// vector by `whole` if the sum is another.
pub(crate) fn sum_of_probabilities(
    entries: &[f64],
    tolerance: f64,
    place: impl Fn(usize) -> Argument,
    whole: impl Into<Argument>,
) -> Result<f64> {
    let is_none = |entry: &&f64| !(**entry >= 0.0 && entry.is_finite());
    if let Some((index, &entry)) = entries.iter().enumerate().find(|(_, entry)| is_none(entry)) {
        return Err(Error::out_of_range(place(index), entry, "a probability"));
    }
    let sum: f64 = entries.iter().sum();
    if (sum - 1.0).abs() > tolerance {
        return Err(Error::out_of_range(whole, sum, "probabilities with the sum 1"));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_probability_is_named() {
        let sum = |entries: &[f64]| {
            sum_of_probabilities(entries, ROUNDING, |index| Argument::at("label", index), "label")
        };
        assert_eq!(sum(&[0.25, 0.75]), Ok(1.0));
        assert_eq!(sum(&[1.0 + 5e-10, 0.0]), Ok(1.0 + 5e-10));
        for bad in [-0.25, f64::NAN, f64::INFINITY] {
            let Err(Error::OutOfRange { argument, .. }) = sum(&[1.0, bad]) else { panic!("{bad}") };
            assert_eq!(argument, Argument::at("label", 1));
        }
        for bad in [&[0.5, 0.25][..], &[1.0 + 2e-9], &[]] {
            let Err(Error::OutOfRange { argument, .. }) = sum(bad) else { panic!("{bad:?}") };
            assert_eq!(argument, "label".into());
        }
    }
}
