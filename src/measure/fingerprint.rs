//! Whether two accumulators belong to the same first pass, head and options.

/// FNV-1a over the bits of all that the sums of an accumulator depend on.
///
/// It goes with sums that are stored or sent, so that those of another first pass are refused. What is hashed is
/// what the user gave, or sums of it, and not products of matrices, whose last bits differ between machines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// Of nothing.
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// With more words.
    pub(crate) fn words(self, words: impl IntoIterator<Item = u64>) -> Self {
        Self(words.into_iter().fold(self.0, |hash, word| {
            (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
        }))
    }

    /// With more numbers.
    pub(crate) fn numbers<'a>(self, numbers: impl IntoIterator<Item = &'a f64>) -> Self {
        self.words(numbers.into_iter().map(|number| number.to_bits()))
    }

    /// With the first layers of a head.
    pub(crate) fn layers<'a>(
        self,
        layers: impl IntoIterator<Item = &'a nalgebra::DMatrix<f64>>,
    ) -> Self {
        layers.into_iter().fold(self, |fingerprint, layer| {
            fingerprint.words([layer.nrows() as u64, layer.ncols() as u64]).numbers(layer)
        })
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_word_counts() {
        let words = || [0].into_iter().chain((0..64).map(|bit| 1_u64 << bit));
        let values: std::collections::HashSet<u64> =
            words().map(|word| Fingerprint::new().words([word]).value()).collect();
        assert_eq!(values.len(), 65);
    }
}
