//! The scatter of the features of several layers around their means, and between layers.

use nalgebra::{DMatrix, DVector};

use crate::error::Result;
use crate::measure::center::Center;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::projected::add_counts;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::errors::Estimate;
use crate::numerics::linalg::{
    SymmetricEigen, add_gram, from_triangle, lower_triangle, mirror, power_of_two, product,
    symmetric_eigen, transposed, zeros,
};
use crate::numerics::scalar::Scalar;

/// Σ (x − x̄)(x − x̄)ᵀ for the features x of all layers on top of each other, in a unit for each layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CrossScatter {
    /// Mean and unit of each layer.
    layers: Vec<(DVector<f64>, f64)>,
    /// The class means less the mean, in the units, of all layers on top of each other: D×K.
    means: DMatrix<f64>,
    counts: Vec<u64>,
    /// Of parts that the samples of each class are dealt out to in turn: lower triangles. One part where several take too much
    /// memory.
    parts: Vec<ScatterPart>,
}

#[derive(Debug, Clone, PartialEq)]
struct ScatterPart {
    counts: Vec<u64>,
    scatter: DMatrix<f64>,
}

/// One part as it is stored.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(super) struct StoredScatter {
    counts: Vec<u64>,
    /// The lower triangle, column by column.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    scatter: Vec<f64>,
}

/// Numbers that the scatters of the parts may take, as long as there are enough parts.
const NUMBERS: usize = 1 << 24;
const FEWEST_PARTS: usize = 16;
const MOST_PARTS: usize = 64;

/// A derivative with respect to the scatter between two layers: d_m×d_l, m ≥ l.
struct Gradient {
    layers: (usize, usize),
    matrix: DMatrix<f64>,
}

impl CrossScatter {
    pub(super) fn new(statistics: &[ClassStatistics]) -> Result<Self> {
        let layer = |statistics: &ClassStatistics| {
            let means = statistics.centered_means(Center::Samples)?;
            Ok((statistics.center(Center::Samples)?, power_of_two(&means)))
        };
        let layers: Vec<_> = statistics.iter().map(layer).collect::<Result<_>>()?;
        let size = layers.iter().map(|(mean, _)| mean.len()).sum();
        let counts = statistics.first().map_or(Vec::new(), |layer| layer.counts().to_vec());
        let mut means = zeros("dimension", size, counts.len())?;
        let mut first = 0;
        for (statistics, (mean, unit)) in statistics.iter().zip(&layers) {
            let centered = statistics.centered_means(Center::Samples)? / *unit;
            means.rows_mut(first, mean.len()).copy_from(&centered);
            first += mean.len();
        }
        let parts = match NUMBERS / size.saturating_mul(size).max(1) {
            ..FEWEST_PARTS => 1,
            // Some samples of every class in each, so that the parts are alike but for chance.
            parts => {
                let smallest = counts.iter().copied().min().unwrap_or(0) as usize;
                parts.min(MOST_PARTS).min((smallest / 2).max(FEWEST_PARTS))
            }
        };
        let part =
            ScatterPart { counts: vec![0; counts.len()], scatter: zeros("dimension", size, size)? };
        let seen = vec![0; counts.len()];
        Ok(Self { layers, means, counts: seen, parts: vec![part; parts] })
    }

