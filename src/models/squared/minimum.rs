//! The global minimum of an unconstrained features model, direction by direction.

use core::cmp::Ordering;
use core::ops::{Range, RangeInclusive};

use crate::error::{Error, Result};
use crate::models::squared::direction::Direction;
use crate::models::squared::potential::Potential;
use crate::models::squared::spectrum::{
    ClassSpectrum, Columns, Spectrum, Subspace, TargetValue, spectrum,
};
use crate::models::squared::ufm::Ufm;
use crate::numerics::parallel;

/// The global minimum of a [`Ufm`].
///
/// The minimizer is unique up to rotations of the hidden spaces, so that everything of interest is
/// determined: singular values, Gram matrices, outputs, the loss. Only where directions with the same
/// singular value compete for too few dimensions, or exactly at a threshold, the minimizers form a
/// family, and per-class numbers are `None`.
///
/// ```
/// use neural_collapse::{ClassCounts, Prediction, Regularization, Ufm};
///
/// // n = (20, 10, 5, 5), λ = 0.045: the smaller the class, the shorter its classifier – but not its mean.
/// let regularization = Regularization::new(&[0.045], 0.045)?;
/// let minimum = Ufm::new(ClassCounts::new(&[20, 10, 5, 5])?, regularization)?.global_minimum()?;
/// let runs = minimum.class_runs()?;
/// let means: Vec<f64> = runs.iter().filter_map(|(_, class)| class.feature_norm_squared).collect();
/// assert!((means[0] - 0.13361).abs() < 1e-5 && (means[1] - 0.13623).abs() < 1e-5);
/// assert!(minimum.loss() < 0.5); // the loss of predicting nothing
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Dang et al. (ICML 2023), Theorems 3.1, 4.1, 4.4, E.2 and F.2; the biased cases beyond them
/// are derived in the project's `docs/theory.md`.
///
/// What every model answers, such as the loss and the Gram matrices, is answered through
/// [`Prediction`](crate::Prediction); the methods here are special to the squared loss.
#[derive(Debug, Clone, PartialEq)]
pub struct GlobalMinimum {
    ufm: Ufm,
    potential: Potential<f64>,
    scale: f64,
    /// The scale of the all-ones direction that a regularized bias shares; else that of all.
    scale_beside_bias: f64,
    spectrum: Spectrum,
    room: Room,
    /// One for each singular value. What else there is to a direction follows, so that a million take little memory.
    minimizers: Vec<Fitted>,
}

/// x and x^M at the minimum of a direction.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fitted {
    x: f64,
    power: f64,
}

/// The directions that the widths leave room for: a number of whole ones, and so many vectors of the next.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Room {
    whole: usize,
    vectors: usize,
}

impl Room {
    fn new(spectrum: &Spectrum, mut vectors: usize) -> Self {
        let mut whole = 0;
        while whole < spectrum.len() && spectrum.value(whole).multiplicity <= vectors {
            vectors -= spectrum.value(whole).multiplicity;
            whole += 1;
        }
        Self { whole, vectors }
    }

    /// How many vectors of a direction have room.
    fn kept(self, index: usize, multiplicity: usize) -> usize {
        match index.cmp(&self.whole) {
            Ordering::Less => multiplicity,
            Ordering::Equal => self.vectors,
            Ordering::Greater => 0,
        }
    }
}

/// How many directions a thread minimizes in one piece.
const PIECE: usize = 1 << 12;

/// How many operations one minimization takes, roughly.
const OPERATIONS: usize = 300;

impl Ufm {
    /// The global minimum of the objective.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if a scale of the problem is out of the range of `f64`, and
    /// [`Error::NoConvergence`] if the singular values of an arbitrary target could not be found.
    pub fn global_minimum(&self) -> Result<GlobalMinimum> {
        let regularization = self.regularization();
        let potential = Potential::new(regularization.layers())?;
        let samples = self.samples() as f64;
        let scale = samples * regularization.energy_unit(samples)?;
        let spectrum = spectrum(self)?;
        let scale_beside_bias = match &spectrum {
            Spectrum::Classes(classes) if let Some(index) = classes.all_ones() => {
                let samples = spectrum.value(index).samples;
                samples * regularization.energy_unit(samples)?
            }
            _ => scale,
        };
        let room = Room::new(&spectrum, self.rank_limit());
        let ufm = self.clone();
        let minimizers = Vec::new();
        let mut minimum =
            GlobalMinimum { ufm, potential, scale, scale_beside_bias, spectrum, room, minimizers };
        minimum.solve()?;
        minimum.check_range()?;
        Ok(minimum)
    }
}

