//! What every public type can do, so that a change that takes it away is noticed.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;

use neural_collapse::audit::*;
use neural_collapse::error::*;
use neural_collapse::geometry::*;
use neural_collapse::measure::*;
use neural_collapse::metrics::errors::*;
use neural_collapse::metrics::layers::*;
use neural_collapse::metrics::levels::*;
use neural_collapse::metrics::*;
use neural_collapse::models::contrastive::*;
use neural_collapse::models::convex::*;
use neural_collapse::models::cross_entropy::*;
use neural_collapse::models::diagrams::*;
use neural_collapse::models::fixed_head::*;
use neural_collapse::models::layer_peeled::*;
use neural_collapse::models::low_rank::*;
use neural_collapse::models::multi_label::*;
use neural_collapse::models::nonnegative::*;
use neural_collapse::models::soft_labels::*;
use neural_collapse::models::squared::*;
use neural_collapse::models::svm::*;
use neural_collapse::models::*;
use neural_collapse::objective::*;
use neural_collapse::prediction::*;
use neural_collapse::problem::*;
use neural_collapse::{Monitor, Progress};

/// Threads can own and share it, it survives a caught panic, and it can be printed.
trait Shared: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug {}
impl<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug> Shared for T {}

/// What is computed, kept and compared.
trait Value: Shared + Clone + PartialEq {}
impl<T: Shared + Clone + PartialEq> Value for T {}

/// Small plain values.
trait Plain: Value + Copy {}
impl<T: Value + Copy> Plain for T {}

/// Lists types and what each of them is.
macro_rules! types {
    ($($kind:ident: $($name:ident $(<$($parameter:tt),+>)?)+;)+) => {
        const _: fn() = || {
            $($({
                fn has<T: $kind>() {}
                has::<$name $(<$($parameter),+>)?>();
            })+)+
        };
        pub(crate) const TYPES: &[&str] = &[$($(stringify!($name)),+),+];
    };
}

types! {
    Plain:
        Argument
        Arrival
        Bias
        BlockShape
        Cdnv
        Center
        Certificate
        ClassGeometry
        CodeBound
        CodedFeaturePenalty
        CodedLoss
        CollapseFactor
        Collapsed
        Compared<f64>
        Confused
        DecisionShares
        Detection
        DetectionErrors
        Eigenvalue
        Equiangularity
        Exactness
        FixedSimplexHead
        LogisticLaw
        LossFunction
        LayerRatio
        LossMean
        Metric
        Minimizer<f32>
        Nc1
        Nc1Options
        Place
        Potential<f64>
        Progress
        QuasiInterpolation
        Regime
        Run
        Search
        SearchResult
        SimplexMinimizer
        SimplexPotential
        SeparationErrors
        SeparationLaw
        ShapeLevel
        SingularValue
        Size
        SizeGroup
        Solid
        SphericalCode
        Spread
        StationaryPoints<f64>
        TargetVector;
    Value:
        AuditDifference
        AllMetrics
        Audit
        AuditOptions
        AuditPart
        Basis
        Block
        ByCenter<f64>
        CenteredSupports
        ClassAudit
        MetricDifference
        Samples
        ClassCounts
        ClassGroups
        ClassMatrix
        ClassNorms
        CodedClassWeights
        ClassStatistics
        ConfusionPart
        ConvexMinimum
        ConvexUfm
        CrossEntropyPoint
        CrossEntropyUfm
        Curvature
        DecisionPart
        DepthPhases
        Direction
        Error
        Estimate
        ExplicitPoint
        FeatureEnergy
        FixedHeadMinimum
        FixedHeadUfm
        Frame
        FrameDistance
        FrameDistances
        Geometry
        GlobalMinimum
        GroupedPair
        Landscape
        LabelGeometry
        LayerMetrics
        LayerPart
        LayerPeeled
        LayerPeeledMinimum
        Layers
        LeastSquaresSplit
        Levels
        LinearHead
        LogitStructure
        LowRankMinimum
        LowRankProblem
        Matrices
        Measurement
        MergingLimit
        MetricPart
        MinorityCollapse
        MultiLabelMinimum
        MultiLabelUfm
        Nc1Part
        Nc4
        Neco
        NetworkStructure
        NonnegativeMinimum
        NonnegativeUfm
        NumericalStructure
        Objective
        ObjectivePart
        OutputDirections
        Phase
        PartialRegularization
        PhaseDiagram
        PooledScatter
        PredictedRates
        RegressionAudit
        RegressionPart
        RegressionStatistics
        Projection
        Regularization
        ReluCompetitor
        Response
        SamplePart
        SampleParts
        Seli
        Shape
        Source
        SparseLabels
        SmallestLogits
        SoftLabelAudit
        SoftLabelPart
        StandardErrors
        Summary
        SurvivalLimit
        TagAverage
        TrainingObjective
        TrainingVerdict
        Ufm
        UnitFeatures
        UnitMinimum
        Unstructured
        VariancePart
        Verdict;
    Shared:
        AnyModel
        AuditSums<f64>
        ClassVariances<f32>
        ClassProduct<'static>
        ClassVectors<'static>
        Confusion
        DecisionCounts
        Features<'static, f32>
        LabeledFeatures<'static, f64>
        LayerSums<f32>
        MetricSums<f32>
        Nc1Sums<f64>
        ObjectiveSums
        RegressionSums
        SoftLabelSums<f64>;
}

/// Predictions and monitors are passed as objects.
const _: fn(&dyn Prediction, &dyn Monitor) = |_, _| {};

#[test]
fn every_public_type_is_listed() {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // The lint `unreachable_pub` sees to it that what is `pub` is public.
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let declared = line.strip_prefix("pub struct ").or(line.strip_prefix("pub enum "));
            let name = declared.and_then(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
            found.extend(name.map(str::to_owned));
        }
    }
    let listed: BTreeSet<String> = TYPES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn errors_can_be_boxed_and_downcast() {
    let error: Box<dyn std::error::Error + Send + Sync> =
        Box::new(Error::Empty { argument: "counts" });
    assert!(error.downcast_ref::<Error>().is_some(), "{error}");
}
