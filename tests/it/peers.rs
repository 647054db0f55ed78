//! Every metric beside the definitions of papers and published codes, as `tests/reference/peers.py`
//! computes them with NumPy on the same data.

use std::collections::BTreeMap;

use nalgebra::DMatrix;
use neural_collapse::measure::{Center, ClassVariances, ClassVectors, PooledScatter};
use neural_collapse::metrics::{
    Nc1Options, Nc1Sums, Spread, cdnv, cosine_spread, duality_cosines, equiangularity, log_energy,
    nc1, nc1_trace_quotient, nc2, nc3, norm_spread, self_duality,
};
use neural_collapse::{ClassMatrix, ClassStatistics, Features, LinearHead};

/// The generator of `peers.py`, bit by bit.
struct Numbers(u64);

impl Numbers {
    fn matrix(&mut self, rows: usize, columns: usize) -> DMatrix<f64> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 32) as f64 / f64::from(1_u32 << 31) - 1.0
        };
        let entries: Vec<f64> = (0..rows * columns).map(|_| next()).collect();
        DMatrix::from_row_slice(rows, columns, &entries)
    }
}

struct Case {
    name: &'static str,
    samples: usize,
    dimension: usize,
    classes: usize,
    deviation: f64,
    width: usize,
}

const CASES: [Case; 4] = [
    case("balanced", [60, 12, 5, 7], 0.3),
    case("imbalanced", [90, 8, 6, 8], 0.1),
    case("more classes than features", [80, 4, 10, 4], 0.5),
    case("collapsed", [70, 15, 7, 9], 1e-6),
];

const fn case(name: &'static str, sizes: [usize; 4], deviation: f64) -> Case {
    let [samples, dimension, classes, width] = sizes;
    Case { name, samples, dimension, classes, deviation, width }
}

/// Samples in rows, labels and a head of two layers.
struct Data {
    rows: DMatrix<f64>,
    labels: Vec<usize>,
    head: LinearHead,
}

impl Case {
    fn data(&self) -> Data {
        let mut numbers = Numbers(1);
        let means = numbers.matrix(self.classes, self.dimension).add_scalar(0.5);
        let squares = self.name == "imbalanced";
        let label = |i: usize| if i < self.classes || !squares { i } else { i * i };
        let labels: Vec<usize> = (0..self.samples).map(|i| label(i) % self.classes).collect();
        let noise = numbers.matrix(self.samples, self.dimension) * self.deviation;
        let layers = vec![
            numbers.matrix(self.width, self.dimension),
            numbers.matrix(self.classes, self.width),
        ];
        let head = LinearHead::new(layers, None).unwrap();
        Data { rows: means.select_rows(&labels) + noise, labels, head }
    }
}

/// Values by (case, layer, metric).
type Table = BTreeMap<(String, usize, String), f64>;

fn expected() -> Table {
    let lines = include_str!("../reference/peers.csv").lines().skip(1);
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let key = (fields[0].to_owned(), fields[1].parse().unwrap(), fields[2].to_owned());
        (key, fields[3].parse().unwrap())
    };
    lines.map(parse).collect()
}

/// Metrics by name.
type Values = Vec<(String, f64)>;

fn vector_metrics(kind: &str, vectors: &ClassVectors<'_>) -> Values {
    let norms = norm_spread(vectors);
    let cosines = cosine_spread(vectors).unwrap();
    let angles = equiangularity(vectors).unwrap();
    let energy = log_energy(vectors).unwrap();
    assert!((angles.cosines.mean - cosines.mean).abs() < 1e-14);
    [
        ("norm variation", norms.coefficient_of_variation().unwrap()),
        ("norm variation (torch)", norms.sample_deviation().unwrap() / norms.mean),
        ("cosine mean", cosines.mean),
        ("cosine deviation", cosines.deviation),
        ("etf deviation", angles.etf_deviation),
        ("energy mean", energy.mean),
        ("energy deviation", energy.deviation),
    ]
    .map(|(name, value)| (format!("{kind} {name}"), value))
    .to_vec()
}

/// The metrics that need class means and a classifier only.
fn shape_metrics(
    classifier: &DMatrix<f64>,
    means: &DMatrix<f64>,
    centered: &DMatrix<f64>,
) -> Values {
    let classes = means.ncols();
    let etf = ClassMatrix::simplex_etf(classes).unwrap();
    let frame = ClassMatrix::orthogonal_frame(classes).unwrap();
    let head = LinearHead::new(vec![classifier.clone()], None).unwrap();
    let rows = ClassVectors::rows(classifier).unwrap();
    let columns = ClassVectors::columns(centered).unwrap();
    let duality = Spread::of(&duality_cosines(&columns, &rows).unwrap()).unwrap();
    let mut values = vector_metrics("means", &columns);
    values.extend(vector_metrics("uncentred", &ClassVectors::columns(means).unwrap()));
    values.extend(vector_metrics("classifier", &rows));
    let others = [
        ("self-duality", self_duality(&columns, &rows).unwrap()),
        ("duality cosine mean", duality.mean),
        ("duality cosine deviation", duality.deviation),
        ("nc2 etf", nc2(&head, 1, &etf).unwrap()),
        ("nc2 of", nc2(&head, 1, &frame).unwrap()),
        ("nc3 etf", nc3(means, &head, &etf).unwrap()),
        ("nc3 etf centred", nc3(centered, &head, &etf).unwrap()),
        ("means etf", etf.distance_to_gram(&centered.transpose()).unwrap()),
    ];
    values.extend(others.map(|(name, value)| (name.to_owned(), value)));
    values
}

