//! `audit --metrics all` beside the library on the same numbers.

use nalgebra::DMatrix;
use neural_collapse::measure::{Center, ClassVectors};
use neural_collapse::metrics::{
    DecisionShares, Nc1, Nc1Options, Nc1Sums, Spread, cdnv, cosine_spread, duality_cosines,
    equiangularity, log_energy, nc1, nc1_trace_quotient, nc4, norm_spread, self_duality,
};
use neural_collapse::{ClassStatistics, Features, LabeledFeatures, LinearHead};
use serde_json::{Value, json};

use crate::support::network::Network;
use crate::support::{self, assert_same, run, text};

const SAMPLES: usize = 40;
const WIDTH: usize = 5;
const CLASSES: usize = 4;

fn features() -> Vec<f64> {
    let mean = |sample: usize, feature| if feature == sample % CLASSES { 1.0 } else { 0.0 };
    let entry = |i: usize| mean(i / WIDTH, i % WIDTH) + ((i * i) as f64).sin() * 0.4;
    (0..SAMPLES * WIDTH).map(entry).collect()
}

/// More samples of the classes 0 and 1, so that the centres differ.
fn labels() -> Vec<usize> {
    (0..SAMPLES).map(|i| if i < 8 { i % 2 } else { i % CLASSES }).collect()
}

fn weights() -> Vec<DMatrix<f64>> {
    let entry = |i: usize, j: usize| if i == j { 1.0 } else { ((3 * i + j) as f64).cos() * 0.2 };
    vec![DMatrix::from_fn(6, WIDTH, entry), DMatrix::from_fn(CLASSES, 6, entry)]
}

/// The file of a network with these layers.
fn network(features: &[f64], labels: &[usize], weights: &[DMatrix<f64>]) -> Network {
    const KEYS: [&str; 2] = ["classifier.1.weight", "classifier.2.weight"];
    let labels: Vec<_> = labels.iter().map(|&label| label as i64).collect();
    let shape = [labels.len(), features.len() / labels.len()];
    let network = Network::empty().with_doubles("features", &shape, features).with_labels(&labels);
    weights.iter().zip(KEYS).fold(network, |network, (weight, key)| {
        // Row after row, as the transpose lies in memory.
        let rows = weight.transpose();
        network.with_doubles(key, &[weight.nrows(), weight.ncols()], rows.as_slice())
    })
}

fn metrics(network: &Network, name: &str) -> Value {
    let path = network.write(name).display().to_string();
    let mut report = support::json(&format!("audit {path} --json --metrics all --present-classes"));
    report["metrics"].take()
}

fn nc1_json(nc1: Nc1) -> Value {
    json!({"value": nc1.value, "rank": nc1.rank})
}

fn spread_json(spread: Spread) -> Value {
    json!({"mean": spread.mean, "deviation": spread.deviation})
}

fn shares_json(shares: DecisionShares) -> Value {
    json!({
        "agreement": shares.agreement,
        "head_accuracy": shares.head_accuracy,
        "nearest_mean_accuracy": shares.nearest_mean_accuracy,
    })
}

fn shape_json(vectors: &ClassVectors<'_>) -> Value {
    let norms = norm_spread(vectors);
    let angles = equiangularity(vectors).unwrap();
    json!({
        "norm_spread": {
            "mean": norms.mean,
            "deviation": norms.deviation,
            "coefficient_of_variation": norms.coefficient_of_variation(),
        },
        "cosine_spread": spread_json(cosine_spread(vectors).unwrap()),
        "equiangularity": {
            "etf_deviation": angles.etf_deviation,
            "largest_etf_deviation": angles.largest_etf_deviation,
        },
        "log_energy": spread_json(log_energy(vectors).unwrap()),
    })
}

