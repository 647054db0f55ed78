//! The smallest logits of sparse soft labels where the centered supports are not: a numerical minimum with bounds.

use nalgebra::{DMatrix, DVectorViewMut};

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::soft_labels::problem::SparseLabels;
use crate::models::soft_labels::subgradient::Decomposition;
use crate::monitor::Monitor;
use crate::numerics::linalg::{Svd, left_svd, svd_thin};

/// Cap on the steps.
const MAX_STEPS: u64 = 20_000;
/// Steps between two looks at the bounds.
const LOOK_EVERY: u64 = 25;
/// Relative gap between norm and bound at which the work is done.
const GAP: f64 = 1e-10;
/// How far each step goes beyond its own result.
const RELAXATION: f64 = 1.6;

/// Logits L of the support vector machine of [`SparseLabels`], min ‖L D^½‖_* with equal logits on each support and margins
/// of at least 1 to all others, with a lower bound of all such norms.
///
/// Where the centered supports are the minimum these are they.
#[derive(Debug, Clone, PartialEq)]
pub struct SmallestLogits {
    logits: DMatrix<f64>,
    scaled: DMatrix<f64>,
    norm: f64,
    lower_bound: f64,
    steps: u64,
}

impl SmallestLogits {
    /// L, K×J: its columns sum to zero, and are zero for contexts whose support is everything.
    #[must_use]
    pub fn logits(&self) -> &DMatrix<f64> {
        &self.logits
    }

    /// ‖L D^½‖_*, the smallest ½‖W‖² + ½‖H‖².
    #[must_use]
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// What no norm of feasible logits is below, up to the rounding of a singular value decomposition.
    #[must_use]
    pub fn lower_bound(&self) -> f64 {
        self.lower_bound
    }

    /// How far the norm can be above the minimum.
    #[must_use]
    pub fn gap(&self) -> f64 {
        (self.norm - self.lower_bound).max(0.0)
    }

    /// Steps of the method.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// W Wᵀ = (L D Lᵀ)^½, K×K.
    ///
    /// # Errors
    /// [`Error::NoConvergence`](crate::Error::NoConvergence) if the singular value decomposition fails.
    pub fn classifier_gram(&self) -> Result<ClassMatrix> {
        let Svd { u, singular_values, .. } = left_svd(&self.scaled)?;
        let mut roots = u;
        for (mut column, value) in roots.column_iter_mut().zip(singular_values.iter()) {
            column *= value.sqrt();
        }
        Ok(ClassMatrix::dense(&roots * roots.transpose()))
    }
}

impl SparseLabels {
    /// The logits of smallest norm, whether or not the centered supports are they
    /// ([`global_minimum`](Self::global_minimum) tells).
    ///
    /// The alternating direction method of multipliers between the norm and the constraints, each step one singular value
    /// decomposition; what it ends at is feasible, and its multipliers are repaired to prove a lower bound. It ends at
    /// a relative gap of 10⁻¹⁰ or after 20 000 steps, with the best norm and the best bound that were seen: see
    /// [`gap`](SmallestLogits::gap).
    ///
    /// ```
    /// use neural_collapse::Prediction;
    /// use neural_collapse::models::soft_labels::SparseLabels;
    ///
    /// let supports = [vec![0, 1, 2], vec![0, 3], vec![1, 3], vec![2, 4]];
    /// let labels = SparseLabels::new(5, &supports, &[9, 1, 1, 4])?;
    /// let (centered, smallest) = (labels.global_minimum()?, labels.smallest_logits()?);
    /// assert!(smallest.norm() <= centered.loss() && smallest.gap() < 1e-6 * smallest.norm());
    /// // Equal logits on the support, at least 1 less elsewhere.
    /// let column = smallest.logits().column(1);
    /// assert!((column[0] - column[3]).abs() < 1e-9 && column[0] - column[1] > 1.0 - 1e-9);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoConvergence`](crate::Error::NoConvergence) if a singular value decomposition fails.
    pub fn smallest_logits(&self) -> Result<SmallestLogits> {
        self.smallest_logits_with(&())
    }

