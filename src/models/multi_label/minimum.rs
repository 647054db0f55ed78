//! The sizes of the logits at the minimum with several tags per sample.

use crate::error::{Error, Result};
use crate::models::multi_label::problem::{MultiLabelUfm, SetSize};
use crate::numerics::bracketed_root::sign_change;

/// Cap on the doublings of a bracket; e^(−1024) is below every `f64`.
const DOUBLINGS: usize = 11;

/// The global minimum of a [`MultiLabelUfm`], unique up to rotations of the feature space.
///
/// ```math
/// f* = Σ_m (n_m binom(K, m)/N)·m·ln(m + (K−m) e^(−α_m)) + κ (K−1) s
/// ```
///
/// It is a [`Prediction`](crate::Prediction), which has its matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiLabelMinimum {
    problem: MultiLabelUfm,
    /// α_m in the order of the set sizes.
    sizes: Vec<f64>,
    /// s.
    singular_value: f64,
    pub(crate) loss: f64,
}

impl MultiLabelUfm {
    /// The global minimum, for any bias, which is zero.
    ///
    /// One scalar equation is solved in a bracket; the sizes α_m have an absolute error of some 10⁻¹⁵, relative
    /// to the larger of α_m and 1.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if N or a squared singular value is out of the range of `f64`.
    pub fn global_minimum(&self) -> Result<MultiLabelMinimum> {
        MultiLabelMinimum::new(self.clone())
    }
}

impl MultiLabelMinimum {
    pub(crate) fn new(problem: MultiLabelUfm) -> Result<Self> {
        let samples = problem.samples();
        if !samples.is_finite() {
            let quantity = "the number of samples";
            return Err(Error::Unrepresentable { quantity, log10: f64::INFINITY });
        }
        let equation = Equation::new(&problem);
        let sizes = equation.sizes();
        let singular_value = samples.sqrt() * equation.norm(&sizes);
        let penalty = (equation.classes - 1.0) * equation.root_of_decays * singular_value;
        let loss = equation.data_term(&sizes) + penalty;
        let minimum = Self { problem, sizes, singular_value, loss };
        minimum.check_range()?;
        Ok(minimum)
    }

    fn check_range(&self) -> Result<()> {
        let aspect = self.aspect();
        for value in [self.singular_value * aspect, self.singular_value / aspect, self.loss] {
            if self.singular_value > 0.0 && !value.is_normal() {
                let quantity = "a squared singular value";
                return Err(Error::Unrepresentable { quantity, log10: value.log10() });
            }
        }
        Ok(())
    }

    /// The problem that this is the minimum of.
    #[must_use]
    pub fn problem(&self) -> &MultiLabelUfm {
        &self.problem
    }

    /// α_m, by which the logits of a sample's m tags exceed all others; `None` if no sample has m tags. It is of no
    /// effect for m = K.
    #[must_use]
    pub fn logit_size(&self, tags: usize) -> Option<f64> {
        let index = self.problem.set_sizes().iter().position(|size| size.tags == tags)?;
        self.sizes.get(index).copied()
    }

    /// s, the singular value of the logits W H of all samples, K − 1 times.
    #[must_use]
    pub fn logit_singular_value(&self) -> f64 {
        self.singular_value
    }

    /// All sets of tags, in their order, each with α of its size.
    pub(crate) fn sized_sets(&self) -> impl Iterator<Item = (f64, Vec<usize>)> + '_ {
        let sizes = self.problem.set_sizes().iter().zip(&self.sizes);
        sizes.flat_map(|(size, &alpha)| {
            self.problem.sets_of(size.tags).map(move |tags| (alpha, tags))
        })
    }

    /// √(λ_H/λ_W).
    pub(crate) fn aspect(&self) -> f64 {
        let regularization = self.problem.regularization();
        let weight_decay = regularization.first_decay();
        regularization.feature_decay().sqrt() / weight_decay.sqrt()
    }

    /// The inner product of the features of two sets S and T of tags that have `overlap` tags in common:
    /// √(λ_W/λ_H) (α_|S| α_|T|/s) (|S∩T| − |S||T|/K).
    ///
    /// It is linear in the indicators of S and T: features are multiples of averages over tags. `None` if no sample has
    /// so many tags, or if sets cannot overlap so.
    ///
    /// ```
    /// use neural_collapse::Regularization;
    /// use neural_collapse::models::multi_label::MultiLabelUfm;
    ///
    /// let regularization = Regularization::new(&[1e-3], 1e-4)?;
    /// let minimum = MultiLabelUfm::new(6, &[(1, 50), (2, 20)], regularization)?.global_minimum()?;
    /// let product = |tags, others, overlap| minimum.feature_product(tags, others, overlap).unwrap();
    /// // h_{0,1} is parallel to h_0 + h_1.
    /// let sum = (product(1, 1, 1) + product(1, 1, 0)) * 2.0;
    /// let cosine = 2.0 * product(2, 1, 1) / (product(2, 2, 2) * sum).sqrt();
    /// assert!((cosine - 1.0).abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn feature_product(&self, tags: usize, others: usize, overlap: usize) -> Option<f64> {
        let sizes = self.logit_size(tags)? * self.logit_size(others)?;
        let classes = self.problem.classes();
        if overlap > tags.min(others) || tags + others > classes + overlap {
            return None;
        }
        if self.singular_value == 0.0 {
            return Some(0.0);
        }
        let chance = tags as f64 * others as f64 / classes as f64;
        Some(sizes / self.singular_value * (overlap as f64 - chance) / self.aspect())
    }
}

