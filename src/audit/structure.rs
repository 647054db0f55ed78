//! What a network that is better than its prediction looks like.

use nalgebra::{DMatrix, DVector};

use crate::error::Result;
use crate::models::low_rank::symmetry::symmetry_within;
use crate::numerics::linalg::singular_values;
use crate::problem::counts::{ClassCounts, Run};

/// Differences of outputs below this share of the largest one count as none, and singular values below this share
/// of the largest one as zero: training leaves more than rounding errors.
const TOLERANCE: f64 = 0.01;
/// The most classes for which exchanges are looked for.
const MOST_CLASSES: usize = 200;

/// The structure of the outputs Z = W_M⋯W₁H̄ (K×K) of a trained network for its class means, to one percent of the
/// largest one. Under cross-entropy the mean of every column, which the loss does not feel, is removed before.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct NetworkStructure {
    /// Rank of Z.
    pub rank: usize,
    /// How many exchanges of classes of one size leave Z and the bias as they are; `None` if that was not found, or
    /// for more than 200 classes.
    pub automorphisms: Option<u128>,
    /// Number of classes in each orbit of these exchanges, falling; empty where they were not looked for.
    pub orbits: Vec<usize>,
    /// Whether Z = Zᵀ.
    pub is_symmetric: bool,
}

impl NetworkStructure {
    /// The structure of outputs for the class means, without the bias.
    ///
    /// # Errors
    /// [`Error::NoConvergence`](crate::Error::NoConvergence) if the singular values are not found.
    pub(super) fn of(
        outputs: &DMatrix<f64>,
        bias: Option<&DVector<f64>>,
        counts: &ClassCounts,
    ) -> Result<Self> {
        let largest = outputs.amax();
        let values = singular_values(outputs)?;
        let rank = values.iter().filter(|&&value| value > TOLERANCE * values.max()).count();
        let asymmetry = (outputs - outputs.transpose()).amax();
        let classes = outputs.nrows();
        let (automorphisms, orbits) = match classes <= MOST_CLASSES {
            true => {
                let kind = |(run, class): (Run, usize)| {
                    vec![run.size as f64 * largest, bias.map_or(0.0, |bias| bias[class])]
                };
                let of_run = |run: Run| run.classes().map(move |class| (run, class));
                let kinds: Vec<Vec<f64>> = counts.runs().flat_map(of_run).map(kind).collect();
                let symmetry = symmetry_within(outputs, &kinds, TOLERANCE);
                (symmetry.order, orbit_sizes(&symmetry.orbits))
            }
            false => (None, Vec::new()),
        };
        let is_symmetric = asymmetry <= TOLERANCE * largest;
        Ok(Self { rank, automorphisms, orbits, is_symmetric })
    }

    /// In words, to be said of the network.
    pub(super) fn text(&self) -> String {
        let mut text = format!("its outputs have rank {}", self.rank);
        if let Some(order) = self.automorphisms {
            let orbits: Vec<String> = self.orbits.iter().map(ToString::to_string).collect();
            text += &format!(", symmetry of order {order} with orbits {}", orbits.join(" + "));
        }
        text += if self.is_symmetric { ", Z = Zᵀ" } else { ", Z ≠ Zᵀ" };
        text
    }
}

/// Outputs without the mean of every column.
pub(super) fn without_means(mut outputs: DMatrix<f64>) -> DMatrix<f64> {
    for mut column in outputs.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    outputs
}

/// How many classes each orbit has, falling.
fn orbit_sizes(orbits: &[usize]) -> Vec<usize> {
    let mut sizes = vec![0; orbits.iter().max().map_or(0, |last| last + 1)];
    orbits.iter().for_each(|&orbit| sizes[orbit] += 1);
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noisy_square_is_a_square() {
        let mut outputs = DMatrix::zeros(4, 4);
        for (i, j, value) in [(0, 0, 2.0), (1, 1, 2.0), (0, 1, -2.0), (1, 0, -2.0)] {
            outputs[(i, j)] = value + 1e-3;
            outputs[(i + 2, j + 2)] = value - 1e-3;
        }
        let counts = ClassCounts::balanced(4, 3).unwrap();
        let found = NetworkStructure::of(&outputs, None, &counts).unwrap();
        let square = NetworkStructure {
            rank: 2,
            automorphisms: Some(8),
            orbits: vec![4],
            is_symmetric: true,
        };
        assert_eq!(found, square);
        assert_eq!(
            found.text(),
            "its outputs have rank 2, symmetry of order 8 with orbits 4, Z = Zᵀ"
        );
        // Different sizes and a bias part the classes.
        let counts = ClassCounts::new(&[3, 3, 2, 2]).unwrap();
        let found = NetworkStructure::of(&outputs, None, &counts).unwrap();
        assert_eq!((found.automorphisms, found.orbits), (Some(4), vec![2, 2]));
        let shifted = without_means(outputs.add_scalar(5.0));
        assert!((shifted - outputs).amax() < 1e-2);
    }

    /// One percent parts zeros and equals from the rest.
    #[test]
    fn one_percent_of_the_largest_counts() {
        for (share, is_equal) in [(0.0099, true), (0.0101, false)] {
            let counts = ClassCounts::new(&[1, 2]).unwrap();
            let outputs = DMatrix::from_row_slice(2, 2, &[-4.0, 0.0, 0.0, 4.0 * share]);
            let found = NetworkStructure::of(&outputs, None, &counts).unwrap();
            assert_eq!(found.rank, if is_equal { 1 } else { 2 });
            let outputs = DMatrix::from_row_slice(2, 2, &[-4.0, 0.0, 4.0 * share, 4.0]);
            let found = NetworkStructure::of(&outputs, None, &counts).unwrap();
            assert_eq!(found.is_symmetric, is_equal);
            assert_eq!(found.text().contains("Z = Zᵀ"), is_equal);
            assert_eq!(found.text().contains("Z ≠ Zᵀ"), !is_equal);
        }
    }

    #[test]
    fn exchanges_are_looked_for_up_to_200_classes() {
        for (classes, orbits) in [(200, vec![150, 50]), (201, vec![])] {
            let mut sizes = vec![2; classes];
            sizes[150..].fill(1);
            let counts = ClassCounts::new(&sizes).unwrap();
            let outputs = DMatrix::identity(classes, classes);
            let found = NetworkStructure::of(&outputs, None, &counts).unwrap();
            assert_eq!((found.rank, found.is_symmetric), (classes, true));
            assert_eq!(found.orbits, orbits);
        }
    }

    #[test]
    fn zeros_have_no_rank() {
        let counts = ClassCounts::balanced(3, 2).unwrap();
        let found = NetworkStructure::of(&DMatrix::zeros(3, 3), None, &counts).unwrap();
        assert_eq!((found.rank, found.is_symmetric, found.automorphisms), (0, true, Some(6)));
    }
}