    /// Adds checked samples, the same in every layer.
    pub(super) fn accumulate<T: Scalar>(
        &mut self,
        layers: &[LabeledFeatures<'_, T>],
    ) -> Result<()> {
        let samples = layers.first().map_or(0, |layer| layer.labels().len());
        let mut stacked = DMatrix::zeros(self.means.nrows(), samples);
        let mut first = 0;
        for (features, (mean, unit)) in layers.iter().zip(&self.layers) {
            let columns = features.columns(|_, sample, out| {
                for ((out, &entry), mean) in out.iter_mut().zip(sample).zip(mean.iter()) {
                    *out = (entry.into() - mean) / unit;
                }
            })?;
            stacked.rows_mut(first, mean.len()).copy_from(&columns);
            first += mean.len();
        }
        let mut columns = vec![Vec::new(); self.parts.len()];
        let labels = layers.first().map_or(&[][..], LabeledFeatures::labels);
        for (column, &class) in labels.iter().enumerate() {
            let next = (self.counts[class] % self.parts.len() as u64) as usize;
            self.counts[class] += 1;
            self.parts[next].counts[class] += 1;
            columns[next].push(column);
        }
        for (part, columns) in self.parts.iter_mut().zip(columns) {
            match columns.len() {
                0 => {}
                all if all == samples => add_gram(&mut part.scatter, &stacked),
                _ => add_gram(&mut part.scatter, &stacked.select_columns(&columns)),
            }
        }
        Ok(())
    }

    /// What has been added up so far.
    pub(super) fn part(&self) -> Vec<StoredScatter> {
        let stored = |part: &ScatterPart| StoredScatter {
            counts: part.counts.clone(),
            scatter: lower_triangle(&part.scatter),
        };
        self.parts.iter().map(stored).collect()
    }

    /// Whether parts have the sizes of these.
    pub(super) fn fits(&self, other: &[StoredScatter]) -> bool {
        let (classes, size) = (self.counts.len(), self.means.nrows());
        let is_whole = |part: &StoredScatter| {
            part.counts.len() == classes && part.scatter.len() == size * (size + 1) / 2
        };
        other.len() == self.parts.len() && other.iter().all(is_whole)
    }

    /// Adds parts that [fit](Self::fits).
    pub(super) fn merge_part(&mut self, other: &[StoredScatter]) {
        for (own, other) in self.parts.iter_mut().zip(other) {
            add_counts(&mut self.counts, &other.counts);
            add_counts(&mut own.counts, &other.counts);
            own.scatter += from_triangle(self.means.nrows(), &other.scatter);
        }
    }

    /// Whether there are parts that standard errors follow from.
    pub(super) fn has_parts(&self) -> bool {
        self.parts.len() > 1
    }

    /// Where the features of a layer are among all.
    fn rows(&self, layer: usize) -> (usize, usize) {
        let first = self.layers.iter().take(layer).map(|(mean, _)| mean.len()).sum();
        (first, self.layers[layer].0.len())
    }

    /// Of the layers m ≥ l: d_m×d_l.
    fn block_of(&self, part: &ScatterPart, (l, m): (usize, usize)) -> DMatrix<f64> {
        let ((row, rows), (column, columns)) = (self.rows(m), self.rows(l));
        let mut block = part.scatter.view((row, column), (rows, columns)).into_owned();
        if l == m {
            mirror(&mut block);
        }
        block
    }

    /// The same of all samples.
    fn block(&self, l: usize, m: usize) -> DMatrix<f64> {
        let (rows, columns) = (self.rows(m).1, self.rows(l).1);
        let parts = self.parts.iter().map(|part| self.block_of(part, (l, m)));
        parts.fold(DMatrix::zeros(rows, columns), |sum, block| sum + block)
    }

    /// Linear CKA of every pair of layers, ‖C_lm‖²/(‖C_ll‖ ‖C_mm‖), with its standard error; `None` beside a layer that does
    /// not vary.
    pub(super) fn cka(&self) -> Result<Vec<Vec<Option<Similarity>>>> {
        let number = self.layers.len();
        let own: Vec<DMatrix<f64>> = (0..number).map(|layer| self.block(layer, layer)).collect();
        let norms: Vec<f64> = own.iter().map(DMatrix::norm).collect();
        let mut found = vec![vec![None; number]; number];
        for (l, m) in (0..number).flat_map(|m| (0..=m).map(move |l| (l, m))) {
            if norms[l] <= 0.0 || norms[m] <= 0.0 {
                continue;
            }
            let similarity = match l == m {
                true => Similarity { value: 1.0, standard_error: Some(0.0) },
                false => self.similarity((l, m), (&own[l], &own[m]))?,
            };
            found[l][m] = Some(similarity).filter(|found| found.value.is_finite());
            found[m][l] = found[l][m];
        }
        Ok(found)
    }

    fn similarity(
        &self,
        layers: (usize, usize),
        (first, second): (&DMatrix<f64>, &DMatrix<f64>),
    ) -> Result<Similarity> {
        let between = self.block(layers.0, layers.1);
        let square = between.norm_squared();
        let value = square / (first.norm() * second.norm());
        if self.parts.len() == 1 {
            return Ok(Similarity { value, standard_error: None });
        }
        // The logarithm changes by 2⟨C_lm, δC_lm⟩/‖C_lm‖² − ⟨C_ll, δC_ll⟩/‖C_ll‖² − ⟨C_mm, δC_mm⟩/‖C_mm‖².
        let gradient = |layer, matrix: &DMatrix<f64>| {
            let matrix = matrix * (-value / matrix.norm_squared());
            Gradient { layers: (layer, layer), matrix }
        };
        let gradients = [
            Gradient { layers, matrix: between * (2.0 * value / square) },
            gradient(layers.0, first),
            gradient(layers.1, second),
        ];
        let found = self.estimate(value, &gradients);
        Ok(Similarity { value, standard_error: found.map(|found| found.standard_error) })
    }

    /// Effective and stable rank of a layer with their standard errors: e to the entropy of σ/Σσ, and Σσ²/max σ², for the
    /// singular values σ of the features less their mean; `None` if these do not vary.
    pub(super) fn ranks(&self, layer: usize) -> Result<Option<Ranks>> {
        let SymmetricEigen { values, vectors } = symmetric_eigen(&self.block(layer, layer))?;
        let largest = values.max();
        if largest <= 0.0 || !largest.is_finite() {
            return Ok(None);
        }
        // What rounding has left of directions in which nothing varies.
        let cutoff = largest * f64::EPSILON * values.len() as f64;
        let roots = values.map(|square| if square > cutoff { square.sqrt() } else { 0.0 });
        let total = roots.sum();
        let shares = roots.iter().filter(|&&root| root > 0.0).map(|root| root / total);
        let entropy: f64 = shares.map(|share| -share * share.ln()).sum();
        let (effective, stable) = (entropy.exp(), roots.norm_squared() / largest);
        // ∂ e^entropy/∂σ² of each direction, and that of Σσ²/σ₁².
        let by_entropy = roots.map(|root| match root > 0.0 {
            true => -effective * ((root / total).ln() + entropy) / (total * 2.0 * root),
            false => 0.0,
        });
        let mut by_size = DVector::repeat(values.len(), largest.recip());
        by_size[values.imax()] -= stable / largest;
        let estimate = |value: f64, derivative: DVector<f64>| {
            let mut scaled = vectors.clone();
            for (mut column, factor) in scaled.column_iter_mut().zip(&derivative) {
                column *= *factor;
            }
            let matrix = product(&scaled, &transposed(&vectors));
            self.estimate(value, &[Gradient { layers: (layer, layer), matrix }])
        };
        let several = self.parts.len() > 1;
        let errors = several.then(|| [estimate(effective, by_entropy), estimate(stable, by_size)]);
        Ok(Some(Ranks { effective, stable, errors }))
    }

    /// A function of the scatters with its standard error, from its derivatives. Each part p moves the scatter by
    /// c (T_p − Σ n_kp m_k m_kᵀ − n_p Σ_W), where T_p is that of the part, m_k are the centered class means, and
    /// 1/c² = 1 − Σ n_p²/N².
    fn estimate(&self, value: f64, gradients: &[Gradient]) -> Option<Estimate> {
        let samples = self.counts.iter().sum::<u64>() as f64;
        let of_class = |class: usize| -> f64 {
            let along = |gradient: &Gradient| {
                let ((row, rows), (column, columns)) =
                    (self.rows(gradient.layers.1), self.rows(gradient.layers.0));
                let mean = self.means.column(class);
                let right = &gradient.matrix * mean.rows(column, columns);
                mean.rows(row, rows).dot(&right)
            };
            gradients.iter().map(along).sum()
        };
        let classes: Vec<f64> = (0..self.counts.len()).map(of_class).collect();
        let between = |counts: &[u64]| -> f64 {
            counts.iter().zip(&classes).map(|(&count, along)| count as f64 * along).sum()
        };
        let of_part = |part: &ScatterPart| -> f64 {
            let along =
                |gradient: &Gradient| gradient.matrix.dot(&self.block_of(part, gradient.layers));
            gradients.iter().map(along).sum::<f64>() - between(&part.counts)
        };
        let number = |part: &ScatterPart| part.counts.iter().sum::<u64>() as f64;
        let moves: Vec<f64> = self.parts.iter().map(of_part).collect();
        let within = moves.iter().sum::<f64>() / samples;
        let rest =
            1.0 - self.parts.iter().map(|part| (number(part) / samples).powi(2)).sum::<f64>();
        let correction = rest.sqrt().recip();
        let moves = moves.iter().zip(&self.parts);
        let moves = moves.map(|(along, part)| correction * (along - number(part) * within));
        Some(Estimate::of_moves(value, moves.collect())).filter(Estimate::is_finite)
    }
}

/// Linear CKA of two layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Similarity {
    pub(super) value: f64,
    pub(super) standard_error: Option<f64>,
}

