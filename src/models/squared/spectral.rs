//! The class matrices of a global minimum, summed over its singular directions.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::{Family, Subset};
use crate::geometry::structure::{Grouped, Structure};
use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::spectrum::{ClassSpectrum, GroupVector, Spectrum, Subspace};
use crate::problem::counts::SizeGroup;

impl GlobalMinimum {
    /// The spectrum of one-hot targets, for an answer that needs classes.
    pub(crate) fn class_spectrum(&self, question: &'static str) -> Result<&ClassSpectrum> {
        match self.spectrum() {
            Spectrum::Classes(spectrum) => Ok(spectrum),
            Spectrum::Matrix(_) => {
                let reason = "an arbitrary target matrix has no classes";
                Err(Error::NotAnswered { question, reason })
            }
        }
    }

    /// U diag(v) Uᵀ for the left singular vectors U, with a `value` v for each direction.
    pub(crate) fn spectral(&self, value: impl Fn(&Direction) -> f64) -> ClassMatrix {
        match self.spectrum() {
            Spectrum::Classes(spectrum) => {
                self.spectral_of_classes(spectrum, value, |_| 1.0, |_| 1.0)
            }
            Spectrum::Matrix(_) => self.spectral_of_matrix(value),
        }
    }

    /// L U diag(v) Uᵀ R for the left singular vectors U of one-hot targets, with a `value` v for each
    /// direction and diagonal matrices L and R that are constant on groups of equal class sizes.
    pub(crate) fn spectral_of_classes(
        &self,
        spectrum: &ClassSpectrum,
        value: impl Fn(&Direction) -> f64,
        left: impl Fn(SizeGroup) -> f64,
        right: impl Fn(SizeGroup) -> f64,
    ) -> ClassMatrix {
        let groups = spectrum.counts.groups();
        let sides = Sides {
            spectrum,
            left: groups.iter().map(|&group| left(group)).collect(),
            right: groups.iter().map(|&group| right(group)).collect(),
        };
        let mut shared = Sum::zero(groups.len());
        let mut family = None;
        for (direction, subspace) in self.class_directions(spectrum, 0..spectrum.len()) {
            let value = value(&direction);
            if direction.is_unique() {
                sides.add(&mut shared, &subspace, value);
            } else {
                family = Some(sides.family(&direction, &subspace, value));
            }
        }
        ClassMatrix::unique(sides.grouped(shared)).with_family(family)
    }

    fn spectral_of_matrix(&self, value: impl Fn(&Direction) -> f64) -> ClassMatrix {
        let outputs = self.problem().classes();
        let mut shared = DMatrix::zeros(outputs, outputs);
        let mut family = None;
        for (direction, columns) in self.matrix_directions() {
            let (left, value) = (&columns.left, value(&direction));
            if direction.is_unique() {
                shared += left * left.transpose() * value;
            } else {
                let subset = Subset::Columns(left.clone());
                family = Some(Family::Projector { subset, value, ranks: direction.rank() });
            }
        }
        ClassMatrix::dense(shared).with_family(family)
    }
}

/// The factors on either side of a spectral matrix.
struct Sides<'a> {
    spectrum: &'a ClassSpectrum,
    left: Vec<f64>,
    right: Vec<f64>,
}

/// q_g on the diagonal plus c_gh for each pair of groups.
struct Sum {
    diagonal: Vec<f64>,
    coupling: Option<DMatrix<f64>>,
}

impl Sum {
    fn zero(groups: usize) -> Self {
        Self { diagonal: vec![0.0; groups], coupling: None }
    }

    fn coupling(&mut self) -> &mut DMatrix<f64> {
        let groups = self.diagonal.len();
        self.coupling.get_or_insert_with(|| DMatrix::zeros(groups, groups))
    }
}

impl Sides<'_> {
    fn grouped(&self, sum: Sum) -> Grouped {
        Grouped::by_size(&self.spectrum.counts, sum.diagonal, sum.coupling)
    }

    /// Adds value·L Q Qᵀ R for a basis Q of the subspace.
    fn add(&self, sum: &mut Sum, subspace: &Subspace, value: f64) {
        match subspace {
            Subspace::Classes(group) => sum.diagonal[*group] += self.scaled(*group, value),
            Subspace::Contrasts(group) => {
                let scaled = self.scaled(*group, value);
                sum.diagonal[*group] += scaled;
                let classes = self.spectrum.counts.groups()[*group].class_count;
                sum.coupling()[(*group, *group)] -= scaled / classes as f64;
            }
            Subspace::Constant(vector) => *sum.coupling() += self.outer_product(vector, value),
        }
    }

    fn scaled(&self, group: usize, value: f64) -> f64 {
        self.left[group] * value * self.right[group]
    }

    /// value·(L u)(R u)ᵀ by groups.
    fn outer_product(&self, vector: &GroupVector, value: f64) -> DMatrix<f64> {
        let groups = self.spectrum.counts.groups();
        let entries: Vec<f64> = groups.iter().map(|group| vector.entry(group.size)).collect();
        DMatrix::from_fn(entries.len(), entries.len(), |g, h| {
            self.left[g] * entries[g] * value * entries[h] * self.right[h]
        })
    }

    /// The family that a direction whose fitted subspace is not determined gives rise to.
    fn family(&self, direction: &Direction, subspace: &Subspace, value: f64) -> Family {
        let counts = &self.spectrum.counts;
        let projector = |group: usize, subset| {
            let value = self.scaled(group, value);
            Family::Projector { subset, value, ranks: direction.rank() }
        };
        match subspace {
            Subspace::Classes(group) => projector(*group, Subset::Span(counts.members(*group))),
            Subspace::Contrasts(group) => {
                projector(*group, Subset::Contrasts(counts.members(*group)))
            }
            Subspace::Constant(_) => {
                let mut term = Sum::zero(counts.groups().len());
                self.add(&mut term, subspace, value);
                Family::Optional(Structure::Grouped(self.grouped(term)))
            }
        }
    }
}
