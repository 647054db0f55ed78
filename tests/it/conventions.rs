//! docs/metrics.md: the conventions of papers and public codes on one small network, as
//! `tests/reference/conventions.py` computes them with NumPy, beside what this crate gives; and what the
//! metrics are for perfect frames and for random features.
//!
//! `UPDATE_METRICS=1 cargo test --test it conventions` rewrites the table of the document.

use std::fmt::Write as _;
use std::path::Path;

use nalgebra::{DMatrix, DVector};
use neural_collapse::measure::{Center, ClassVectors, PooledScatter};
use neural_collapse::metrics::{
    Nc1Options, Neco, Spread, cdnv, cosine_spread, duality_cosines, equiangularity, log_energy,
    nc1, nc1_trace_quotient, nc2, nc3, nc4, nc5, nci_scores, norm_spread, nrc1, nrc2, nrc3,
    self_duality,
};
use neural_collapse::{ClassMatrix, ClassStatistics, Features, LinearHead};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

const DATA: &str = include_str!("../reference/conventions_data.csv");
const TABLE: &str = include_str!("../reference/conventions.csv");

/// Samples in rows with their classes, and a head.
struct Network {
    rows: DMatrix<f64>,
    labels: Vec<usize>,
    head: LinearHead,
}

impl Network {
    /// That of `conventions_data.csv`.
    fn example() -> Self {
        let rows: Vec<Vec<&str>> =
            DATA.lines().skip(1).map(|row| row.split(',').collect()).collect();
        let of_kind =
            |kind: &str| rows.iter().filter(move |row| row[0] == kind).collect::<Vec<_>>();
        let matrix = |kind: &str| {
            let rows = of_kind(kind);
            let numbers =
                rows.iter().flat_map(|row| row[2..].iter().filter(|text| !text.is_empty()));
            let numbers: Vec<f64> = numbers.map(|text| text.parse().unwrap()).collect();
            DMatrix::from_row_slice(rows.len(), numbers.len() / rows.len(), &numbers)
        };
        let bias = DVector::from_column_slice(matrix("bias").as_slice());
        Self {
            rows: matrix("sample"),
            labels: of_kind("sample").iter().map(|row| row[1].parse().unwrap()).collect(),
            head: LinearHead::new(vec![matrix("first"), matrix("last")], Some(bias)).unwrap(),
        }
    }

    fn measure<R>(&self, metric: impl FnOnce(&Measured<'_>) -> R) -> R {
        let classes = self.head.classes();
        let data = Features::from_sample_rows(&self.rows).unwrap();
        let data = data.with_labels(&self.labels, classes).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        metric(&Measured { network: self, data, statistics })
    }

    /// The same with the classes 1 and 2 nearly on top of each other, as under minority collapse.
    fn twins(&self) -> Self {
        let means = self.measure(|measured| measured.statistics.class_means().unwrap());
        let mut shift = means.column(1) - means.column(2);
        shift[0] += 1e-7;
        shift[2] += 1e-7;
        let mut rows = self.rows.clone();
        for (mut row, &label) in rows.row_iter_mut().zip(&self.labels) {
            if label == 2 {
                row += shift.transpose();
            }
        }
        Self { rows, labels: self.labels.clone(), head: self.head.clone() }
    }
}

/// A network with its class statistics.
struct Measured<'a> {
    network: &'a Network,
    data: neural_collapse::LabeledFeatures<'a, f64>,
    statistics: ClassStatistics,
}