/// What the library says, in the words of the program.
fn expected(data: &LabeledFeatures<'_, f64>, head: &LinearHead) -> Value {
    let statistics = ClassStatistics::new(data).unwrap();
    let options = |center| Nc1Options::default().with_center(center);
    let nc1 = |center| nc1_json(nc1(data, &statistics, &options(center)).unwrap());
    let quotient = |center| nc1_trace_quotient(data, &statistics, center).unwrap();
    let after_layers = (1..=head.depth()).map(|layers| {
        let options = Nc1Options::default();
        let mut scatter = Nc1Sums::after_layers(&statistics, head, layers, &options).unwrap();
        scatter.accumulate(data).unwrap();
        nc1_json(scatter.nc1().unwrap())
    });
    let cdnv = cdnv(data, &statistics).unwrap();
    let means = statistics.class_means().unwrap();
    let centered = statistics.centered_means(Center::Samples).unwrap();
    let classifier = ClassVectors::rows(head.weights().last().unwrap()).unwrap();
    let before_last = match head.depth() {
        1 => centered.clone(),
        depth => head.leading_product(depth - 1).unwrap() * &centered,
    };
    let before_last = ClassVectors::columns(&before_last).unwrap();
    let cosines = duality_cosines(&before_last, &classifier).unwrap();
    let nc4 = nc4(data, &statistics, head).unwrap();
    let mut decisions = shares_json(nc4.overall);
    decisions["classes"] =
        nc4.classes.iter().map(|shares| shares.map(shares_json)).collect::<Vec<_>>().into();
    json!({
        "nc1": {
            "center_samples": nc1(Center::Samples),
            "center_classes": nc1(Center::Classes),
        },
        "nc1_trace_quotient": {
            "center_samples": quotient(Center::Samples),
            "center_classes": quotient(Center::Classes),
        },
        "cdnv": {
            "mean": cdnv.mean,
            "largest": cdnv.largest,
            "coincident_pairs": cdnv.coincident_pairs,
        },
        "nc1_after_layers": after_layers.collect::<Vec<_>>(),
        "class_means": shape_json(&ClassVectors::columns(&means).unwrap()),
        "centred_class_means": shape_json(&ClassVectors::columns(&centered).unwrap()),
        "classifier": shape_json(&classifier),
        "self_duality": self_duality(&before_last, &classifier).unwrap(),
        "duality_cosines": spread_json(Spread::of(&cosines).unwrap()),
        "nc4": decisions,
    })
}

#[test]
fn every_number_is_that_of_the_library() {
    let (features, labels, mut weights) = (features(), labels(), weights());
    for depth in [2, 1] {
        if depth == 1 {
            weights = vec![&weights[1] * &weights[0]];
        }
        let head = LinearHead::new(weights.clone(), None).unwrap();
        let data = Features::from_row_major(&features, SAMPLES, WIDTH).unwrap();
        let data = data.with_labels(&labels, CLASSES).unwrap();
        let name = format!("all_metrics_{depth}.safetensors");
        let found = metrics(&network(&features, &labels, &weights), &name);
        assert_same(&found, &expected(&data, &head), 1e-12);
        assert!(found["nc4"]["agreement"].as_f64().unwrap() > 0.8, "{found}");
    }
}

/// A model of one layer is not what is measured.
#[test]
fn every_loss_has_the_metrics_of_all_layers() {
    let path = network(&features(), &labels(), &weights()).write("losses.safetensors");
    let audit = |flags: &str| {
        support::json(&format!("audit {} --json --metrics all {flags}", path.display()))
    };
    for loss in ["ce", "layer-peeled", "uf-svm"] {
        let found = &audit(&format!("--loss {loss}"))["metrics"];
        assert_same(found, &audit("")["metrics"], 1e-12);
    }
}

/// Without standard errors the metrics are the same, and it is said why there are none.
#[test]
fn standard_errors_can_be_left_out() {
    for metrics in ["main", "all"] {
        let audit = |flags: &str| {
            let path = "data/digits_m3.safetensors";
            support::json(&format!("audit {path} --json --metrics {metrics} {flags}"))
        };
        let (with, without) = (audit(""), audit("--no-standard-errors"));
        assert!(with["standard_errors"].is_object() && without["standard_errors"].is_null());
        let reason = without["reasons"]["standard_errors"].as_str().unwrap();
        assert!(reason.contains("not asked for"), "{reason}");
        assert!(
            without["levels"]["collapsed"].is_null() && with["levels"]["collapsed"].is_object()
        );
        for key in
            ["nc1", "nc1_resolved", "nc2", "nc3", "nc4", "accuracy", "loss", "metrics", "verdict"]
        {
            assert_eq!(with[key], without[key], "{key}");
        }
    }
}