    /// [`smallest_logits`](Self::smallest_logits) with somebody who watches.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the work; else as there.
    pub fn smallest_logits_with(&self, monitor: &dyn Monitor) -> Result<SmallestLogits> {
        let decomposition = Decomposition::new(self)?;
        let polar = &decomposition.u * decomposition.v.transpose();
        let mut best = Best {
            scaled: decomposition.x.clone(),
            norm: decomposition.norm(),
            bound: decomposition.lower_bound(self, &polar)?,
        };
        // The size of a singular value: steps of the logits and of the multipliers are then alike.
        let step = best.norm / (decomposition.singular_values.len().max(1) as f64);
        let mut feasible = decomposition.x.clone();
        let mut multiplier = DMatrix::zeros(feasible.nrows(), feasible.ncols());
        let mut steps = 0;
        while !best.is_enough() && steps < MAX_STEPS {
            let (small, subgradient) = shrunk(&(&feasible - &multiplier), step)?;
            let relaxed = &small * RELAXATION + &feasible * (1.0 - RELAXATION);
            let mut moved = &relaxed + &multiplier;
            self.make_feasible(&mut moved);
            multiplier += &relaxed - &moved;
            feasible = moved;
            steps += 1;
            if steps % LOOK_EVERY == 0 {
                monitor.report("smallest logits", steps, Some(MAX_STEPS))?;
                best.bound = best.bound.max(decomposition.lower_bound(self, &subgradient)?);
                best.see(&feasible)?;
            }
        }
        Ok(SmallestLogits {
            logits: self.of_all_contexts(&best.scaled),
            scaled: best.scaled,
            norm: best.norm,
            lower_bound: best.bound,
            steps,
        })
    }

    /// The nearest matrix with one value on each support and values smaller by √n_j at least elsewhere.
    fn make_feasible(&self, matrix: &mut DMatrix<f64>) {
        for (mut column, distinct) in matrix.column_iter_mut().zip(&self.distinct) {
            project(&mut column, &distinct.support, distinct.samples.sqrt());
        }
    }

    /// The columns of the distinct supports less √n_j, for every context.
    fn of_all_contexts(&self, scaled: &DMatrix<f64>) -> DMatrix<f64> {
        let mut logits = DMatrix::zeros(scaled.nrows(), self.of_contexts.len());
        for (mut column, distinct) in logits.column_iter_mut().zip(&self.of_contexts) {
            let own = distinct.and_then(|index| Some((index, self.distinct.get(index)?)));
            if let Some((index, distinct)) = own {
                column.copy_from(&(scaled.column(index) / distinct.samples.sqrt()));
            }
        }
        logits
    }
}

/// The shortest feasible matrix and the highest bound so far.
struct Best {
    scaled: DMatrix<f64>,
    norm: f64,
    bound: f64,
}

impl Best {
    fn is_enough(&self) -> bool {
        self.norm - self.bound <= GAP * self.norm
    }

    /// Takes a feasible matrix, without the means of its columns, if it is shorter.
    fn see(&mut self, feasible: &DMatrix<f64>) -> Result<()> {
        let mut centered = feasible.clone();
        centered.column_iter_mut().for_each(|mut column| {
            let mean = column.mean();
            column.add_scalar_mut(-mean);
        });
        let norm = left_svd(&centered)?.singular_values.sum();
        if norm < self.norm {
            (self.scaled, self.norm) = (centered, norm);
        }
        Ok(())
    }
}

/// The matrix with every singular value less by `by` but not below zero, and the subgradient of the nuclear norm there
/// that led to it.
fn shrunk(matrix: &DMatrix<f64>, by: f64) -> Result<(DMatrix<f64>, DMatrix<f64>)> {
    let Svd { u, singular_values, v } = svd_thin(matrix)?;
    let mut scaled = u;
    for (mut column, value) in scaled.column_iter_mut().zip(singular_values.iter()) {
        column *= (value - by).max(0.0);
    }
    let small = scaled * v.transpose();
    let subgradient = (matrix - &small) / by;
    Ok((small, subgradient))
}

/// The nearest column with one value a on the support and a − margin at most elsewhere: a is the mean of the entries on the
/// support and of those elsewhere that are too large, with the margin added.
fn project(column: &mut DVectorViewMut<'_, f64>, support: &[usize], margin: f64) {
    let mut inside = vec![false; column.len()];
    support.iter().for_each(|&token| inside[token] = true);
    let mut others: Vec<f64> = column
        .iter()
        .zip(&inside)
        .filter(|(_, inside)| !**inside)
        .map(|(x, _)| x + margin)
        .collect();
    others.sort_by(|a, b| b.total_cmp(a));
    let mut sum: f64 = support.iter().map(|&token| column[token]).sum();
    let mut count = support.len() as f64;
    for other in others {
        if other * count <= sum {
            break;
        }
        sum += other;
        count += 1.0;
    }
    let value = sum / count;
    for (entry, inside) in column.iter_mut().zip(inside) {
        *entry = if inside { value } else { entry.min(value - margin) };
    }
}