impl Measured<'_> {
    fn nc1(&self, center: Center, divide_by_classes: bool) -> f64 {
        let mut options = Nc1Options::default();
        options.center = center;
        options.divide_by_classes = divide_by_classes;
        nc1(&self.data, &self.statistics, &options).unwrap().value
    }

    fn quotient(&self, center: Center) -> f64 {
        nc1_trace_quotient(&self.data, &self.statistics, center).unwrap()
    }

    fn centered(&self, center: Center) -> DMatrix<f64> {
        self.statistics.centered_means(center).unwrap()
    }

    fn etf(&self) -> ClassMatrix {
        ClassMatrix::simplex_etf(self.network.head.classes()).unwrap()
    }

    fn nc2(&self, layers: usize, target: &ClassMatrix) -> f64 {
        nc2(&self.network.head, layers, target).unwrap()
    }

    fn nc3(&self, means: &DMatrix<f64>) -> f64 {
        nc3(means, &self.network.head, &self.etf()).unwrap()
    }

    /// The last layer and the centered means that it is given.
    fn duality<R>(
        &self,
        center: Center,
        metric: impl FnOnce(&ClassVectors<'_>, &ClassVectors<'_>) -> R,
    ) -> R {
        let [first, last] = self.network.head.weights() else { panic!("two layers") };
        let means = first * self.centered(center);
        metric(&ClassVectors::rows(last).unwrap(), &ClassVectors::columns(&means).unwrap())
    }

    fn self_duality(&self, center: Center) -> f64 {
        self.duality(center, |classifier, means| self_duality(classifier, means).unwrap())
    }

    fn duality_cosines(&self, center: Center) -> Spread {
        self.duality(center, |w, means| Spread::of(&duality_cosines(w, means).unwrap()).unwrap())
    }

    fn shape<R>(&self, center: Center, metric: impl FnOnce(&ClassVectors<'_>) -> R) -> R {
        metric(&ClassVectors::columns(&self.centered(center)).unwrap())
    }

    /// Not centered, or all vectors centered alike.
    fn nc5(&self, center: Option<Center>) -> f64 {
        let mut outside = DVector::from_column_slice(&OUTSIDE);
        let mut means = self.statistics.class_means().unwrap();
        if let Some(center) = center {
            outside -= self.statistics.center(center).unwrap();
            means = self.centered(center);
        }
        nc5(&ClassVectors::columns(&means).unwrap(), &outside).unwrap()
    }

    /// Of features that are divided by their standard deviations.
    fn scaled_neco(&self) -> f64 {
        let mut rows = self.network.rows.clone();
        let mut outside = OUTSIDE;
        for (mut column, outside) in rows.column_iter_mut().zip(&mut outside) {
            let deviation = column.variance().sqrt();
            column /= deviation;
            *outside /= deviation;
        }
        neco(&rows, &self.network.labels, &outside)
    }

    fn agreement(&self, head: &LinearHead) -> f64 {
        nc4(&self.data, &self.statistics, head).unwrap().overall.agreement
    }
}

/// A sample out of distribution.
const OUTSIDE: [f64; 4] = [0.5, -1.0, 0.3, 2.0];

fn neco(rows: &DMatrix<f64>, labels: &[usize], outside: &[f64]) -> f64 {
    let mut scatter = PooledScatter::empty(4, 3).unwrap();
    let data = Features::from_sample_rows(rows).unwrap().with_labels(labels, 3).unwrap();
    scatter.accumulate(&data).unwrap();
    let outside = DMatrix::from_row_slice(1, 4, outside);
    let scores = Neco::new(&scatter, 2).unwrap();
    scores.scores(&Features::from_sample_rows(&outside).unwrap()).unwrap()[0].unwrap()
}

