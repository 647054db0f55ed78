//! Contexts with the supports of their soft labels: what is trained, checked once.

use std::collections::HashMap;

use nalgebra::DMatrix;

use crate::error::{Argument, Error, Result};
use crate::numerics::linalg::check_memory;
use crate::problem::counts::ClassCounts;
use crate::problem::probabilities::sum_of_probabilities;

/// By how much the sum of learned probabilities may miss 1: they are often in `f32`.
const LEARNED: f64 = 1e-6;

/// Soft labels that are zero off their supports, as of next-token prediction: context j has n_j samples, whose next
/// token is one of its support S_j ⊂ {0, …, K−1}.
///
/// Cross-entropy cannot fit zero probabilities with finite logits: as weight decay vanishes, the logits grow, and
/// their diverging part L solves
///
/// ```math
/// min ‖L D^½‖_*   such that   L_cj is one number for all c in S_j, and exceeds every other L_cj by 1 at least,
/// ```
///
/// with D = diag(n) and the nuclear norm ‖·‖_*; equivalently the smallest ½‖W‖² + ½‖H‖² with such outputs. A
/// candidate are the centered supports S̃ with the columns 1_(S_j) − |S_j|/K, and whether they are the minimum can
/// be [certified](Self::global_minimum).
///
/// Contexts with one support share their features and count together; contexts whose support is everything have
/// none.
///
/// ```
/// use neural_collapse::Prediction;
/// use neural_collapse::models::soft_labels::SparseLabels;
///
/// // Three contexts over four tokens.
/// let supports = [vec![0, 1], vec![2], vec![3]];
/// let minimum = SparseLabels::new(4, &supports, &[50, 30, 20])?.global_minimum()?;
/// assert!(minimum.verdict().is_proved());
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Zhao, Behnia, Vakilian & Thrampoulidis, *Implicit Geometry of Next-token Prediction* (COLM 2024) and later
/// work of the group, who propose S̃ as a proxy; the certificate is derived in the project's `docs/closed-forms.md`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "crate::models::stored::StoredSparseLabels",
        into = "crate::models::stored::StoredSparseLabels"
    )
)]
pub struct SparseLabels {
    classes: usize,
    counts: ClassCounts,
    supports: Vec<Vec<usize>>,
    /// The distinct supports that are not everything.
    pub(crate) distinct: Vec<Distinct>,
    /// The distinct support of each context; `None` if that is everything.
    pub(crate) of_contexts: Vec<Option<usize>>,
}

/// All contexts of one support.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Distinct {
    /// Ascending.
    pub(crate) support: Vec<usize>,
    /// Their samples.
    pub(crate) samples: f64,
}

