//! What every public type can do, so that a change that takes it away is noticed.

use neural_collapse::audit::{ClassAudit, Compared};
use neural_collapse::measure::PooledScatter;
use neural_collapse::metrics::{Nc1, Nc1Options, Nc1Sums, Nc4};
use neural_collapse::models::Regime;
use neural_collapse::models::cross_entropy::{
    CrossEntropyPoint, SimplexMinimizer, SimplexPotential,
};
use neural_collapse::models::layer_peeled::LayerPeeledMinimum;
use neural_collapse::models::squared::{
    Direction, Minimizer, QuasiInterpolation, StationaryPoints,
};
use neural_collapse::objective::Objective;
use neural_collapse::prediction::ClassGeometry;
use neural_collapse::problem::{Run, SizeGroup};
use neural_collapse::{
    Audit, Basis, Bias, ClassCounts, ClassMatrix, ClassStatistics, CrossEntropyUfm, Error,
    ExplicitPoint, Features, Geometry, GlobalMinimum, LabeledFeatures, LayerPeeled, LinearHead,
    Potential, Regularization, Seli, Ufm,
};

/// For each type: it can be sent to and shared between threads, copied, compared and printed.
macro_rules! assert_all {
    ($($type:ty),* $(,)?) => {
        $(
            const _: fn() = || {
                fn ordinary<T: Send + Sync + Clone + PartialEq + std::fmt::Debug + Unpin>() {}
                ordinary::<$type>();
            };
        )*
    };
}

assert_all!(
    Audit,
    Basis,
    Bias,
    ClassAudit,
    ClassCounts,
    ClassGeometry,
    ClassMatrix,
    ClassStatistics,
    Compared<f64>,
    CrossEntropyPoint,
    CrossEntropyUfm,
    Direction,
    Error,
    ExplicitPoint,
    Geometry,
    GlobalMinimum,
    LayerPeeled,
    LayerPeeledMinimum,
    LinearHead,
    Minimizer<f32>,
    Nc1,
    Nc1Options,
    Nc4,
    Objective,
    PooledScatter,
    Potential<f64>,
    Nc1Sums<f32>,
    QuasiInterpolation,
    Regime,
    Regularization,
    Run,
    Seli,
    SimplexMinimizer,
    SimplexPotential,
    SizeGroup,
    StationaryPoints<f64>,
    Ufm,
);

#[test]
fn borrowed_features_can_be_shared_and_printed() {
    fn shared<T: Send + Sync + Clone + std::fmt::Debug>(value: T) -> String {
        format!("{value:?}")
    }
    let numbers = [1.0_f32, 2.0];
    let features = Features::from_row_major(&numbers, 2, 1);
    let text = features.map(shared);
    assert!(text.is_ok_and(|text| text.contains("Features")));
    const _: fn(LabeledFeatures<'static, f64>) -> String = shared;
}

#[test]
fn errors_can_be_boxed_and_downcast() {
    let error: Box<dyn std::error::Error + Send + Sync> =
        Box::new(Error::Empty { argument: "counts" });
    assert!(error.downcast_ref::<Error>().is_some(), "{error}");
}
