//! Problems and results with the feature `serde`: what is written can be read, and nothing invalid can.

use nalgebra::dmatrix;
use neural_collapse::{Bias, ClassCounts, Geometry, GlobalMinimum, Potential, Regularization, Ufm};

fn penalties() -> Regularization {
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
    let ufm = Ufm::new(counts(), penalties()).unwrap().with_widths(&[64, 32]).unwrap();
    let text = serde_json::to_string(&ufm).unwrap();
    let expected = r#"{"target":{"counts":[[200,1],[100,1],[50,2]]},"regularization":{"weight_decays":[0.001,0.002],"feature_decay":0.0005,"bias":"none"},"widths":[64,32]}"#;
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Ufm>(&text).unwrap(), ufm);
}

#[test]
fn everything_is_read_as_it_was() {
    let regularized = penalties().with_bias(Bias::Regularized(0.1)).unwrap();
    let target = dmatrix![0.9, 0.1, 0.05; 0.1, 0.9, 0.95];
    for ufm in [
        Ufm::new(counts(), penalties().with_bias(Bias::Unregularized).unwrap()).unwrap(),
        Ufm::new(ClassCounts::balanced(5, 7).unwrap(), regularized).unwrap(),
        Ufm::from_target(target, penalties()).unwrap(),
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
    let minimum = Ufm::new(counts(), penalties()).unwrap().global_minimum().unwrap();
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
