//! What the squared loss's global minimum answers through the interface of all predictions.

use core::ops::RangeInclusive;

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::regime::Regime;
use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::numerics::double_double::DoubleDouble;
use crate::prediction::class_runs::written_out;
use crate::prediction::explicit::{Basis, ExplicitPoint};
use crate::prediction::geometry::{ClassGeometry, Geometry};
use crate::prediction::verdict::{Source, Verdict};
use crate::prediction::{Prediction, SingularValue};
use crate::problem::counts::{ClassCounts, Run, SizeGroup};
use crate::problem::regularization::Bias;
use crate::problem::target::Target;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// Of a family of minimizers, singular values are those of the members with the largest rank, such as that of
/// [`explicit`](Prediction::explicit).
impl Prediction for GlobalMinimum {
    fn training_objective(&self) -> TrainingObjective {
        TrainingObjective::Penalized {
            loss_function: LossFunction::SquaredError,
            factor: 1.0,
            regularization: self.problem().regularization().clone(),
        }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        self.problem().counts()
    }

    fn classes(&self) -> usize {
        self.problem().classes()
    }

    fn depth(&self) -> usize {
        self.problem().depth()
    }

    fn widths(&self) -> Option<&[usize]> {
        self.problem().widths()
    }

    fn geometry(&self) -> Geometry {
        let alive = |direction: Direction| direction.regime() != Regime::Zero;
        if !self.directions().any(alive) {
            return Geometry::Collapsed;
        }
        match (self.problem().target(), self.problem().regularization().bias()) {
            (Target::Matrix(_), _) => Geometry::Spectral,
            (Target::Classes(counts), Bias::None) if counts.is_balanced() => {
                Geometry::OrthogonalFrame
            }
            (Target::Classes(_), Bias::None) => Geometry::GeneralOrthogonalFrame,
            (Target::Classes(counts), _) if !counts.is_balanced() => Geometry::Spectral,
            _ if self.all_ones().is_some_and(alive) => Geometry::Spectral,
            _ => Geometry::SimplexEtf,
        }
    }

    fn verdict(&self) -> Verdict {
        let problem = self.problem();
        let full_rank = problem.rank_limit() == problem.classes();
        let (statement, reference) = match (problem.target(), problem.regularization().bias()) {
            (Target::Matrix(_), _) => (
                "the outputs share the singular vectors of the target, and each direction is minimized on its own",
                "docs/theory.md, section “Arbitrary targets”",
            ),
            (Target::Classes(counts), Bias::None) if counts.is_balanced() => (
                "every global minimizer is an orthogonal frame, or a projection of one of the rank that the widths leave",
                "Dang et al. (ICML 2023), Theorem 3.1 (i)",
            ),
            (Target::Classes(_), Bias::None) if full_rank && problem.depth() == 1 => (
                "every global minimizer is a general orthogonal frame",
                "Dang et al. (ICML 2023), Theorem 4.1",
            ),
            (Target::Classes(_), Bias::None) if full_rank => (
                "every global minimizer is a general orthogonal frame",
                "Dang et al. (ICML 2023), Theorem 4.4 with the constant of docs/errata.md",
            ),
            (Target::Classes(_), Bias::None) => (
                "every global minimizer is a general orthogonal frame of the largest classes that the widths leave room for",
                "Dang et al. (ICML 2023), Theorems E.2 and F.2",
            ),
            (Target::Classes(counts), Bias::Unregularized) if counts.is_balanced() => (
                "every global minimizer is a simplex ETF, or a projection of one of the rank that the widths leave",
                "Dang et al. (ICML 2023), Theorem 3.1 (ii)",
            ),
            (Target::Classes(_), Bias::Unregularized) => (
                "the bias centers the target, whose singular directions are minimized on their own",
                "docs/theory.md, section “A bias without a penalty”",
            ),
            (Target::Classes(_), Bias::Regularized(_)) => (
                "with the bias eliminated, the directions are those of a simplex ETF and the all-ones one",
                "docs/theory.md, section “A bias with a penalty”",
            ),
        };
        Verdict::Proved(Source::new(statement, reference))
    }

    fn loss(&self) -> f64 {
        let losses = self.directions().map(|direction| direction.loss());
        losses.fold(DoubleDouble::from(0.0), DoubleDouble::plus).value()
    }

    fn is_unique(&self) -> bool {
        self.directions().all(|direction| direction.is_unique())
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        Ok(self.runs_of(self.class_spectrum("the geometry of classes")?).collect())
    }

