//! The problem with several tags per sample: what is trained, checked once.

use crate::error::{Argument, Error, Result};
use crate::problem::regularization::Regularization;
use crate::problem::widths::Widths;

/// Pick-all-labels cross-entropy on unconstrained features, where a sample carries a set S of tags out of K and
/// every set of m tags has the same number n_m of samples:
///
/// ```math
/// min over W, H, b:   1/N Σ_S Σ_i Σ_{k∈S} CE(W h_Si + b, k) + λ_W/2 ‖W‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// with N = Σ n_m·binom(K, m) samples and features of dimension d ≥ K − 1. At the global minimum the classifier is a
/// simplex ETF and the logits of a set of m tags are α_m (1_S − m/K), so that its features are, up to one factor
/// for each m, the average of those of its tags. The sizes solve
///
/// ```math
/// α_m (m e^(α_m) + K − m) = s K/(Nκ) for every m,   s² = Σ_m n_m binom(K−2, m−1) α_m²,   κ = √(λ_W λ_H)
/// ```
///
/// and are all zero iff Σ_m n_m binom(K−2, m−1) ≤ N²κ². Sets that are not equally frequent are a case of
/// [`ConvexUfm::with_label_weights`](crate::models::convex::ConvexUfm::with_label_weights).
///
/// ```
/// use neural_collapse::Regularization;
/// use neural_collapse::models::multi_label::MultiLabelUfm;
///
/// // Ten tags: 100 images for each single tag, 10 for each pair.
/// let regularization = Regularization::new(&[5e-4], 1e-5)?;
/// let minimum = MultiLabelUfm::new(10, &[(1, 100), (2, 10)], regularization)?.global_minimum()?;
/// assert!(minimum.logit_size(1) > minimum.logit_size(2));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Li et al., *Neural Collapse in Multi-label Learning with Pick-all-label Loss* (ICML 2024), who show the
/// structure; the sizes and the threshold are derived in the project's `docs/closed-forms.md`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "crate::models::stored::StoredMultiLabel",
        into = "crate::models::stored::StoredMultiLabel"
    )
)]
pub struct MultiLabelUfm {
    classes: usize,
    /// Never empty.
    set_sizes: Vec<SetSize>,
    regularization: Regularization,
    widths: Option<Widths>,
}

/// All sets of one number of tags.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SetSize {
    /// m.
    pub(crate) tags: usize,
    /// n_m.
    pub(crate) samples: u64,
    /// binom(K, m).
    pub(crate) sets: f64,
}

