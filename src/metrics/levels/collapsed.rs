//! What sampling noise alone leaves of the metrics of a perfectly collapsed network.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::center::Center;
use crate::metrics::errors::SampleParts;
use crate::monitor::{Monitor, Steps};
use crate::numerics::linalg::{power_of_two, product, transposed};
use crate::problem::head::LinearHead;

/// Whether metrics of all pairs of so many classes are looked at.
pub(crate) fn looks_at_pairs(classes: usize) -> bool {
    classes <= 1024
}

/// What the metrics are on average in a network that has collapsed perfectly but for the measured spread within its
/// classes: class means of n_k samples are off by errors ε_k with the covariance Σ_k/n_k, and these errors alone keep the
/// distances from zero.
///
/// To first order in ε a distance is the norm of a linear function of ε, and its mean square follows from the sums of
/// [`SampleParts`]. With E the errors as the columns of a matrix, M the class means (centered where the metric is), O the
/// outputs A M for A = W_M⋯W₁, and X⊥Y the part of X at right angles to Y:
///
/// ```math
/// nc3²                E ‖(A E)⊥O‖² / ‖O‖²
/// nc2_class_means²    E ‖(MᵀE + EᵀM)⊥MᵀM‖² / ‖MᵀM‖²                         centered and as they are
/// cosine_deviation²   E Var_{i≠j} (δcos(m_i, m_j))
/// norm_variation²     E Varₖ (⟨m_k, ε_k⟩/‖m_k‖) / (Avgₖ ‖m_k‖)²
/// self_duality²       E ‖(L E)⊥(L M)‖² / ‖L M‖²,   L the layers but the last
/// ```
///
/// A measured value near its level or below it (a network that was trained on the same samples was fitted to their
/// very means) is no evidence against perfect collapse. For class means that are a simplex ETF and n
/// samples per class, `nc2_class_means` is √(2 NC1 (K+1)(K−2)/n)/(K−1). NC2 of the head has no level, as weights are no
/// samples; NC1 and CDNV have none, as the spread within the classes is what they measure.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::metrics::Nc1Options;
/// use neural_collapse::metrics::errors::SampleParts;
/// use neural_collapse::metrics::levels::Collapsed;
/// use neural_collapse::{ClassStatistics, Features, LinearHead};
///
/// // Two classes at ±1 with deviations of 0.1 across: class means of two samples are off by 0.1.
/// let rows = dmatrix![1.0, 0.1; 1.0, -0.1; -1.0, 0.1; -1.0, -0.1];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![0.0, 1.0; 1.0, 0.0]], None)?;
/// let mut parts = SampleParts::new(&ClassStatistics::new(&data)?, &Nc1Options::default())?;
/// parts.accumulate(&data)?;
/// let level = Collapsed::new(&parts, &head)?.unwrap();
/// assert!((level.nc3.unwrap() - 0.1).abs() < 1e-12);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Collapsed {
    /// [`nc3`](crate::metrics::nc3) of the class means as they are.
    pub nc3: Option<f64>,
    /// [`nc3`](crate::metrics::nc3) of the centered class means.
    pub nc3_centered: Option<f64>,
    /// The distance of the Gram matrix of the centered class means to its target.
    pub nc2_class_means: Option<f64>,
    /// The same of the class means as they are: [`Audit::nc2_class_means`](crate::Audit::nc2_class_means).
    pub nc2_class_means_as_they_are: Option<f64>,
    /// [`self_duality`](crate::metrics::self_duality).
    pub self_duality: Option<f64>,
    /// [`norm_spread`](crate::metrics::norm_spread) of the centered class means: deviation/mean.
    pub norm_variation: Option<f64>,
    /// [`cosine_spread`](crate::metrics::cosine_spread) of the centered class means: the deviation.
    pub cosine_deviation: Option<f64>,
}

