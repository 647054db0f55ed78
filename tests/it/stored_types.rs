//! Every public type is stored with the feature `serde`, or it is written here why not.

use std::any::type_name;
use std::collections::BTreeSet;
use std::fmt::Debug;

use nalgebra::{DMatrix, dmatrix};
use neural_collapse::audit::*;
use neural_collapse::geometry::*;
use neural_collapse::measure::*;
use neural_collapse::metrics::errors::*;
use neural_collapse::metrics::layers::*;
use neural_collapse::metrics::*;
use neural_collapse::models::contrastive::*;
use neural_collapse::models::convex::*;
use neural_collapse::models::cross_entropy::*;
use neural_collapse::models::diagrams::*;
use neural_collapse::models::fixed_head::*;
use neural_collapse::models::low_rank::*;
use neural_collapse::models::multi_label::*;
use neural_collapse::models::nonnegative::*;
use neural_collapse::models::soft_labels::*;
use neural_collapse::models::squared::*;
use neural_collapse::models::*;
use neural_collapse::objective::*;
use neural_collapse::prediction::*;
use neural_collapse::problem::*;
use neural_collapse::{LayerPeeled, Seli};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::TYPES;
use crate::support::bases::random_basis;
use crate::support::samples::{CLASSES, Samples as Data};

/// Results that are written only, with the reason why they are not read.
macro_rules! written {
    ($($reason:literal: $($name:ident)+;)+) => {
        const WRITTEN: &[&str] = &[$($(stringify!($name)),+),+];
        const _: fn() = || {
            fn is_written<T: Serialize>() {}
            $($(is_written::<$name>();)+)+
        };
    };
}

written! {
    "found by a search: read numbers would have to be believed":
        AnyModel CrossEntropyPoint Landscape LowRankMinimum;
    "its reasons or remarks are texts of the library":
        AuditDifference Layers PredictedRates RegressionAudit SoftLabelAudit;
    "the moves of its samples, from which differences follow, are left out":
        Estimate LayerMetrics StandardErrors;
    "it follows from a minimum, which is read":
        Direction LogisticLaw;
    "written with the keys that the program prints, which leave numbers out":
        AllMetrics Audit Metric Shape;
    "made again from its options, statistics, head and part, which are read":
        Measurement;
}

/// Neither problems nor results.
const NOT_STORED: &[(&str, &[&str])] = &[
    ("it borrows data", &["ClassProduct", "ClassVectors", "Features", "LabeledFeatures"]),
    (
        "sums of a second pass, whose parts are stored",
        &[
            "AuditSums",
            "ClassVariances",
            "Confusion",
            "DecisionCounts",
            "LayerSums",
            "MetricSums",
            "Nc1Sums",
            "ObjectiveSums",
            "RegressionSums",
            "SampleParts",
            "SoftLabelSums",
        ],
    ),
    ("it follows from a prediction, which is read", &["LabelGeometry"]),
    ("errors and progress", &["Argument", "Error", "Place", "Progress", "Size"]),
];

/// The names of types whose values were read as they had been written.
#[derive(Default)]
struct Read(BTreeSet<String>);

impl Read {
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, value: &T) {
        let text = serde_json::to_string(value).unwrap();
        let read: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(&read, value, "{text}");
        let name = type_name::<T>().split('<').next().unwrap();
        self.0.insert(name.rsplit("::").next().unwrap().to_owned());
    }
}

#[test]
fn every_public_type_is_read_as_it_was_or_says_why_not() {
    let mut read = Read::default();
    problems(&mut read);
    closed_forms(&mut read);
    other_models(&mut read);
    frames(&mut read);
    diagrams(&mut read);
    measured(&mut read);
    of_few_numbers(&mut read);
    let not_stored = NOT_STORED.iter().flat_map(|(_, names)| names.iter().copied());
    let mut all: Vec<&str> = read.0.iter().map(String::as_str).collect();
    all.extend(WRITTEN.iter().copied().chain(not_stored));
    all.sort_unstable();
    let mut listed = TYPES.to_vec();
    listed.sort_unstable();
    assert_eq!(all, listed);
}

fn counts() -> ClassCounts {
    "9,4x2".parse().unwrap()
}

fn regularization(depth: usize) -> Regularization {
    Regularization::uniform(depth, 2e-3, 1e-3).unwrap()
}

