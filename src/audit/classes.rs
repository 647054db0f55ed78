//! The classes of an audit: norms, measured and predicted.

use crate::audit::measurement::{Measurement, classifier_norms, head_size};
use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::prediction::{ClassGeometry, Prediction, answered};
use crate::problem::head::LinearHead;

/// A class counts as collapsed if the norms of its classifier and of its mean are both below this share of
/// the largest ones.
const COLLAPSED: f64 = 1e-3;

/// A measured number or fact beside the predicted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Compared<T> {
    /// What the network has.
    pub measured: T,
    /// What the theory predicts; `None` without a prediction or if minimizers differ in it.
    pub predicted: Option<T>,
}

impl Compared<f64> {
    /// (measured − predicted)/predicted; `None` where nothing, or nothing above zero, is predicted.
    ///
    /// ```
    /// use neural_collapse::{Basis, ClassCounts, Features, Prediction, Regularization, Ufm, audit};
    ///
    /// let minimum = Ufm::new(ClassCounts::new(&[2, 1])?, Regularization::new(&[0.1], 0.1)?)?.global_minimum()?;
    /// let network = minimum.explicit(&Basis::Standard)?;
    /// let features = network.features()?;
    /// let data = Features::from_sample_columns(&features)?.with_labels(&[0, 0, 1], 2)?;
    /// let audit = audit(&data, network.head(), &minimum)?;
    /// let norm = audit.classes[0].classifier_norm_squared;
    /// assert!(norm.relative_difference().unwrap().abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn relative_difference(&self) -> Option<f64> {
        let predicted = self.predicted.filter(|&predicted| predicted > 0.0)?;
        Some((self.measured - predicted) / predicted)
    }
}

/// One class of an [`Audit`](crate::Audit).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassAudit {
    /// Number of samples.
    pub count: u64,
    /// ‖w_k‖², w_k the k-th row of W_M, or of W_M⋯W₁ where only that is known; 0 below 10⁻³²⁴
    /// ([`Measurement::classifier_norms`] are not).
    pub classifier_norm_squared: Compared<f64>,
    /// ‖h_k‖², h_k the class mean; 0 below 10⁻³²⁴ ([`Measurement::class_mean_norms`] are not).
    pub feature_norm_squared: Compared<f64>,
    /// Whether the class has collapsed to zero. Measured: both norms are below 10⁻³ of the largest ones.
    pub collapsed: Compared<bool>,
}

impl Measurement {
    /// The norms of every class without predicted ones.
    pub(super) fn classes(&self, head: &LinearHead) -> Result<Vec<ClassAudit>> {
        let classifier = classifier_norms(head);
        let features = self.class_mean_norms();
        let largest = |norms: &[f64]| norms.iter().copied().fold(0.0, f64::max);
        let limits = (COLLAPSED * largest(&classifier), COLLAPSED * largest(features));
        let mut classes = Vec::with_capacity(classifier.len());
        let sizes = self.statistics.counts();
        for ((&classifier, &feature), &count) in classifier.iter().zip(features).zip(sizes) {
            classes.push(ClassAudit {
                count,
                classifier_norm_squared: measured(square(classifier)?),
                feature_norm_squared: measured(square(feature)?),
                collapsed: measured(classifier <= limits.0 && feature <= limits.1),
            });
        }
        Ok(classes)
    }
}

/// Lays predicted norms beside the measured ones, in the order of the matching; without a scale of their own they get that
/// of the measured. `product` is given where only W_M⋯W₁ was measured, and is the predicted Gram matrix of its rows if there is
/// one.
pub(super) fn predict_classes(
    classes: &mut [ClassAudit],
    prediction: &dyn Prediction,
    matching: Option<&[usize]>,
    product: Option<&Option<ClassMatrix>>,
) -> Result<()> {
    let runs = answered(prediction.class_runs())?.unwrap_or_default();
    let predicted = runs.iter().flat_map(|(run, class)| run.classes().map(move |_| class));
    let size = head_size(&prediction.training_objective());
    for (position, class) in predicted.enumerate() {
        let measured = match matching {
            Some(order) => order.get(position).copied(),
            None => Some(position),
        };
        if let Some(audited) = measured.and_then(|measured| classes.get_mut(measured)) {
            audited.predict(class, size);
            if let Some(gram) = product {
                // Not that of W_M.
                audited.classifier_norm_squared.predicted =
                    gram.as_ref().and_then(|gram| gram.get(position, position));
            }
        }
    }
    if !prediction.has_scale() {
        rescale(classes, |class| &mut class.classifier_norm_squared);
        rescale(classes, |class| &mut class.feature_norm_squared);
    }
    Ok(())
}

impl ClassAudit {
    fn predict(&mut self, predicted: &ClassGeometry, size: f64) {
        let classifier = predicted.classifier_norm_squared;
        self.classifier_norm_squared.predicted = classifier.map(|square| square * size * size);
        self.feature_norm_squared.predicted = predicted.feature_norm_squared;
        self.collapsed.predicted = predicted.collapsed;
    }
}

