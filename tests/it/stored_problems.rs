//! Problems and results with the feature `serde`: what is written can be read, and nothing invalid can.

use nalgebra::{DMatrix, dmatrix, dvector};
use neural_collapse::models::contrastive::UnitFeatures;
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::cross_entropy::LossMean;
use neural_collapse::models::fixed_head::FixedHeadUfm;
use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::models::multi_label::MultiLabelUfm;
use neural_collapse::models::nonnegative::NonnegativeUfm;
use neural_collapse::models::soft_labels::SparseLabels;
use neural_collapse::models::squared::QuasiInterpolation;
use neural_collapse::problem::CodedClassWeights;
use neural_collapse::{
    Basis, Bias, ClassCounts, ClassMatrix, CrossEntropyUfm, Geometry, GlobalMinimum, LayerPeeled,
    LinearHead, Potential, Prediction, Regularization, Seli, Ufm,
};

fn regularization() -> Regularization {
    Regularization::new(&[1e-3, 2e-3], 5e-4).unwrap()
}

fn counts() -> ClassCounts {
    ClassCounts::new(&[200, 100, 50, 50]).unwrap()
}

fn error<T: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    serde_json::from_str::<T>(text).unwrap_err().to_string()
}

#[test]
fn problems_are_stored_readably() {
    let ufm = Ufm::new(counts(), regularization()).unwrap().with_widths(&[64, 32]).unwrap();
    let text = serde_json::to_string(&ufm).unwrap();
    let expected = r#"{"target":{"counts":[[200,1],[100,1],[50,2]]},"regularization":{"weight_decays":[0.001,0.002],"feature_decay":0.0005,"bias":"none"},"widths":[64,32]}"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Ufm>(&text).unwrap(), ufm);
}