fn problems(read: &mut Read) {
    let counts = counts();
    read.check(&counts);
    read.check(&counts.runs().next().unwrap());
    read.check(&counts.sizes().next().unwrap());
    read.check(&regularization(2));
    read.check(&PartialRegularization::new(&[Some(1e-3), None], None).unwrap());
    read.check(&Bias::Regularized(0.1));
    read.check(&LossFunction::CrossEntropy);
    read.check(&CodedLoss::MeanSquaredError);
    read.check(&CodedFeaturePenalty::SumOverBatch { rate: 0.1, batch_size: 5, samples: 20 });
    read.check(&CodedClassWeights::new(&[1.0, 2.0], 0.1).unwrap());
    read.check(&LossMean::TwiceSamples);
    read.check(&Center::Classes);
    read.check(&Nc1Options::default());
    read.check(&Search::default().with_starts(3));
    read.check(&Samples::Same);
    read.check(&Basis::Standard);
    read.check(&Basis::Given(vec![DMatrix::identity(3, 2)]));
    #[cfg(feature = "random")]
    read.check(&Basis::Random(3));
}

fn closed_forms(read: &mut Read) {
    let ufm = Ufm::new(counts(), regularization(2)).unwrap().with_widths(&[6, 5]).unwrap();
    read.check(&ufm);
    let minimum = ufm.global_minimum().unwrap();
    read.check(&minimum);
    read.check(&minimum.verdict());
    let Verdict::Proved(source) = minimum.verdict() else { panic!("{:?}", minimum.verdict()) };
    read.check(&source);
    read.check(&minimum.geometry());
    read.check(&minimum.class(0).unwrap());
    read.check(&minimum.training_objective());
    read.check(&minimum.singular_values(1..=2).unwrap()[0]);
    read.check(&Summary::new(&minimum).unwrap());
    read.check(&minimum.target_vectors()[0].1);
    read.check(&minimum.collapse_factors()[0]);
    let curvature = minimum.curvature().unwrap();
    read.check(&curvature.eigenvalues()[0]);
    read.check(&curvature);
    read.check(&Matrices::of_prediction(&minimum, &random_basis(&minimum, 1)).unwrap());
    let matrices = Matrices::of_prediction(&minimum, &Basis::Standard).unwrap();
    read.check(matrices.outputs.as_ref().unwrap());
    read.check(matrices.head.as_ref().unwrap());
    read.check(&minimum.explicit(&Basis::Standard).unwrap());
    let potential = Potential::<f64>::new(3).unwrap();
    read.check(&potential);
    let minimizer = potential.minimizer(0.2).unwrap();
    read.check(&minimizer);
    read.check(&minimizer.regime());
    read.check(&potential.stationary_points(0.2).unwrap().unwrap());
    read.check(&QuasiInterpolation::new(5, 0.2).unwrap());
    let balanced = Ufm::new("5x10".parse().unwrap(), regularization(3)).unwrap();
    let balanced = balanced.global_minimum().unwrap();
    read.check(&balanced.relu_competitor().unwrap());
}

fn other_models(read: &mut Read) {
    let convex = ConvexUfm::cross_entropy(counts(), regularization(1)).unwrap();
    read.check(&convex);
    read.check(&convex.global_minimum().unwrap());
    let nonnegative = NonnegativeUfm::new(counts(), regularization(1)).unwrap();
    read.check(&nonnegative);
    read.check(&nonnegative.global_minimum().unwrap());
    let peeled = LayerPeeled::new(counts(), 1.0, 2.0).unwrap();
    read.check(&peeled);
    read.check(&peeled.global_minimum().unwrap());
    read.check(&Seli::new(counts()).unwrap());
    read.check(&LowRankProblem::squared(counts(), regularization(2)).unwrap());
    let sets = MultiLabelUfm::new(4, &[(1, 9), (2, 3)], regularization(1)).unwrap();
    read.check(&sets);
    read.check(&sets.global_minimum().unwrap());
    let sparse = SparseLabels::new(4, &[vec![0, 1], vec![2]], &[3, 4]).unwrap();
    read.check(&sparse);
    read.check(&sparse.smallest_logits().unwrap());
    let centered = sparse.global_minimum().unwrap();
    read.check(centered.certificate());
    read.check(&centered.certificate().exactness);
    read.check(&centered);
    let fixed = FixedHeadUfm::new(counts(), 2.0, 1e-3).unwrap();
    read.check(&fixed);
    read.check(&fixed.global_minimum().unwrap());
    let head = FixedSimplexHead::new(3, 2.0, 1e-3).unwrap();
    read.check(&head);
    read.check(&head.response(&[0.7, 0.2, 0.1]).unwrap());
    let unit = UnitFeatures::spherical_cross_entropy("5x4".parse().unwrap(), 0.1).unwrap();
    read.check(&unit);
    read.check(&unit.global_minimum().unwrap());
    read.check(&one_vs_rest_bound(7, 3).unwrap());
    let ufm = CrossEntropyUfm::new(8, 5, regularization(3)).unwrap();
    read.check(&ufm);
    let potential = ufm.with_label_smoothing(0.1).unwrap().simplex_potential();
    read.check(&potential);
    read.check(&potential.minimizer(0.01).unwrap());
    let ufm = CrossEntropyUfm::new(8, 5, regularization(3)).unwrap();
    let search = Search::default().with_starts(2);
    let landscape = ufm.searched_landscape(&search, &()).unwrap();
    read.check(&landscape.search().unwrap());
    for point in landscape.points() {
        read.check(point.structure());
        if let LogitStructure::DirectSum(blocks) = point.structure() {
            read.check(&blocks[0]);
            read.check(&blocks[0].shape);
        }
    }
}