impl Collapsed {
    /// From the sums of all samples. `None` if all samples of a class are in one part, as if there is only one.
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a class has not had as many samples as in the statistics,
    /// [`Error::Shape`](crate::Error::Shape) if the head is for other features or classes,
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a product of layers overflows.
    pub fn new(parts: &SampleParts, head: &LinearHead) -> Result<Option<Self>> {
        Self::watched(parts, head, &())
    }

    /// The same under the eyes of a monitor.
    pub(crate) fn watched(
        parts: &SampleParts,
        head: &LinearHead,
        monitor: &dyn Monitor,
    ) -> Result<Option<Self>> {
        let (dimension, classes) = parts.means().shape();
        head.check_shape("statistics", dimension, classes)?;
        let Some(moves) = parts.moves()? else { return Ok(None) };
        let centered_moves: Vec<_> = moves.iter().map(|moves| centered(parts, moves)).collect();
        let unit = |layers: DMatrix<f64>| &layers / power_of_two(&layers);
        let all = unit(head.product()?);
        let scaled = |means: DMatrix<f64>| means / parts.scale();
        let (means, own) = (
            scaled(parts.means().matrix().clone()),
            scaled(parts.means().centered(Center::Samples)),
        );
        let few = looks_at_pairs(classes);
        // All levels but that of the norms take a product of matrices for each part.
        let levels = if few { 5 } else { 3 };
        let steps = Steps::new(monitor, "levels of a collapsed network", levels * moves.len());
        let through = |layers: &DMatrix<f64>, means: &DMatrix<f64>, moves: &[DMatrix<f64>]| {
            relative(&(layers * means), moves.iter().map(|moves| layers * moves), &steps)
        };
        let (grams, cosine_deviation) = match few {
            true => (
                gram_levels((&means, &own), (&moves, &centered_moves), &steps)?,
                cosine_level(&own, &centered_moves, &steps)?,
            ),
            false => ([None; 2], None),
        };
        Ok(Some(Self {
            nc3: through(&all, &means, &moves)?,
            nc3_centered: through(&all, &own, &centered_moves)?,
            nc2_class_means: grams[0],
            nc2_class_means_as_they_are: grams[1],
            self_duality: match head.depth() {
                1 => relative(&own, centered_moves.iter().cloned(), &steps)?,
                depth => through(&unit(head.leading_product(depth - 1)?), &own, &centered_moves)?,
            },
            norm_variation: norm_level(&own, &centered_moves),
            cosine_deviation,
        }))
    }
}

fn centered(parts: &SampleParts, moves: &DMatrix<f64>) -> DMatrix<f64> {
    let mut moves = moves.clone();
    parts.center(&mut moves);
    moves
}

/// √(Σ ‖X⊥Y‖²)/‖Y‖ over the changes X; `None` if Y is zero.
fn relative(
    matrix: &DMatrix<f64>,
    changes: impl IntoIterator<Item = DMatrix<f64>>,
    steps: &Steps<'_>,
) -> Result<Option<f64>> {
    let mut across = Across::of(matrix.clone());
    for change in changes {
        steps.step()?;
        across.add(&change);
    }
    Ok(across.level())
}

/// Sums up [`relative`].
struct Across {
    matrix: DMatrix<f64>,
    square: f64,
    sum: f64,
}

impl Across {
    fn of(matrix: DMatrix<f64>) -> Self {
        Self { square: matrix.norm_squared(), matrix, sum: 0.0 }
    }

    fn add(&mut self, change: &DMatrix<f64>) {
        self.sum += change.norm_squared() - change.dot(&self.matrix).powi(2) / self.square;
    }

    fn level(self) -> Option<f64> {
        finite((self.sum.max(0.0) / self.square).sqrt())
    }
}

