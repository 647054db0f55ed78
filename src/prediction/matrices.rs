//! The matrices of a prediction or of a network, written out.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::numerics::linalg::{check_memory, product, svd_thin, transposed};
use crate::prediction::explicit::Basis;
use crate::prediction::{Prediction, answered};
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;

/// All matrices that a prediction speaks of, entry by entry: to be stored, plotted or compared with those of a network
/// elsewhere. The same of a measured network.
///
/// ```
/// use neural_collapse::prediction::Matrices;
/// use neural_collapse::{Basis, ClassCounts, Regularization, Ufm};
///
/// let ufm = Ufm::new(ClassCounts::new(&[9, 4, 4])?, Regularization::new(&[1e-3; 2], 1e-3)?)?;
/// let minimum = ufm.with_widths(&[6, 5])?.global_minimum()?;
/// let matrices = Matrices::of_prediction(&minimum, &Basis::Random(3))?;
/// assert_eq!(matrices.head.unwrap().widths(), [6, 5]);
/// assert_eq!(matrices.trailing_grams[1].as_ref().unwrap().shape(), (3, 3));
/// assert_eq!(matrices.outputs.unwrap().singular_values.len(), 3);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::prediction::stored::StoredMatrices"))]
#[cfg_attr(feature = "serde", serde(into = "crate::prediction::stored::StoredMatrices"))]
#[non_exhaustive]
pub struct Matrices {
    /// W₁, …, W_M and b; `None` where no matrices that attain the minimum are known.
    pub head: Option<LinearHead>,
    /// The class means H̄, d₁×K.
    pub class_means: Option<DMatrix<f64>>,
    /// For m = 1, …, M the Gram matrix of the last m layers, W_M⋯W_(M−m+1) times its transpose, K×K.
    pub trailing_grams: Vec<Option<DMatrix<f64>>>,
    /// H̄ᵀH̄, K×K.
    pub class_means_gram: Option<DMatrix<f64>>,
    /// W_M⋯W₁H̄ without the bias, K×K, a column for each class.
    pub class_outputs: Option<DMatrix<f64>>,
    /// The singular directions of the outputs for all samples.
    pub outputs: Option<OutputDirections>,
}

/// The singular value decomposition of the outputs W_M⋯W₁H of all N samples, each at its class mean, without the bias.
///
/// A sample of class k has the entry v_k/√n_k in the right singular vector v, so that one number for each class
/// tells it: the decomposition is that of W_M⋯W₁H̄ diag(√n) = U diag(σ) Vᵀ.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::prediction::stored::StoredDirections"))]
#[cfg_attr(feature = "serde", serde(into = "crate::prediction::stored::StoredDirections"))]
#[non_exhaustive]
pub struct OutputDirections {
    /// U, K×K, a column for each direction.
    pub left: DMatrix<f64>,
    /// σ₁ ≥ … ≥ σ_K ≥ 0.
    pub singular_values: Vec<f64>,
    /// V, K×K, a column for each direction.
    pub right: DMatrix<f64>,
}

impl OutputDirections {
    fn new(class_outputs: &DMatrix<f64>, counts: &ClassCounts) -> Result<Self> {
        let mut weighted = class_outputs.clone();
        for run in counts.runs() {
            for class in run.classes() {
                weighted.column_mut(class).scale_mut((run.size as f64).sqrt());
            }
        }
        let svd = svd_thin(&weighted)?;
        let singular_values = svd.singular_values.iter().copied().collect();
        Ok(Self { left: svd.u, singular_values, right: svd.v })
    }
}

impl Matrices {
    /// Those of a prediction: of the minimizer whose hidden directions lie along `basis`. Where minimizers form a
    /// family, all are of this member.
    ///
    /// # Errors
    /// As [`Prediction::explicit`], but for models that have no answer; [`Error::OutOfRange`](crate::Error::OutOfRange)
    /// for more classes than fit into memory.
    pub fn of_prediction(prediction: &dyn Prediction, basis: &Basis) -> Result<Self> {
        let classes = prediction.classes();
        let grams = prediction.depth().saturating_add(6);
        let entries = classes.checked_mul(classes).and_then(|entries| entries.checked_mul(grams));
        check_memory("classes", classes as f64, entries)?;
        let point = answered(prediction.explicit(basis))?;
        let counts = prediction.counts();
        let member =
            match point.as_ref().and_then(|point| Some((point.head(), point.class_means()?))) {
                Some((head, means)) => Some(Self::of_network(counts, means, head)?),
                None => None,
            };
        Self::with_targets(member, prediction, counts)
    }