fn frames(read: &mut Read) {
    let target = ClassMatrix::orthogonal_frame(3).unwrap();
    read.check(&target);
    let basis = DMatrix::identity(5, 3);
    let frame = Frame::general_orthogonal(&[1.0, 2.0, 3.0]).unwrap().embedded(&basis).unwrap();
    read.check(&frame);
    read.check(&Frame::simplex(4).unwrap());
    read.check(&Projection::star(frame.vectors()).unwrap());
    let groups = ClassGroups::by_size(&"4,9,4,6".parse().unwrap(), 2);
    read.check(&groups);
    let groups = ClassGroups::by_size(&counts(), 40);
    let vectors = frame.vectors();
    read.check(&groups.compare(&vectors.transpose(), vectors, &target).unwrap().unwrap());
}

fn diagrams(read: &mut Read) {
    let minimum = Ufm::new(counts(), regularization(1)).unwrap().global_minimum().unwrap();
    let collapse = MinorityCollapse::new(&minimum, 3, &()).unwrap();
    read.check(&collapse.classes[0]);
    read.check(&collapse);
    let survival = PhaseDiagram::new(&AnyModel::Squared(minimum), &()).unwrap();
    read.check(&survival);
    let PhaseDiagram::Survival { limits, .. } = &survival else { panic!("{survival:?}") };
    read.check(&limits[0]);
    let written = serde_json::to_value(&limits[0]).unwrap();
    assert_eq!(written["surviving"], limits[0].surviving_directions, "the key that programs read");
    let convex = ConvexUfm::cross_entropy(counts(), regularization(1)).unwrap();
    let merging = AnyModel::Convex(convex.global_minimum().unwrap());
    let merging = PhaseDiagram::new(&merging, &()).unwrap();
    let PhaseDiagram::Merging { limits, .. } = &merging else { panic!("{merging:?}") };
    read.check(&limits[0]);
    let landscape = CrossEntropyUfm::new(4, 5, regularization(2)).unwrap().landscape().unwrap();
    let structures = PhaseDiagram::new(&AnyModel::CrossEntropy(landscape), &()).unwrap();
    let PhaseDiagram::Structures { depths, .. } = &structures else { panic!("{structures:?}") };
    read.check(&depths[0]);
    read.check(&depths[0].phases[0]);
}

/// Fifteen samples of each class.
fn samples(seed: u64) -> Data {
    let labels = (0..60).map(|sample| sample % CLASSES).collect();
    Data { labels, ..Data::new(seed, 60, 0.1, 0.5) }
}

fn measured(read: &mut Read) {
    let samples = samples(5);
    let data = samples.data();
    let statistics = ClassStatistics::new(&data).unwrap();
    read.check(&statistics);
    read.check(&samples.pooled());
    read.check(&samples.projected(&statistics).variances.part());
    read.check(&samples.projected(&statistics).nc1.part());
    read.check(&FeatureEnergy::new(&data).unwrap());
    read.check(&Neco::new(&samples.pooled(), 2).unwrap());
    let mut parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
    parts.accumulate(&data).unwrap();
    read.check(&parts.part());
    let means = statistics.class_means().unwrap();
    let head = LinearHead::new(vec![means.transpose()], None).unwrap();
    read.check(&head);
    let mut confusion = Confusion::new(&statistics, &head).unwrap();
    confusion.accumulate(&data).unwrap();
    read.check(&confusion.part());
    read.check(&confusion.entries().unwrap().next().unwrap());
    let mut decisions = DecisionCounts::new(&statistics, &head).unwrap();
    decisions.accumulate(&data).unwrap();
    read.check(&decisions.part());
    let mut objective =
        ObjectiveSums::squared_error(&statistics, &head, &regularization(1)).unwrap();
    objective.accumulate(&data).unwrap();
    read.check(&objective.part());
    read.check(&objective.objective().unwrap());
    let mut sums = MetricSums::<f64>::new(&statistics, &head).unwrap();
    sums.accumulate(&data).unwrap();
    read.check(&sums.part());
    all_metrics(read, &sums.metrics().unwrap());
    let counts = ClassCounts::of_labels(data.labels(), CLASSES).unwrap();
    let minimum = Ufm::new(counts, regularization(1)).unwrap().global_minimum().unwrap();
    let options = AuditOptions::for_prediction(&minimum).unwrap();
    let options = options.with_standard_errors(true).with_all_metrics(true);
    read.check(&options);
    let mut sums = AuditSums::new(statistics.clone(), head, &options).unwrap();
    sums.accumulate(&data).unwrap();
    read.check(&sums.part());
    audited(read, &sums.measurement().unwrap().compare(&minimum).unwrap());
    layers(read, &[5, 6, 7].map(self::samples));
    without_classes(read, &data);
}