/// A call of this crate, as the document shows it, and its value.
type Call = (&'static str, f64);

/// What this crate gives for a quantity of the table; `None` for faults and what it does not offer.
#[rustfmt::skip]
fn of_this_crate(quantity: &str, m: &Measured<'_>) -> Option<Call> {
    use Center::{Classes, Samples};
    let found: Call = match quantity {
        "nc1" => ("`nc1`", m.nc1(Samples, true)),
        "nc1 undivided" => ("`nc1`, `divide_by_classes: false`", m.nc1(Samples, false)),
        "nc1 classes" => ("`nc1`, `Center::Classes`", m.nc1(Classes, true)),
        "nc1 classes undivided" => ("`nc1`, with both", m.nc1(Classes, false)),
        "nc1 dimension" => ("`nc1` · K/d", m.nc1(Samples, true) * 3.0 / 4.0),
        "nc1 twins" => ("`nc1`, of rank 1", m.network.twins().measure(|m| m.nc1(Samples, true))),
        "quotient" => ("`nc1_trace_quotient`", m.quotient(Samples)),
        "quotient classes" => ("`nc1_trace_quotient`, `Center::Classes`", m.quotient(Classes)),
        "quotient total" => ("q/(1+q), q = `nc1_trace_quotient`", 1.0 / (1.0 + m.quotient(Samples).recip())),
        "cdnv" => ("`cdnv`", cdnv(&m.data, &m.statistics).unwrap().mean.unwrap()),
        "nc2 etf 1" => ("`nc2`, one layer", m.nc2(1, &m.etf())),
        "nc2 etf 2" => ("`nc2`, two layers", m.nc2(2, &m.etf())),
        "nc2 of 2" => ("`nc2`, `ClassMatrix::orthogonal_frame`", m.nc2(2, &ClassMatrix::orthogonal_frame(3).unwrap())),
        "nc2 etf 2 squared" => ("`nc2`²", m.nc2(2, &m.etf()).powi(2)),
        "nc2 means" => ("`ClassMatrix::distance`", {
            let means = m.centered(Classes);
            m.etf().distance(&(means.transpose() * means)).unwrap()
        }),
        "nc3" => ("`nc3`, `class_means`", m.nc3(&m.statistics.class_means().unwrap())),
        "nc3 centered" => ("`nc3`, centered means", m.nc3(&m.centered(Samples))),
        "nc3 centered classes" => ("`nc3`, means centered at `Center::Classes`", m.nc3(&m.centered(Classes))),
        "self-duality" => ("`self_duality`", m.self_duality(Samples)),
        "self-duality classes" => ("`self_duality`, `Center::Classes`", m.self_duality(Classes)),
        "self-duality squared" => ("`self_duality`², `Center::Classes`", m.self_duality(Classes).powi(2)),
        "duality cosine" => ("`duality_cosines`, mean", m.duality_cosines(Samples).mean),
        "duality deviation" => ("`duality_cosines`, deviation", m.duality_cosines(Samples).deviation),
        "norms" => ("`norm_spread`", m.shape(Samples, norm_spread).coefficient_of_variation().unwrap()),
        "norms classes" => ("`norm_spread`, `Center::Classes`", m.shape(Classes, norm_spread).coefficient_of_variation().unwrap()),
        "norms sample" => ("`sample_deviation` / mean", {
            let spread = m.shape(Classes, norm_spread);
            spread.sample_deviation().unwrap() / spread.mean
        }),
        "cosines" => ("`cosine_spread`, deviation", m.shape(Samples, cosine_spread).unwrap().deviation),
        "etf deviation" => ("`equiangularity`, `etf_deviation`", m.shape(Samples, equiangularity).unwrap().etf_deviation),
        "etf deviation classes" => ("the same, `Center::Classes`", m.shape(Classes, equiangularity).unwrap().etf_deviation),
        "etf deviation signed" => ("`cosine_spread`, mean, plus 1/(K−1)", m.shape(Samples, cosine_spread).unwrap().mean + 0.5),
        "energy" => ("`log_energy`, mean", m.shape(Samples, log_energy).unwrap().mean),
        "energy variance" => ("`log_energy`, deviation², `Center::Classes`", m.shape(Classes, log_energy).unwrap().deviation.powi(2)),
        "nc4" => ("`nc4`, `agreement`", m.agreement(&m.network.head)),
        "nc4 mismatch" => ("1 − `agreement`", 1.0 - m.agreement(&m.network.head)),
        "nc4 no bias" => ("`nc4` of a head without the bias", {
            let weights = m.network.head.weights().to_vec();
            m.agreement(&LinearHead::new(weights, None).unwrap())
        }),
        "nc5" => ("`nc5`", m.nc5(None)),
        "nc5 centered" => ("`nc5` of centered vectors", m.nc5(Some(Samples))),
        "neco" => ("`Neco::new`", neco(&m.network.rows, &m.network.labels, &OUTSIDE)),
        "neco scaled" => ("`Neco::new` of scaled features", m.scaled_neco()),
        "nci" => ("`nci_scores`", {
            let outside = DMatrix::from_row_slice(1, 4, &OUTSIDE);
            let samples = Features::from_sample_rows(&outside).unwrap();
            nci_scores(&samples, &m.statistics, &m.network.head, 0.1).unwrap()[0].unwrap()
        }),
        "nrc1" => ("`nrc1`", nrc1(m.data.features(), 2).unwrap()),
        "nrc2" => ("`nrc2`", nrc2(m.data.features(), &m.network.head).unwrap()),
        "root" => ("`nrc3`", {
            let covariance = DMatrix::from_row_slice(2, 2, &[2.0, 1.0, 1.0, 3.0]);
            let eigen = covariance.clone().symmetric_eigen();
            let factor = eigen.eigenvalues.map(|value: f64| (value.sqrt() - 0.5).sqrt());
            let weight = eigen.eigenvectors * DMatrix::from_diagonal(&factor);
            nrc3(&LinearHead::new(vec![weight], None).unwrap(), &covariance, 0.25).unwrap()
        }),
        _ => return None,
    };
    Some(found)
}

/// Six digits, with an exponent where a number is far from 1.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if (1e-4..1e4).contains(&size) => format!("{value:.6}").replace('-', "−"),
        _ => format!("{value:.1e}"),
    }
}