    /// Those of class means H̄ (d₁×K) and a head, for classes of these sizes, if they are known.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if they do not fit together,
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a number overflows.
    pub fn of_network(
        counts: Option<&ClassCounts>,
        class_means: &DMatrix<f64>,
        head: &LinearHead,
    ) -> Result<Self> {
        head.check_shape("class_means", class_means.nrows(), class_means.ncols())?;
        if let Some(counts) = counts.filter(|counts| counts.classes() != head.classes()) {
            let reason = "the number of classes of the head";
            return Err(Error::length("counts", counts.classes(), head.classes(), reason));
        }
        let gram = |layers| {
            let trailing = head.trailing_product(layers)?;
            Ok(Some(product(&trailing, &transposed(&trailing))))
        };
        let outputs = product(&head.product()?, class_means);
        let directions = counts.map(|counts| OutputDirections::new(&outputs, counts));
        Ok(Self {
            trailing_grams: (1..=head.depth()).map(gram).collect::<Result<_>>()?,
            class_means_gram: Some(product(&transposed(class_means), class_means)),
            class_outputs: Some(outputs),
            outputs: directions.transpose()?,
            head: Some(head.clone()),
            class_means: Some(class_means.clone()),
        })
    }

    /// The structured matrices of a prediction, which have no rounding errors of products, in place of those of its
    /// member; of a family that which is nearest to the member.
    pub(crate) fn with_targets(
        member: Option<Self>,
        prediction: &dyn Prediction,
        counts: Option<&ClassCounts>,
    ) -> Result<Self> {
        let of_member =
            |matrix: fn(&Self) -> Option<&DMatrix<f64>>| member.as_ref().and_then(matrix);
        let mut trailing_grams = Vec::new();
        for layers in 1..=prediction.depth() {
            let own =
                member.as_ref().and_then(|member| member.trailing_grams.get(layers - 1)?.as_ref());
            trailing_grams.push(nearest(answered(prediction.trailing_gram(layers))?, own)?);
        }
        let means = answered(prediction.class_means_gram())?;
        let outputs = answered(prediction.class_outputs())?;
        let class_outputs = nearest(outputs, of_member(|member| member.class_outputs.as_ref()))?;
        let directions = class_outputs.as_ref().zip(counts);
        let directions = directions.map(|(outputs, counts)| OutputDirections::new(outputs, counts));
        Ok(Self {
            trailing_grams,
            class_means_gram: nearest(means, of_member(|member| member.class_means_gram.as_ref()))?,
            class_outputs,
            outputs: directions.transpose()?,
            head: member.as_ref().and_then(|member| member.head.clone()),
            class_means: member.as_ref().and_then(|member| member.class_means.clone()),
        })
    }

    /// The same with the classes in another order: class `order[k]` is the k-th of these.
    pub(crate) fn with_classes_at(self, order: &[usize]) -> Result<Self> {
        let mut place = vec![0; order.len()];
        for (index, &class) in order.iter().enumerate() {
            if let Some(place) = place.get_mut(class) {
                *place = index;
            }
        }
        let columns = |matrix: DMatrix<f64>| matrix.select_columns(&place);
        let both = |matrix: DMatrix<f64>| matrix.select_rows(&place).select_columns(&place);
        Ok(Self {
            head: self.head.map(|head| head.with_order(&place)).transpose()?,
            class_means: self.class_means.map(columns),
            trailing_grams: self.trailing_grams.into_iter().map(|gram| gram.map(both)).collect(),
            class_means_gram: self.class_means_gram.map(both),
            class_outputs: self.class_outputs.map(both),
            outputs: self.outputs.map(|outputs| OutputDirections {
                left: outputs.left.select_rows(&place),
                right: outputs.right.select_rows(&place),
                ..outputs
            }),
        })
    }

    /// The bias.
    #[must_use]
    pub fn bias(&self) -> Option<&DVector<f64>> {
        self.head.as_ref()?.bias()
    }
}

/// A class matrix entry by entry; of a family the member nearest to a matrix, if there is one.
fn nearest(
    target: Option<ClassMatrix>,
    member: Option<&DMatrix<f64>>,
) -> Result<Option<DMatrix<f64>>> {
    let Some(target) = target else { return Ok(member.cloned()) };
    match (target.to_dense(), member) {
        (Some(dense), _) => Ok(Some(dense)),
        (None, Some(member)) if member.amax() > 0.0 => target.nearest_member(member).map(Some),
        (None, member) => Ok(member.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of projectors of rank two, that nearest to the matrix, and the matrix itself where it has no directions.
    #[test]
    fn a_member_is_near_a_matrix_that_is_not_zero() {
        let family = || Some(ClassMatrix::low_rank_orthogonal_frame(3, 2).unwrap());
        let matrix = DMatrix::from_diagonal(&DVector::from(vec![5.0, 0.5, 3.0]));
        let projector = DMatrix::from_diagonal(&DVector::from(vec![1.0, 0.0, 1.0]));
        let found = nearest(family(), Some(&matrix)).unwrap().unwrap();
        assert!((found - projector).norm() < 1e-14);
        let zero = DMatrix::zeros(3, 3);
        assert_eq!(nearest(family(), Some(&zero)), Ok(Some(zero)));
        assert_eq!(nearest(family(), None), Ok(None));
        assert_eq!(nearest(None, Some(&matrix)), Ok(Some(matrix)));
    }
}
