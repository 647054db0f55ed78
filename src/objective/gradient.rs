//! The terms of the training objective and of its gradient.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result, check_not_negative, check_positive};
use crate::measure::deviations::Deviations;
use crate::measure::energy::FeatureEnergy;
use crate::measure::labeled_features::LabeledFeatures;
use crate::numerics::linalg::{
    Columns, Entries, Packed, add_gram_in, add_product_in, product, reshape, transposed,
    whole_tiles,
};
use crate::numerics::magnitude::{index_of_largest, is_comfortable, largest};
use crate::numerics::parallel;
use crate::numerics::scalar::{Scalar, to_f64};
use crate::numerics::squares::Squares;
use crate::objective::check::{check, check_free_of_bias};
use crate::objective::constraint::{Constraint, Multiple};
use crate::objective::data_term::DataTerm;
use crate::objective::value::Objective;
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};
use crate::problem::training_objective::TrainingObjective;

/// Samples, at most, whose features are used several times while they are in a cache.
const BLOCK: usize = 64;

/// What is evaluated: the layers, how outputs count, and the decays.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) head: LinearHead,
    /// W_M⋯W₁.
    forward: Packed<f64>,
    /// 1/N (W_M⋯W₁)ᵀ times the factor.
    backward: Packed<f64>,
    pub(super) data_term: DataTerm,
    /// How many different labels samples can have.
    pub(super) labels: usize,
    /// How much of the data term counts.
    pub(super) factor: f64,
    /// `None` where layers have no decays.
    pub(super) regularization: Option<Regularization>,
    /// λ_H, 0 without.
    feature_decay: f64,
    /// Whether features are constrained to be non-negative.
    nonnegative_features: bool,
    constraint: Constraint,
    /// N.
    samples: f64,
    /// Around which the squares of the features are summed; `None` for zero.
    pub(super) deviations: Option<Deviations>,
}

/// The terms of the objective and its gradient, summed over samples, with R = W_M⋯W₁H + b1ᵀ − Y; with
/// cross-entropy, R has the probabilities in place of the outputs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Totals {
    /// ‖R‖², or the sum of all cross-entropies.
    pub(super) loss: f64,
    /// ‖H‖², class by class.
    pub(super) energy: FeatureEnergy,
    /// ‖1/N (W_M⋯W₁)ᵀR + λ_H H‖², as far as a constraint lets features follow.
    pub(super) feature_gradient: Squares,
    /// What the constraint leaves out of it.
    pub(super) left_out: Multiple,
    /// 1/N R1, K.
    pub(super) mean_residual: DVector<f64>,
    /// 1/N HRᵀ, d×K: features are packed for it as they lie.
    pub(super) feature_residual_product: DMatrix<f64>,
    /// HHᵀ, or the same of the deviations from class means: d×d, of which only the lower triangle is filled; `None` if it is
    /// not wanted.
    pub(super) features_gram: Option<DMatrix<f64>>,
}

/// Memory for the samples of a chunk, which the next one takes over.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// d×B.
    features: DMatrix<f64>,
    /// K×B.
    residuals: DMatrix<f64>,
    packed: Packed<f64>,
}

/// What is found of each sample of a chunk on the way.
#[derive(Debug, Default)]
pub(crate) struct SampleFindings {
    /// What it contributes to the data term.
    pub(crate) losses: Vec<f64>,
    /// The class with the largest output; `None` if it is so large or small that products may have been out of range.
    pub(crate) decisions: Vec<Option<usize>>,
}

/// What is found of some samples, and the squared length of the gradient for their features.
#[derive(Debug, Default)]
struct Found {
    samples: SampleFindings,
    gradient: Squares,
    left_out: Multiple,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Self {
            features: DMatrix::zeros(0, 0),
            residuals: DMatrix::zeros(0, 0),
            packed: Packed::empty(),
        }
    }
}

