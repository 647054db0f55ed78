//! The layer-peeled model: cross-entropy with constraints on the norms, and its minority collapse.

mod two_sizes;

use nalgebra::DMatrix;

use crate::error::{Error, Result, check_positive};
use crate::geometry::class_matrix::ClassMatrix;
use crate::prediction::geometry::ClassGeometry;
use crate::problem::counts::{ClassCounts, Run, is_exact};
use two_sizes::TwoSizes;

/// The layer-peeled model: cross-entropy on unconstrained features with a budget for the norms,
///
/// ```math
/// min  1/N Σ_k Σ_i CE(W h_ki, k)   such that   1/K Σ_k ‖w_k‖² ≤ E_W,   1/K Σ_k 1/n_k Σ_i ‖h_ki‖² ≤ E_H
/// ```
///
/// over W ∈ ℝ^(K×d) and features h_ki ∈ ℝᵈ, d ≥ K − 1.
///
/// Samples of a class have equal features at the minimum, because the loss is convex in each; then
/// with Z = W H̄ it is the convex problem min Σ_k (n_k/N) CE(Z e_k, k) such that ‖Z‖_* ≤ K√(E_W E_H),
/// since a matrix is a product of factors with these norms iff its nuclear norm obeys that bound. The
/// columns of the optimal Z sum to zero (taking their mean out keeps the loss and shortens Z), so it
/// has rank K − 1 at most and no larger d is needed. Z is unique, as the loss is strictly convex in
/// such columns, and with it the Gram matrices
/// WWᵀ = √(E_W/E_H) (ZZᵀ)^(1/2) and H̄ᵀH̄ = √(E_H/E_W) (ZᵀZ)^(1/2).
///
/// Solved here are balanced classes, in closed form, and classes of two sizes, where symmetry leaves
/// four numbers.
///
/// ```
/// use neural_collapse::{ClassCounts, LayerPeeled};
///
/// let minority_cosine = |majority: u64| {
///     let counts = ClassCounts::from_runs([(majority, 3), (10, 3)])?;
///     let minimum = LayerPeeled::new(counts, 1.0, 1.0)?.global_minimum()?;
///     Ok::<_, neural_collapse::Error>(minimum.classifier_gram().cosine(4, 5).unwrap())
/// };
/// assert!((minority_cosine(10)? + 0.2).abs() < 1e-14); // balanced: a simplex ETF
/// assert!(minority_cosine(30)? > 0.0);
/// assert!(minority_cosine(100)? > 1.0 - 1e-15); // minority collapse
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Fang, He, Long & Su, *Exploring Deep Neural Networks via Layer-Peeled Model* (PNAS 2021),
/// whose convex relaxation (over the Gram matrix of W and H̄, for d ≥ 2K) this is with W and H̄
/// eliminated.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPeeled {
    counts: ClassCounts,
    weight_energy: f64,
    feature_energy: f64,
}

impl LayerPeeled {
    /// The model for classes of these sizes, with the budgets E_W and E_H.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes or if a budget is not positive and finite,
    /// [`Error::NoClosedForm`] if the classes have more than two sizes.
    pub fn new(counts: ClassCounts, weight_energy: f64, feature_energy: f64) -> Result<Self> {
        if counts.classes() < 2 {
            return Err(Error::out_of_range("classes", counts.classes() as f64, "at least 2"));
        }
        check_energies(weight_energy, feature_energy)?;
        if counts.sizes().len() > 2 {
            return Err(Error::NoClosedForm {
                problem: "the layer-peeled model with classes of more than two sizes",
            });
        }
        Ok(Self { counts, weight_energy, feature_energy })
    }

    /// The class sizes.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// E_W.
    #[must_use]
    pub fn weight_energy(&self) -> f64 {
        self.weight_energy
    }

    /// E_H.
    #[must_use]
    pub fn feature_energy(&self) -> f64 {
        self.feature_energy
    }

    /// T = K√(E_W E_H), the nuclear norm of the logits Z of the class means.
    #[must_use]
    pub fn nuclear_norm(&self) -> f64 {
        nuclear_norm(self.counts.classes() as f64, self.weight_energy, self.feature_energy)
    }

