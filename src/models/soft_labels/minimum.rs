//! The centered supports with their certificate.

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::soft_labels::certificate::Certificate;
use crate::models::soft_labels::factors::Factors;
use crate::models::soft_labels::problem::SparseLabels;
use crate::models::soft_labels::subgradient::Decomposition;
use crate::monitor::Monitor;

/// The point with the centered supports S̃ of [`SparseLabels`] as logits: the global minimum where its
/// [`certificate`](Self::certificate) says so, and an upper bound of it elsewhere.
///
/// With S̃ D^½ = UΣVᵀ it has W Wᵀ = UΣUᵀ and the features h_j √n_j = column j of R Σ^½ Vᵀ for a rotation R. As a
/// [`Prediction`](crate::Prediction) it answers for the classifier; [`context_gram`](Self::context_gram) has the
/// features.
#[derive(Debug, Clone, PartialEq)]
pub struct CenteredSupports {
    problem: SparseLabels,
    decomposition: Decomposition,
    certificate: Certificate,
}

impl SparseLabels {
    /// The centered supports with the answer to whether they are the global minimum.
    ///
    /// That is so if some matrix of the subdifferential of the nuclear norm at S̃ D^½ is not positive off the supports:
    /// all of them are UVᵀ + U_⊥ A V_⊥ᵀ with ‖A‖ ≤ 1, where UVᵀ is the polar factor. UVᵀ itself is tried first.
    /// Where the rank is min(K−1, J) there is no other; elsewhere A is searched for by accelerated projected
    /// gradients, up to 5000 steps of one singular value decomposition each.
    ///
    /// # Errors
    /// [`Error::NoConvergence`](crate::Error::NoConvergence) if a singular value decomposition fails.
    pub fn global_minimum(&self) -> Result<CenteredSupports> {
        self.global_minimum_with(&())
    }

    /// [`global_minimum`](Self::global_minimum) with somebody who watches the search.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the search; else as [`global_minimum`](Self::global_minimum).
    pub fn global_minimum_with(&self, monitor: &dyn Monitor) -> Result<CenteredSupports> {
        CenteredSupports::new(self.clone(), monitor)
    }
}

impl CenteredSupports {
    pub(crate) fn new(problem: SparseLabels, monitor: &dyn Monitor) -> Result<Self> {
        let decomposition = Decomposition::new(&problem)?;
        let certificate = decomposition.certify(&problem, monitor)?;
        Ok(Self { problem, decomposition, certificate })
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &SparseLabels {
        &self.problem
    }

    /// Whether this is the global minimum, and what proves it.
    ///
    /// ```
    /// use neural_collapse::models::soft_labels::{Exactness, SparseLabels};
    ///
    /// // The polar factor of these supports is positive somewhere off them, another subgradient is not.
    /// let supports = [vec![0, 3], vec![0, 1, 2, 3], vec![2, 3, 4, 5], vec![4], vec![0, 3, 5]];
    /// let minimum = SparseLabels::new(6, &supports, &[13, 4, 16, 10, 6])?.global_minimum()?;
    /// let certificate = minimum.certificate();
    /// assert_eq!((certificate.exactness, certificate.rank), (Exactness::Subgradient, 4));
    /// assert!(certificate.largest_of_polar_factor > 0.03 && certificate.norm_of_rest < 1.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The inner products h_i·h_j of the features of all J contexts, zero for contexts whose support is everything.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) if the J² numbers do not fit into memory.
    pub fn context_gram(&self) -> Result<ClassMatrix> {
        self.decomposition.factors.context_gram(&self.problem)
    }

    pub(crate) fn factors(&self) -> &Factors {
        &self.decomposition.factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::soft_labels::certificate::Exactness;
    use crate::prediction::Prediction;

    /// What is proved is the minimum, and the only one if the subgradient is negative off the supports.
    #[test]
    fn answers_are_those_of_the_certificate() {
        let problem = SparseLabels::new(3, &[vec![0], vec![1, 2]], &[4, 9]).unwrap();
        let found = problem.global_minimum().unwrap();
        for (exactness, largest, proof, is_unique) in [
            (Exactness::Polar, -0.1, "proved", true),
            (Exactness::Polar, 0.0, "proved", false),
            (Exactness::Subgradient, -0.1, "proved", true),
            (Exactness::Subgradient, 1e-17, "proved", false),
            (Exactness::Improvable, -0.1, "proved_not_global", false),
            (Exactness::Undecided, -0.1, "best_known", false),
        ] {
            let certificate = Certificate {
                exactness,
                largest_of_subgradient: largest,
                lower_bound: 0.5,
                ..*found.certificate()
            };
            let found = CenteredSupports { certificate, ..found.clone() };
            assert_eq!(found.verdict().keyword(), proof);
            assert_eq!((certificate.is_exact(), found.is_unique()), (proof == "proved", is_unique));
            let bound = if proof == "proved" { found.loss() } else { 0.5 };
            assert_eq!(found.lower_bound(), Some(bound));
        }
    }
}