impl SparseLabels {
    /// Contexts over K = `classes` tokens, each with its support and its number of samples.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two tokens, or if a support names a token that there is not or one twice;
    /// [`Error::Empty`] without contexts or if a support is empty; [`Error::Shape`] unless there is a number of
    /// samples for each support; for samples as [`ClassCounts::new`].
    pub fn new(classes: usize, supports: &[Vec<usize>], samples: &[u64]) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        if supports.is_empty() {
            return Err(Error::Empty { argument: "supports" });
        }
        if samples.len() != supports.len() {
            let reason = "one number for each support";
            return Err(Error::length("samples", samples.len(), supports.len(), reason));
        }
        let counts = ClassCounts::new(samples)?;
        let mut sorted = Vec::with_capacity(supports.len());
        for (context, support) in supports.iter().enumerate() {
            sorted.push(checked(context, support, classes)?);
        }
        let (distinct, of_contexts) = merged(classes, &sorted, samples);
        let entries = distinct.len().saturating_mul(classes);
        check_memory("supports", supports.len() as f64, Some(entries))?;
        Ok(Self { classes, counts, supports: sorted, distinct, of_contexts })
    }

    /// Contexts with soft labels, the columns of a K×J matrix; only where they are zero matters.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::models::soft_labels::SparseLabels;
    ///
    /// let labels = dmatrix![0.7, 0.0; 0.3, 0.5; 0.0, 0.5];
    /// let problem = SparseLabels::from_labels(&labels, &[10, 20])?;
    /// assert_eq!(problem.supports(), [vec![0, 1], vec![1, 2]]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if an entry is negative or not finite, or a column does not sum to one up to 10⁻⁶; else as
    /// [`new`](Self::new).
    pub fn from_labels(labels: &DMatrix<f64>, samples: &[u64]) -> Result<Self> {
        let mut supports = Vec::with_capacity(labels.ncols());
        for (context, column) in labels.column_iter().enumerate() {
            let place = |token| Argument::entry("labels", token, context);
            let whole = Argument::at("labels", context);
            sum_of_probabilities(column.as_slice(), LEARNED, place, whole)?;
            let positive = column.iter().enumerate().filter(|(_, entry)| **entry > 0.0);
            supports.push(positive.map(|(token, _)| token).collect());
        }
        Self::new(labels.nrows(), &supports, samples)
    }

    /// Number of tokens K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The supports, each in ascending order.
    #[must_use]
    pub fn supports(&self) -> &[Vec<usize>] {
        &self.supports
    }

    /// The numbers of samples of the contexts.
    #[must_use]
    pub fn samples(&self) -> &ClassCounts {
        &self.counts
    }

    /// The centered supports S̃, K×J: column j is 1_(S_j) − |S_j|/K.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the matrix does not fit into memory.
    pub fn centered_supports(&self) -> Result<DMatrix<f64>> {
        let contexts = self.supports.len();
        check_memory("supports", contexts as f64, self.classes.checked_mul(contexts))?;
        let columns = self.supports.iter().map(|support| (support.as_slice(), 1.0));
        Ok(centered(self.classes, columns.collect()))
    }

    /// S̃ D^½ with a column for each distinct support.
    pub(crate) fn scaled_supports(&self) -> DMatrix<f64> {
        let columns = self.distinct.iter().map(|d| (d.support.as_slice(), d.samples.sqrt()));
        centered(self.classes, columns.collect())
    }

    /// The same without D^½.
    pub(crate) fn plain_supports(&self) -> DMatrix<f64> {
        let columns = self.distinct.iter().map(|distinct| (distinct.support.as_slice(), 1.0));
        centered(self.classes, columns.collect())
    }
}

fn checked(context: usize, support: &[usize], classes: usize) -> Result<Vec<usize>> {
    if support.is_empty() {
        return Err(Error::Empty { argument: "supports" });
    }
    let mut sorted = support.to_vec();
    sorted.sort_unstable();
    let doubled = sorted.iter().zip(sorted.iter().skip(1)).find(|(a, b)| a == b);
    let outside = sorted.last().filter(|&&token| token >= classes);
    if let Some(&token) = outside.or(doubled.map(|(token, _)| token)) {
        let expected = "a set of different tokens below the number of classes";
        return Err(Error::out_of_range(Argument::at("supports", context), token as f64, expected));
    }
    Ok(sorted)
}

/// The distinct supports that are not everything, with their samples, and the one of each context.
fn merged(
    classes: usize,
    supports: &[Vec<usize>],
    samples: &[u64],
) -> (Vec<Distinct>, Vec<Option<usize>>) {
    let mut known: HashMap<&[usize], usize> = HashMap::new();
    let mut distinct: Vec<Distinct> = Vec::new();
    let mut of_contexts = Vec::with_capacity(supports.len());
    for (support, &samples) in supports.iter().zip(samples) {
        if support.len() == classes {
            of_contexts.push(None);
            continue;
        }
        let index = *known.entry(support).or_insert_with(|| {
            distinct.push(Distinct { support: support.clone(), samples: 0.0 });
            distinct.len() - 1
        });
        if let Some(own) = distinct.get_mut(index) {
            own.samples += samples as f64;
        }
        of_contexts.push(Some(index));
    }
    (distinct, of_contexts)
}

/// The columns factor·(1_S − |S|/K).
fn centered(classes: usize, columns: Vec<(&[usize], f64)>) -> DMatrix<f64> {
    let mut matrix = DMatrix::zeros(classes, columns.len());
    for (mut column, (support, factor)) in matrix.column_iter_mut().zip(columns) {
        column.fill(-(support.len() as f64) / classes as f64 * factor);
        for &token in support {
            column[token] = (classes - support.len()) as f64 / classes as f64 * factor;
        }
    }
    matrix
}