/// Effective and stable rank.
pub(super) struct Ranks {
    pub(super) effective: f64,
    pub(super) stable: f64,
    /// `None` where there are no parts.
    pub(super) errors: Option<[Option<Estimate>; 2]>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;

    /// As many parts as there is room for, with two samples of the smallest class in each if there are enough.
    #[test]
    fn parts_are_as_many_as_memory_and_samples_allow() {
        for (dimension, samples, parts) in [
            (2, 2, 16),
            (2, 33, 16),
            (2, 41, 20),
            (2, 128, 64),
            (2, 300, 64),
            // 2²⁴ numbers are 16 scatters of 1024 features, and 15 of 1025, which are too few.
            (1024, 60, 16),
            (1025, 60, 1),
        ] {
            let labels: Vec<usize> = (0..2 * samples + 1).map(|sample| sample % 2).collect();
            let rows = DMatrix::from_fn(labels.len(), dimension, |i, j| (i * 7 + j) as f64);
            let data = Features::from_sample_rows(&rows).unwrap();
            let statistics = ClassStatistics::new(&data.with_labels(&labels, 2).unwrap()).unwrap();
            let scatter = CrossScatter::new(&[statistics]).unwrap();
            assert_eq!(scatter.parts.len(), parts, "{dimension} {samples}");
            assert_eq!(scatter.has_parts(), parts > 1);
        }
    }

