//! `docs/errors.md` lists every kind of error with an example of it; here each example happens.
//!
//! `UPDATE_ERRORS=1 cargo test --test it errors` rewrites the table.

use std::fmt::{Debug, Write as _};
use std::path::Path;

use nalgebra::{DMatrix, dmatrix};
use neural_collapse::audit::AuditOptions;
use neural_collapse::measure::{Center, ClassVectors};
use neural_collapse::metrics::{Nc1Options, Nc1Sums, equiangularity};
use neural_collapse::models::low_rank::Search;
use neural_collapse::models::squared::critical_imbalance_ratio;
use neural_collapse::{
    AuditSums, Bias, ClassCounts, ClassMatrix, ClassStatistics, CrossEntropyUfm, Error, Features,
    GlobalMinimum, LabeledFeatures, LinearHead, Potential, Prediction, Regularization, Result, Ufm,
    audit,
};

const WIDE: [f64; 4] = [1.0, 2.0, 3.0, 5.0];

/// Four samples of one feature, in as many classes as the labels say.
fn data<'a>(labels: &'a [usize], classes: usize) -> Result<LabeledFeatures<'a, f64>> {
    Features::from_row_major(&WIDE, 4, 1)?.with_labels(labels, classes)
}

fn problem(counts: &[u64], decays: &[f64], bias: Bias) -> Result<Ufm> {
    let regularization = Regularization::new(decays, 1e-3)?.with_bias(bias)?;
    Ufm::new(ClassCounts::new(counts)?, regularization)
}

fn different_first_pass() -> Result<()> {
    let statistics = ClassStatistics::new(&data(&[0, 0, 1, 1], 2)?)?;
    let by_classes = Nc1Options::default().with_center(Center::Classes);
    let other = Nc1Sums::<f64>::new(&statistics, &by_classes)?;
    Nc1Sums::<f64>::new(&statistics, &Nc1Options::default())?.merge(&other)
}

fn incomplete_second_pass() -> Result<()> {
    let statistics = ClassStatistics::new(&data(&[0, 0, 1, 1], 2)?)?;
    let head = LinearHead::new(vec![statistics.class_means()?.transpose()], None)?;
    AuditSums::<f64>::new(statistics, head, &AuditOptions::default())?.measurement().map(|_| ())
}

fn different_counts() -> Result<()> {
    let samples = data(&[0, 0, 1, 1], 2)?;
    let means = ClassStatistics::new(&samples)?.class_means()?;
    let head = LinearHead::new(vec![means.transpose()], None)?;
    let prediction = problem(&[2, 3], &[1e-3], Bias::None)?.global_minimum()?;
    audit(&samples, &head, &prediction).map(|_| ())
}

/// The minimum for a target matrix, which knows no classes.
fn no_classes() -> Result<GlobalMinimum> {
    Ufm::from_target(dmatrix![1.0, 2.0], Regularization::new(&[1e-3], 1e-3)?)?.global_minimum()
}

fn cancelled() -> Result<()> {
    let regularization = Regularization::new(&[1e-3; 2], 1e-3)?;
    let problem = CrossEntropyUfm::new(4, 5, regularization)?;
    let stop = |_| std::ops::ControlFlow::Break(());
    problem.searched_landscape(&Search::default(), &stop).map(|_| ())
}

/// What a call that must fail reports.
fn failure<T: Debug>(result: Result<T>) -> Error {
    result.unwrap_err()
}