/// Of the Gram matrix of the centered class means, and of that of the class means as they are.
///
/// With M = M_c + g1ᵀ and E = E_c + e1ᵀ the product MᵀE differs from M_cᵀE_c by terms of rank one.
fn gram_levels(
    (means, centered): (&DMatrix<f64>, &DMatrix<f64>),
    (moves, centered_moves): (&[DMatrix<f64>], &[DMatrix<f64>]),
    steps: &Steps<'_>,
) -> Result<[Option<f64>; 2]> {
    let gram = |means: &DMatrix<f64>| product(&transposed(means), means);
    let difference =
        |all: &DMatrix<f64>, centered: &DMatrix<f64>| all.column(0) - centered.column(0);
    let mean = difference(means, centered);
    let (mut own, mut all) = (Across::of(gram(centered)), Across::of(gram(means)));
    for (moves, centered_moves) in moves.iter().zip(centered_moves) {
        steps.step()?;
        let shift = difference(moves, centered_moves);
        let mut half = product(&transposed(centered), centered_moves);
        own.add(&(&half + half.transpose()));
        let (along_mean, along_shift) = (mean.tr_mul(centered_moves), centered.tr_mul(&shift));
        for (mut column, along) in half.column_iter_mut().zip(along_mean.iter()) {
            column += &along_shift;
            column.add_scalar_mut(along + mean.dot(&shift));
        }
        all.add(&(&half + half.transpose()));
    }
    Ok([own.level(), all.level()])
}

fn norm_level(means: &DMatrix<f64>, moves: &[DMatrix<f64>]) -> Option<f64> {
    let norms = means.column_iter().map(|mean| mean.norm());
    let norms: Vec<f64> = norms.collect();
    let mean_norm = norms.iter().sum::<f64>() / norms.len() as f64;
    let variance = |moves: &DMatrix<f64>| {
        let columns = means.column_iter().zip(moves.column_iter()).zip(&norms);
        let changes: Vec<f64> = columns.map(|((m, e), norm)| m.dot(&e) / norm).collect();
        variance(changes.iter().copied())
    };
    finite(moves.iter().map(variance).sum::<f64>().sqrt() / mean_norm)
}

/// With u the directions, δu_k = (ε_k − ⟨u_k, ε_k⟩u_k)/‖m_k‖ and δcos = ⟨u_i, δu_j⟩ + ⟨u_j, δu_i⟩.
fn cosine_level(
    means: &DMatrix<f64>,
    moves: &[DMatrix<f64>],
    steps: &Steps<'_>,
) -> Result<Option<f64>> {
    let classes = means.ncols();
    let mut directions = means.clone();
    let norms: Vec<f64> =
        directions.column_iter_mut().map(|mut mean| mean.normalize_mut()).collect();
    let change = |moves: &DMatrix<f64>| {
        steps.step()?;
        let mut turns = moves.clone();
        for (index, mut turn) in turns.column_iter_mut().enumerate() {
            let along = directions.column(index).dot(&turn);
            turn.axpy(-along, &directions.column(index), 1.0);
            turn /= norms[index];
        }
        let half = product(&transposed(&directions), &turns);
        let pairs = (0..classes).flat_map(|j| (0..j).map(move |i| (i, j)));
        Ok(variance(pairs.map(|(i, j)| half[(i, j)] + half[(j, i)])))
    };
    Ok(finite(moves.iter().map(change).sum::<Result<f64>>()?.sqrt()))
}

