//! What is known in closed form without solving the program: when classes merge, and when everything is zero.

use nalgebra::DMatrix;

use crate::error::{Error, Result, check_positive};
use crate::models::convex::problem::{ConvexUfm, Labels};
use crate::numerics::bracketed_root::sign_change;
use crate::numerics::linalg::svd_thin;
use crate::numerics::magnitude::balanced_product;
use crate::numerics::secular::{Centering, secular_pairs};
use crate::problem::kinds::Kind;
use crate::problem::regularization::Bias;
use crate::problem::training_objective::LossFunction;

impl ConvexUfm {
    /// n*/(1−δ)² = N² λ_W λ_H/((1−δ) ω)²: two classes of one size n and weight ω `class_weight` merge at the minimum, get the
    /// same classifier and the same mean, iff n is at most that. N is the number of samples, or Σᵢ ω_{yᵢ} for
    /// [`pytorch`](Self::pytorch).
    ///
    /// It is the same for every bias. Without weights and smoothing it is the threshold a = N² λ_W λ_H of the
    /// squared loss with one layer. Collapsed classes of different sizes are in general not merged exactly.
    ///
    /// ```
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{ClassCounts, Prediction, Regularization};
    ///
    /// let counts = ClassCounts::new(&[90, 30, 30, 10, 10])?;
    /// let ufm = ConvexUfm::cross_entropy(counts, Regularization::new(&[2e-2], 4e-2)?)?;
    /// assert!((ufm.merging_count(1.0)? - 23.12).abs() < 1e-10); // 170² · 8·10⁻⁴
    /// let outputs = ufm.global_minimum()?.class_outputs()?;
    /// assert_eq!(outputs.get(3, 3), outputs.get(3, 4));
    /// assert!(outputs.get(1, 1) > outputs.get(1, 2));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the weight is not positive and finite, [`Error::Unrepresentable`] if the number is out
    /// of range, [`Error::NoClosedForm`] for labels that are not classes.
    ///
    /// Source: the project's `docs/convex.md`.
    pub fn merging_count(&self, class_weight: f64) -> Result<f64> {
        check_positive("class_weight", class_weight)?;
        self.kinds_of_classes()?;
        let share = self.divisor() / ((1.0 - self.label_smoothing()) * class_weight);
        let decays = [self.weight_decay(), self.regularization().feature_decay()];
        let count = balanced_product([share, share, decays[0], decays[1]]);
        if count.is_normal() {
            return Ok(count);
        }
        let log10 = 2.0 * (share.log10() + self.price().log10());
        Err(Error::Unrepresentable { quantity: "the merging count", log10 })
    }

