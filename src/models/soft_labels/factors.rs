//! Logits by their singular vectors, and with them the classifier and the features.

use nalgebra::{DMatrix, DVector};

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::soft_labels::problem::SparseLabels;
use crate::numerics::linalg::{Svd, check_memory, svd_thin};
use crate::prediction::SingularValue;
use crate::prediction::explicit::{Basis, Copies, ExplicitPoint, FittedVectors, check_matrices};
use crate::problem::regularization::Regularization;

/// X = L D^½ = UΣVᵀ with a column for each distinct support, on its rank r. The classifier has W Wᵀ = UΣUᵀ, and
/// the features times √n_j are the columns of R Σ^½ Vᵀ for a rotation R.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factors {
    /// U, K×r.
    pub(crate) left: DMatrix<f64>,
    /// The r positive singular values, which fall.
    pub(crate) values: Vec<f64>,
    /// V, J×r.
    pub(crate) right: DMatrix<f64>,
}

/// ½‖W‖² + ½‖H‖² as penalties.
pub(crate) fn norms() -> Result<Regularization> {
    Regularization::new(&[1.0], 1.0)
}

impl Factors {
    /// Those of a matrix whose rank is known.
    pub(crate) fn new(matrix: &DMatrix<f64>, rank: usize) -> Result<Self> {
        let Svd { u, singular_values, v } = svd_thin(matrix)?;
        Ok(Self {
            left: u.columns(0, rank).into_owned(),
            right: v.columns(0, rank).into_owned(),
            values: singular_values.iter().copied().take(rank).collect(),
        })
    }

    /// ‖X‖_*.
    pub(crate) fn norm(&self) -> f64 {
        self.values.iter().sum()
    }

    /// UVᵀ.
    pub(crate) fn polar(&self) -> DMatrix<f64> {
        &self.left * self.right.transpose()
    }

    /// The singular values of the classifier, and of the features.
    pub(crate) fn roots(&self) -> Vec<SingularValue> {
        self.values.iter().map(|value| SingularValue::new(value.sqrt(), 1)).collect()
    }

    /// UΣUᵀ.
    pub(crate) fn classifier_gram(&self) -> Result<ClassMatrix> {
        let classes = self.left.nrows();
        check_memory("classes", classes as f64, classes.checked_mul(classes))?;
        let values = DMatrix::from_diagonal(&DVector::from_row_slice(&self.values));
        Ok(ClassMatrix::dense(&self.left * values * self.left.transpose()))
    }

    /// The inner products of the features of all contexts of a problem.
    pub(crate) fn context_gram(&self, problem: &SparseLabels) -> Result<ClassMatrix> {
        let contexts = problem.of_contexts.len();
        check_memory("supports", contexts as f64, contexts.checked_mul(contexts))?;
        // D^(−½) V Σ^½.
        let mut features = self.right_vectors(problem);
        for (mut column, value) in features.column_iter_mut().zip(&self.values) {
            column *= value.sqrt();
        }
        Ok(ClassMatrix::dense(&features * features.transpose()))
    }

    /// Row j is that of V for context j, divided by √n_j: the right singular vectors of the logits of all samples.
    fn right_vectors(&self, problem: &SparseLabels) -> DMatrix<f64> {
        let mut rows = DMatrix::zeros(problem.of_contexts.len(), self.right.ncols());
        for (mut row, distinct) in rows.row_iter_mut().zip(&problem.of_contexts) {
            let own = distinct.and_then(|index| Some((index, problem.distinct.get(index)?)));
            if let Some((index, distinct)) = own {
                row.copy_from(&(self.right.row(index) / distinct.samples.sqrt()));
            }
        }
        rows
    }

    /// Matrices with these logits; the distinct features are those of the contexts, in their order.
    pub(crate) fn explicit(&self, problem: &SparseLabels, basis: &Basis) -> Result<ExplicitPoint> {
        let norms = norms()?;
        let (classes, contexts) = (problem.classes(), problem.supports().len());
        check_matrices(&norms, None, (classes, contexts, self.values.len()))?;
        let (left, right) = (self.left.clone(), self.right_vectors(problem));
        let copies = Copies::Kinds(problem.samples().clone());
        let fitted = FittedVectors { left, right, energies: self.values.clone() };
        fitted.assemble_with(&norms, None, basis, None, copies)
    }
}