    /// Rows of samples, and a layer of each width.
    fn layers() -> (Vec<DMatrix<f64>>, Vec<usize>) {
        let labels: Vec<usize> = (0..150).map(|i| [0, 1, 0, 2, 1, 0][i % 6]).collect();
        let entry = |i: usize, j: usize, class: usize| {
            ((i * i + 5 * j) as f64 * 0.7).sin() + ((class * (j + 2)) as f64).cos()
        };
        let layer = |width: usize, scale: f64| {
            DMatrix::from_fn(labels.len(), width, |i, j| {
                scale
                    * (entry(i, j, labels[i]) + 3.0 * f64::from(u8::from(j == 0)) * entry(i, 9, 0))
            })
        };
        (vec![layer(3, 1.0), layer(2, 100.0)], labels)
    }

    fn stacked(scatter: &CrossScatter, layers: &[DMatrix<f64>], sample: usize) -> DVector<f64> {
        let entries = layers.iter().zip(&scatter.layers).flat_map(|(rows, (mean, unit))| {
            (0..mean.len()).map(move |j| (rows[(sample, j)] - mean[j]) / unit)
        });
        DVector::from_iterator(scatter.means.nrows(), entries)
    }

    /// Standard errors are those of the derivatives by differences, along what each part moves the scatter by.
    #[test]
    fn standard_errors_are_those_of_numerical_derivatives() {
        const CLASSES: usize = 3;
        let (layers, labels) = layers();
        let of = |rows: &DMatrix<f64>| {
            let data = Features::from_sample_rows(rows).unwrap();
            ClassStatistics::new(&data.with_labels(&labels, CLASSES).unwrap()).unwrap()
        };
        let statistics: Vec<_> = layers.iter().map(of).collect();
        let mut scatter = CrossScatter::new(&statistics).unwrap();
        let features: Vec<_> =
            layers.iter().map(|rows| Features::from_sample_rows(rows).unwrap()).collect();
        let data: Vec<_> =
            features.iter().map(|rows| rows.with_labels(&labels, CLASSES).unwrap()).collect();
        scatter.accumulate(&data).unwrap();

        let (parts, samples) = (scatter.parts.len(), labels.len() as f64);
        let columns: Vec<_> = (0..labels.len()).map(|i| stacked(&scatter, &layers, i)).collect();
        let all = columns.iter().fold(DMatrix::zeros(5, 5), |sum, x| sum + x * x.transpose());
        // x xᵀ less that of the class mean.
        let deviation = |i: usize| {
            let mean = scatter.means.column(labels[i]);
            &columns[i] * columns[i].transpose() - mean * mean.transpose()
        };
        let within =
            (0..labels.len()).map(deviation).fold(DMatrix::zeros(5, 5), |sum, x| sum + x) / samples;
        let (mut seen, mut moves) = (vec![0; CLASSES], vec![DMatrix::zeros(5, 5); parts]);
        let mut numbers = vec![0.0; parts];
        for (i, &class) in labels.iter().enumerate() {
            let part = seen[class] % parts;
            seen[class] += 1;
            numbers[part] += 1.0;
            moves[part] += deviation(i) - &within;
        }
        let rest = 1.0 - numbers.iter().map(|n| (n / samples).powi(2)).sum::<f64>();
        let error = |value: &dyn Fn(&DMatrix<f64>) -> f64| {
            let change = |change: &DMatrix<f64>| {
                let h = 1e-4;
                (value(&(&all + change * h)) - value(&(&all - change * h))) / (2.0 * h)
            };
            let changes: Vec<f64> = moves.iter().map(change).collect();
            let mean = changes.iter().sum::<f64>() / parts as f64;
            (changes.iter().map(|change| (change - mean).powi(2)).sum::<f64>() / rest).sqrt()
        };
        let near = |found: f64, expected: f64| {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        };

        let cka = |all: &DMatrix<f64>| {
            let [own, other] = [all.view((0, 0), (3, 3)), all.view((3, 3), (2, 2))];
            all.view((3, 0), (2, 3)).norm_squared() / own.norm() / other.norm()
        };
        let found = scatter.cka().unwrap()[0][1].unwrap();
        near(found.value, cka(&all));
        near(found.standard_error.unwrap(), error(&cka));
        for (layer, first, width) in [(0, 0, 3), (1, 3, 2)] {
            let values = |all: &DMatrix<f64>| {
                let block = all.view((first, first), (width, width)).into_owned();
                block.symmetric_eigenvalues()
            };
            let effective = |all: &DMatrix<f64>| {
                let roots = values(all).map(f64::sqrt);
                let shares = &roots / roots.sum();
                shares.iter().map(|share| -share * share.ln()).sum::<f64>().exp()
            };
            let stable = |all: &DMatrix<f64>| values(all).sum() / values(all).max();
            let found = scatter.ranks(layer).unwrap().unwrap();
            near(found.effective, effective(&all));
            near(found.stable, stable(&all));
            let [of_effective, of_stable] = found.errors.unwrap().map(Option::unwrap);
            near(of_effective.standard_error, error(&effective));
            near(of_stable.standard_error, error(&stable));
        }
    }