    /// The difference p_own − p_sibling of predicted probabilities at a sample of a class, between that class and
    /// another one of the same size and weight: max(0, 1 − δ − √(n*/n)), with [n*](Self::merging_count) at δ = 0.
    ///
    /// With the squared loss it is the difference of the outputs, by the same formula. `None` if there is no such
    /// class, and for labels that are not classes. For [`pytorch`](Self::pytorch) with smoothing the 1 − δ is that
    /// of the label.
    ///
    /// ```
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{ClassCounts, Regularization};
    ///
    /// let counts = ClassCounts::from_runs([(400, 2), (25, 8)])?; // N = 1000
    /// let ufm = ConvexUfm::cross_entropy(counts, Regularization::new(&[1e-2], 1e-2)?)?;
    /// assert!((ufm.probability_gap(0).unwrap() - 0.5).abs() < 1e-15); // n* = 100
    /// assert_eq!(ufm.probability_gap(5), Some(0.0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn probability_gap(&self, class: usize) -> Option<f64> {
        let size = self.counts().count(class)? as f64;
        let kinds = self.kinds()?;
        let [weight, _] = kinds.kinds().get(kinds.kind_of(class)?)?.numbers;
        let root = self.divisor() * (self.price() / size.sqrt());
        let gap = if let Labels::PyTorch { code, .. } = self.labels() {
            let own = (1.0 - code.label_smoothing()) * weight;
            (own - root) / code.entry_weight(weight)
        } else {
            1.0 - (self.label_smoothing() + root / weight)
        };
        Some(gap.max(0.0))
    }

    /// The decay product λ_W λ_H from which on W = H = 0 at the minimum: (1−δ)² μ/N² with the largest eigenvalue μ of
    ///
    /// ```math
    /// C D Ω² C (no bias)   or   (I − p1ᵀ) D Ω² (I − 1pᵀ), p ∝ ωn (a bias without a penalty)
    /// ```
    ///
    /// for D = diag(n), Ω = diag(ω), C = I − 11ᵀ/K. The bias is not zero there. Without weights these are
    /// C diag(n) C and diag(n) − nnᵀ/N, and the largest size n if two classes or more have it.
    ///
    /// ```
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{ClassCounts, Geometry, Prediction, Regularization};
    ///
    /// let ufm = |decay| {
    ///     let counts = ClassCounts::new(&[40, 20, 10])?;
    ///     ConvexUfm::cross_entropy(counts, Regularization::new(&[decay], decay)?)
    /// };
    /// let critical = ufm(1e-3)?.critical_decay_product()?.sqrt();
    /// assert_eq!(ufm(critical * 1.0001)?.global_minimum()?.geometry(), Geometry::Collapsed);
    /// assert_ne!(ufm(critical * 0.9999)?.global_minimum()?.geometry(), Geometry::Collapsed);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] for the squared loss, with a penalized bias, with logit offsets without a bias, for soft
    /// labels and for [`pytorch`](Self::pytorch) with smoothing; [`Error::NoConvergence`] if the eigenvalues could not be found.
    ///
    /// Source: the project's `docs/convex.md`.
    pub fn critical_decay_product(&self) -> Result<f64> {
        let kinds = self.kinds_of_classes()?;
        let smoothing = self.label_smoothing();
        let beyond = match (self.labels(), self.regularization().bias()) {
            (Labels::PyTorch { .. }, _) => smoothing > 0.0,
            (_, Bias::None) if self.logit_offsets().is_some() => true,
            (_, Bias::Regularized(_)) => true,
            _ => self.loss_function() == LossFunction::SquaredError,
        };
        if beyond {
            return Err(Error::NoClosedForm {
                problem: "the total collapse of the squared loss, with a penalized bias, logit offsets without a bias or soft labels",
            });
        }
        let eigenvalue = match self.regularization().bias() {
            Bias::None => largest_centered_by_classes(&levels(kinds.kinds())),
            _ => self.largest_centered_by_samples(kinds.kinds())?,
        };
        let root = eigenvalue.sqrt() * (1.0 - smoothing) / self.divisor();
        Ok(root * root)
    }

    /// The factor on both decays from which on W = H = 0 at the minimum, √(λ*/(λ_W λ_H)) with the
    /// [critical product](Self::critical_decay_product) λ*; below 1 if that is so already.
    ///
    /// # Errors
    /// As [`critical_decay_product`](Self::critical_decay_product).
    ///
    /// ```
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{ClassCounts, Regularization};
    ///
    /// let regularization = Regularization::new(&[1e-3], 1e-3)?;
    /// let ufm = ConvexUfm::cross_entropy(ClassCounts::balanced(4, 25)?, regularization)?;
    /// assert!((ufm.collapse_factor()? - 50.0).abs() < 1e-12); // √n/N = 0.05 = 50 κ
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn collapse_factor(&self) -> Result<f64> {
        Ok(self.critical_decay_product()?.sqrt() / self.price())
    }

    /// What the sum of the weighted losses is divided by.
    fn divisor(&self) -> f64 {
        match self.labels() {
            Labels::PyTorch { total, .. } => *total,
            Labels::Classes { .. } | Labels::Soft { .. } => self.counts().samples() as f64,
        }
    }

    /// The largest eigenvalue of (I − p1ᵀ) diag(ω²n) (I − 1pᵀ).
    fn largest_centered_by_samples(&self, kinds: &[Kind<2>]) -> Result<f64> {
        let [first, _] = kinds[0].numbers;
        if kinds.iter().all(|kind| kind.numbers[0] == first) {
            let groups = self.counts().groups();
            let largest = groups.first().filter(|group| group.class_count > 1);
            let within = largest.map(|group| group.size as f64);
            let between = secular_pairs(&self.counts().repeated_sizes(), Centering::Weighted);
            let between = between.first().map(|pair| pair.eigenvalue);
            // One class alone would have neither.
            let alone = || Error::out_of_range("classes", 1.0, "at least 2");
            return Ok(within.or(between).ok_or_else(alone)? * (first * first));
        }
        // The square of the largest singular value of D^½(I − 1 pᵀ), D of the levels and p of the shares: products
        // would cancel where one class has nearly all samples.
        let masses: Vec<f64> = kinds.iter().map(|kind| mass(kind) * kind.classes as f64).collect();
        let total: f64 = masses.iter().sum();
        let centered = DMatrix::from_fn(kinds.len(), kinds.len(), |g, h| {
            let others = masses.iter().enumerate().filter(|(index, _)| *index != g);
            let share = match g == h {
                true => others.map(|(_, mass)| mass).sum::<f64>(),
                false => {
                    -mass(&kinds[h]) * (kinds[g].classes as f64 * kinds[h].classes as f64).sqrt()
                }
            };
            level(&kinds[g]).sqrt() * (share / total)
        });
        // The quotient ‖Av‖²/‖v‖² of its singular vector v knows the last bits better than the singular value.
        let vector = svd_thin(&centered)?.v.column(0).into_owned();
        let between = (&centered * &vector).norm_squared() / vector.norm_squared();
        let within = kinds.iter().filter(|kind| kind.classes > 1).map(level);
        Ok(within.fold(between, f64::max))
    }
}