impl GlobalMinimum {
    /// Minimizes the potential of every direction.
    fn solve(&mut self) -> Result<()> {
        let count = self.spectrum.len();
        for index in 0..count {
            let target = self.spectrum.value(index);
            target.checked_slope(self.scale_of(target), &self.potential)?;
        }
        let mut minimizers = vec![Fitted { x: 0.0, power: 0.0 }; count];
        let pieces = minimizers.chunks_mut(PIECE).enumerate();
        parallel::for_each(
            pieces,
            count.saturating_mul(OPERATIONS),
            || (),
            |(), (piece, found)| {
                for (offset, fitted) in found.iter_mut().enumerate() {
                    let target = self.spectrum.value(piece * PIECE + offset);
                    let slope = target.slope(self.scale_of(target), &self.potential);
                    let minimizer = self.potential.minimizer_unchecked(slope);
                    *fitted = Fitted { x: minimizer.x(), power: minimizer.power() };
                }
            },
        );
        self.minimizers = minimizers;
        Ok(())
    }

    /// The scale a of a direction.
    fn scale_of(&self, target: TargetValue) -> f64 {
        let beside_bias = target.samples > self.ufm.samples() as f64;
        if beside_bias { self.scale_beside_bias } else { self.scale }
    }

    /// Everything that is derived from the energies must be representable.
    fn check_range(&self) -> Result<()> {
        let regularization = self.ufm.regularization();
        let unrepresentable = |quantity, log10| Err(Error::Unrepresentable { quantity, log10 });
        if !self.smallest_surviving_count().is_finite() {
            return unrepresentable("the threshold a/τ of σ²", self.scale().log10());
        }
        let sizes = |direction: &Direction| {
            let features = direction.energy() / regularization.feature_decay();
            let product = self.whole_product_squared(direction);
            [features, features * direction.target_squared(), product]
        };
        if self.directions().any(|direction| sizes(&direction).iter().any(|size| !size.is_finite()))
        {
            let quantity = "a squared singular value of the weights or features";
            return unrepresentable(quantity, f64::INFINITY);
        }
        let largest = self.directions().map(|direction| direction.energy()).fold(0.0, f64::max);
        let log2 = log2_of_largest_product(largest, regularization.weight_decays());
        if log2 > f64::from(f64::MAX_EXP - 1) {
            let quantity = "a squared singular value of a product of layers";
            return unrepresentable(quantity, log2 * core::f64::consts::LOG10_2);
        }
        Ok(())
    }

    /// The problem that this is the minimum of.
    #[must_use]
    pub fn problem(&self) -> &Ufm {
        &self.ufm
    }