    /// The global minimum.
    ///
    /// Balanced: a simplex ETF with ‖w_k‖² = E_W and ‖h_k‖² = E_H, aligned. Two sizes: by two nested
    /// scalar equations, each solved in a bracket with a bounded number of steps; the logits are then
    /// found with an absolute error of about 10⁻¹⁵, so that smaller budgets T are not resolved if there
    /// is only one large class.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if E_W E_H or E_W/E_H is out of the range of `f64`.
    ///
    /// Source: Theorem 1 (balanced) and section "Imbalanced training" of Fang et al. (PNAS 2021).
    pub fn global_minimum(&self) -> Result<LayerPeeledMinimum> {
        let aspect = self.weight_energy.sqrt() / self.feature_energy.sqrt();
        for (quantity, value) in [
            ("the nuclear norm K√(E_W E_H)", self.nuclear_norm()),
            ("the ratio √(E_W/E_H)", aspect),
        ] {
            if !value.is_normal() {
                return Err(Error::Unrepresentable { quantity, log10: value.log10() });
            }
        }
        let problem = self.clone();
        Ok(match self.counts.groups() {
            [large, small] => {
                let sizes = [large.size as f64, small.size as f64];
                let classes = [large.class_count as f64, small.class_count as f64];
                LayerPeeledMinimum::of_two_sizes(problem, aspect, sizes, classes)
            }
            _ => LayerPeeledMinimum::balanced(problem, aspect),
        })
    }
}

/// The global minimum of a [`LayerPeeled`] model: unique up to rotations of the feature space.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPeeledMinimum {
    problem: LayerPeeled,
    /// √(E_W/E_H).
    aspect: f64,
    /// The singular value of Z on the contrasts within each group of equal sizes.
    within: Vec<f64>,
    /// The singular value of Z between the groups.
    between: f64,
    /// Its left and right singular vector, an entry for each class of a group.
    left: Vec<f64>,
    right: Vec<f64>,
    loss: f64,
    multiplier: f64,
}

impl LayerPeeledMinimum {
    fn balanced(problem: LayerPeeled, aspect: f64) -> Self {
        let others = problem.counts.classes() as f64 - 1.0;
        let logit = problem.nuclear_norm() / others;
        let unlikely = (-logit).exp();
        Self {
            aspect,
            within: vec![logit],
            between: 0.0,
            left: vec![0.0],
            right: vec![0.0],
            loss: (others * unlikely).ln_1p(),
            multiplier: unlikely / (1.0 + others * unlikely),
            problem,
        }
    }

    fn of_two_sizes(problem: LayerPeeled, aspect: f64, sizes: [f64; 2], classes: [f64; 2]) -> Self {
        let log_ratio = ((sizes[0] - sizes[1]) / sizes[1]).ln_1p();
        let (reduced, delta) = TwoSizes { classes }.solve(problem.nuclear_norm(), log_ratio);
        let samples = problem.counts.samples() as f64;
        let loss = |group: usize| sizes[group] * classes[group] / samples * reduced.losses[group];
        let between = reduced.between_norm();
        let total = classes[0] + classes[1];
        let unit = |component: f64| if between > 0.0 { component / between } else { 0.0 };
        Self {
            problem,
            aspect,
            within: reduced.within.to_vec(),
            between,
            left: vec![
                (classes[1] / (total * classes[0])).sqrt(),
                -(classes[0] / (total * classes[1])).sqrt(),
            ],
            right: vec![
                unit(reduced.between[0]) / classes[0].sqrt(),
                -unit(reduced.between[1]) / classes[1].sqrt(),
            ],
            loss: loss(0) + loss(1),
            multiplier: sizes[0] / samples * (-delta).exp(),
        }
    }

    /// The problem that this is the minimum of.
    #[must_use]
    pub fn problem(&self) -> &LayerPeeled {
        &self.problem
    }

    /// The loss at the global minimum.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, LayerPeeled};
    ///
    /// // Balanced: ln(1 + (K−1) exp(−K/(K−1)·√(E_W E_H))).
    /// let minimum = LayerPeeled::new(ClassCounts::balanced(5, 20)?, 4.0, 1.0)?.global_minimum()?;
    /// assert!((minimum.loss() - (4.0 * (-2.5_f64).exp()).ln_1p()).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// The multiplier ν of the constraint ‖Z‖_* ≤ K√(E_W E_H): by how much the loss falls for each
    /// unit that it is relaxed by.
    ///
    /// Classes of a size n_g share one classifier iff ν ≥ n_g/N.
    #[must_use]
    pub fn multiplier(&self) -> f64 {
        self.multiplier
    }

    /// Whether the classes of the smaller size, two or more, share one classifier: minority collapse.
    #[must_use]
    pub fn minority_collapsed(&self) -> bool {
        let minority = self.problem.counts.sizes().zip(&self.within).nth(1);
        minority.is_some_and(|(group, &within)| group.class_count > 1 && within == 0.0)
    }

    /// The Gram matrix W Wᵀ of the classifier.
    #[must_use]
    pub fn classifier_gram(&self) -> ClassMatrix {
        self.matrix(self.aspect, &self.left, &self.left)
    }

    /// The Gram matrix H̄ᵀH̄ of the class means. All samples of a class have the same features.
    #[must_use]
    pub fn class_means_gram(&self) -> ClassMatrix {
        self.matrix(self.aspect.recip(), &self.right, &self.right)
    }