#[test]
fn the_library_has_the_values_of_the_definitions() {
    let network = Network::example();
    let (mut lines, mut compared) = (String::new(), 0);
    for row in TABLE.lines().skip(1) {
        let fields: Vec<&str> = row.split('|').collect();
        let [quantity, metric, convention, place, value] = fields[..] else { panic!("{row}") };
        let value: f64 = value.parse().unwrap();
        let call = network.measure(|measured| of_this_crate(quantity, measured));
        if let Some((_, found)) = call {
            // The means that nearly coincide are known to 1e-16/1e-7 of their distance only in the dense covariance.
            let tolerance = if quantity == "nc1 twins" { 1e-6 } else { 1e-12 };
            // A value of zero is the distance of a matrix to itself.
            let error = (found - value).abs() / if value == 0.0 { 1.0 } else { value.abs() };
            assert!(error < tolerance, "{quantity}: {found}, by definition {value}");
            compared += 1;
        }
        let call = call.map_or("–", |(call, _)| call);
        let convention = convention.replace("FAULT:", "**fault**:");
        writeln!(lines, "| {metric} | {convention} | {place} | {} | {call} |", digits(value))
            .unwrap();
    }
    assert!(compared > 30, "{compared}");
    compare_with_documentation(&lines);
}

fn compare_with_documentation(lines: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- begin: conventions -->\n").unwrap();
    let (committed, after) = rest.split_once("<!-- end: conventions -->").unwrap();
    let head = "| metric | convention | where | value | in this crate |\n|---|---|---|--:|---|\n";
    let table = format!("{head}{lines}");
    if std::env::var_os("UPDATE_METRICS").is_some() {
        let marks = ("<!-- begin: conventions -->\n", "<!-- end: conventions -->");
        std::fs::write(&path, format!("{before}{}{table}{}{after}", marks.0, marks.1)).unwrap();
    } else {
        assert_eq!(committed, table, "run `UPDATE_METRICS=1 cargo test --test it conventions`");
    }
}

/// Means, over many draws, of metrics of features that know nothing of their classes and of a random classifier.
#[test]
fn random_features_have_the_documented_values() {
    let (classes, samples, dimension, draws) = (20, 10, 200, 60);
    let mut rng = SmallRng::seed_from_u64(13);
    let mut normal = |rows, columns| {
        DMatrix::<f64>::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut rng))
    };
    let mut sums = [0.0; 13];
    for _ in 0..draws {
        let network = Network {
            rows: normal(classes * samples, dimension),
            labels: (0..classes * samples).map(|sample| sample % classes).collect(),
            head: LinearHead::new(vec![normal(classes, dimension)], None).unwrap(),
        };
        let found = network.measure(|m| {
            let angles = m.shape(Center::Samples, equiangularity).unwrap();
            let energy = m.shape(Center::Samples, log_energy).unwrap();
            let [classifier] = m.network.head.weights() else { panic!("one layer") };
            let centered = m.centered(Center::Samples);
            let (w, h) = (
                ClassVectors::rows(classifier).unwrap(),
                ClassVectors::columns(&centered).unwrap(),
            );
            let duality = Spread::of(&duality_cosines(&w, &h).unwrap()).unwrap();
            [
                m.nc1(Center::Samples, true),
                m.quotient(Center::Samples),
                cdnv(&m.data, &m.statistics).unwrap().mean.unwrap(),
                m.nc2(1, &m.etf()),
                m.nc2(1, &ClassMatrix::orthogonal_frame(classes).unwrap()),
                m.nc3(&m.statistics.class_means().unwrap()),
                m.agreement(&m.network.head),
                m.shape(Center::Samples, norm_spread).coefficient_of_variation().unwrap(),
                angles.cosines.mean,
                angles.etf_deviation,
                energy.mean,
                self_duality(&w, &h).unwrap(),
                duality.deviation,
            ]
        });
        sums.iter_mut().zip(found).for_each(|(sum, value)| *sum += value / f64::from(draws));
    }
    let (k, n, d) = (classes as f64, samples as f64, dimension as f64);
    let distance = |cosine: f64| (2.0 - 2.0 * cosine).sqrt();
    let documented = [
        ("NC1", (n - 1.0) * (k - 1.0) / (d - k), 0.02),
        ("quotient", (n - 1.0) * k / (k - 1.0), 0.02),
        ("CDNV", (n - 1.0) * d / (2.0 * (d - 2.0)), 0.02),
        ("NC2, ETF", distance(((k - 1.0) * d / (k * (d + k + 1.0))).sqrt()), 0.03),
        ("NC2, OF", distance((d / (d + k + 1.0)).sqrt()), 0.03),
        ("NC3", 2_f64.sqrt(), 0.02),
        ("NC4", 1.0 / k, 0.15),
        ("norms", 1.0 / (2.0 * d).sqrt(), 0.1),
        ("cosine mean", -1.0 / (k - 1.0), 0.01),
        ("etf deviation", (2.0 / (core::f64::consts::PI * d)).sqrt(), 0.03),
        ("energy", -0.5 * (2.0 * k / (k - 1.0)).ln() + 0.25 / d, 0.002),
        ("self-duality", 2_f64.sqrt(), 0.01),
        ("duality deviation", 1.0 / d.sqrt(), 0.1),
    ];
    for (found, (name, expected, tolerance)) in sums.into_iter().zip(documented) {
        assert!(
            (found / expected - 1.0).abs() < tolerance,
            "{name}: {found}, documented {expected}"
        );
    }
}

