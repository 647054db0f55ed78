//! The global minimum of an unconstrained features model, derived from the energies of its directions.

use core::ops::{Range, RangeInclusive};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::squared::direction::Direction;
use crate::models::squared::potential::{Potential, Regime};
use crate::models::squared::spectrum::{Subspace, spectrum};
use crate::models::squared::ufm::{Target, Ufm};
use crate::numerics::decay_roots::energy_unit;
use crate::numerics::double_double::Twofold;
use crate::prediction::geometry::{ClassGeometry, Geometry};
use crate::problem::counts::{ClassCounts, Run, SizeGroup};
use crate::problem::regularization::Bias;

/// The global minimum of a [`Ufm`].
///
/// The minimiser is unique up to rotations of the hidden spaces, so that everything of interest is
/// determined: singular values, Gram matrices, outputs, the loss. Only where directions with the same
/// singular value compete for too few dimensions, or exactly at a threshold, the minimisers form a
/// family, and per-class numbers are `None`.
///
/// ```
/// use neural_collapse::{ClassCounts, Regularization, Ufm};
///
/// // n = (20, 10, 5, 5), λ = 0.045: the smaller the class, the shorter its classifier – but not its mean.
/// let penalties = Regularization::new(&[0.045], 0.045)?;
/// let minimum = Ufm::new(ClassCounts::new(&[20, 10, 5, 5])?, penalties)?.global_minimum()?;
/// let means: Vec<f64> = minimum.class_runs().filter_map(|(_, class)| class.feature_norm_squared).collect();
/// assert!((means[0] - 0.13361).abs() < 1e-5 && (means[1] - 0.13623).abs() < 1e-5);
/// assert!(minimum.loss() < 0.5); // the loss of predicting nothing
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Dang et al. (ICML 2023), Theorems 3.1, 4.1, 4.4, E.2 and F.2; the biased cases beyond them
/// are derived in the project's `docs/theory.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct GlobalMinimum {
    ufm: Ufm,
    potential: Potential<f64>,
    scale: f64,
    directions: Vec<Direction>,
}

impl GlobalMinimum {
    pub(crate) fn new(ufm: Ufm) -> Result<Self> {
        let potential = Potential::new(u32::try_from(ufm.depth()).unwrap_or(u32::MAX))?;
        let samples = ufm.samples() as f64;
        let unit = energy_unit(samples, ufm.penalties())?;
        let mut room = ufm.rank_limit();
        let mut directions = Vec::new();
        for group in spectrum(&ufm)? {
            let own_unit = if group.samples > samples {
                energy_unit(group.samples, ufm.penalties())?
            } else {
                unit
            };
            let direction = Direction::new(group, room, own_unit, &potential)?;
            room -= direction.multiplicity().min(room);
            directions.push(direction);
        }
        let minimum = Self { ufm, potential, scale: samples * unit, directions };
        minimum.check_range()?;
        Ok(minimum)
    }

    /// Everything that is derived from the energies must be representable.
    fn check_range(&self) -> Result<()> {
        let penalties = self.ufm.penalties();
        let unrepresentable = |quantity, log10| Err(Error::Unrepresentable { quantity, log10 });
        if !self.smallest_surviving_count().is_finite() {
            return unrepresentable("the threshold a/τ of σ²", self.scale().log10());
        }
        let sizes = |direction: &Direction| {
            let features = direction.energy() / penalties.feature_decay();
            let product = self.whole_product_squared(direction);
            [features, features * direction.target_squared(), product]
        };
        if self.directions.iter().flat_map(sizes).any(|size| !size.is_finite()) {
            let quantity = "a squared singular value of the weights or features";
            return unrepresentable(quantity, f64::INFINITY);
        }
        let energies = self.directions.iter().map(Direction::energy);
        let largest = energies.fold(0.0, f64::max);
        let log2 = log2_of_largest_product(largest, penalties.weight_decays());
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
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.potential.threshold()
    }

    /// The singular directions, by falling σ (with a regularised bias, the all-ones direction last).
    ///
    /// Without a bias they are the groups of equal class sizes, as [`ClassCounts::sizes`] lists them.
    #[must_use]
    pub fn directions(&self) -> &[Direction] {
        &self.directions
    }

    /// The loss f* at the global minimum.
    #[must_use]
    pub fn loss(&self) -> f64 {
        let losses = self.directions.iter().map(Direction::loss);
        losses.fold(Twofold::from(0.0), Twofold::plus).value()
    }