#[test]
fn the_main_metrics_are_the_default() {
    let path = "data/digits_m3.safetensors";
    let printed = |flags: &str| run(&format!("audit {path} {flags}")).stdout;
    assert_eq!(text(&printed("--metrics main")), text(&printed("")));
    assert_eq!(text(&printed("--metrics main --json")), text(&printed("--json")));
    let mut all = support::json(&format!("audit {path} --json --metrics all"));
    for key in ["metrics", "nc1_layer_ratios"] {
        assert!(all.as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    let main = support::json(&format!("audit {path} --json"));
    // With all metrics there are the errors of all.
    let errors = all["standard_errors"].as_object_mut().unwrap();
    errors.retain(|key, _| main["standard_errors"].get(key).is_some());
    assert_eq!(all, main);
    let table = printed("--metrics all");
    for part in ["rank of Σ_B", "NC1 after layer m", "CDNV, mean", "self-duality", "head accuracy"]
    {
        assert!(text(&table).contains(part), "{part}");
    }
}

/// Where nothing can be computed there is null, and the rest is measured.
#[test]
fn what_cannot_be_computed_is_null() {
    let one_class = network(&features(), &[0; SAMPLES], &[DMatrix::from_element(1, WIDTH, 1.0)]);
    let found = metrics(&one_class, "one_class.safetensors");
    let nothing = json!({"center_samples": null, "center_classes": null});
    assert_eq!(found["nc1"], nothing);
    assert_eq!(found["nc1_trace_quotient"], nothing);
    assert_eq!(found["cdnv"], Value::Null);
    assert_eq!(found["nc1_after_layers"], json!([null]));
    assert_eq!(found["self_duality"], Value::Null);
    for name in ["class_means", "centred_class_means", "classifier"] {
        for metric in ["cosine_spread", "equiangularity", "log_energy"] {
            assert_eq!(found[name][metric], Value::Null, "{name} {metric}");
        }
    }
    assert_eq!(found["class_means"]["norm_spread"]["deviation"], 0.0);
    assert_eq!(
        found["centred_class_means"]["norm_spread"]["coefficient_of_variation"],
        Value::Null
    );
    assert_eq!(found["nc4"]["agreement"], 1.0);

    let zero = [DMatrix::zeros(CLASSES, WIDTH)];
    let found = metrics(&network(&features(), &labels(), &zero), "zero_classifier.safetensors");
    let norms = json!({"mean": 0.0, "deviation": 0.0, "coefficient_of_variation": null});
    assert_eq!(found["classifier"]["norm_spread"], norms);
    assert_eq!(found["classifier"]["cosine_spread"], Value::Null);
    assert_eq!(found["self_duality"], Value::Null);
    assert_eq!(found["duality_cosines"], Value::Null);
    assert_eq!(found["nc1_after_layers"], json!([null]));
    assert_eq!(found["nc1"]["center_classes"]["rank"], 3);
    assert!(found["cdnv"]["mean"].is_f64() && found["class_means"]["log_energy"]["mean"].is_f64());

    let equal = [1.0, 2.0, 3.0, 4.0].repeat(2);
    let identity = [DMatrix::identity(2, 2)];
    let equal_means = network(&equal, &[0, 0, 1, 1], &identity);
    let found = metrics(&equal_means, "equal_means.safetensors");
    assert_eq!(found["nc1"], nothing);
    assert_eq!(found["nc1_trace_quotient"], nothing);
    assert_eq!(found["cdnv"], json!({"mean": null, "largest": null, "coincident_pairs": 1}));
    assert_eq!(found["centred_class_means"]["cosine_spread"], Value::Null);
    // Equal directions are infinitely close.
    assert_eq!(found["class_means"]["log_energy"], json!({"mean": null, "deviation": null}));
    assert_eq!(found["class_means"]["cosine_spread"]["deviation"], 0.0);
}

#[test]
fn tables_show_a_dash_for_what_cannot_be_computed() {
    let one_class = network(&features(), &[0; SAMPLES], &[DMatrix::from_element(1, WIDTH, 1.0)]);
    let path = one_class.write("one_class_table.safetensors");
    let output = run(&format!("audit {} --metrics all --present-classes", path.display()));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let row = |name: &str| {
        let table = text(&output.stdout);
        let row = table.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        row.trim_start().trim_start_matches(name).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("tr Σ_W / tr Σ_B"), "– –");
    assert_eq!(row("cosines, mean"), "– – –");
    assert_eq!(row("CDNV, mean"), "–");
    assert_eq!(row("self-duality"), "–");
}