impl Totals {
    /// Of no samples, with so many different labels.
    pub(super) fn new(dimension: usize, classes: usize, labels: usize) -> Result<Self> {
        Ok(Self {
            loss: 0.0,
            energy: FeatureEnergy::empty(dimension, labels)?,
            feature_gradient: Squares::default(),
            left_out: Multiple::default(),
            mean_residual: DVector::zeros(classes),
            feature_residual_product: DMatrix::zeros(dimension, classes),
            features_gram: None,
        })
    }

    /// Adds totals of the same shape and kind.
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        self.energy.merge(&other.energy)?;
        self.loss += other.loss;
        self.add_feature_gradient(&other.feature_gradient, &other.left_out);
        self.mean_residual += &other.mean_residual;
        self.feature_residual_product += &other.feature_residual_product;
        if let Some((gram, other)) = self.features_gram.as_mut().zip(other.features_gram.as_ref()) {
            *gram += other;
        }
        Ok(())
    }

    fn add_feature_gradient(&mut self, gradient: &Squares, left_out: &Multiple) {
        self.feature_gradient.merge(gradient);
        self.left_out.merge(left_out, &mut self.feature_gradient);
    }
}

impl Problem {
    pub(super) fn new(
        head: &LinearHead,
        objective: &TrainingObjective,
        counts: &[u64],
    ) -> Result<Self> {
        let data_term = DataTerm::new(objective, head.classes())?;
        match objective {
            TrainingObjective::UnitVectors { temperature, .. } => {
                check_positive("temperature", *temperature)?;
                check_free_of_bias(head, true)?;
            }
            TrainingObjective::FixedSimplexHead { feature_decay, .. } => {
                check_not_negative("feature_decay", *feature_decay)?;
                check_free_of_bias(head, false)?;
            }
            _ => objective.regularization().map_or(Ok(()), |decays| check(head, decays))?,
        }
        let factor = match objective {
            TrainingObjective::Penalized { factor, .. } => *factor,
            _ => 1.0,
        };
        let samples = counts.iter().fold(0, |total: u64, &count| total.saturating_add(count));
        if samples == 0 {
            return Err(Error::Empty { argument: "features" });
        }
        let nonnegative_features = matches!(
            objective,
            TrainingObjective::WeightedCrossEntropy { nonnegative_features: true, .. }
                | TrainingObjective::UnitVectors { nonnegative_features: true, .. }
        );
        let constraint = Constraint::new(objective, counts);
        let product = constraint.product(head)?;
        let share = factor / samples as f64;
        // As the rule of NC4 multiplies them, so that both decide alike.
        let forward = Packed::of_equal_rows(&*product);
        let backward = Packed::new(&transposed(&*product), |weight| share * weight);
        Ok(Self {
            forward,
            backward,
            head: head.clone(),
            data_term,
            labels: objective.labels(head.classes()),
            factor,
            regularization: objective.regularization().cloned(),
            feature_decay: objective.feature_decay().unwrap_or(0.0),
            nonnegative_features,
            constraint,
            samples: samples as f64,
            deviations: None,
        })
    }

    /// Numbers that tell what is constrained, and how, from other constraints; none without any.
    pub(super) fn constraint_words(&self) -> Vec<u64> {
        let mut words = self.constraint.words();
        if self.regularization.is_none() && self.feature_decay > 0.0 {
            words.push(self.feature_decay.to_bits());
        }
        if self.nonnegative_features {
            words.push(4);
        }
        words
    }