    /// Whether the Gram matrices are the same at all global minimisers.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.directions.iter().all(Direction::is_unique)
    }

    /// The name of the geometry.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        let alive = |direction: &Direction| direction.regime() != Regime::Zero;
        let Some(last_alive) = self.directions.iter().rfind(|direction| alive(direction)) else {
            return Geometry::Collapsed;
        };
        match self.ufm.target() {
            Target::Matrix(_) => Geometry::Spectral,
            Target::Classes(counts) => match self.ufm.penalties().bias() {
                Bias::None if counts.is_balanced() => Geometry::OrthogonalFrame,
                Bias::None => Geometry::GeneralOrthogonalFrame,
                _ if !counts.is_balanced() => Geometry::Spectral,
                _ if *last_alive.subspace() == Subspace::AllOnes => Geometry::Spectral,
                _ => Geometry::SimplexEtf,
            },
        }
    }

    /// The bias b* ∈ ℝᴷ; `None` if there is none, or if it differs between global minimisers.
    ///
    /// It is n/N if it is not regularised (the mean of the targets), and the same number
    /// (unfitted share of the all-ones direction)/(K(1 + λ_b)) for every class if it is.
    #[must_use]
    pub fn bias(&self) -> Option<Vec<f64>> {
        self.bias_of_largest_member().filter(|_| self.bias_is_unique())
    }

    /// The entry of [`bias`](Self::bias) for one class, without a list of all classes: equal for classes
    /// of equal sizes. `None` as there, without such a class, and for an arbitrary target.
    ///
    /// ```
    /// use neural_collapse::{Bias, ClassCounts, Regularization, Ufm};
    ///
    /// let penalties = Regularization::new(&[5e-4], 5e-4)?.with_bias(Bias::Unregularized)?;
    /// let minimum = Ufm::new(ClassCounts::new(&[20, 10, 10])?, penalties)?.global_minimum()?;
    /// assert_eq!(minimum.bias_of_class(0), Some(0.5));
    /// assert_eq!(minimum.bias_of_class(3), None);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn bias_of_class(&self, class: usize) -> Option<f64> {
        let run = self.ufm.counts()?.run_of(class)?;
        self.largest_bias_of_size(run.size).filter(|_| self.bias_is_unique())
    }

    /// Only a regularised bias depends on what is fitted, which differs at a tie.
    fn bias_is_unique(&self) -> bool {
        let shared = self.directions.last();
        shared.is_none_or(|last| *last.subspace() != Subspace::AllOnes || last.is_unique())
    }

    /// b* of the global minimiser with the largest rank.
    pub(crate) fn bias_of_largest_member(&self) -> Option<Vec<f64>> {
        match self.ufm.target() {
            Target::Classes(counts) => {
                let entry = |run: Run| Some((self.largest_bias_of_size(run.size)?, run.classes));
                let entries = counts.runs().map(entry).collect::<Option<Vec<_>>>()?;
                let repeated = |(entry, classes)| core::iter::repeat_n(entry, classes);
                Some(entries.into_iter().flat_map(repeated).collect())
            }
            Target::Matrix(target) => match self.ufm.penalties().bias() {
                Bias::None => None,
                _ => Some(target.column_mean().as_slice().to_vec()),
            },
        }
    }

    /// The entry of b* for a class of `size` samples, at the global minimiser with the largest rank.
    fn largest_bias_of_size(&self, size: u64) -> Option<f64> {
        match self.ufm.penalties().bias() {
            Bias::None => None,
            Bias::Unregularized => Some(size as f64 / self.ufm.samples() as f64),
            Bias::Regularized(decay) => {
                let unfitted = self.directions.last()?.unfitted_share();
                Some(unfitted / (self.ufm.classes() as f64 * (1.0 + decay)))
            }
        }
    }

    /// The singular values s_k = √(t_k/λ₁) of W₁, one for each of the [`directions`](Self::directions).
    ///
    /// Each belongs to as many singular vectors as the direction has [`rank`](Direction::rank).
    #[must_use]
    pub fn s_k(&self) -> Vec<f64> {
        self.singular_values(0..1)
    }

    /// The singular values of the product W_j ⋯ W_i of the layers i..=j, numbered 1, …, M from the
    /// features: √(t^(j−i+1)/(λ_i⋯λ_j)), one for each of the [`directions`](Self::directions).
    ///
    /// `m..=m` are the singular values of layer m, `1..=M` those of the whole head, √(N λ_H x^M).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the range is empty or leaves 1, …, M.
    pub fn product_singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<f64>> {
        Ok(self.singular_values(self.ufm.penalties().layer_indices(&layers)?))
    }

    fn singular_values(&self, layers: Range<usize>) -> Vec<f64> {
        if layers.len() == self.ufm.depth() {
            return self.directions.iter().map(|d| self.whole_product_squared(d).sqrt()).collect();
        }
        let value = |direction: &Direction| {
            self.ufm.penalties().product_singular_value(layers.clone(), direction.energy())
        };
        self.directions.iter().map(value).collect()
    }

    /// The square N λ_H x^M = t^M/(λ₁⋯λ_M) of a direction's singular value in W_M⋯W₁. The power t^M would
    /// multiply the rounding error of t by M.
    fn whole_product_squared(&self, direction: &Direction) -> f64 {
        let samples = direction.effective_samples();
        samples * self.ufm.penalties().feature_decay() * direction.power()
    }

    /// The singular values √(t/λ_H) of H, one for each of the [`directions`](Self::directions).
    #[must_use]
    pub fn feature_singular_values(&self) -> Vec<f64> {
        let decay = self.ufm.penalties().feature_decay();
        self.directions.iter().map(|direction| (direction.energy() / decay).sqrt()).collect()
    }

    /// The singular values σ x^M/(x^M + 1) of the outputs W_M⋯W₁H, one for each of the
    /// [`directions`](Self::directions).
    #[must_use]
    pub fn output_singular_values(&self) -> Vec<f64> {
        let value =
            |direction: &Direction| direction.target_squared().sqrt() * direction.fitted_share();
        self.directions.iter().map(value).collect()
    }

    /// The Gram matrix W_M W_Mᵀ of the classifier: [`trailing_gram`](Self::trailing_gram) of one layer.
    #[must_use]
    pub fn classifier_gram(&self) -> ClassMatrix {
        self.trailing_gram_unchecked(1)
    }

    /// The Gram matrix W^m (W^m)ᵀ of the product W^m = W_M⋯W_(M−m+1) of the last m layers, the target
    /// of NC2ₘ. Its eigenvalues are t^m/(λ_M⋯λ_(M−m+1)).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 1 ≤ m ≤ M.
    pub fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        self.ufm.penalties().check_trailing(layers)?;
        Ok(self.trailing_gram_unchecked(layers))
    }

    fn trailing_gram_unchecked(&self, layers: usize) -> ClassMatrix {
        let squared = |direction: &Direction| {
            if layers == self.ufm.depth() {
                return self.whole_product_squared(direction);
            }
            self.ufm.penalties().trailing_eigenvalue(layers, direction.energy())
        };
        ClassMatrix::spectral(self, squared, |_| 1.0, |_| 1.0)
    }

    /// The Gram matrix H̄ᵀH̄ of the class means; `None` for an arbitrary target, which has no classes.
    #[must_use]
    pub fn class_means_gram(&self) -> Option<ClassMatrix> {
        self.ufm.counts()?;
        let decay = self.ufm.penalties().feature_decay();
        let value = |direction: &Direction| direction.target_squared() * direction.energy() / decay;
        Some(ClassMatrix::spectral(self, value, inverse_size, inverse_size))
    }

    /// The outputs W_M⋯W₁H̄ for the class means (without the bias), the target of NC3; column k belongs
    /// to class k. `None` for an arbitrary target, which has no classes.
    #[must_use]
    pub fn class_outputs(&self) -> Option<ClassMatrix> {
        self.ufm.counts()?;
        let value = |direction: &Direction| direction.target_squared() * direction.fitted_share();
        Some(ClassMatrix::spectral(self, value, |_| 1.0, inverse_size))
    }

    /// The Gram matrix ZᵀZ of the logits Z = W_M⋯W₁H̄ for the class means (without the bias), which are
    /// the [`class_outputs`](Self::class_outputs): the inner products of the logits of two classes. `None`
    /// for an arbitrary target, which has no classes.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let penalties = Regularization::new(&[5e-4; 3], 5e-4)?;
    /// let minimum = Ufm::new(ClassCounts::new(&[200, 100])?, penalties)?.global_minimum()?;
    /// let (logits, gram) = (minimum.class_outputs().unwrap(), minimum.logit_gram().unwrap());
    /// // Without a bias, Z = diag(x^M/(x^M + 1)).
    /// let logit = logits.get(1, 1).unwrap();
    /// assert!((gram.get(1, 1).unwrap() - logit * logit).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn logit_gram(&self) -> Option<ClassMatrix> {
        self.ufm.counts()?;
        let value =
            |direction: &Direction| (direction.target_squared() * direction.fitted_share()).powi(2);
        Some(ClassMatrix::spectral(self, value, inverse_size, inverse_size))
    }

    /// Every run of neighbouring classes of one size, in the order of the labels, with the geometry of
    /// each of its classes. Empty for an arbitrary target.
    pub fn class_runs(&self) -> impl Iterator<Item = (Run, ClassGeometry)> + '_ {
        let groups = self.size_groups();
        let runs = self.ufm.counts().into_iter().flat_map(ClassCounts::runs);
        runs.map(move |run| (run, self.geometry_of_group(groups, run.group)))
    }

    /// The geometry of one class, or `None` if there is no such class.
    #[must_use]
    pub fn class(&self, class: usize) -> Option<ClassGeometry> {
        let run = self.ufm.counts()?.run_of(class)?;
        Some(self.geometry_of_group(self.size_groups(), run.group))
    }

    /// The groups of equal class sizes; none for an arbitrary target.
    pub(crate) fn size_groups(&self) -> &[SizeGroup] {
        self.ufm.counts().map_or(&[], ClassCounts::groups)
    }

    fn geometry_of_group(&self, groups: &[SizeGroup], group: usize) -> ClassGeometry {
        let penalties = self.ufm.penalties();
        let last_decay = penalties.weight_decays().last().copied().unwrap_or(f64::NAN);
        // Without a bias, group and direction are one; with it, each direction may touch each group.
        let touching = match penalties.bias() {
            Bias::None => &self.directions[group..=group],
            _ => &self.directions[..],
        };
        let size = groups[group].size as f64;
        let mut norms = Some((0.0, 0.0));
        for direction in touching {
            let leverage = direction.leverage(groups, group);
            if leverage > 0.0 && !direction.is_unique() {
                norms = None;
            }
            let energy = direction.energy();
            let spread = direction.target_squared() / size;
            norms = norms.map(|(classifier, feature)| {
                (classifier + leverage * energy, feature + leverage * energy * spread)
            });
        }
        ClassGeometry {
            count: groups[group].size,
            collapsed: norms.map(|(classifier, _)| classifier == 0.0),
            classifier_norm_squared: norms.map(|(classifier, _)| classifier / last_decay),
            feature_norm_squared: norms
                .map(|(_, feature)| feature / penalties.feature_decay() / size),
        }
    }

    /// The runs of classes that collapse to zero: minority collapse.
    pub fn collapsed_runs(&self) -> impl Iterator<Item = Run> + '_ {
        let collapsed = self.class_runs().filter(|(_, class)| class.collapsed == Some(true));
        collapsed.map(|(run, _)| run)
    }

    /// ‖w_i‖²/‖w_j‖² between the classifiers of two classes; `None` if a class does not exist, has no
    /// determined norm, or class j collapses.
    ///
    /// Source: Lemma 4.3, first ratio, for any depth and bias.
    #[must_use]
    pub fn classifier_norm_ratio(&self, i: usize, j: usize) -> Option<f64> {
        ratio(self.class(i)?.classifier_norm_squared?, self.class(j)?.classifier_norm_squared?)
    }

    /// ‖h_i‖²/‖h_j‖² between two class means; `None` if a class does not exist, has no determined norm,
    /// or class j collapses.
    ///
    /// Without a bias this is (n_j/n_i)·s_i²/s_j², for any depth. The second ratio of Lemma 4.3 (one
    /// layer) is printed upside down in its last factor, and its conclusion that larger classes have
    /// shorter means holds only while a/n ≤ 1/4 for both.
    #[must_use]
    pub fn feature_norm_ratio(&self, i: usize, j: usize) -> Option<f64> {
        ratio(self.class(i)?.feature_norm_squared?, self.class(j)?.feature_norm_squared?)
    }
}

/// log₂ of the largest product of t/λₘ over neighbouring layers, which may be a single one.
fn log2_of_largest_product(energy: f64, weight_decays: &[f64]) -> f64 {
    let (mut largest, mut ending_here) = (f64::NEG_INFINITY, 0.0_f64);
    for decay in weight_decays {
        ending_here = ending_here.max(0.0) + energy.log2() - decay.log2();
        largest = largest.max(ending_here);
    }
    largest
}

fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}

fn inverse_size(group: SizeGroup) -> f64 {
    (group.size as f64).recip()
}