    fn bias(&self) -> Option<Vec<f64>> {
        written_out(&self.bias_runs()?)
    }

    fn bias_runs(&self) -> Option<Vec<(usize, f64)>> {
        self.bias_runs_of_largest_member().filter(|_| self.bias_is_unique())
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        let layers = self.problem().regularization().layer_indices(&layers)?;
        Ok(falling(self.directions(), |direction| self.singular_value(direction, layers.clone())))
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        Ok(falling(self.directions(), |direction| self.feature_singular_value(direction)))
    }

    /// Its eigenvalues are t^m/(λ_M⋯λ_(M−m+1)).
    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        let (regularization, depth) = (self.problem().regularization(), self.problem().depth());
        regularization.check_trailing(layers)?;
        Ok(self.spectral(|direction| {
            if layers == depth {
                return self.whole_product_squared(direction);
            }
            regularization.trailing_eigenvalue(layers, direction.energy())
        }))
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        let spectrum = self.class_spectrum("the Gram matrix of the class means")?;
        let decay = self.problem().regularization().feature_decay();
        let value = |direction: &Direction| direction.target_squared() * direction.energy() / decay;
        Ok(self.spectral_of_classes(spectrum, value, inverse_size, inverse_size))
    }

    fn class_outputs(&self) -> Result<ClassMatrix> {
        let spectrum = self.class_spectrum("the outputs for the class means")?;
        let value = |direction: &Direction| direction.target_squared() * direction.fitted_share();
        Ok(self.spectral_of_classes(spectrum, value, |_| 1.0, inverse_size))
    }

    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        self.explicit_point(basis)
    }
}

impl GlobalMinimum {
    /// The Gram matrix ZᵀZ of the logits Z = W_M⋯W₁H̄ for the class means (without the bias), which are
    /// the [`class_outputs`](Prediction::class_outputs): the inner products of the logits of two classes.
    ///
    /// # Errors
    /// [`Error::NotAnswered`](crate::Error::NotAnswered) for an arbitrary target, which has no classes.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Prediction, Regularization, Ufm};
    ///
    /// let regularization = Regularization::new(&[5e-4; 3], 5e-4)?;
    /// let minimum = Ufm::new(ClassCounts::new(&[200, 100])?, regularization)?.global_minimum()?;
    /// let (logits, gram) = (minimum.class_outputs()?, minimum.logit_gram()?);
    /// // Without a bias, Z = diag(x^M/(x^M + 1)).
    /// let logit = logits.get(1, 1).unwrap();
    /// assert!((gram.get(1, 1).unwrap() - logit * logit).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn logit_gram(&self) -> Result<ClassMatrix> {
        let spectrum = self.class_spectrum("the Gram matrix of the logits")?;
        let value =
            |direction: &Direction| (direction.target_squared() * direction.fitted_share()).powi(2);
        Ok(self.spectral_of_classes(spectrum, value, inverse_size, inverse_size))
    }
}

/// The singular values of the directions that are fitted, by falling value.
fn falling(
    directions: impl Iterator<Item = Direction>,
    value: impl Fn(&Direction) -> f64,
) -> Vec<SingularValue> {
    let fitted = directions.filter(|direction| *direction.rank().end() > 0);
    let mut values: Vec<SingularValue> = fitted
        .map(|direction| SingularValue::new(value(&direction), *direction.rank().end()))
        .collect();
    values.sort_by(|a, b| b.value.total_cmp(&a.value));
    values
}

fn inverse_size(group: SizeGroup) -> f64 {
    (group.size as f64).recip()
}

/// How a minimum is stored: the problem with the numbers that follow from it. Only the problem is read again, and
/// solved: that takes no longer than reading the numbers.
#[cfg(feature = "serde")]
mod stored {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{ClassGeometry, Direction, Geometry, GlobalMinimum, Prediction, Run, Verdict};
    use crate::models::squared::ufm::Ufm;