/// The distinct numbers ω²n by falling size, each with its number of classes.
fn levels(kinds: &[Kind<2>]) -> Vec<(f64, f64)> {
    let mut levels: Vec<_> = kinds.iter().map(|kind| (level(kind), kind.classes as f64)).collect();
    levels.sort_by(|a, b| b.0.total_cmp(&a.0));
    levels.dedup_by(|next, last| {
        let same = next.0 == last.0;
        if same {
            last.1 += next.1;
        }
        same
    });
    levels
}

/// ω²n.
fn level(kind: &Kind<2>) -> f64 {
    let [weight, _] = kind.numbers;
    weight * weight * kind.size as f64
}

/// ωn.
fn mass(kind: &Kind<2>) -> f64 {
    let [weight, _] = kind.numbers;
    weight * kind.size as f64
}

/// The largest eigenvalue of C diag(d) C, from the distinct numbers d by falling size, each with how often it
/// occurs: the largest d if it occurs twice, else d₁ − x with 1/x = Σ m_g/(d₁ − d_g − x) over the others.
fn largest_centered_by_classes(levels: &[(f64, f64)]) -> f64 {
    let Some((&(largest, members), others)) = levels.split_first() else { return 0.0 };
    let Some(&(second, _)) = others.first().filter(|_| members < 2.0) else { return largest };
    let offset = sign_change(0.0, largest - second, |x| {
        let sum: f64 = others.iter().map(|&(d, members)| members / ((largest - d) - x)).sum();
        x * sum - 1.0
    });
    largest - offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Prediction;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;

    fn regularization(decays: [f64; 2], bias: Bias) -> Regularization {
        Regularization::new(&[decays[0]], decays[1]).unwrap().with_bias(bias).unwrap()
    }

    fn counts(sizes: &[u64]) -> ClassCounts {
        ClassCounts::new(sizes).unwrap()
    }

    /// ω²n is 4 twice, by other sizes and weights, so that it is the largest eigenvalue of C diag(4, 4, 1) C.
    #[test]
    fn kinds_of_one_level_count_as_one() {
        let ufm =
            ConvexUfm::cross_entropy(counts(&[4, 1, 1]), regularization([1e-3; 2], Bias::None));
        let ufm = ufm.unwrap().with_class_weights(&[1.0, 2.0, 1.0]).unwrap();
        assert_eq!(levels(ufm.kinds().unwrap().kinds()), [(4.0, 2.0), (1.0, 1.0)]);
        assert!((ufm.critical_decay_product().unwrap() - 4.0 / 36.0).abs() < 1e-16);
        // √(4/36) of decays whose product has the root 10⁻³.
        assert!((ufm.collapse_factor().unwrap() * 3e-3 - 1.0).abs() < 1e-15);
        // 4, 1, 1: (4·2² + 1 + 1)/6 for (2, −1, −1), beside 1 for (0, 1, −1).
        let alone = largest_centered_by_classes(&[(4.0, 1.0), (1.0, 2.0)]);
        assert!((alone - 3.0).abs() < 1e-15, "{alone}");
        assert_eq!(largest_centered_by_classes(&[]), 0.0);
    }

    /// N² times the critical product is the largest eigenvalue of (I − p1ᵀ) D Ω² (I − 1pᵀ), p ∝ ωn, class by class.
    #[test]
    fn kinds_stand_for_their_classes_beside_a_free_bias() {
        for (sizes, weights) in [
            ([20, 4, 4, 3, 3, 3], [1.0, 2.0, 2.0, 0.5, 0.5, 0.5]),
            ([9, 4, 4, 30, 30, 30], [1.0, 0.5, 0.5, 1.5, 1.5, 1.5]),
            ([50, 4, 4, 4, 2, 2], [0.5, 1.0, 1.0, 1.0, 3.0, 3.0]),
        ] {
            let ufm = ConvexUfm::cross_entropy(
                counts(&sizes),
                regularization([1e-3; 2], Bias::Unregularized),
            );
            let ufm = ufm.unwrap().with_class_weights(&weights).unwrap();
            let masses = [0, 1, 2, 3, 4, 5].map(|k| weights[k] * sizes[k] as f64);
            let total: f64 = masses.iter().sum();
            let root = DMatrix::from_fn(6, 6, |k, l| {
                let centered = f64::from(u8::from(k == l)) - masses[l] / total;
                weights[k] * (sizes[k] as f64).sqrt() * centered
            });
            let samples = sizes.iter().sum::<u64>() as f64;
            let expected = (root.singular_values().max() / samples).powi(2);
            let found = ufm.critical_decay_product().unwrap();
            assert!((found / expected - 1.0).abs() < 1e-13, "{found}, {expected}");
        }
    }

    /// p_own − p_sibling at the minimum, and the size from which on it is positive, with PyTorch's weights.
    #[test]
    fn pytorch_merges_siblings_where_the_closed_form_says() {
        let (sizes, weights) = ([30, 30, 9, 9, 2, 2], [1.0, 1.0, 0.5, 0.5, 1.0, 1.0]);
        for smoothing in [0.0, 0.2] {
            let regularization = regularization([0.02, 0.03], Bias::Unregularized);
            let ufm =
                ConvexUfm::pytorch(counts(&sizes), &weights, smoothing, regularization).unwrap();
            let minimum = ufm.global_minimum().unwrap();
            let (outputs, bias) = (minimum.outputs(), minimum.bias().unwrap());
            let mut are_positive = [false; 3];
            for class in [0, 2, 4] {
                let logits = outputs.column(class);
                let shares: Vec<f64> =
                    logits.iter().zip(&bias).map(|(z, b)| (z + b).exp()).collect();
                let total: f64 = shares.iter().sum();
                let expected = (shares[class] - shares[class + 1]) / total;
                let gap = ufm.probability_gap(class).unwrap();
                assert!((gap - expected).abs() < 1e-12, "{gap}, {expected}");
                let threshold = ufm.merging_count(weights[class]).unwrap();
                assert_eq!(gap > 0.0, sizes[class] as f64 > threshold, "{threshold}");
                are_positive[class / 2] = gap > 0.0;
            }
            assert_eq!(are_positive, [true, false, false]);
        }
    }

    #[test]
    fn facts_that_are_not_there_say_why() {
        let tiny = regularization([1e-200; 2], Bias::None);
        let ufm = ConvexUfm::cross_entropy(counts(&[3, 2]), tiny.clone()).unwrap();
        let Err(Error::Unrepresentable { quantity, log10 }) = ufm.merging_count(0.5) else {
            panic!("it is (5/0.5)² 10⁻⁴⁰⁰")
        };
        assert!(quantity == "the merging count" && (log10 + 398.0).abs() < 1e-12, "{log10}");
        assert_eq!((ufm.probability_gap(2), ufm.probability_gap(1)), (None, Some(1.0)));
        let soft = ConvexUfm::soft_labels(DMatrix::identity(2, 2), &[3, 2], tiny).unwrap();
        let refused = Error::NoClosedForm { problem: "labels that are not classes" };
        assert_eq!(soft.merging_count(1.0), Err(refused.clone()));
        assert_eq!(soft.critical_decay_product(), Err(refused));
        assert_eq!(soft.probability_gap(0), None);
        for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.1)] {
            let squared = ConvexUfm::squared_error(counts(&[3, 2]), regularization([0.1; 2], bias));
            let refused = squared.unwrap().critical_decay_product().unwrap_err().to_string();
            assert!(refused.contains("total collapse of the squared loss"), "{refused}");
            let ufm =
                ConvexUfm::cross_entropy(counts(&[3, 2]), regularization([0.1; 2], bias)).unwrap();
            let is_penalized = matches!(bias, Bias::Regularized(_));
            assert_eq!(ufm.critical_decay_product().is_err(), is_penalized);
            let offset = ufm.with_logit_offsets(&[0.0, 1.0]).unwrap();
            assert_eq!(offset.critical_decay_product().is_ok(), bias == Bias::Unregularized);
        }
    }
}