    /// Three features that are multiples of one, and one that does not vary: what rounding leaves of the other directions
    /// does not count.
    #[test]
    fn one_direction_has_the_ranks_of_one() {
        let labels: Vec<usize> = (0..64).map(|sample| sample % 2).collect();
        let number = |sample: usize| (sample as f64 * 0.7).sin() + (sample % 2) as f64;
        let rows = DMatrix::from_fn(64, 3, |i, j| number(i) * [1.0, 0.3, -0.7][j]);
        let flat = DMatrix::from_element(64, 2, 0.5);
        let layers = [&rows, &flat].map(|rows| Features::from_sample_rows(rows).unwrap());
        let layers = layers.each_ref().map(|rows| rows.with_labels(&labels, 2).unwrap());
        let statistics = layers.each_ref().map(|data| ClassStatistics::new(data).unwrap());
        let mut scatter = CrossScatter::new(&statistics).unwrap();
        scatter.accumulate(&layers).unwrap();
        let found = scatter.ranks(0).unwrap().unwrap();
        assert!((found.effective - 1.0).abs() < 1e-12, "{}", found.effective);
        assert!((found.stable - 1.0).abs() < 1e-12, "{}", found.stable);
        for error in found.errors.unwrap() {
            assert!(error.unwrap().standard_error < 1e-12);
        }
        assert!(scatter.ranks(1).unwrap().is_none());
        // The sums of a copy are as many again.
        let before = scatter.clone();
        assert!(scatter.fits(&before.part()));
        scatter.merge_part(&before.part());
        assert_eq!(scatter.counts, [64, 64]);
        for (own, part) in scatter.parts.iter().zip(&before.parts) {
            assert!(own.counts.iter().zip(&part.counts).all(|(own, part)| *own == 2 * part));
            // What is above the diagonal is not kept.
            let twice = lower_triangle(&(&part.scatter * 2.0));
            assert_eq!(lower_triangle(&own.scatter), twice);
        }
    }
}