fn options(center: Center) -> Nc1Options {
    Nc1Options::default().with_center(center)
}

const CENTERS: [(&str, Center); 2] = [("samples", Center::Samples), ("classes", Center::Classes)];

/// The variants of NC1, from samples in memory and in one pass.
fn scatter_metrics(rows: &DMatrix<f64>, labels: &[usize], classes: usize) -> Values {
    let data = Features::from_sample_rows(rows).unwrap().with_labels(labels, classes).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let mut pooled = PooledScatter::empty(rows.ncols(), classes).unwrap();
    pooled.accumulate(&data).unwrap();
    let mut values = Values::new();
    for (name, center) in CENTERS {
        let options = options(center);
        let quotient = nc1_trace_quotient(&data, &statistics, center).unwrap();
        values.push((format!("nc1 {name}"), nc1(&data, &statistics, &options).unwrap().value));
        values.push((format!("nc1 {name}"), pooled.nc1(&options).unwrap().value));
        values.push((format!("trace quotient {name}"), quotient));
        values.push((format!("trace quotient {name}"), pooled.trace_quotient(center).unwrap()));
    }
    values.push(("cdnv".into(), cdnv(&data, &statistics).unwrap().mean.unwrap()));
    values.push(("cdnv".into(), pooled.cdnv().unwrap().mean.unwrap()));
    values
}

/// The variants of NC1 after a layer, from the features before it.
fn layer_metrics(data: &Data, classes: usize) -> Values {
    let features = Features::from_sample_rows(&data.rows).unwrap();
    let samples = features.with_labels(&data.labels, classes).unwrap();
    let statistics = ClassStatistics::new(&samples).unwrap();
    let mut values = Values::new();
    for (name, center) in CENTERS {
        let options = options(center);
        let scatter = Nc1Sums::after_layers(&statistics, &data.head, 1, &options);
        let mut scatter = scatter.unwrap();
        scatter.accumulate(&samples).unwrap();
        values.push((format!("nc1 {name}"), scatter.nc1().unwrap().value));
        let mut variances = ClassVariances::after_layers(&statistics, &data.head, 1).unwrap();
        variances.accumulate(&samples).unwrap();
        let quotient = variances.trace_quotient(center).unwrap();
        values.push((format!("trace quotient {name}"), quotient));
        values.push(("cdnv".into(), variances.cdnv().unwrap().mean.unwrap()));
    }
    values
}

#[test]
fn values_are_those_of_the_definitions() {
    let table = expected();
    let mut checked = std::collections::BTreeSet::new();
    for case in &CASES {
        let data = case.data();
        let features = Features::from_sample_rows(&data.rows).unwrap();
        let samples = features.with_labels(&data.labels, case.classes).unwrap();
        let statistics = ClassStatistics::new(&samples).unwrap();
        let means = statistics.class_means().unwrap();
        let centered = statistics.centered_means(Center::Samples).unwrap();
        let first = data.head.leading_product(1).unwrap();
        for layer in 0..2 {
            let classifier = data.head.trailing_product(2 - layer).unwrap();
            let mut values = match layer {
                0 => shape_metrics(&classifier, &means, &centered),
                _ => shape_metrics(&classifier, &(&first * &means), &(&first * &centered)),
            };
            if layer == 0 {
                values.extend(scatter_metrics(&data.rows, &data.labels, case.classes));
            } else {
                let rows = &data.rows * first.transpose();
                values.extend(scatter_metrics(&rows, &data.labels, case.classes));
                values.extend(layer_metrics(&data, case.classes));
            }
            for (name, value) in values {
                let key = (case.name.to_owned(), layer, name);
                let expected = table[&key];
                // Deviations of 1e-6 are rounded to 1e-10 of themselves when they are added.
                let tolerance = if case.name == "collapsed" { 1e-8 } else { 1e-11 };
                let error = (value - expected).abs() / expected.abs();
                assert!(error < tolerance, "{key:?}: {value:e}, expected {expected:e}");
                checked.insert(key);
            }
        }
    }
    assert_eq!(checked.len(), table.len(), "a row of the table has no metric");
}
