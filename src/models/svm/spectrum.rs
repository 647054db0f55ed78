//! The spectrum of X Xᵀ = Π A Π, X the logits of all samples at the minimum of the support vector machine.
//!
//! A is diagonal with a_k = n_k m_k²/δ_k², Π = I − vvᵀ/‖v‖² with v_k = 1/δ_k. Classes with one value a_c, a
//! *cluster*, leave that eigenvalue to all vectors on them that are orthogonal to v. The others are constant
//! multiples of v on every cluster: u_k ∝ v_k/(a_k − μ), with one μ between any two neighboring values, where
//! Σ v_k²/(a_k − μ) = 0.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::numerics::secular::{Centering, Repeated, SecularPair, secular_pairs};
use crate::prediction::SingularValue;
use crate::problem::kinds::{Kind, Kinds};

/// Eigenvalues and eigenvectors of Π A Π, for classes divided into kinds of one size, margin and scale.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spectrum {
    kinds: Kinds<2>,
    /// By falling value.
    clusters: Vec<Cluster>,
    /// The cluster of each kind.
    cluster_of: Vec<usize>,
    between: Vec<SecularPair>,
}

/// Classes with one value a.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cluster {
    value: f64,
    classes: usize,
    /// Σ v_k².
    weight: f64,
}

/// By what a function of Π A Π is multiplied on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Nothing.
    Plain,
    /// diag(m/δ).
    Reaches,
}

impl Spectrum {
    /// # Errors
    /// [`Error::Unrepresentable`] if n m²/δ² or 1/δ² of a class is out of the range of `f64`.
    pub(crate) fn new(kinds: Kinds<2>) -> Result<Self> {
        let values: Vec<f64> = kinds.kinds().iter().map(value).collect();
        for (kind, &value) in kinds.kinds().iter().zip(&values) {
            check(value, "the squared logits n m²/δ² of a class")?;
            check(entry(kind) * entry(kind), "the inverse square 1/δ² of a logit scale")?;
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&g, &h| values[h].total_cmp(&values[g]));
        let mut clusters: Vec<Cluster> = Vec::new();
        let mut cluster_of = vec![0; values.len()];
        for kind in order {
            if clusters.last().is_none_or(|cluster| cluster.value != values[kind]) {
                clusters.push(Cluster { value: values[kind], classes: 0, weight: 0.0 });
            }
            cluster_of[kind] = clusters.len() - 1;
            let (own, kind) = (clusters.last_mut(), kinds.kinds()[kind]);
            if let Some(cluster) = own {
                cluster.classes += kind.classes;
                cluster.weight += kind.classes as f64 * entry(&kind).powi(2);
            }
        }
        let repeated = clusters.iter().map(|c| Repeated { value: c.value, times: c.weight });
        let between = secular_pairs(&repeated.collect::<Vec<_>>(), Centering::Plain);
        Ok(Self { kinds, clusters, cluster_of, between })
    }

    pub(crate) fn kinds(&self) -> &Kinds<2> {
        &self.kinds
    }