    #[derive(Serialize)]
    #[serde(rename = "GlobalMinimum")]
    struct Written<'a> {
        problem: &'a Ufm,
        geometry: Geometry,
        verdict: Verdict,
        unique: bool,
        scale: f64,
        threshold: f64,
        loss: f64,
        directions: Vec<Direction>,
        classes: Option<Vec<WrittenRun>>,
    }

    /// Neighboring classes of one size.
    #[derive(Serialize)]
    struct WrittenRun {
        #[serde(flatten)]
        run: Run,
        #[serde(flatten)]
        geometry: ClassGeometry,
        bias: Option<f64>,
    }

    impl Serialize for GlobalMinimum {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let written_run = |(run, geometry): (Run, _)| WrittenRun {
                run,
                geometry,
                bias: self.bias_of_class(run.first_class),
            };
            let classes = self.class_runs().ok();
            let written = Written {
                problem: self.problem(),
                geometry: self.geometry(),
                verdict: self.verdict(),
                unique: self.is_unique(),
                scale: self.scale(),
                threshold: self.threshold(),
                loss: self.loss(),
                directions: self.directions().collect(),
                classes: classes.map(|runs| runs.into_iter().map(written_run).collect()),
            };
            written.serialize(serializer)
        }
    }

    #[derive(Deserialize)]
    #[serde(rename = "GlobalMinimum")]
    struct Read {
        problem: Ufm,
    }

    impl<'de> Deserialize<'de> for GlobalMinimum {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Read::deserialize(deserializer)?.problem.global_minimum().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;
    use crate::models::squared::ufm::Ufm;
    use crate::problem::regularization::Regularization;

    fn minimum(counts: &[u64], decays: &[f64], bias: Bias, widths: &[usize]) -> GlobalMinimum {
        let regularization =
            Regularization::new(decays, decays[0]).unwrap().with_bias(bias).unwrap();
        let ufm = Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap();
        ufm.with_widths(widths).unwrap().global_minimum().unwrap()
    }

    fn reference(minimum: &GlobalMinimum) -> String {
        let Verdict::Proved(source) = minimum.verdict() else { panic!("{minimum:?}") };
        source.reference.into_owned()
    }

    #[test]
    fn every_kind_of_problem_has_its_geometry_and_its_proof() {
        let (none, free) = (Bias::None, Bias::Unregularized);
        // A small penalty on the bias leaves the all-ones direction to it.
        let (cheap, dear) = (Bias::Regularized(1e-6), Bias::Regularized(10.0));
        for (counts, decays, bias, width, geometry, proof) in [
            (&[9, 9, 9][..], &[1e-3][..], none, 3, Geometry::OrthogonalFrame, "Theorem 3.1 (i)"),
            (&[9, 9, 9], &[1e-3], none, 2, Geometry::OrthogonalFrame, "Theorem 3.1 (i)"),
            (&[9, 9, 9], &[2.0], none, 3, Geometry::Collapsed, "Theorem 3.1 (i)"),
            (&[9, 4, 1], &[1e-3], none, 3, Geometry::GeneralOrthogonalFrame, "Theorem 4.1"),
            (&[9, 4, 1], &[0.15], none, 3, Geometry::GeneralOrthogonalFrame, "Theorem 4.1"),
            (&[9, 4, 1], &[1e-3; 2], none, 3, Geometry::GeneralOrthogonalFrame, "Theorem 4.4"),
            (&[9, 4, 1], &[1e-3], none, 2, Geometry::GeneralOrthogonalFrame, "Theorems E.2"),
            (&[9, 4, 1], &[1e-3; 2], none, 2, Geometry::GeneralOrthogonalFrame, "Theorems E.2"),
            (&[9, 9, 9], &[1e-3], free, 3, Geometry::SimplexEtf, "Theorem 3.1 (ii)"),
            (&[9, 4, 1], &[1e-3], free, 3, Geometry::Spectral, "“A bias without a penalty”"),
            (&[9, 9, 9], &[1e-2], cheap, 3, Geometry::SimplexEtf, "“A bias with a penalty”"),
            (&[9, 9, 9], &[1e-2], dear, 3, Geometry::Spectral, "“A bias with a penalty”"),
        ] {
            let found = minimum(counts, decays, bias, &vec![width; decays.len()]);
            let input = format!("{counts:?}, {decays:?}, {bias:?}, {width}");
            assert_eq!(found.geometry(), geometry, "{input}");
            assert!(reference(&found).contains(proof), "{input}: {}", reference(&found));
        }
        let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
        let soft = Ufm::from_target(dmatrix![0.9, 0.2; 0.1, 0.8], regularization).unwrap();
        let soft = soft.global_minimum().unwrap();
        assert_eq!(soft.geometry(), Geometry::Spectral);
        assert!(reference(&soft).contains("“Arbitrary targets”"));
    }
}