impl MultiLabelUfm {
    /// The problem for K = `classes` tags, with (m, n_m) for every number m of tags that occurs.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two tags, if an m is not between 1 and K or occurs twice, or if an n_m is
    /// 0; [`Error::Empty`] without set sizes; [`Error::NoClosedForm`] with more than one layer;
    /// [`Error::Unrepresentable`] if binom(K, m) is out of the range of `f64`.
    pub fn new(
        classes: usize,
        samples_per_set: &[(usize, u64)],
        regularization: Regularization,
    ) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        if samples_per_set.is_empty() {
            return Err(Error::Empty { argument: "samples_per_set" });
        }
        if regularization.depth() > 1 {
            let problem = "the pick-all-labels loss with more than one layer";
            return Err(Error::NoClosedForm { problem });
        }
        let mut set_sizes: Vec<SetSize> = Vec::with_capacity(samples_per_set.len());
        for (index, &(tags, samples)) in samples_per_set.iter().enumerate() {
            let argument = Argument::at("samples_per_set", index);
            if tags == 0 || tags > classes || set_sizes.iter().any(|size| size.tags == tags) {
                let expected = "numbers of tags between 1 and the number of classes, each once";
                return Err(Error::out_of_range(argument, tags as f64, expected));
            }
            if samples == 0 {
                return Err(Error::out_of_range(argument, 0.0, "at least one sample a set"));
            }
            set_sizes.push(SetSize { tags, samples, sets: binomial(classes, tags)? });
        }
        Ok(Self { classes, set_sizes, regularization, widths: None })
    }

    /// The same problem with features of dimension `widths[0]`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one width, [`Error::OutOfRange`] if it is 0, [`Error::NoClosedForm`] if it is
    /// below K − 1.
    pub fn with_widths(mut self, widths: &[usize]) -> Result<Self> {
        let checked = Widths::new(widths, self.regularization.depth())?;
        if widths.iter().any(|&width| width + 1 < self.classes) {
            let problem = "the pick-all-labels loss with features of less than K − 1 dimensions";
            return Err(Error::NoClosedForm { problem });
        }
        self.widths = Some(checked);
        Ok(self)
    }

    /// Number of tags K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Every number m of tags that occurs, with the number n_m of samples of each set of m tags.
    #[must_use]
    pub fn samples_per_set(&self) -> impl ExactSizeIterator<Item = (usize, u64)> + '_ {
        self.set_sizes.iter().map(|size| (size.tags, size.samples))
    }

    pub(crate) fn set_sizes(&self) -> &[SetSize] {
        &self.set_sizes
    }

    /// The decays and the bias.
    #[must_use]
    pub fn regularization(&self) -> &Regularization {
        &self.regularization
    }

    /// The dimension of the features, or `None` if it is unlimited.
    #[must_use]
    pub fn widths(&self) -> Option<&[usize]> {
        self.widths.as_ref().map(Widths::as_slice)
    }

    /// Number of samples N, as a floating-point number: it may be beyond 2⁶⁴.
    #[must_use]
    pub fn samples(&self) -> f64 {
        self.set_sizes.iter().map(|size| size.samples as f64 * size.sets).sum()
    }

    /// All sets of tags, in the order of the columns of the features: by size as they were given, and sets of one size
    /// in lexicographic order.
    ///
    /// ```
    /// use neural_collapse::Regularization;
    /// use neural_collapse::models::multi_label::MultiLabelUfm;
    ///
    /// let ufm = MultiLabelUfm::new(3, &[(1, 9), (2, 4)], Regularization::new(&[1e-3], 1e-3)?)?;
    /// let sets: Vec<Vec<usize>> = ufm.tag_sets().collect();
    /// assert_eq!(sets, [vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2]]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn tag_sets(&self) -> impl Iterator<Item = Vec<usize>> + '_ {
        self.set_sizes.iter().flat_map(|size| self.sets_of(size.tags))
    }

    /// All sets of so many tags, in lexicographic order.
    pub(crate) fn sets_of(&self, tags: usize) -> impl Iterator<Item = Vec<usize>> + '_ {
        let first: Vec<usize> = (0..tags).collect();
        core::iter::successors(Some(first), |set| next_set(set, self.classes))
    }
}

/// The lexicographic successor of a set of indices below `classes`.
fn next_set(set: &[usize], classes: usize) -> Option<Vec<usize>> {
    let length = set.len();
    let movable =
        |&place: &usize| set.get(place).is_some_and(|&tag| tag + length < classes + place);
    let place = (0..length).rev().find(movable)?;
    let start = set.get(place)? + 1;
    let kept = set.iter().copied().take(place);
    Some(kept.chain(start..start + length - place).collect())
}

/// binom(n, m), within an ulp or so while the factors below are exact.
fn binomial(n: usize, m: usize) -> Result<f64> {
    let exact = (0..m.min(n - m) as u128).try_fold(1_u128, |binomial, i| {
        // A product of j + 1 consecutive numbers is divisible by (j + 1)!.
        Some(binomial.checked_mul(n as u128 - i)? / (i + 1))
    });
    let rounded = || {
        let factors = (0..m.min(n - m)).map(|i| (n - i) as f64 / (i + 1) as f64);
        factors.product::<f64>()
    };
    let value = exact.map_or_else(rounded, |exact| exact as f64);
    if value.is_finite() {
        return Ok(value);
    }
    let quantity = "the number of sets of tags";
    Err(Error::Unrepresentable { quantity, log10: f64::INFINITY })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binomials_are_exact_and_sets_complete() {
        assert_eq!(binomial(52, 5), Ok(2_598_960.0));
        assert_eq!(binomial(7, 7), Ok(1.0));
        assert!((binomial(1000, 30).unwrap() / 2.429_608_192_173_745e57 - 1.0).abs() < 1e-13);
        // As few factors as there can be: binomials on the way to the middle may be no number.
        assert_eq!(binomial(200, 198), Ok(19_900.0));
        assert_eq!(binomial(2000, 1970), binomial(2000, 30));
        assert!(binomial(10_000, 5_000).is_err());
        let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
        let ufm = MultiLabelUfm::new(7, &[(3, 1), (7, 2), (6, 1)], regularization).unwrap();
        let sets: Vec<_> = ufm.tag_sets().collect();
        assert_eq!(sets.len(), 35 + 1 + 7);
        assert!(sets.iter().all(|set| set.is_sorted_by(|a, b| a < b) && set[set.len() - 1] < 7));
        let distinct: std::collections::HashSet<_> = sets.iter().collect();
        assert_eq!(distinct.len(), sets.len());
    }
}