/// The variance of some numbers.
fn variance(numbers: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = numbers.clone().count() as f64;
    let mean = numbers.clone().sum::<f64>() / count;
    numbers.map(|number| (number - mean).powi(2)).sum::<f64>() / count
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use crate::measure::statistics::ClassStatistics;
    use crate::metrics::nc1::Nc1Options;

    const CLASSES: usize = 4;

    fn matrix(rows: usize, columns: usize, seed: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((i * i + 3 * i * j + 7 * j + seed) as f64).sin())
    }

    fn parts(labels: &[usize]) -> SampleParts {
        let noise = matrix(labels.len(), 5, 5) * 20.0;
        let rows = DMatrix::from_fn(labels.len(), 5, |i, j| {
            noise[(i, j)] + 40.0 + 100.0 * ((labels[i] * (j + 2) + j) as f64).cos()
        });
        let data = Features::from_sample_rows(&rows).unwrap();
        let data = data.with_labels(labels, CLASSES).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let mut parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
        parts.accumulate(&data).unwrap();
        parts
    }

    /// A level is the root of the summed squares of what the parts move a metric by, by differences: of matrices of norm 1,
    /// and of numbers less their mean.
    #[test]
    fn levels_are_those_of_numerical_derivatives() {
        let labels: Vec<usize> = (0..140).map(|i| [0, 1, 0, 2, 3, 1, 0][i % 7]).collect();
        let parts = parts(&labels);
        let (means, moves) = (parts.means().matrix(), parts.moves().unwrap().unwrap());
        let centered = |means: &DMatrix<f64>| {
            let weights = nalgebra::dvector![60.0, 40.0, 20.0, 20.0] / 140.0;
            let center = means * weights;
            let mut means = means.clone();
            means.column_iter_mut().for_each(|mut mean| mean -= &center);
            means
        };
        let norms = |means: &DMatrix<f64>| {
            DMatrix::from_iterator(1, CLASSES, means.column_iter().map(|mean| mean.norm()))
        };
        let cosines = |means: &DMatrix<f64>| {
            let pairs = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)];
            DMatrix::from_iterator(
                1,
                6,
                pairs.map(|(i, j)| {
                    means.column(i).dot(&means.column(j))
                        / means.column(i).norm()
                        / means.column(j).norm()
                }),
            )
        };
        let mean_norm = norms(&centered(means)).mean();
        for weights in [
            vec![matrix(CLASSES, 5, 1)],
            vec![matrix(6, 5, 1), matrix(3, 6, 2), matrix(CLASSES, 3, 3)],
        ] {
            let head = LinearHead::new(weights.clone(), None).unwrap();
            let found = Collapsed::new(&parts, &head).unwrap().unwrap();
            let level = |value: &dyn Fn(&DMatrix<f64>) -> DMatrix<f64>, is_spread: bool| {
                let square = |moves: &DMatrix<f64>| {
                    let step = moves * (parts.scale() * 1e-4);
                    let change = (value(&(means + &step)) - value(&(means - &step))) / 2e-4;
                    if is_spread { change.variance() } else { change.norm_squared() }
                };
                moves.iter().map(square).sum::<f64>().sqrt()
            };
            let layers = head.product().unwrap();
            let before: DMatrix<f64> = match &weights[..] {
                [first, second, _] => second * first,
                _ => DMatrix::identity(5, 5),
            };
            for (name, found, expected) in [
                ("nc3", found.nc3, level(&|h| (&layers * h).normalize(), false)),
                (
                    "nc3, centered",
                    found.nc3_centered,
                    level(&|h| (&layers * centered(h)).normalize(), false),
                ),
                (
                    "as they are",
                    found.nc2_class_means_as_they_are,
                    level(&|h| h.tr_mul(h).normalize(), false),
                ),
                (
                    "nc2",
                    found.nc2_class_means,
                    level(&|h| centered(h).tr_mul(&centered(h)).normalize(), false),
                ),
                (
                    "duality",
                    found.self_duality,
                    level(&|h| (&before * centered(h)).normalize(), false),
                ),
                ("norms", found.norm_variation, level(&|h| norms(&centered(h)) / mean_norm, true)),
                ("cosines", found.cosine_deviation, level(&|h| cosines(&centered(h)), true)),
            ] {
                assert!(
                    (found.unwrap() / expected - 1.0).abs() < 1e-6,
                    "{name}: {found:?} {expected}"
                );
            }
        }
    }

    #[test]
    fn pairs_are_looked_at_up_to_1024_classes() {
        assert!(looks_at_pairs(1024) && !looks_at_pairs(1025));
        // Of a class alone there are none.
        let one = matrix(3, 1, 0);
        let steps = Steps::new(&(), "pairs", 1);
        assert_eq!(cosine_level(&one, std::slice::from_ref(&one), &steps), Ok(None));
    }
}