    /// Adds a chunk of samples but for their energy, and returns what was found of each of them.
    pub(super) fn add<T: Scalar>(
        &self,
        totals: &mut Totals,
        chunk: &LabeledFeatures<'_, T>,
        workspace: &mut Workspace,
    ) -> Result<SampleFindings> {
        let Workspace { features: block, residuals, packed } = workspace;
        chunk.fill_columns(block, |_, sample, out| to_f64(sample, out))?;
        self.constraint.adjust_features(block);
        reshape(residuals, (self.head.classes(), chunk.labels().len()));
        residuals.fill(0.0);
        let mut all = SampleFindings::default();
        for found in self.fill_residuals(block, chunk.labels(), residuals) {
            all.losses.extend(found.samples.losses);
            all.decisions.extend(found.samples.decisions);
            totals.add_feature_gradient(&found.gradient, &found.left_out);
        }
        totals.loss += all.losses.iter().sum::<f64>();
        totals.mean_residual += residuals.column_sum() / self.samples;
        let sum = &mut totals.feature_residual_product;
        add_product_in(packed, sum, self.samples.recip(), (block, &transposed(residuals)));
        match (&mut totals.features_gram, &self.deviations) {
            (Some(gram), Some(deviations)) => {
                deviations.subtract_from(block, chunk.labels());
                add_gram_in(packed, gram, block);
            }
            (Some(gram), None) => add_gram_in(packed, gram, block),
            (None, _) => {}
        }
        let share = self.factor / self.data_term.divisor(self.samples);
        all.losses.iter_mut().for_each(|loss| *loss *= share);
        Ok(all)
    }

    /// Fills in R for some samples, and returns what was found of blocks of them that fit into a cache.
    fn fill_residuals(
        &self,
        features: &DMatrix<f64>,
        labels: &[usize],
        residuals: &mut DMatrix<f64>,
    ) -> Vec<Found> {
        let (dimension, classes) = (features.nrows(), residuals.nrows());
        let block = whole_tiles(BLOCK);
        let features = features.as_slice().chunks(block * dimension.max(1));
        let residuals = residuals.as_mut_slice().chunks_mut(block * classes.max(1));
        let mut found = Vec::new();
        found.resize_with(labels.len().div_ceil(block), Found::default);
        let of_sample = classes.saturating_add(1).saturating_mul(2).saturating_mul(dimension);
        let operations = labels.len().saturating_mul(of_sample);
        let work = features.zip(residuals).zip(labels.chunks(block)).zip(&mut found);
        parallel::for_each(work, operations, Vec::new, |gradient, work| {
            let (((features, residuals), labels), found) = work;
            self.outputs(features, residuals);
            let decided = |outputs| decision(outputs).filter(|_| self.constraint.leaves_outputs());
            found.samples.decisions = residuals.chunks(classes).map(decided).collect();
            found.samples.losses = self.data_term.residuals(residuals, labels);
            self.feature_gradient(features, residuals, gradient);
            found.left_out = self.constraint.restrict_features(gradient, features, labels);
            found.gradient = Squares::of_numbers(gradient);
        });
        found
    }

    /// W_M⋯W₁H + b1ᵀ of a block of samples, added to zeros.
    fn outputs(&self, features: &[f64], outputs: &mut [f64]) {
        let classes = self.head.classes();
        self.forward.add_products(
            columns(features, self.backward.rows()),
            Entries::All,
            outputs,
            classes,
        );
        if let Some(bias) = self.head.bias() {
            for output in outputs.chunks_mut(classes) {
                output.iter_mut().zip(bias.iter()).for_each(|(output, bias)| *output += bias);
            }
        }
    }

    /// 1/N (W_M⋯W₁)ᵀR + λ_H H of a block of samples.
    fn feature_gradient(&self, features: &[f64], residuals: &[f64], gradient: &mut Vec<f64>) {
        let decay = self.feature_decay;
        gradient.clear();
        gradient.extend(features.iter().map(|feature| feature * decay));
        let columns = columns(residuals, self.head.classes());
        self.backward.add_products(columns, Entries::All, gradient, self.backward.rows());
        if self.nonnegative_features {
            project_at_zero(gradient, features);
        }
    }

