//! The geometry of the support vector machine on unconstrained features, for any class sizes.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::numerics::secular::{Centering, SecularPair, secular_pairs};
use crate::prediction::geometry::ClassGeometry;
use crate::problem::counts::{ClassCounts, Run, SizeGroup};

/// The simplex-encoded-labels interpolation (SELI): the geometry of classifier and features at every
/// global minimum of the support vector machine on unconstrained features (UF-SVM),
///
/// ```math
/// min  ½‖W‖² + ½‖H‖²   such that   (w_y − w_c)·h_i ≥ 1   for every sample i of class y and c ≠ y
/// ```
///
/// over W ∈ ℝ^(K×d) and H ∈ ℝ^(d×N), d ≥ K − 1. Cross-entropy on unconstrained features leads to it
/// in the limit of vanishing weight decay.
///
/// With C = I − 11ᵀ/K, the outputs interpolate the centred labels, WH = CY =: Ẑ = VΛUᵀ, and
/// WWᵀ = VΛVᵀ, HᵀH = UΛUᵀ. As ẐẐᵀ = C diag(n) C, the Gram matrices by classes are
///
/// ```text
/// W Wᵀ = (C diag(n) C)^(1/2),   H̄ᵀH̄ = (C diag(n) C)^(−1/2) (pseudoinverse),   W H̄ = C.
/// ```
///
/// The multiplier of the margin of class c at a sample of class y is −h_c·h_y. It is never negative,
/// as it has to be, for any class sizes: (C diag(n) C)⁺ = D⁻¹ − D⁻¹11ᵀD⁻¹/(1ᵀD⁻¹1) with D = diag(n)
/// is the Laplacian of a graph with positive weights, and so is its square root. Class means of
/// different classes are therefore always at obtuse angles.
///
/// Equal class sizes share one singular value, so the cost depends on the number of distinct sizes.
///
/// ```
/// use neural_collapse::{ClassCounts, Seli};
///
/// let seli = Seli::new(ClassCounts::from_runs([(1000, 5), (10, 5)])?)?;
/// let classifier = seli.classifier_gram();
/// assert!(classifier.cosine(0, 1).unwrap() < 0.0); // large classes: apart
/// assert!(classifier.cosine(8, 9).unwrap() > 0.0); // small ones: closer and closer together
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Thrampoulidis, Kini, Vakilian & Behnia, *Imbalance Trouble: Revisiting Neural-Collapse
/// Geometry* (NeurIPS 2022), Definition 2 and Theorem 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Seli {
    counts: ClassCounts,
    between: Vec<SecularPair>,
}

impl Seli {
    /// The geometry for classes of these sizes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are less than two classes.
    pub fn new(counts: ClassCounts) -> Result<Self> {
        if counts.classes() < 2 {
            return Err(Error::out_of_range("classes", counts.classes() as f64, "at least 2"));
        }
        let between = secular_pairs(&counts.repeated_sizes(), Centering::Plain);
        Ok(Self { counts, between })
    }

    /// The class sizes.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// The K − 1 positive singular values of Ẑ by falling size, each with its multiplicity: √n_g for
    /// the contrasts within a group of equal sizes, and one between any two neighbouring sizes.
    ///
    /// Those of W and H are their square roots.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Seli};
    ///
    /// let seli = Seli::new(ClassCounts::from_runs([(9, 2), (4, 3)])?)?;
    /// let values: Vec<(f64, usize)> = seli.singular_values().collect();
    /// assert_eq!(values, [(3.0, 1), (7.0_f64.sqrt(), 1), (2.0, 2)]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn singular_values(&self) -> impl Iterator<Item = (f64, usize)> + '_ {
        let within =
            self.counts.sizes().map(|group| ((group.size as f64).sqrt(), group.class_count - 1));
        let between = self.between.iter().map(|pair| Some((pair.eigenvalue.sqrt(), 1)));
        let pairs = within.zip(between.chain(core::iter::repeat(None)));
        let values = pairs.flat_map(|(within, between)| core::iter::once(within).chain(between));
        values.filter(|&(_, multiplicity)| multiplicity > 0)
    }

    /// The minimum of ½‖W‖² + ½‖H‖²: the nuclear norm of Ẑ.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.singular_values().map(|(value, multiplicity)| value * multiplicity as f64).sum()
    }

    /// The Gram matrix W Wᵀ = (C diag(n) C)^(1/2) of the classifier.
    #[must_use]
    pub fn classifier_gram(&self) -> ClassMatrix {
        self.spectral(f64::sqrt)
    }

    /// The Gram matrix H̄ᵀH̄ of the class means, the pseudoinverse of
    /// [`classifier_gram`](Self::classifier_gram). All samples of a class have the same features.
    #[must_use]
    pub fn class_means_gram(&self) -> ClassMatrix {
        self.spectral(|eigenvalue| eigenvalue.sqrt().recip())
    }

    /// The outputs W H̄ = I − 11ᵀ/K, whatever the class sizes; column k belongs to class k.
    #[must_use]
    pub fn class_outputs(&self) -> ClassMatrix {
        self.spectral(|_| 1.0)
    }

    /// Every run of neighbouring classes of one size, in the order of the labels, with the geometry of
    /// each of its classes.
    pub fn class_runs(&self) -> impl Iterator<Item = (Run, ClassGeometry)> + '_ {
        self.counts.runs().map(|run| (run, self.geometry(run)))
    }

    /// The geometry of one class, or `None` if there is no such class.
    #[must_use]
    pub fn class(&self, class: usize) -> Option<ClassGeometry> {
        self.counts.run_of(class).map(|run| self.geometry(run))
    }

    fn geometry(&self, run: Run) -> ClassGeometry {
        let norm = |power: fn(f64) -> f64| {
            let group = self.counts.groups()[run.group];
            let share = (group.class_count - 1) as f64 / group.class_count as f64;
            let between = self
                .between
                .iter()
                .map(|pair| power(pair.eigenvalue) * pair.entry(run.size as f64).powi(2));
            share * power(run.size as f64) + between.sum::<f64>()
        };
        ClassGeometry {
            count: run.size,
            collapsed: Some(false),
            classifier_norm_squared: Some(norm(f64::sqrt)),
            feature_norm_squared: Some(norm(|eigenvalue| eigenvalue.sqrt().recip())),
        }
    }

    /// The function of C diag(n) C that takes the positive eigenvalues as given and 0 to 0.
    fn spectral(&self, value: impl Fn(f64) -> f64) -> ClassMatrix {
        let groups = self.counts.groups();
        let within: Vec<f64> = groups.iter().map(|group| value(group.size as f64)).collect();
        let mut between = DMatrix::zeros(groups.len(), groups.len());
        for pair in &self.between {
            add_outer_square(&mut between, groups, pair, value(pair.eigenvalue));
        }
        ClassMatrix::from_contrasts(&self.counts, &within, between)
    }
}

/// Adds value·uuᵀ by groups.
fn add_outer_square(sum: &mut DMatrix<f64>, groups: &[SizeGroup], pair: &SecularPair, value: f64) {
    let entries =
        DMatrix::from_fn(groups.len(), 1, |group, _| pair.entry(groups[group].size as f64));
    *sum += &entries * entries.transpose() * value;
}
