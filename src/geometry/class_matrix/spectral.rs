//! Class matrices of a global minimum, summed over its singular directions.

use nalgebra::DMatrix;

use super::{ClassMatrix, Grouped, Partition, Structure};
use crate::geometry::family::{Family, Subset};
use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::spectrum::Subspace;
use crate::problem::counts::SizeGroup;

impl ClassMatrix {
    /// L U diag(v) Uᵀ R for the left singular vectors U of a global minimum, with a `value` v for each
    /// direction and diagonal matrices L and R that are constant on groups of equal class sizes.
    pub(crate) fn spectral(
        minimum: &GlobalMinimum,
        value: impl Fn(&Direction) -> f64,
        left: impl Fn(SizeGroup) -> f64,
        right: impl Fn(SizeGroup) -> f64,
    ) -> Self {
        let groups = minimum.size_groups();
        let sides = Sides {
            groups,
            left: groups.iter().map(|&group| left(group)).collect(),
            right: groups.iter().map(|&group| right(group)).collect(),
        };
        let mut base = sides.zero(minimum);
        let mut family = None;
        for direction in minimum.directions() {
            let value = value(direction);
            if direction.is_unique() {
                sides.add(&mut base, direction, value);
            } else {
                family = Some(sides.family(minimum, direction, value));
            }
        }
        Self { base, family }
    }
}

/// The factors on either side of a spectral matrix.
struct Sides<'a> {
    groups: &'a [SizeGroup],
    left: Vec<f64>,
    right: Vec<f64>,
}

impl Sides<'_> {
    /// Zero, in the form that the terms of the minimum's directions can be added to.
    fn zero(&self, minimum: &GlobalMinimum) -> Structure {
        let Some(counts) = minimum.problem().counts() else {
            let classes = minimum.problem().classes();
            return Structure::Dense(DMatrix::zeros(classes, classes));
        };
        let size = self.groups.len();
        let coupled = minimum.directions().iter().any(|direction| {
            !matches!(direction.subspace(), Subspace::Classes(_) | Subspace::Columns { .. })
        });
        Structure::Grouped(Grouped {
            partition: Partition::by_size(counts),
            diagonal: vec![0.0; size],
            coupling: coupled.then(|| DMatrix::zeros(size, size)),
        })
    }

    /// Adds value·L Q Qᵀ R for the basis Q of the direction's subspace.
    fn add(&self, base: &mut Structure, direction: &Direction, value: f64) {
        match (base, direction.subspace()) {
            (Structure::Dense(matrix), Subspace::Columns { left, .. }) => {
                *matrix += left * left.transpose() * value;
            }
            (Structure::Grouped(grouped), Subspace::Classes(group)) => {
                grouped.diagonal[*group] += self.scaled(*group, value);
            }
            (Structure::Grouped(grouped), Subspace::Contrasts(group)) => {
                let scaled = self.scaled(*group, value);
                grouped.diagonal[*group] += scaled;
                if let Some(coupling) = &mut grouped.coupling {
                    coupling[(*group, *group)] -= scaled / self.groups[*group].classes as f64;
                }
            }
            (Structure::Grouped(grouped), Subspace::AllOnes | Subspace::Secular(_)) => {
                if let Some(coupling) = &mut grouped.coupling {
                    *coupling += self.outer_product(direction.subspace(), value);
                }
            }
            (Structure::Dense(_), _) | (_, Subspace::Columns { .. }) => {}
        }
    }

    fn scaled(&self, group: usize, value: f64) -> f64 {
        self.left[group] * value * self.right[group]
    }

    /// value·(L u)(R u)ᵀ by groups, for a vector u that is constant on groups.
    fn outer_product(&self, subspace: &Subspace, value: f64) -> DMatrix<f64> {
        let entry = |group: usize| match subspace {
            Subspace::Secular(pair) => pair.entry(self.groups, group),
            _ => {
                let classes: usize = self.groups.iter().map(|group| group.classes).sum();
                (classes as f64).sqrt().recip()
            }
        };
        let entries: Vec<f64> = (0..self.groups.len()).map(entry).collect();
        DMatrix::from_fn(entries.len(), entries.len(), |g, h| {
            self.left[g] * entries[g] * value * entries[h] * self.right[h]
        })
    }

    /// The family that a direction whose fitted subspace is not determined gives rise to.
    fn family(&self, minimum: &GlobalMinimum, direction: &Direction, value: f64) -> Family {
        let members = |group: usize| {
            minimum.problem().counts().map_or_else(Vec::new, |counts| counts.members(group))
        };
        let ranks = direction.rank();
        let projector = |subset, value| Family::Projector { subset, value, ranks: ranks.clone() };
        match direction.subspace() {
            Subspace::Classes(group) => {
                projector(Subset::Span(members(*group)), self.scaled(*group, value))
            }
            Subspace::Contrasts(group) => {
                projector(Subset::Contrasts(members(*group)), self.scaled(*group, value))
            }
            Subspace::Columns { left, .. } => projector(Subset::Columns(left.clone()), value),
            Subspace::AllOnes | Subspace::Secular(_) => {
                let mut term = self.zero(minimum);
                self.add(&mut term, direction, value);
                Family::Optional(term)
            }
        }
    }
}