    /// The K − 1 positive singular values of X by falling size.
    pub(crate) fn singular_values(&self) -> impl Iterator<Item = SingularValue> + '_ {
        let within = self.clusters.iter().map(|c| (c.value.sqrt(), c.classes - 1));
        let between = self.between.iter().map(|pair| Some((pair.eigenvalue.sqrt(), 1)));
        let pairs = within.zip(between.chain(core::iter::repeat(None)));
        let values = pairs.flat_map(|(within, between)| core::iter::once(within).chain(between));
        let present = values.filter(|&(_, multiplicity)| multiplicity > 0);
        present.map(|(value, multiplicity)| SingularValue::new(value, multiplicity))
    }

    /// L f(Π A Π) R, where f takes the positive eigenvalues as given and 0 to 0.
    pub(crate) fn function(&self, f: impl Fn(f64) -> f64, left: Side, right: Side) -> ClassMatrix {
        let kinds = self.kinds.kinds();
        let values: Vec<f64> = self.clusters.iter().map(|cluster| f(cluster.value)).collect();
        let mut coupling = DMatrix::from_fn(kinds.len(), kinds.len(), |g, h| {
            let (own, cluster) = (self.cluster_of[g], &self.clusters[self.cluster_of[g]]);
            let shared = own == self.cluster_of[h] && cluster.classes > 1;
            if !shared {
                return 0.0;
            }
            -values[own] * (entry(&kinds[g]) / cluster.weight * entry(&kinds[h]))
        });
        for pair in &self.between {
            let vector = self.eigenvector(pair);
            coupling += &vector * vector.transpose() * f(pair.eigenvalue);
        }
        let mut diagonal: Vec<f64> = Vec::with_capacity(kinds.len());
        for (index, kind) in kinds.iter().enumerate() {
            let cluster = self.cluster_of[index];
            let alone = self.clusters[cluster].classes == 1;
            let value = if alone { 0.0 } else { values[cluster] };
            diagonal.push(factor(left, kind) * value * factor(right, kind));
            coupling.row_mut(index).iter_mut().for_each(|number| *number *= factor(left, kind));
            coupling.column_mut(index).iter_mut().for_each(|number| *number *= factor(right, kind));
        }
        ClassMatrix::from_kinds(&self.kinds, diagonal, Some(coupling))
    }

    /// The entry of f(Π A Π) on the diagonal for a class of a kind.
    pub(crate) fn diagonal(&self, f: impl Fn(f64) -> f64, kind: usize) -> f64 {
        let (of_kind, cluster) = (&self.kinds.kinds()[kind], self.clusters[self.cluster_of[kind]]);
        let share = entry(of_kind).powi(2) / cluster.weight;
        let within = if cluster.classes == 1 { 0.0 } else { (1.0 - share) * f(cluster.value) };
        let between = self.between.iter().map(|pair| {
            let own = entry(of_kind) * pair.entry(cluster.value);
            f(pair.eigenvalue) * own * own
        });
        within + between.sum::<f64>()
    }

    /// The entry of a unit eigenvector for each class of a kind.
    fn eigenvector(&self, pair: &SecularPair) -> DVector<f64> {
        let kinds = self.kinds.kinds().iter().zip(&self.cluster_of);
        let entries = kinds.map(|(kind, &own)| entry(kind) * pair.entry(self.clusters[own].value));
        DVector::from_iterator(self.cluster_of.len(), entries)
    }

    /// Orthonormal eigenvectors (K × (K−1)) with their eigenvalues, by falling eigenvalue.
    pub(crate) fn eigenvectors(&self) -> (DMatrix<f64>, Vec<f64>) {
        let of_classes = self.kinds.of_classes();
        let classes = of_classes.len();
        let mut vectors = DMatrix::zeros(classes, classes - 1);
        let mut values = Vec::with_capacity(classes - 1);
        for (index, cluster) in self.clusters.iter().enumerate() {
            let members: Vec<usize> =
                (0..classes).filter(|&k| self.cluster_of[of_classes[k]] == index).collect();
            for vector in self.contrasts(&members, &of_classes) {
                for (&class, number) in members.iter().zip(vector) {
                    vectors[(class, values.len())] = number;
                }
                values.push(cluster.value);
            }
            if let Some(pair) = self.between.get(index) {
                let of_kinds = self.eigenvector(pair);
                for (class, &kind) in of_classes.iter().enumerate() {
                    vectors[(class, values.len())] = of_kinds[kind];
                }
                values.push(pair.eigenvalue);
            }
        }
        (vectors, values)
    }

    /// Orthonormal vectors on these classes that are orthogonal to v: Helmert's contrasts with weights, the j-th of
    /// which is v on the first j classes, up to a factor, and balances it on the next one.
    fn contrasts(&self, members: &[usize], of_classes: &[usize]) -> Vec<Vec<f64>> {
        let kinds = self.kinds.kinds();
        let v: Vec<f64> = members.iter().map(|&class| entry(&kinds[of_classes[class]])).collect();
        let mut before = 0.0;
        let mut vectors = Vec::with_capacity(members.len().saturating_sub(1));
        for (j, next) in v.iter().enumerate() {
            if j > 0 {
                // (v_next v_1, …, v_next v_j, −Σ_{i≤j} v_i²)/√(Σ_{i≤j} v_i² · Σ_{i≤j+1} v_i²).
                let norm = f64::sqrt(before) * (before + next * next).sqrt();
                let mut vector: Vec<f64> = v.iter().map(|entry| entry * (next / norm)).collect();
                vector.truncate(j);
                vector.push(-before / norm);
                vectors.push(vector);
            }
            before += next * next;
        }
        vectors
    }
}

/// a = n m²/δ².
fn value(kind: &Kind<2>) -> f64 {
    let reach = reach(kind);
    kind.size as f64 * (reach * reach)
}

/// m/δ.
pub(crate) fn reach(kind: &Kind<2>) -> f64 {
    let [margin, scale] = kind.numbers;
    margin / scale
}

/// v = 1/δ.
fn entry(kind: &Kind<2>) -> f64 {
    let [_, scale] = kind.numbers;
    scale.recip()
}

fn factor(side: Side, kind: &Kind<2>) -> f64 {
    match side {
        Side::Plain => 1.0,
        Side::Reaches => reach(kind),
    }
}

fn check(value: f64, quantity: &'static str) -> Result<()> {
    if value.is_normal() {
        return Ok(());
    }
    Err(Error::Unrepresentable { quantity, log10: value.log10() })
}