/// The equation for the sizes, in shares q_m = n_m binom(K, m)/N of the samples: with t = sK/(Nκ) and
/// c_m = m(K−m)/(K(K−1)), binom(K−2, m−1) = c_m binom(K, m),
///
/// ```text
/// α_m/t = 1/(m e^(α_m) + K − m),   Σ q_m c_m (α_m/t)² = (κ√N/K)²,
/// ```
///
/// where every α_m/t falls from 1/K as t grows from 0.
struct Equation<'a> {
    set_sizes: &'a [SetSize],
    /// q_m.
    shares: Vec<f64>,
    /// K.
    classes: f64,
    root_of_decays: f64,
    /// κ√N/K.
    target: f64,
}

impl<'a> Equation<'a> {
    fn new(problem: &'a MultiLabelUfm) -> Self {
        let samples = problem.samples();
        let regularization = problem.regularization();
        let weight_decay = regularization.first_decay();
        let root_of_decays = weight_decay.sqrt() * regularization.feature_decay().sqrt();
        let classes = problem.classes() as f64;
        let set_sizes = problem.set_sizes();
        let shares = set_sizes.iter().map(|size| size.samples as f64 * size.sets / samples);
        Self {
            set_sizes,
            shares: shares.collect(),
            classes,
            root_of_decays,
            target: root_of_decays * samples.sqrt() / classes,
        }
    }

    /// ln(m e^α + K − m), without overflow.
    fn log_mass(&self, tags: usize, alpha: f64) -> f64 {
        let tags = tags as f64;
        alpha + (tags + (self.classes - tags) * (-alpha).exp()).ln()
    }

    /// √(Σ q_m c_m x_m²) for a number x_m of each set size.
    fn norm(&self, numbers: &[f64]) -> f64 {
        let terms = self.set_sizes.iter().zip(&self.shares).zip(numbers);
        let squares = terms.map(|((size, share), number)| {
            let tags = size.tags as f64;
            let spread = tags * (self.classes - tags) / (self.classes * (self.classes - 1.0));
            share * spread * number * number
        });
        squares.sum::<f64>().sqrt()
    }

    /// α_m for every m, in terms of that of the first one.
    fn all_sizes(&self, first: f64) -> Vec<f64> {
        let log = |size: &SetSize, alpha: f64| alpha.ln() + self.log_mass(size.tags, alpha);
        let log_t = log(&self.set_sizes[0], first);
        let others = self.set_sizes.iter().skip(1).map(|size| {
            // α K ≤ t, and α e^α ≤ t.
            let high = (log_t.exp() / self.classes).min(log_t.max(1.0));
            sign_change(0.0, high, |alpha| log(size, alpha) - log_t)
        });
        core::iter::once(first).chain(others).collect()
    }

    /// Zero at the solution, rising with α of the first set size.
    fn residual(&self, first: f64) -> f64 {
        let ratios: Vec<f64> = self
            .set_sizes
            .iter()
            .zip(self.all_sizes(first))
            .map(|(size, alpha)| (-self.log_mass(size.tags, alpha)).exp())
            .collect();
        (self.target / self.norm(&ratios)).ln()
    }

