//! Features below zero, where they were said to come out of a ReLU.

/// The features below zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Negatives {
    width: usize,
    /// All features so far.
    seen: usize,
    /// Those below zero.
    found: usize,
    /// The first of them, with its place among all.
    first: Option<(usize, f64)>,
}

impl Negatives {
    /// None, of feature vectors of this length.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// Counts in the next features, one sample after the other.
    pub(crate) fn count(&mut self, numbers: &[f64]) {
        self.found += numbers.iter().filter(|number| **number < 0.0).count();
        if self.found > 0 && self.first.is_none() {
            let place = numbers.iter().position(|number| *number < 0.0);
            let first = place.and_then(|place| Some((place, *numbers.get(place)?)));
            self.first = first.map(|(place, value)| (self.seen + place, value));
        }
        self.seen += numbers.len();
    }

    /// Why no model of non-negative features is one of these.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let (place, value) = self.first?;
        let (sample, feature) = (place / self.width.max(1), place % self.width.max(1));
        Some(format!(
            "features are said not to be negative (--nonnegative-features or the metadata `nonnegative_features`), but {} \
             of {} numbers are; the first is {value:e}, feature {feature} of sample {sample}, both counted from 0",
            self.found, self.seen
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_over_several_batches() {
        let mut negatives = Negatives::new(3);
        negatives.count(&[0.0, 1.0, -0.0, 2.0, 0.5, 3.0]);
        assert_eq!(negatives.contradiction(), None);
        negatives.count(&[1.0, 0.0, -0.25, -1.0, 0.0, 0.0]);
        negatives.count(&[-7.0, 0.0, 0.0]);
        let text = negatives.contradiction().unwrap();
        assert!(text.contains("but 3 of 15 numbers are"), "{text}");
        assert!(text.contains("-2.5e-1, feature 2 of sample 2"), "{text}");
    }
}