/// When an error occurs, and an example of it.
fn rows() -> Vec<(&'static str, Error)> {
    let collapsed = dmatrix![1.0, 0.0, 0.0; 0.0, 0.0, 1.0];
    let layers = vec![dmatrix![1e200], dmatrix![1e200]];
    vec![
        (
            "a decay, slope or other number is not positive, not finite, or too large",
            failure(Regularization::new(&[1e-3, f64::NAN], 1e-3)),
        ),
        (
            "the same of a number that is far from 1",
            failure(Potential::<f64>::new(3).unwrap().minimizer(-1e-30)),
        ),
        (
            "an index of a layer or a rank does not exist",
            failure(
                problem(&[5, 5], &[1e-3], Bias::None)
                    .unwrap()
                    .global_minimum()
                    .unwrap()
                    .trailing_gram(2),
            ),
        ),
        ("a width is 0", failure(problem(&[5, 5], &[1e-3], Bias::None).unwrap().with_widths(&[0]))),
        (
            "an entry of a matrix is not finite",
            failure(LinearHead::new(vec![dmatrix![1.0, f64::INFINITY]], None)),
        ),
        (
            "there are more samples than can be counted",
            failure(ClassCounts::balanced(1 << 20, 1 << 50)),
        ),
        ("a list or matrix has no entries", failure(ClassCounts::new(&[]))),
        (
            "a list or matrix does not fit to the others",
            failure(problem(&[5, 5], &[1e-3; 3], Bias::None).unwrap().with_widths(&[64])),
        ),
        (
            "the same of a matrix",
            failure(ClassMatrix::simplex_etf(3).unwrap().distance(&DMatrix::identity(2, 2))),
        ),
        ("a label is not one of the classes", failure(data(&[0, 1, 2, 3], 3))),
        ("a class has no samples", failure(ClassCounts::new(&[5, 0]))),
        (
            "the same in measured features, where a mean is asked for",
            failure(ClassStatistics::new(&data(&[0, 0, 1, 1], 3).unwrap()).unwrap().class_means()),
        ),
        (
            "a matrix that is to be compared up to a factor is zero",
            failure(ClassMatrix::simplex_etf(2).unwrap().distance(&DMatrix::zeros(2, 2))),
        ),
        (
            "the vector of a class has no direction, as under minority collapse",
            failure(equiangularity(&ClassVectors::columns(&collapsed).unwrap())),
        ),
        (
            "sums over pieces of a data set come from different first passes",
            failure(different_first_pass()),
        ),
        (
            "a second pass over the samples has not visited those of the first",
            failure(incomplete_second_pass()),
        ),
        (
            "the problem is well posed, but nobody has solved it in closed form",
            failure(problem(&[5, 4], &[1e-3], Bias::Regularized(0.1))),
        ),
        (
            "the same for the critical imbalance ratio",
            failure(critical_imbalance_ratio(
                1,
                1,
                1,
                &Regularization::new(&[1e-3], 1e-3)
                    .unwrap()
                    .with_bias(Bias::Unregularized)
                    .unwrap(),
            )),
        ),
        (
            "a scale of the problem is out of the range of `f64`",
            failure(problem(&[5, 5], &[1e-320], Bias::None).unwrap().global_minimum()),
        ),
        (
            "a product of layers overflows",
            failure(LinearHead::new(layers, None).unwrap().product()),
        ),
        (
            "a matrix decomposition does not converge; never seen, as matrices are checked and scaled before",
            Error::NoConvergence { algorithm: "singular value decomposition", iterations: 1000 },
        ),
        (
            "a prediction does not determine what was asked for",
            failure(no_classes().and_then(|minimum| Prediction::class_means_gram(&minimum))),
        ),
        (
            "a network is compared with a prediction for other class sizes",
            failure(different_counts()),
        ),
        ("a text cannot be read", failure("200,50y2".parse::<ClassCounts>())),
        ("the caller's `Monitor` ended long work", failure(cancelled())),
    ]
}

/// The name of the variant.
fn variant(error: &Error) -> String {
    format!("{error:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

const BEGIN: &str = "<!-- begin: errors -->";
const END: &str = "<!-- end: errors -->";

fn in_repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_documented_errors_are_those_that_happen() {
    let mut table =
        String::from("\n| `Error::` | occurs when | message, for example |\n|---|---|---|\n");
    for (when, error) in rows() {
        writeln!(table, "| `{}` | {when} | {error} |", variant(&error)).unwrap();
    }
    let path = in_repository("docs/errors.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (committed, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_ERRORS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(committed, table, "run `UPDATE_ERRORS=1 cargo test --test it errors`");
    }
}

#[test]
fn every_variant_has_a_row() {
    let source = std::fs::read_to_string(in_repository("src/error.rs")).unwrap();
    let (_, rest) = source.split_once("pub enum Error {").unwrap();
    let (variants, _) = rest.split_once("\n}\n").unwrap();
    let is_variant = |line: &&str| {
        let name = line.strip_prefix("    ");
        name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    let found: Vec<String> = rows().iter().map(|(_, error)| variant(error)).collect();
    let mut variants = variants.lines().filter(is_variant).peekable();
    assert!(variants.peek().is_some());
    for line in variants {
        let name = line.trim().trim_end_matches([' ', '{', ',']);
        assert!(found.iter().any(|variant| variant == name), "no example of {name}");
    }
}

#[test]
fn messages_are_one_line_of_plain_words() {
    for (_, error) in rows() {
        let text = error.to_string();
        assert!(text.chars().count() <= 120 && !text.contains('\n'), "{text}");
        assert!(!text.contains("NaN ") && !text.contains("inf)") && !text.ends_with('.'), "{text}");
        let first = text.chars().next().unwrap();
        assert!(first == '`' || first.is_lowercase(), "it follows `error: `: {text}");
    }
}