    /// The scale a = N (N λ_H Πλₘ)^(1/M).
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The threshold τ_M: a direction survives iff a/σ² is below it.
    #[doc(alias = "tau_M")]
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.potential.threshold()
    }

    /// The smallest size a/τ_M that a class of this data set may have and survive, the number of
    /// samples N and the decays being what they are. It need not be an integer.
    ///
    /// With a bias it is the smallest σ² that a direction may have and survive.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let counts = ClassCounts::new(&[2000, 495, 495, 10])?;
    /// let minimum = Ufm::new(counts, Regularization::new(&[3e-3], 3e-3)?)?.global_minimum()?;
    /// assert!((minimum.smallest_surviving_count() - 81.0).abs() < 1e-12); // (3000 · 3e-3)²
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Theorems 4.1 and 4.4 of Dang et al. (ICML 2023), solved for n_k.
    #[must_use]
    pub fn smallest_surviving_count(&self) -> f64 {
        self.scale() / self.threshold()
    }

    /// The singular directions, by falling σ (with a regularized bias, the all-ones direction last).
    ///
    /// Without a bias they are the groups of equal class sizes, as
    /// [`ClassCounts::sizes`](crate::ClassCounts::sizes) lists them.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::new(&[100, 400])?, Regularization::new(&[1e-4], 1e-4)?)?;
    /// let minimum = ufm.global_minimum()?;
    /// let squared: Vec<f64> = minimum.directions().map(|found| found.target_squared()).collect();
    /// assert_eq!(squared, [400.0, 100.0]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn directions(
        &self,
    ) -> impl DoubleEndedIterator<Item = Direction> + ExactSizeIterator + Clone + '_ {
        (0..self.spectrum.len()).map(|index| self.at(index))
    }

    /// One of the [`directions`](Self::directions), or `None` if there are not so many.
    #[must_use]
    pub fn direction(&self, index: usize) -> Option<Direction> {
        (index < self.spectrum.len()).then(|| self.at(index))
    }

    /// The direction with an index that there is.
    fn at(&self, index: usize) -> Direction {
        let target = self.spectrum.value(index);
        let scale = self.scale_of(target);
        let Fitted { x, power } = self.minimizers[index];
        let slope = target.slope(scale, &self.potential);
        let minimizer = self.potential.minimizer_found(slope, x, power);
        Direction::new(target, self.room.kept(index, target.multiplicity), scale, minimizer)
    }

    /// The scalar function of every direction.
    pub(crate) fn potential(&self) -> &Potential<f64> {
        &self.potential
    }

    /// The singular values and vectors of the effective target.
    pub(crate) fn spectrum(&self) -> &Spectrum {
        &self.spectrum
    }

    /// The directions with these indices and their subspaces, for one-hot targets.
    pub(crate) fn class_directions<'a>(
        &'a self,
        spectrum: &'a ClassSpectrum,
        indices: Range<usize>,
    ) -> impl Iterator<Item = (Direction, Subspace)> + 'a {
        indices.map(|index| (self.at(index), spectrum.direction(index).1))
    }

    /// Every direction with its singular vectors, for an arbitrary matrix; none for one-hot targets.
    pub(crate) fn matrix_directions(&self) -> impl Iterator<Item = (Direction, &Columns)> {
        let columns = match &self.spectrum {
            Spectrum::Classes(_) => &[][..],
            Spectrum::Matrix(directions) => directions,
        };
        self.directions().zip(columns.iter().map(|(_, columns)| columns))
    }

    /// The all-ones direction that a regularized bias shares, which is the last.
    pub(crate) fn all_ones(&self) -> Option<Direction> {
        match &self.spectrum {
            Spectrum::Classes(classes) => classes.all_ones().map(|index| self.at(index)),
            Spectrum::Matrix(_) => None,
        }
    }

    /// The directions but for the all-ones one that a regularized bias shares.
    pub(crate) fn unshared_directions(&self) -> impl Iterator<Item = Direction> + '_ {
        let shared = usize::from(self.all_ones().is_some());
        self.directions().take(self.spectrum.len() - shared)
    }

    /// The singular values of the product W_j ⋯ W_i of the layers i..=j, numbered 1, …, M from the
    /// features: √(t^(j−i+1)/(λ_i⋯λ_j)), one for each of the [`directions`](Self::directions), 0 where nothing
    /// is fitted.
    ///
    /// `m..=m` are the singular values of layer m, `1..=M` those of the whole head, √(N λ_H x^M).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the range is empty or leaves 1, …, M.
    pub fn direction_singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<f64>> {
        let layers = self.ufm.regularization().layer_indices(&layers)?;
        let value = |direction| self.singular_value(&direction, layers.clone());
        Ok(self.directions().map(value).collect())
    }

    /// The singular values √(t/λ_H) of H, one for each of the [`directions`](Self::directions), 0 where nothing is
    /// fitted.
    #[must_use]
    pub fn direction_feature_singular_values(&self) -> Vec<f64> {
        self.directions().map(|direction| self.feature_singular_value(&direction)).collect()
    }

    pub(crate) fn feature_singular_value(&self, direction: &Direction) -> f64 {
        (direction.energy() / self.ufm.regularization().feature_decay()).sqrt()
    }

    /// The singular value of a direction in the product of the layers with these indices.
    pub(crate) fn singular_value(&self, direction: &Direction, layers: Range<usize>) -> f64 {
        if layers.len() == self.ufm.depth() {
            return self.whole_product_squared(direction).sqrt();
        }
        self.ufm.regularization().product_singular_value(layers, direction.energy())
    }

    /// The square N λ_H x^M = t^M/(λ₁⋯λ_M) of a direction's singular value in W_M⋯W₁. The power t^M would
    /// multiply the rounding error of t by M.
    pub(crate) fn whole_product_squared(&self, direction: &Direction) -> f64 {
        let samples = direction.effective_samples();
        samples * self.ufm.regularization().feature_decay() * direction.power()
    }

    /// The singular values σ x^M/(x^M + 1) of the outputs W_M⋯W₁H, one for each of the
    /// [`directions`](Self::directions).
    #[must_use]
    pub fn output_singular_values(&self) -> Vec<f64> {
        let value =
            |direction: Direction| direction.target_squared().sqrt() * direction.fitted_share();
        self.directions().map(value).collect()
    }
}