/// Sums over samples with labels that are no classes, and with targets.
fn without_classes(read: &mut Read, data: &LabeledFeatures<'_, f64>) {
    let statistics = ClassStatistics::new(data).unwrap();
    let head = LinearHead::new(vec![statistics.class_means().unwrap().transpose()], None).unwrap();
    let labels = DMatrix::from_fn(CLASSES, CLASSES, |i, j| if i == j { 0.7 } else { 0.1 });
    let soft = ConvexUfm::soft_labels(labels.clone(), &[15; CLASSES], regularization(1)).unwrap();
    let minimum = soft.global_minimum().unwrap();
    let mut sums = SoftLabelSums::new(statistics, head.clone(), &minimum).unwrap();
    sums.accumulate(data).unwrap();
    read.check(&sums.part());
    let targets = labels.select_columns(data.labels());
    let mut statistics = RegressionStatistics::empty(data.features().dimension(), CLASSES).unwrap();
    statistics.accumulate(data.features(), &targets).unwrap();
    read.check(&statistics);
    let mut sums = RegressionSums::new(&statistics, head, &regularization(1)).unwrap();
    sums.accumulate(data.features(), &targets).unwrap();
    read.check(&sums.part());
}

fn layers(read: &mut Read, samples: &[Data; 3]) {
    let data = samples.each_ref().map(Data::data);
    let statistics = data.each_ref().map(|data| ClassStatistics::new(data).unwrap());
    let mut sums = LayerSums::new(&statistics).unwrap();
    sums.accumulate(&data).unwrap();
    read.check(&sums.part());
    let layers = sums.layers().unwrap();
    read.check(&layers.separation.unwrap());
    read.check(&layers.separation_standard_errors.unwrap());
}

fn all_metrics(read: &mut Read, metrics: &AllMetrics) {
    read.check(&metrics.nc1);
    read.check(&metrics.nc1.center_samples.unwrap());
    read.check(&metrics.cdnv.unwrap());
    read.check(&metrics.nc4);
    read.check(&metrics.nc4.overall);
    read.check(&metrics.class_means.equiangularity.unwrap());
    read.check(&metrics.class_means.norm_spread);
}

fn audited(read: &mut Read, audit: &Audit) {
    read.check(&audit.verdict);
    read.check(&audit.verdict.kind);
    read.check(&audit.nc1_layer_ratios[0]);
    read.check(&audit.classes[0]);
    read.check(&audit.classes[0].collapsed);
    let distances = audit.measurement.frame_distances().unwrap();
    read.check(&distances);
    read.check(&distances.orthogonal_frame.unwrap());
    read.check(audit.measurement.least_squares_split().unwrap());
    let levels = &audit.levels;
    read.check(levels);
    read.check(&levels.unstructured);
    read.check(&levels.unstructured.classifier);
    read.check(levels.collapsed.as_ref().unwrap());
    let difference = audit.minus(audit, Samples::Independent).unwrap();
    read.check(difference.metrics.values().next().unwrap());
}

/// What is measured of plain matrices, soft labels and scores.
fn of_few_numbers(read: &mut Read) {
    let tags = dmatrix![1.0, 0.0, -1.0; 0.0, 1.0, -1.0];
    let pairs = dmatrix![3.0; 3.0];
    read.check(&tag_average_residuals(&tags, &[vec![0, 1]], &pairs).unwrap()[0]);
    let detection = Detection::of_scores(&[Some(0.9), Some(0.5)], &[Some(0.4), Some(0.1)]).unwrap();
    read.check(&detection.standard_errors);
    read.check(&detection);
    // Structures that only long searches find.
    read.check(&LogitStructure::Solid(Solid::SnubDisphenoid));
    read.check(&Solid::SnubDisphenoid);
    read.check(&SphericalCode::Schlaefli);
    let found = r#"{"rank":3,"automorphisms":4,"orbits":[4,1],"is_symmetric":true}"#;
    read.check(&serde_json::from_str::<NetworkStructure>(found).unwrap());
    let found = found.replace('}', r#","hits":2,"starts":9}"#);
    let found: NumericalStructure = serde_json::from_str(&found).unwrap();
    read.check(&LogitStructure::Numerical(found.clone()));
    read.check(&found);
}