    /// α_m.
    fn sizes(&self) -> Vec<f64> {
        let at_zero = vec![self.classes.recip(); self.shares.len()];
        if self.norm(&at_zero) <= self.target {
            return vec![0.0; self.shares.len()];
        }
        let mut high = 1.0;
        for _ in 0..DOUBLINGS {
            if self.residual(high) > 0.0 {
                break;
            }
            high *= 2.0;
        }
        let first = sign_change(0.0, high, |alpha| match alpha {
            0.0 => f64::NEG_INFINITY,
            _ => self.residual(alpha),
        });
        self.all_sizes(first)
    }

    /// Σ q_m·m·ln(m + (K−m) e^(−α_m)).
    fn data_term(&self, sizes: &[f64]) -> f64 {
        let terms = self.set_sizes.iter().zip(&self.shares).zip(sizes);
        let losses = terms.map(|((size, share), alpha)| {
            let tags = size.tags as f64;
            let others = (self.classes - tags) / tags * (-alpha).exp();
            share * tags * (tags.ln() + others.ln_1p())
        });
        losses.sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::prediction::{Geometry, Prediction};
    use crate::problem::regularization::{Bias, Regularization};

    fn ufm(classes: usize, sets: &[(usize, u64)], decays: (f64, f64), bias: Bias) -> MultiLabelUfm {
        let regularization =
            Regularization::new(&[decays.0], decays.1).unwrap().with_bias(bias).unwrap();
        MultiLabelUfm::new(classes, sets, regularization).unwrap()
    }

    /// There is a product for every overlap that two sets have, and for no other.
    #[test]
    fn products_are_of_sets_that_there_are() {
        let problem = ufm(5, &[(1, 2), (2, 1), (4, 3)], (1e-2, 4e-2), Bias::None);
        let minimum = problem.global_minimum().unwrap();
        assert_eq!(minimum.aspect(), 2.0);
        let sets: Vec<Vec<usize>> = problem.tag_sets().collect();
        let overlap = |a: &[usize], b: &[usize]| a.iter().filter(|tag| b.contains(tag)).count();
        let pairs = sets.iter().flat_map(|a| sets.iter().map(move |b| (a, b)));
        let seen: HashSet<_> = pairs.map(|(a, b)| (a.len(), b.len(), overlap(a, b))).collect();
        for (tags, others, overlap) in
            (0..6).flat_map(|a| (0..6).flat_map(move |b| (0..6).map(move |both| (a, b, both))))
        {
            let product = minimum.feature_product(tags, others, overlap);
            assert_eq!(
                product.is_some(),
                seen.contains(&(tags, others, overlap)),
                "{tags} {others}"
            );
        }
    }

    /// Far below 1 all sizes are one, t/K.
    #[test]
    fn tiny_sizes_are_alike() {
        let problem = ufm(6, &[(1, 2), (2, 1), (5, 3)], (1e-2, 1e-2), Bias::None);
        for size in [1e-250, 1e-20] {
            let sizes = Equation::new(&problem).all_sizes(size);
            assert!(
                sizes.len() == 3 && sizes.iter().all(|other| (other / size - 1.0).abs() < 1e-14)
            );
        }
    }

    /// With K = 2 and one sample for each tag κ = 1/(e^α + 1) and s = α.
    #[test]
    fn squares_out_of_range_are_refused() {
        let log10 = |decays: (f64, f64)| {
            let problem = ufm(2, &[(1, 1)], decays, Bias::None);
            let Err(Error::Unrepresentable { log10, .. }) = problem.global_minimum() else {
                panic!("{decays:?}")
            };
            log10
        };
        let kappa = (0.5_f64.exp() + 1.0).recip();
        let expected = (0.5_f64 / 5e307).log10();
        for decays in [(kappa / 5e307, kappa * 5e307), (kappa * 5e307, kappa / 5e307)] {
            assert!((log10(decays) - expected).abs() < 1e-6, "{}", log10(decays));
        }
    }

    #[test]
    fn answers_are_those_of_living_and_dead_logits() {
        for (decay, bias, geometry, values) in [
            (1e-2, Bias::None, Geometry::SimplexEtf, 1),
            (1.0, Bias::Unregularized, Geometry::Collapsed, 0),
        ] {
            let minimum = ufm(4, &[(1, 2), (2, 1)], (decay, decay), bias).global_minimum().unwrap();
            assert_eq!((minimum.geometry(), minimum.is_unique()), (geometry, true));
            assert_eq!(minimum.singular_values(1..=1).unwrap().len(), values);
            assert_eq!(minimum.feature_singular_values().unwrap().len(), values);
            assert_eq!(minimum.bias(), (bias != Bias::None).then(|| vec![0.0; 4]));
        }
    }
}
