//! What is read with the feature `serde` is as valid as what constructors make: one number of it is changed at a time.

use nalgebra::{DMatrix, dmatrix};
use neural_collapse::geometry::{ClassGroups, Frame, GroupedPair, Projection};
use neural_collapse::measure::PooledScatter;
use neural_collapse::metrics::{Confusion, Neco};
use neural_collapse::models::cross_entropy::SimplexPotential;
use neural_collapse::models::fixed_head::FixedSimplexHead;
use neural_collapse::models::squared::ReluCompetitor;
use neural_collapse::prediction::{Matrices, OutputDirections};
use neural_collapse::{
    Basis, ClassCounts, ClassMatrix, ClassStatistics, ExplicitPoint, Features, LinearHead,
    Prediction, Regularization, Ufm,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads a value with each of these changes, by JSON pointer, and asks for an error that has these words in it.
fn refuses<T: Serialize + DeserializeOwned>(value: &T, changes: &[(&str, Value, &str)]) {
    let good = serde_json::to_value(value).unwrap();
    assert!(serde_json::from_value::<T>(good.clone()).is_ok(), "{good}");
    for (place, new, words) in changes {
        let mut bad = good.clone();
        let old = bad.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not in {good}"));
        assert_ne!(old, new, "{place}");
        *old = new.clone();
        let error = serde_json::from_value::<T>(bad.clone()).err();
        let error = error.unwrap_or_else(|| panic!("{place}: {bad} is read")).to_string();
        assert!(error.contains(words), "{place}: {error}");
    }
}

fn counts() -> ClassCounts {
    "9,4x2".parse().unwrap()
}

#[test]
fn invalid_frames_and_groups() {
    let frame = Frame::general_orthogonal(&[3.0, 4.0]).unwrap();
    let shape = "must have shape";
    refuses(
        &frame,
        &[
            ("/vectors/entries/0", json!(0.7), "inner products of the vectors"),
            ("/vectors/entries", json!([0.6]), "entries"),
            ("/vectors", json!({"rows": 2, "columns": 1, "entries": [0.6, 0.0]}), shape),
        ],
    );
    // A few bytes must not ask for a matrix of 10⁹ × 10⁹.
    let none = json!({"rows": 0, "columns": 1_000_000_000, "entries": []});
    let huge = serde_json::to_value(ClassMatrix::orthogonal_frame(1_000_000_000).unwrap()).unwrap();
    let error =
        serde_json::from_value::<Frame>(json!({"vectors": none, "gram": huge})).unwrap_err();
    assert!(error.to_string().contains("as many dimensions as vectors"), "{error}");
    refuses(
        &Projection::star(&DMatrix::identity(4, 4)).unwrap(),
        &[
            ("/axes/entries/0", json!(2.0), "orthonormal"),
            ("/share", json!(-0.1), "between 0 and 1"),
            ("/share", json!(1.1), "between 0 and 1"),
        ],
    );
    refuses(
        &ClassGroups::by_size(&counts(), 2),
        &[
            ("/groups", json!([[0], [2, 1]]), "groups"),
            ("/groups", json!([[0, 1], [2]]), "groups"),
            ("/groups", json!([[0], [1]]), "class 2"),
            ("/groups", json!([[0], [1, 7]]), "class"),
            ("/sizes", json!([4, 9, 4]), "groups"),
            ("/sizes", json!([]), "counts"),
        ],
    );
    let rows = dmatrix![3.0, 0.0; 0.0, 4.0];
    let groups = ClassGroups::by_size(&ClassCounts::balanced(2, 3).unwrap(), 9);
    let target = ClassMatrix::orthogonal_frame(2).unwrap();
    let pair = groups.compare(&rows, &rows.transpose(), &target).unwrap().unwrap();
    let narrow = json!({"rows": 2, "columns": 1, "entries": [1.0, 1.0]});
    refuses(&pair, &[("/target", narrow.clone(), shape), ("/measured", narrow, shape)]);
    // The difference follows from the two.
    let mut changed = serde_json::to_value(&pair).unwrap();
    changed["difference"]["entries"][0] = json!(7.0);
    assert_eq!(serde_json::from_value::<GroupedPair>(changed).unwrap(), pair);
}

#[test]
fn invalid_matrices_of_predictions() {
    let regularization = Regularization::uniform(2, 1e-3, 1e-3).unwrap();
    let ufm = Ufm::new(counts(), regularization).unwrap().with_widths(&[6, 5]).unwrap();
    let minimum = ufm.global_minimum().unwrap();
    let point: ExplicitPoint = minimum.explicit(&Basis::Standard).unwrap();
    let two = json!({"rows": 2, "columns": 2, "entries": [1.0, 0.0, 0.0, 1.0]});
    refuses(
        &point,
        &[
            ("/distinct_features", two.clone(), "distinct_features"),
            ("/copies", json!({"classes": [[9, 2]]}), "distinct_features"),
        ],
    );
    // Two columns fit two classes, but not a head of three; they may be two labels that are no classes.
    let mut two_columns = serde_json::to_value(&point).unwrap();
    two_columns["distinct_features"] = json!({"rows": 6, "columns": 2, "entries": vec![0.5; 12]});
    two_columns["copies"] = json!({"kinds": [[9, 2]]});
    assert!(serde_json::from_value::<ExplicitPoint>(two_columns.clone()).is_ok());
    two_columns["copies"] = json!({"classes": [[9, 2]]});
    let error = serde_json::from_value::<ExplicitPoint>(two_columns).unwrap_err().to_string();
    assert!(error.contains("the classes of the head"), "{error}");
    let matrices = Matrices::of_prediction(&minimum, &Basis::Standard).unwrap();
    refuses(
        &matrices,
        &[
            ("/class_means", two.clone(), "class_means"),
            ("/trailing_grams/1", two.clone(), "trailing_grams"),
            ("/trailing_grams", json!([null]), "layers of the head"),
            ("/trailing_grams", json!([null, null, null]), "layers of the head"),
            ("/class_means_gram", two.clone(), "class_means_gram"),
            ("/class_outputs", two.clone(), "class_outputs"),
        ],
    );
    let outputs: OutputDirections = matrices.outputs.unwrap();
    refuses(
        &outputs,
        &[
            ("/left", two.clone(), "left"),
            ("/right", two, "right"),
            ("/left/entries/0", json!(2.0), "orthonormal"),
            ("/singular_values/0", json!(0.0), "singular_values"),
            ("/singular_values/2", json!(-1.0), "singular_values"),
        ],
    );
}

#[test]
fn invalid_problems_and_scores() {
    let potential = SimplexPotential::new(4, 2).unwrap();
    refuses(
        &potential,
        &[
            ("/classes", json!(1), "classes"),
            ("/depth", json!(0), "depth"),
            ("/label_smoothing", json!(1.0), "label_smoothing"),
        ],
    );
    refuses(
        &FixedSimplexHead::new(3, 1.0, 0.1).unwrap(),
        &[("/classes", json!(1), "classes"), ("/decay", json!(0.0), "decay")],
    );
    let regularization = Regularization::uniform(3, 1e-4, 1e-4).unwrap();
    let ufm = Ufm::new(ClassCounts::balanced(10, 50).unwrap(), regularization).unwrap();
    let competitor: ReluCompetitor = ufm.global_minimum().unwrap().relu_competitor().unwrap();
    let unequal = json!({"counts": [[50, 9], [49, 1]]});
    refuses(&competitor, &[("/problem/target", unequal, "no point")]);
    let rows = dmatrix![1.1, 0.0; 0.9, 0.1; -1.0, 0.3; -1.2, -0.3];
    let data = Features::from_sample_rows(&rows).unwrap().with_labels(&[0, 0, 1, 1], 2).unwrap();
    let mut scatter = PooledScatter::empty(2, 2).unwrap();
    scatter.accumulate(&data).unwrap();
    refuses(
        &Neco::new(&scatter, 1).unwrap(),
        &[
            ("/directions/entries/0", json!(0.0), "orthonormal"),
            ("/mean", json!([0.0]), "directions"),
            ("/directions", json!({"rows": 2, "columns": 0, "entries": []}), "directions"),
        ],
    );
}

#[test]
fn invalid_counts_of_decisions() {
    let rows = dmatrix![1.0; 0.9; -1.0; 0.1];
    let data = Features::from_sample_rows(&rows).unwrap().with_labels(&[0, 0, 1, 1], 2).unwrap();
    let head = LinearHead::new(vec![dmatrix![1.0; -1.0]], None).unwrap();
    let mut confusion = Confusion::new(&ClassStatistics::new(&data).unwrap(), &head).unwrap();
    confusion.accumulate(&data).unwrap();
    let entry = |label, head, samples| json!({"label": label, "head": head, "nearest_mean": head, "samples": samples});
    let both = json!([entry(1, 1, 1), entry(0, 0, 2)]);
    let twice = json!([entry(0, 0, 1), entry(0, 0, 1)]);
    refuses(
        &confusion.part(),
        &[
            ("/version", json!(2), "version 2"),
            ("/classes", json!(1), "classes"),
            ("/entries/0/head", json!(2), "classes"),
            ("/entries/0/samples", json!(0), "no samples"),
            ("/entries", both, "order"),
            ("/entries", twice, "order"),
        ],
    );
}