/// log₂ of the largest product of t/λₘ over neighboring layers, which may be a single one.
fn log2_of_largest_product(energy: f64, weight_decays: &[f64]) -> f64 {
    let (mut largest, mut ending_here) = (f64::NEG_INFINITY, 0.0_f64);
    for decay in weight_decays {
        ending_here = ending_here.max(0.0) + energy.log2() - decay.log2();
        largest = largest.max(ending_here);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;

    fn minimum(counts: &[u64], weight_decays: &[f64], feature_decay: f64) -> Result<GlobalMinimum> {
        let regularization = Regularization::new(weight_decays, feature_decay)?;
        Ufm::new(ClassCounts::new(counts)?, regularization)?.global_minimum()
    }

    #[test]
    fn every_direction_of_many_has_its_own_minimizer() {
        let counts: Vec<u64> = (1..=9000).collect();
        let minimum = minimum(&counts, &[1e-6; 2], 1e-6).unwrap();
        assert_eq!(minimum.directions().len(), 9000);
        for (direction, size) in minimum.directions().zip((1..=9000).rev()) {
            let slope = 2.0 * minimum.scale() / f64::from(size);
            let expected = minimum.potential().minimizer(slope).unwrap();
            assert_eq!((direction.x(), direction.power()), (expected.x(), expected.power()));
        }
    }

    /// Powers of two, whose logarithms are exact: t/λ = 2², 2⁵, 2⁻³ and 2⁸.
    #[test]
    fn the_largest_product_is_over_neighbors() {
        let decays = [2.0, 0.25, 64.0, 2_f64.powi(-5)];
        assert_eq!(log2_of_largest_product(8.0, &decays), 12.0);
        assert_eq!(log2_of_largest_product(8.0, &[2.0, 0.25, 2_f64.powi(12), 0.5]), 7.0);
        assert_eq!(log2_of_largest_product(8.0, &[16.0, 64.0]), -1.0);
    }

    /// One layer has t = √(n λ_W λ_H), ‖h‖² n = √(n λ_W/λ_H) and ‖w‖² = √(n λ_H/λ_W) where N²λ_W λ_H is far below n.
    #[test]
    fn what_follows_from_energies_is_representable() {
        let quantity =
            |size: u64, weight: f64, feature: f64| match minimum(&[size], &[weight], feature) {
                Ok(_) => "",
                Err(Error::Unrepresentable { quantity, .. }) => quantity,
                Err(other) => panic!("{other}"),
            };
        let squared = "a squared singular value of the weights or features";
        assert_eq!(quantity(1, 1e300, 1e-307), "");
        assert_eq!(quantity(1, 1e308, 5e-324), squared);
        assert_eq!(quantity(1, 5e-324, 1e308), squared);
        // The squared singular value of H is 3e306, that of the class mean times its 2⁵³ samples is above.
        assert_eq!(quantity(1 << 53, 1e290, 1e-308), squared);
        assert_eq!(quantity(1 << 53, 1e270, 1e-288), "");
        // M a = 1.5 · 2¹⁰²³ is, a/τ₂ = 2 M a is not.
        let decays = [1.5 * 2_f64.powi(969); 2];
        let above = minimum(&[1 << 53], &decays, 2_f64.powi(-53));
        let Err(Error::Unrepresentable { quantity, log10 }) = above else { panic!("{above:?}") };
        assert_eq!((quantity, log10.round()), ("the threshold a/τ of σ²", 308.0));
    }

    /// t ≈ (λ₁λ₂λ_H)^(1/3) = 2⁻¹⁰ of one sample, so that t/λ₁ is 2^1022.7 or 2^1023.7. The limit is 2¹⁰²³.
    #[test]
    fn products_of_layers_are_representable() {
        for (log2, fits) in [(1022.7, true), (1023.7, false)] {
            let decays = [2_f64.powf(-10.0 - log2), 2_f64.powi(1000)];
            match minimum(&[1], &decays, 2_f64.powf(log2 - 1020.0)) {
                Ok(found) => {
                    let squared = found.direction_singular_values(1..=1).unwrap()[0].powi(2);
                    assert!(fits && (squared.log2() - log2).abs() < 0.1, "{squared:e}");
                }
                Err(Error::Unrepresentable { quantity, log10 }) => {
                    assert!(!fits, "{log10}");
                    assert_eq!(quantity, "a squared singular value of a product of layers");
                    assert!((log10 - log2 * core::f64::consts::LOG10_2).abs() < 0.05, "{log10}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}