/// Scales predicted norms so that their sum is that of the measured ones of the same classes.
fn rescale(classes: &mut [ClassAudit], norm: fn(&mut ClassAudit) -> &mut Compared<f64>) {
    let sums = classes.iter_mut().fold((0.0, 0.0), |sums, class| {
        let norm = norm(class);
        match norm.predicted {
            Some(predicted) => (sums.0 + norm.measured, sums.1 + predicted),
            None => sums,
        }
    });
    if sums.1 > 0.0 {
        for class in classes {
            let norm = norm(class);
            norm.predicted = norm.predicted.map(|value| value * (sums.0 / sums.1));
        }
    }
}

fn measured<T>(measured: T) -> Compared<T> {
    Compared { measured, predicted: None }
}

/// The square of a norm, which may be out of range.
fn square(norm: f64) -> Result<f64> {
    let square = norm * norm;
    if square.is_finite() {
        return Ok(square);
    }
    let quantity = "the squared norm of a class's classifier or mean";
    Err(Error::Unrepresentable { quantity, log10: 2.0 * norm.log10() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::measure;
    use crate::measure::features::Features;
    use crate::models::squared::Ufm;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;
    use nalgebra::{DMatrix, dvector};

    #[test]
    fn collapsed_are_classes_below_a_thousandth_in_both_norms() {
        let weight = DMatrix::from_diagonal(&dvector![2.0, 2.2e-3, 1.8e-3, 1.8e-3]);
        let means = DMatrix::from_diagonal(&dvector![3.0, 2.7e-3, 3.3e-3, 2.7e-3]);
        let data = Features::from_sample_columns(&means).unwrap();
        let head = LinearHead::new(vec![weight], None).unwrap();
        let found = measure(&data.with_labels(&[0, 1, 2, 3], 4).unwrap(), &head).unwrap();
        let classes = found.classes(&head).unwrap();
        let collapsed: Vec<bool> = classes.iter().map(|class| class.collapsed.measured).collect();
        assert_eq!(collapsed, [false, false, false, true]);
    }

    /// Squares of these norms are zero, and the norms are not.
    #[test]
    fn small_norms_are_told_from_collapsed_ones() {
        let weight = DMatrix::from_diagonal(&dvector![3e-170, 4e-170, 1e-180]);
        let means = DMatrix::from_diagonal(&dvector![5e-170, 6e-170, 1e-180]);
        let data = Features::from_sample_columns(&means).unwrap();
        let head = LinearHead::new(vec![weight], None).unwrap();
        let found = measure(&data.with_labels(&[0, 1, 2], 3).unwrap(), &head).unwrap();
        assert_eq!(found.classifier_norms(), [3e-170, 4e-170, 1e-180]);
        assert_eq!(found.class_mean_norms(), [5e-170, 6e-170, 1e-180]);
        let classes = found.classes(&head).unwrap();
        let collapsed: Vec<bool> = classes.iter().map(|class| class.collapsed.measured).collect();
        assert_eq!(collapsed, [false, false, true]);
    }

    #[test]
    fn squares_out_of_range_are_told_by_their_size() {
        assert_eq!(square(3.0), Ok(9.0));
        let Err(Error::Unrepresentable { log10, .. }) = square(1e200) else { panic!("1e400") };
        assert_eq!(log10, 400.0);
    }

    /// The rows of the last layer are not those of the product, of whose norms nothing is predicted without its Gram matrix.
    #[test]
    fn norms_of_the_last_layer_are_not_those_of_the_product() {
        let counts = ClassCounts::balanced(2, 3).unwrap();
        let ufm = Ufm::new(counts, Regularization::new(&[0.1, 0.1], 0.1).unwrap()).unwrap();
        let minimum = ufm.global_minimum().unwrap();
        let class = ClassAudit {
            count: 3,
            classifier_norm_squared: super::measured(1.0),
            feature_norm_squared: super::measured(1.0),
            collapsed: super::measured(false),
        };
        let predicted = |product: Option<&Option<ClassMatrix>>| {
            let mut classes = [class; 2];
            predict_classes(&mut classes, &minimum, None, product).unwrap();
            assert!(classes[1].feature_norm_squared.predicted.is_some());
            classes[1].classifier_norm_squared.predicted
        };
        let gram = Some(ClassMatrix::from_dense(DMatrix::identity(2, 2)).unwrap());
        assert_eq!([predicted(Some(&None)), predicted(Some(&gram))], [None, Some(1.0)]);
        assert!(predicted(None).is_some());
    }

    /// 3 + 4 measured where 2 + ½ are predicted: the factor is 7/2.5. Zeros stay.
    #[test]
    fn predicted_norms_get_the_sum_of_the_measured_ones() {
        let scaled = |norms: &[(f64, Option<f64>)]| {
            let class = |&(measured, predicted): &(f64, Option<f64>)| ClassAudit {
                count: 1,
                classifier_norm_squared: Compared { measured, predicted },
                feature_norm_squared: super::measured(1.0),
                collapsed: super::measured(false),
            };
            let mut classes: Vec<ClassAudit> = norms.iter().map(class).collect();
            rescale(&mut classes, |class| &mut class.classifier_norm_squared);
            classes.iter().map(|class| class.classifier_norm_squared.predicted).collect::<Vec<_>>()
        };
        let found = scaled(&[(3.0, Some(2.0)), (4.0, Some(0.5)), (5.0, None)]);
        assert_eq!(found, [Some(2.0 * 2.8), Some(0.5 * 2.8), None]);
        assert_eq!(scaled(&[(3.0, Some(0.0)), (4.0, None)]), [Some(0.0), None]);
    }
}