/// Features that have collapsed onto frames, and the classifiers that belong to them.
#[test]
fn perfect_frames_have_the_documented_values() {
    let k = 5;
    let (etf, of) = (DMatrix::identity(k, k).add_scalar(-0.2), DMatrix::identity(k, k));
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-7, "{found}, documented {expected}");
    };
    for (frame, target, cosine, duality) in [
        (&etf, ClassMatrix::simplex_etf(k).unwrap(), -0.25, 1.0),
        (&of, ClassMatrix::orthogonal_frame(k).unwrap(), 0.0, 0.8_f64.sqrt()),
    ] {
        let network = Network {
            rows: DMatrix::from_fn(2 * k, k, |sample, feature| frame[(sample % k, feature)]),
            labels: (0..2 * k).map(|sample| sample % k).collect(),
            head: LinearHead::new(vec![frame * 3.0], None).unwrap(),
        };
        network.measure(|m| {
            let means = m.statistics.class_means().unwrap();
            close(m.nc1(Center::Samples, true), 0.0);
            close(cdnv(&m.data, &m.statistics).unwrap().mean.unwrap(), 0.0);
            close(m.nc2(1, &target), 0.0);
            close(nc3(&means, &m.network.head, &target).unwrap(), 0.0);
            close(m.agreement(&m.network.head), 1.0);
            let vectors = ClassVectors::columns(&means).unwrap();
            let angles = equiangularity(&vectors).unwrap();
            close(norm_spread(&vectors).coefficient_of_variation().unwrap(), 0.0);
            close(angles.cosines.mean, cosine);
            close(angles.cosines.deviation, 0.0);
            close(angles.etf_deviation, cosine + 0.25);
            close(log_energy(&vectors).unwrap().mean, -0.5 * (2.0 - 2.0 * cosine).ln());
            // Out of distribution, at right angles to all class means: for the simplex (1, …, 1), else another axis.
            let longer = means.clone().insert_row(k, 0.0);
            let mut beyond = DVector::zeros(k + 1);
            beyond[k] = -2.0;
            close(nc5(&ClassVectors::columns(&longer).unwrap(), &beyond).unwrap(), 0.0);
            let ones = nc5(&vectors, &DVector::from_element(k, 0.3)).unwrap();
            close(ones, if cosine < 0.0 { 0.0 } else { 0.2_f64.sqrt() });
            let duality_found = m.duality_one_layer();
            close(duality_found.0, (2.0 - 2.0 * duality).sqrt());
            close(duality_found.1, duality);
        });
    }
    // The two frames themselves.
    let distance = ClassMatrix::orthogonal_frame(k).unwrap().distance(&etf).unwrap();
    close(distance, (2.0 - 2.0 * 0.8_f64.sqrt()).sqrt());
}

impl Measured<'_> {
    /// Self-duality and mean duality cosine of a head of one layer and centered means.
    fn duality_one_layer(&self) -> (f64, f64) {
        let [classifier] = self.network.head.weights() else { panic!("one layer") };
        let centered = self.centered(Center::Samples);
        let (w, h) =
            (ClassVectors::rows(classifier).unwrap(), ClassVectors::columns(&centered).unwrap());
        let cosines = Spread::of(&duality_cosines(&w, &h).unwrap()).unwrap();
        (self_duality(&w, &h).unwrap(), cosines.mean)
    }
}