#[test]
fn everything_is_read_as_it_was() {
    let regularized = regularization().with_bias(Bias::Regularized(0.1)).unwrap();
    let target = dmatrix![0.9, 0.1, 0.05; 0.1, 0.9, 0.95];
    for ufm in [
        Ufm::new(counts(), regularization().with_bias(Bias::Unregularized).unwrap()).unwrap(),
        Ufm::new(ClassCounts::balanced(5, 7).unwrap(), regularized).unwrap(),
        Ufm::from_target(target, regularization()).unwrap(),
    ] {
        let text = serde_json::to_string(&ufm).unwrap();
        assert_eq!(serde_json::from_str::<Ufm>(&text).unwrap(), ufm, "{text}");
        let minimum = ufm.global_minimum().unwrap();
        let text = serde_json::to_string(&minimum).unwrap();
        assert_eq!(serde_json::from_str::<GlobalMinimum>(&text).unwrap(), minimum, "{text}");
    }
    let potential = Potential::<f64>::new(6).unwrap();
    let text = serde_json::to_string(&potential).unwrap();
    assert_eq!(serde_json::from_str::<Potential<f64>>(&text).unwrap(), potential);
    let geometry = serde_json::to_string(&Geometry::SimplexEtf).unwrap();
    assert_eq!(geometry, r#""simplex_etf""#);
}

#[test]
fn results_are_written() {
    let minimum = Ufm::new(counts(), regularization()).unwrap().global_minimum().unwrap();
    let class = serde_json::to_value(minimum.class(0).unwrap()).unwrap();
    assert_eq!((&class["count"], &class["collapsed"]), (&200.into(), &false.into()));
    let minimizer = Potential::<f64>::new(2).unwrap().minimizer(0.5).unwrap();
    let text = serde_json::to_string(&minimizer).unwrap();
    assert_eq!(text, r#"{"regime":"tie","slope":0.5,"x":1.0,"power":1.0}"#);
}

#[test]
fn nothing_invalid_comes_in() {
    assert!(error::<ClassCounts>("[[5,1],[0,2]]").contains("class 1 has no sample"));
    assert!(error::<ClassCounts>("[]").contains("`counts` is empty"));
    assert!(error::<ClassCounts>("[[18446744073709551615,1]]").contains("2⁵³"));
    assert!(error::<Potential<f64>>("0").contains("`depth` is 0"));
    let good = r#"{"weight_decays":[0.001],"feature_decay":0.0005,"bias":{"regularized":0.1}}"#;
    assert!(serde_json::from_str::<Regularization>(good).is_ok());
    for (from, to, message) in [
        ("0.001", "-1.0", "`weight_decays[0]` is -1"),
        ("0.0005", "0", "`feature_decay` is 0"),
        (r#"{"regularized":0.1}"#, r#"{"regularized":0}"#, "`bias_decay` is 0"),
        (r#"{"regularized":0.1}"#, r#""regularised""#, "unknown variant"),
        (r#""bias""#, r#""biass""#, "unknown field"),
    ] {
        let found = error::<Regularization>(&good.replace(from, to));
        assert!(found.contains(message), "{found}");
    }
    let balanced = format!(r#"{{"target":{{"counts":[[5,2]]}},"regularization":{good}}}"#);
    assert!(serde_json::from_str::<Ufm>(&balanced).is_ok());
    let imbalanced = balanced.replace("[[5,2]]", "[[5,2],[4,1]]");
    assert!(error::<Ufm>(&imbalanced).contains("no closed form"));
    let widths = balanced.replace(r#"0.1}}}"#, r#"0.1}},"widths":[3,3]}"#);
    assert!(error::<Ufm>(&widths).contains("`widths` has shape 2"), "{widths}");
    let matrix = r#"{"target":{"matrix":{"outputs":2,"samples":3,"entries":[1.0]}},"regularization":{"weight_decays":[0.001],"feature_decay":0.0005}}"#;
    assert!(error::<Ufm>(matrix).contains("`entries` has shape 1, but must have shape 6"));
}

fn roundtrip<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

#[test]
fn matrices_are_read_as_they_were() {
    let minimum = |ufm: Ufm| ufm.global_minimum().unwrap();
    let narrow = Ufm::new(counts(), regularization()).unwrap().with_widths(&[3, 3]).unwrap();
    let centered = regularization().with_bias(Bias::Unregularized).unwrap();
    let matrix = Ufm::from_target(DMatrix::identity(3, 3), regularization()).unwrap();
    let matrix = matrix.with_widths(&[2, 2]).unwrap();
    for matrix in [
        ClassMatrix::simplex_etf(5).unwrap(),
        ClassMatrix::diagonal(&[1.0, 0.0, 2.5]).unwrap(),
        ClassMatrix::from_dense(dmatrix![1.0, 0.1; -0.3, 1e-300]).unwrap(),
        ClassMatrix::low_rank_orthogonal_frame(4, 2).unwrap(),
        ClassMatrix::low_rank_simplex_etf(4, 2).unwrap(),
        minimum(narrow).trailing_gram(2).unwrap(),
        minimum(Ufm::new(counts(), centered).unwrap()).class_means_gram().unwrap(),
        minimum(matrix).trailing_gram(1).unwrap(),
    ] {
        assert_eq!(roundtrip(&matrix), matrix);
    }
    let weights = vec![dmatrix![1.0, 2.0; 3.0, 4.0; 5.0, 6.0], dmatrix![7.0, 8.0, 9.0]];
    for bias in [None, Some(dvector![0.5])] {
        let head = LinearHead::new(weights.clone(), bias).unwrap();
        assert_eq!(roundtrip(&head), head);
    }
    let outputs = QuasiInterpolation::new(7, 0.1).unwrap();
    assert_eq!(roundtrip(&outputs), outputs);
}

#[test]
fn a_stored_minimum_holds_its_numbers() {
    let free = regularization().with_bias(Bias::Unregularized).unwrap();
    let minimum = Ufm::new(counts(), free).unwrap().global_minimum().unwrap();
    let stored = serde_json::to_value(&minimum).unwrap();
    assert_eq!(stored["loss"], minimum.loss());
    assert_eq!(stored["geometry"], "spectral");
    assert_eq!(stored["directions"][0]["energy"], minimum.direction(0).unwrap().energy());
    assert_eq!(stored["classes"][2]["class_count"], 2);
    assert_eq!(stored["classes"][2]["bias"], 0.125);
    let explicit = serde_json::to_value(minimum.explicit(&Basis::Standard).unwrap()).unwrap();
    assert_eq!(explicit["distinct_features"]["columns"], 4);
    assert!(serde_json::to_value(minimum.curvature().unwrap()).unwrap()["eigenvalues"].is_array());
}

#[test]
fn no_invalid_matrix_comes_in() {
    let good =
        serde_json::to_string(&ClassMatrix::low_rank_orthogonal_frame(4, 2).unwrap()).unwrap();
    for (from, to) in [
        (r#""classes":4"#, r#""classes":0"#),
        (r#""runs":[[0,0]]"#, r#""runs":[[1,0]]"#),
        (r#""runs":[[0,0]]"#, r#""runs":[[0,1]]"#),
        (r#""runs":[[0,0]]"#, r#""runs":[]"#),
        (r#""end":4"#, r#""end":5"#),
        (r#"{"start":2,"end":2}"#, r#"{"start":2,"end":7}"#),
        (r#""coupling":null"#, r#""coupling":{"rows":2,"columns":2,"entries":[1,2,3,4]}"#),
        (r#""coupling":null"#, r#""coupling":{"rows":1,"columns":1,"entries":[1,2]}"#),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from} is not in {good}");
        assert!(serde_json::from_str::<ClassMatrix>(&bad).is_err(), "{bad}");
    }
    let head = r#"{"weights":[{"rows":2,"columns":2,"entries":[1,2,3]}]}"#;
    assert!(error::<LinearHead>(head).contains("`entries` has shape 3"));
}

/// Written and read, it is the same; and with a field that it has not, it is refused.
fn is_read_as_it_was<T>(value: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(&roundtrip(value), value);
}

/// As [`is_read_as_it_was`], and unknown fields are refused.
fn problem_is_read_as_it_was<T>(problem: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    is_read_as_it_was(problem);
    let text = serde_json::to_string(problem).unwrap();
    assert!(error::<T>(&text.replacen('{', r#"{"unknown":1,"#, 1)).contains("unknown"), "{text}");
}

fn one_layer() -> Regularization {
    Regularization::new(&[1e-3], 5e-4).unwrap()
}

#[test]
fn problems_of_every_model_are_read_as_they_were() {
    let convex = ConvexUfm::cross_entropy(counts(), one_layer()).unwrap();
    let weights = [0.5, 1.0, 2.0, 2.0];
    let weighted = convex.clone().with_class_weights(&weights).unwrap();
    let labels = dmatrix![0.9, 0.2; 0.1, 0.8];
    for problem in [
        convex.with_widths(&[9]).unwrap(),
        weighted.with_label_smoothing(0.1).unwrap(),
        ConvexUfm::squared_error(counts(), one_layer()).unwrap(),
        ConvexUfm::squared_error(counts(), one_layer())
            .unwrap()
            .with_class_weights(&weights)
            .unwrap(),
        ConvexUfm::cross_entropy(counts(), one_layer())
            .unwrap()
            .with_logit_offsets(&[0.0, -1.0, 0.5, 2.0])
            .unwrap(),
        ConvexUfm::pytorch(counts(), &weights, 0.1, one_layer()).unwrap(),
        ConvexUfm::soft_labels(labels.clone(), &[5, 7], one_layer()).unwrap(),
        ConvexUfm::soft_labels(labels, &[5, 7], one_layer())
            .unwrap()
            .with_label_weights(&[0.5, 2.0])
            .unwrap(),
    ] {
        problem_is_read_as_it_was(&problem);
    }
    let balanced = CrossEntropyUfm::new(6, 10, regularization()).unwrap();
    problem_is_read_as_it_was(&balanced);
    let halved = balanced.with_loss_mean(LossMean::TwiceSamples).with_label_smoothing(0.1).unwrap();
    problem_is_read_as_it_was(&halved.with_widths(&[8, 8]).unwrap());
    for problem in [
        LowRankProblem::squared(counts(), regularization()).unwrap().with_widths(&[3, 3]).unwrap(),
        LowRankProblem::cross_entropy(counts(), regularization())
            .unwrap()
            .with_class_weights(&weights)
            .unwrap(),
    ] {
        problem_is_read_as_it_was(&problem);
    }
    let seli = Seli::new(counts()).unwrap();
    problem_is_read_as_it_was(&seli);
    let seli = seli.with_margins(&weights).unwrap().with_logit_scales(&weights).unwrap();
    problem_is_read_as_it_was(&seli);
    problem_is_read_as_it_was(&CodedClassWeights::new(&weights, 0.1).unwrap());
}

#[test]
fn minima_are_read_as_they_were() {
    let convex = ConvexUfm::cross_entropy(counts(), one_layer()).unwrap();
    is_read_as_it_was(&convex.global_minimum().unwrap());
    let nonnegative = NonnegativeUfm::new(counts(), one_layer()).unwrap();
    let nonnegative = nonnegative.with_class_weights(&[1.0, 2.0, 3.0, 4.0]).unwrap();
    problem_is_read_as_it_was(&nonnegative);
    is_read_as_it_was(&nonnegative.global_minimum().unwrap());
    let peeled = LayerPeeled::new(counts(), 1.0, 2.0).unwrap();
    problem_is_read_as_it_was(&peeled);
    is_read_as_it_was(&peeled.global_minimum().unwrap());
    let multi_label = MultiLabelUfm::new(5, &[(1, 10), (3, 2)], one_layer()).unwrap();
    problem_is_read_as_it_was(&multi_label);
    is_read_as_it_was(&multi_label.global_minimum().unwrap());
    let sparse = SparseLabels::new(4, &[vec![0, 1], vec![2]], &[3, 4]).unwrap();
    problem_is_read_as_it_was(&sparse);
    is_read_as_it_was(&sparse.global_minimum().unwrap());
    is_read_as_it_was(&sparse.smallest_logits().unwrap());
    let fixed = FixedHeadUfm::new(counts(), 2.0, 1e-4).unwrap().with_label_smoothing(0.1).unwrap();
    problem_is_read_as_it_was(&fixed);
    is_read_as_it_was(&fixed.global_minimum().unwrap());
    let five = || ClassCounts::balanced(5, 3).unwrap();
    for model in [
        UnitFeatures::supervised_contrastive(five(), 0.1).unwrap(),
        UnitFeatures::spherical_cross_entropy(five(), 0.1).unwrap(),
        UnitFeatures::supervised_contrastive(counts(), 0.1)
            .unwrap()
            .with_nonnegative_features()
            .unwrap(),
    ] {
        problem_is_read_as_it_was(&model);
        is_read_as_it_was(&model.global_minimum().unwrap());
    }
}

/// What a search has found is written, not read.
#[test]
fn searched_results_are_written_with_their_numbers() {
    let landscape = CrossEntropyUfm::new(4, 10, regularization()).unwrap().landscape().unwrap();
    let written = serde_json::to_value(&landscape).unwrap();
    assert_eq!(written["loss"], landscape.loss());
    assert_eq!(written["points"].as_array().unwrap().len(), landscape.points().len());
    assert_eq!(written["points"][0]["loss"], landscape.best().loss());
    assert_eq!(written["problem"]["counts"], serde_json::json!([[10, 4]]));
    assert!(written["search"].is_null());
    let problem = LowRankProblem::cross_entropy(counts(), regularization()).unwrap();
    let found = problem.minimize(&Search::default().with_starts(2), &()).unwrap();
    let written = serde_json::to_value(&found).unwrap();
    assert_eq!((&written["loss"], &written["rank"]), (&found.loss().into(), &found.rank().into()));
    assert_eq!(written["outputs"]["entries"].as_array().unwrap().len(), 16);
}

#[test]
fn no_invalid_problem_of_any_model_comes_in() {
    let valid =
        serde_json::to_string(&CrossEntropyUfm::new(4, 10, regularization()).unwrap()).unwrap();
    let unequal = valid.replace("[[10,4]]", "[[10,3],[9,1]]");
    assert!(error::<CrossEntropyUfm>(&unequal).contains("different sizes"), "{valid}");
    let text = serde_json::to_string(&LayerPeeled::new(counts(), 1.0, 2.0).unwrap()).unwrap();
    assert!(error::<LayerPeeled>(&text.replace("2.0", "-2.0")).contains("feature_energy"));
    let seli = Seli::new(counts()).unwrap().with_margins(&[1.0, 2.0, 3.0, 4.0]).unwrap();
    let text = serde_json::to_string(&seli).unwrap();
    assert!(error::<Seli>(&text.replace("[1.0,", "[")).contains("margins"), "{text}");
    let convex = ConvexUfm::cross_entropy(counts(), one_layer()).unwrap();
    let text = serde_json::to_string(&convex).unwrap();
    let message = error::<ConvexUfm>(&text.replace(r#""smoothing":0.0"#, r#""smoothing":1.0"#));
    assert!(message.contains("label_smoothing"), "{message}");
    let code = r#"{"weight":[1.0,-1.0],"label_smoothing":0.1}"#;
    assert!(error::<CodedClassWeights>(code).contains("weight"));
}
