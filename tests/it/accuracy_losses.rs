//! Non-negative features, label smoothing and several tags against tables made with mpmath: 4 ulp, or 4κ roundings where
//! a number has the condition number κ.

use neural_collapse::models::cross_entropy::SimplexPotential;
use neural_collapse::models::multi_label::MultiLabelUfm;
use neural_collapse::models::nonnegative::NonnegativeUfm;
use neural_collapse::{ClassCounts, Prediction, Regularization};

use crate::exact::tables::{Row, list, table};

fn number(row: &Row, name: &str) -> f64 {
    row[name].parse().unwrap()
}

/// Holds a number to 4 (1 + κ) roundings of the reference.
#[track_caller]
fn assert_known(found: f64, expected: f64, condition: f64, row: &Row) {
    let allowed = 4.0 * (1.0 + condition) * f64::EPSILON * expected.abs();
    assert!((found - expected).abs() <= allowed, "{found:e}, {expected:e}: {row:?}");
}

fn regularization(row: &Row) -> Regularization {
    Regularization::new(&[number(row, "weight_decay")], number(row, "feature_decay")).unwrap()
}

#[test]
fn margins_of_nonnegative_features() {
    let (mut dead, mut alive) = (0, 0);
    for row in table("nonnegative.csv") {
        let counts = ClassCounts::new(&list::<u64>(&row["sizes"])).unwrap();
        let minimum = NonnegativeUfm::new(counts, regularization(&row))
            .and_then(|ufm| ufm.with_class_weights(&list::<f64>(&row["weights"])))
            .and_then(|ufm| ufm.with_label_smoothing(number(&row, "smoothing")))
            .and_then(|ufm| ufm.global_minimum())
            .unwrap();
        let conditions: Vec<f64> = list(&row["conditions"]);
        for (class, margin) in list::<f64>(&row["margins"]).into_iter().enumerate() {
            assert_known(minimum.margin(class).unwrap(), margin, conditions[class], &row);
            if margin == 0.0 { dead += 1 } else { alive += 1 }
        }
        assert_known(minimum.loss(), number(&row, "loss"), 1.0, &row);
    }
    assert!(dead > 10 && alive > 100, "{dead} {alive}");
}

#[test]
fn margins_of_smoothed_labels() {
    let rows = table("smoothing.csv");
    assert!(rows.len() > 80);
    for row in rows {
        let (classes, depth) = (row["classes"].parse().unwrap(), row["depth"].parse().unwrap());
        let potential = SimplexPotential::new(classes, depth)
            .and_then(|potential| potential.with_label_smoothing(number(&row, "smoothing")))
            .unwrap();
        let strength = number(&row, "strength");
        let alpha = potential.local_minimum(strength).unwrap().unwrap();
        assert_known(alpha, number(&row, "alpha"), number(&row, "condition"), &row);
        let value = potential.value(alpha, strength).unwrap();
        assert_known(value, number(&row, "loss"), 1.0, &row);
    }
}

#[test]
fn sizes_of_several_tags() {
    for row in table("multi_label.csv") {
        let tags = list::<usize>(&row["tags"]);
        let sets: Vec<_> = tags.iter().copied().zip(list::<u64>(&row["samples"])).collect();
        let classes = row["classes"].parse().unwrap();
        let minimum = MultiLabelUfm::new(classes, &sets, regularization(&row));
        let minimum = minimum.and_then(|ufm| ufm.global_minimum()).unwrap();
        let conditions: Vec<f64> = list(&row["conditions"]);
        for (index, size) in list::<f64>(&row["sizes"]).into_iter().enumerate() {
            assert_known(minimum.logit_size(tags[index]).unwrap(), size, conditions[index], &row);
        }
        assert_known(minimum.loss(), number(&row, "loss"), 1.0, &row);
    }
}