    /// The objective and its gradient.
    pub(super) fn objective(&self, totals: &Totals) -> Result<Objective> {
        let weights = self.head.weights().iter().zip(self.weight_decays());
        let weight_penalty =
            weights.map(|(weight, decay)| Squares::of(weight).times(decay / 2.0)).sum();
        let bias = self.head.bias().map(Squares::of).unwrap_or_default();
        let mut gradient = totals.feature_gradient;
        gradient.merge(&self.bias_gradient(totals));
        gradient.merge(&self.weight_gradients(totals)?);
        let objective = Objective {
            data_term: totals.loss / self.data_term.divisor(self.samples) * self.factor,
            weight_penalty,
            feature_penalty: self.feature_decay / 2.0 * totals.energy.total(),
            bias_penalty: bias.times(self.bias_decay() / 2.0),
            gradient_norm: gradient.root(),
        };
        let are_finite = [objective.loss(), objective.gradient_norm].iter().all(|x| x.is_finite());
        if are_finite && gradient.is_finite() {
            return Ok(objective);
        }
        let quantity = "the objective or its gradient";
        Err(Error::Unrepresentable { quantity, log10: f64::INFINITY })
    }

    /// ‖1/N R1 + λ_b b‖², 0 without a bias.
    fn bias_gradient(&self, totals: &Totals) -> Squares {
        let gradient = self
            .head
            .bias()
            .map(|bias| &totals.mean_residual * self.factor + bias * self.bias_decay());
        gradient.as_ref().map(Squares::of).unwrap_or_default()
    }

    /// Σₘ ‖(W_M⋯W_{m+1})ᵀ (1/N RHᵀ) (W_{m−1}⋯W₁)ᵀ + λₘWₘ‖², or what a constraint leaves of it.
    fn weight_gradients(&self, totals: &Totals) -> Result<Squares> {
        let of_product = totals.feature_residual_product.transpose() * self.factor;
        if let Some(squares) = self.constraint.restricted_weights(&self.head, &of_product)? {
            return Ok(squares);
        }
        // 1/N RHᵀ(W_{m−1}⋯W₁)ᵀ for every m, from the features up.
        let mut from_below = vec![of_product];
        for weight in self.head.weights().iter().take(self.head.depth() - 1) {
            let next = from_below.last().map(|below| product(below, &transposed(weight)));
            from_below.extend(next);
        }
        let mut above: Option<DMatrix<f64>> = None;
        let mut squares = Squares::default();
        let layers = self.head.weights().iter().zip(self.weight_decays()).zip(from_below);
        for ((weight, decay), mut gradient) in layers.rev() {
            // W_M⋯W_{m+1} is the identity for the last layer, which would be K×K.
            above = Some(match above {
                None => weight.clone(),
                Some(above) => {
                    gradient = product(&transposed(&above), &gradient);
                    product(&above, weight)
                }
            });
            squares.add(&(gradient + weight * decay));
        }
        Ok(squares)
    }

    /// λ₁, …, λ_M, or zeros.
    fn weight_decays(&self) -> Vec<f64> {
        match &self.regularization {
            Some(regularization) => regularization.weight_decays().to_vec(),
            None => vec![0.0; self.head.depth()],
        }
    }

    fn bias_decay(&self) -> f64 {
        match self.regularization.as_ref().map(Regularization::bias) {
            Some(Bias::Regularized(decay)) => decay,
            Some(Bias::None | Bias::Unregularized) | None => 0.0,
        }
    }
}

/// The class with the largest output, if all products of weights and features that it depends on were in range.
fn decision(outputs: &[f64]) -> Option<usize> {
    let class = index_of_largest(outputs.iter().copied());
    let is_known = is_comfortable(largest(outputs)) && is_comfortable(outputs[class].abs());
    is_known.then_some(class)
}

/// Columns of `rows` numbers each, one after the other.
fn columns(numbers: &[f64], rows: usize) -> Columns<'_, f64> {
    Columns { numbers, stride: rows, count: numbers.len() / rows }
}