    /// The outputs Z = W H̄; column k belongs to class k.
    #[must_use]
    pub fn class_outputs(&self) -> ClassMatrix {
        self.matrix(1.0, &self.left, &self.right)
    }

    fn matrix(&self, scale: f64, left: &[f64], right: &[f64]) -> ClassMatrix {
        let within: Vec<f64> = self.within.iter().map(|q| scale * q).collect();
        let between = DMatrix::from_fn(left.len(), right.len(), |g, h| {
            scale * self.between * left[g] * right[h]
        });
        ClassMatrix::from_contrasts(&self.problem.counts, &within, between)
    }

    /// Every run of neighbouring classes of one size, in the order of the labels, with the geometry of
    /// each of its classes.
    pub fn class_runs(&self) -> impl Iterator<Item = (Run, ClassGeometry)> + '_ {
        self.problem.counts.runs().map(|run| (run, self.geometry(run)))
    }

    /// The geometry of one class, or `None` if there is no such class.
    #[must_use]
    pub fn class(&self, class: usize) -> Option<ClassGeometry> {
        self.problem.counts.run_of(class).map(|run| self.geometry(run))
    }

    fn geometry(&self, run: Run) -> ClassGeometry {
        let group = run.group;
        let members = self.problem.counts.groups()[group].class_count as f64;
        let within = self.within[group] * (members - 1.0) / members;
        let norm = |vector: &[f64]| within + self.between * vector[group] * vector[group];
        ClassGeometry {
            count: run.size,
            collapsed: Some(norm(&self.left) == 0.0),
            classifier_norm_squared: Some(self.aspect * norm(&self.left)),
            feature_norm_squared: Some(norm(&self.right) / self.aspect),
        }
    }
}

/// The critical imbalance ratio R* of the layer-peeled model: `majority_classes` classes of R·n
/// samples beside `minority_classes` classes of n samples collapse the minority, whose classifiers
/// become one vector, iff R ≥ R*.
///
/// It depends on the product E_W E_H of the budgets only, is above 1 and grows with it.
///
/// # Errors
/// [`Error::OutOfRange`] if there is no majority class, less than two minority classes, or more than
/// 2⁵³ of either, or if a budget is not positive and finite; [`Error::Unrepresentable`] if R* or
/// K√(E_W E_H) is out of the range of `f64`.
///
/// ```
/// use neural_collapse::{ClassCounts, LayerPeeled};
/// use neural_collapse::models::layer_peeled::layer_peeled_critical_ratio;
///
/// let ratio = layer_peeled_critical_ratio(5, 5, 1.0, 1.0)?;
/// for (factor, collapsed) in [(0.99, false), (1.01, true)] {
///     let majority = (ratio * factor * 1000.0) as u64;
///     let counts = ClassCounts::from_runs([(majority, 5), (1000, 5)])?;
///     let minimum = LayerPeeled::new(counts, 1.0, 1.0)?.global_minimum()?;
///     assert_eq!(minimum.minority_collapsed(), collapsed);
/// }
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: observed by Fang et al. (PNAS 2021), who prove the limit R → ∞ (Theorem 5); that there is
/// one finite threshold follows from the equations of `docs/other-models.md`.
pub fn layer_peeled_critical_ratio(
    majority_classes: u64,
    minority_classes: u64,
    weight_energy: f64,
    feature_energy: f64,
) -> Result<f64> {
    for (argument, value, least, expected) in [
        ("majority_classes", majority_classes, 1, "between 1 and 2⁵³"),
        ("minority_classes", minority_classes, 2, "between 2 and 2⁵³"),
    ] {
        if value < least || !is_exact(value) {
            return Err(Error::out_of_range(argument, value as f64, expected));
        }
    }
    check_energies(weight_energy, feature_energy)?;
    let classes = [majority_classes as f64, minority_classes as f64];
    let nuclear_norm = nuclear_norm(classes[0] + classes[1], weight_energy, feature_energy);
    if !nuclear_norm.is_normal() {
        let quantity = "the nuclear norm K√(E_W E_H)";
        return Err(Error::Unrepresentable { quantity, log10: nuclear_norm.log10() });
    }
    let logarithm = TwoSizes { classes }.log_critical_ratio(nuclear_norm);
    let ratio = logarithm.exp();
    if ratio.is_finite() {
        return Ok(ratio);
    }
    let log10 = logarithm / core::f64::consts::LN_10;
    Err(Error::Unrepresentable { quantity: "the critical ratio of the layer-peeled model", log10 })
}

/// K√(E_W E_H), without overflow on the way.
fn nuclear_norm(classes: f64, weight_energy: f64, feature_energy: f64) -> f64 {
    classes * weight_energy.sqrt() * feature_energy.sqrt()
}

fn check_energies(weight_energy: f64, feature_energy: f64) -> Result<()> {
    check_positive("weight_energy", weight_energy)?;
    check_positive("feature_energy", feature_energy)
}