/// Leaves out of the gradient what a non-negative feature cannot follow: at zero, the steps below it.
fn project_at_zero(gradient: &mut [f64], features: &[f64]) {
    for (slope, &feature) in gradient.iter_mut().zip(features) {
        if feature <= 0.0 {
            *slope = slope.clamp(f64::NEG_INFINITY, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use crate::problem::training_objective::LossFunction;
    use nalgebra::{dmatrix, dvector};

    /// They are public, and may be read from a file.
    #[test]
    fn numbers_of_an_objective_are_checked() {
        let features = Features::from_row_major(&[1.0, 2.0], 2, 1).unwrap();
        let data = features.with_labels(&[0, 1], 2).unwrap();
        let head = LinearHead::new(vec![dmatrix![1.0; -1.0]], None).unwrap();
        let found = |objective| Objective::new(&data, &head, &objective).map_err(|e| e.to_string());
        let unit = |temperature| TrainingObjective::UnitVectors {
            loss_function: LossFunction::CrossEntropy,
            temperature,
            nonnegative_features: false,
        };
        let fixed = |feature_decay| TrainingObjective::FixedSimplexHead {
            classifier_norm_squared: 1.0,
            feature_decay,
            label_smoothing: 0.0,
        };
        assert!(found(unit(0.5)).is_ok() && found(fixed(0.0)).is_ok());
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = found(unit(temperature)).unwrap_err();
            assert!(error.starts_with("`temperature` is "), "{error}");
        }
        let error = found(unit(1e-310)).unwrap_err();
        assert!(error.contains("cosines divided by the temperature"), "{error}");
        for decay in [-1.0, f64::NAN, f64::INFINITY] {
            let error = found(fixed(decay)).unwrap_err();
            assert!(error.starts_with("`feature_decay` is "), "{error}");
        }
    }

    /// Half of the loss with half of the decays has half of the gradient.
    #[test]
    fn a_factor_scales_what_the_bias_and_the_layers_feel() {
        let rows = dmatrix![1.0, 0.5; 2.0, -1.0; 0.0, 1.0];
        let features = Features::from_sample_rows(&rows).unwrap();
        let data = features.with_labels(&[0, 1, 1], 2).unwrap();
        let layers = vec![dmatrix![1.0, 2.0; 3.0, 4.0]];
        let head = LinearHead::new(layers, Some(dvector![0.5, -0.2])).unwrap();
        let objective = |factor: f64| {
            let bias = Bias::Regularized(0.3 * factor);
            let regularization = Regularization::new(&[0.1 * factor], 0.2 * factor).unwrap();
            let regularization = regularization.with_bias(bias).unwrap();
            let loss_function = LossFunction::SquaredError;
            let objective = TrainingObjective::Penalized { loss_function, factor, regularization };
            Objective::new(&data, &head, &objective).unwrap()
        };
        let (whole, half) = (objective(1.0), objective(0.5));
        assert!((half.gradient_norm / whole.gradient_norm - 0.5).abs() < 1e-15);
        assert!((half.loss() / whole.loss() - 0.5).abs() < 1e-15);
    }

    /// The square of a weight leaves the range, and no number of the gradient does.
    #[test]
    fn an_objective_out_of_range_is_refused() {
        let rows = dmatrix![0.0; 0.0];
        let features = Features::from_sample_rows(&rows).unwrap();
        let data = features.with_labels(&[0, 1], 2).unwrap();
        let regularization = Regularization::new(&[0.1], 0.2).unwrap();
        let objective = |size: f64| {
            let head = LinearHead::new(vec![dmatrix![1.0; 2.0] * size], None).unwrap();
            Objective::squared_error(&data, &head, &regularization)
        };
        assert!(objective(1e150).is_ok());
        assert!(matches!(objective(1e160), Err(Error::Unrepresentable { .. })));
    }

    /// An output counts where it and the largest magnitude are far from where products leave the range.
    #[test]
    fn decisions_are_known_where_outputs_are_in_range() {
        assert_eq!(decision(&[1.0, 2.0, -3.0]), Some(1));
        assert_eq!(decision(&[-1e200, 1.0]), None);
        assert_eq!(decision(&[-1.0, 1e-200]), None);
    }

    #[test]
    fn features_at_zero_can_only_rise() {
        let mut gradient = [1.0, -1.0, 1.0, -1.0];
        project_at_zero(&mut gradient, &[0.0, 0.0, 0.5, 0.5]);
        assert_eq!(gradient, [0.0, -1.0, 1.0, -1.0]);
    }
}
