//! The tables of `docs/cross-entropy.md` are what the code says.
//!
//! `UPDATE_LANDSCAPE=1 cargo test --test it landscape_tables` rewrites them. Every run makes the phase diagrams from the
//! closed forms; with `LANDSCAPE_TABLES=1` a search at every strength has to come to the same ones.

use std::fmt::Write as _;
use std::path::Path;

use neural_collapse::models::cross_entropy::{
    Phase, SimplexPotential, phase_diagram, searched_phase_diagram,
};
use neural_collapse::models::low_rank::Search;
use neural_collapse::{Bias, Prediction};

use crate::landscape_bounds::by_nuclear_norm;
use crate::landscape_search::{searched, with_strength};

const DOCUMENT: &str = "docs/cross-entropy.md";
/// Where the diagrams of the document begin: the grid of a diagram with a search begins there, too.
const SMALLEST: f64 = 1e-6;
/// Starts of a search at each rank and strength.
const STARTS: usize = 6;

/// K and M of the diagrams without and with a free bias.
const WITHOUT_BIAS: [(usize, usize); 18] = [
    (3, 2),
    (3, 3),
    (4, 2),
    (4, 3),
    (4, 4),
    (5, 2),
    (5, 3),
    (6, 2),
    (6, 3),
    (7, 2),
    (7, 3),
    (8, 2),
    (8, 3),
    (9, 2),
    (9, 3),
    (10, 2),
    (10, 3),
    (12, 2),
];
const FREE_BIAS: [(usize, usize); 7] = [(3, 2), (3, 3), (4, 2), (4, 3), (5, 2), (5, 3), (6, 2)];

/// Compares the text between two marks of the document with what it should be, or writes it there.
fn compare(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- begin: {name} -->\n"), format!("<!-- end: {name} -->"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (committed, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("UPDATE_LANDSCAPE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
    } else {
        let command = "`UPDATE_LANDSCAPE=1 cargo test --test it landscape_tables`";
        assert_eq!(committed, expected, "run {command}");
    }
}

fn boundary(strength: f64) -> String {
    if strength < 1e-3 { format!("{strength:.3e}") } else { format!("{strength:.6}") }
}

/// "simplex ETF — 0.173484 — pair ⊕ origin — …".
fn line(phases: &[Phase]) -> String {
    let mut line = String::new();
    for phase in phases.iter().filter(|phase| phase.to > SMALLEST) {
        write!(line, "{}", phase.structure).unwrap();
        if phase.to.is_finite() {
            write!(line, " — {} — ", boundary(phase.to)).unwrap();
        }
    }
    line
}

fn diagrams(list: &[(usize, usize)], bias: Bias) -> String {
    let with_search = std::env::var_os("LANDSCAPE_TABLES").is_some();
    let mut table = String::from("| K, M | structures |\n|---|---|\n");
    for &(classes, depth) in list {
        let closed = line(&phase_diagram(classes, depth, bias, 0.0).unwrap());
        if with_search {
            let search = Search::default().with_starts(STARTS);
            let found = searched_phase_diagram(classes, depth, bias, 0.0, &search, &()).unwrap();
            let found = line(&found);
            println!("K = {classes}, M = {depth}, {bias:?}: {found}");
            assert_eq!(found, closed, "K = {classes}, M = {depth}, {bias:?}");
        }
        writeln!(table, "| {classes}, {depth} | {closed} |").unwrap();
    }
    table
}

#[test]
fn phase_diagrams_are_those_of_the_document() {
    compare("phases without a bias", &diagrams(&WITHOUT_BIAS, Bias::None));
    compare("phases with a free bias", &diagrams(&FREE_BIAS, Bias::Unregularized));
}

#[test]
fn thresholds_are_those_of_the_document() {
    let mut table = String::from("| K \\ M | 1 | 2 | 3 | 6 |\n|---|---|---|---|---|\n");
    for classes in [2, 3, 4, 10, 100] {
        let threshold = |depth| SimplexPotential::new(classes, depth).unwrap().threshold();
        let row: Vec<String> =
            [1, 2, 3, 6].iter().map(|&depth| format!("{:.6}", threshold(depth))).collect();
        writeln!(table, "| {classes} | {} |", row.join(" | ")).unwrap();
    }
    compare("thresholds", &table);
}

#[test]
fn proofs_for_smoothed_labels_reach_as_far_as_the_document_says() {
    let problems = [
        (3, 2, 0.1),
        (4, 3, 0.2),
        (6, 2, 0.05),
        (6, 2, 0.1),
        (10, 2, 0.1),
        (10, 4, 0.05),
        (100, 2, 0.1),
    ];
    let (mut head, mut limits) = (String::from("| K, M, δ |"), String::from("| u |"));
    for (classes, depth, smoothing) in problems {
        let ufm = with_strength(classes, depth, Bias::None, 1.0);
        let limit = ufm.with_label_smoothing(smoothing).unwrap();
        let limit = limit.simplex_potential().proved_simplex();
        write!(head, " {classes}, {depth}, {smoothing} |").unwrap();
        write!(limits, " {limit:.1e} |").unwrap();
    }
    let rule = "|---".repeat(problems.len() + 1);
    compare("proved for smoothed labels", &format!("{head}\n{rule}|\n{limits}\n"));
}

/// By how much the bound is above that by the nuclear norm, and what is left to the best loss.
#[test]
fn bounds_are_those_of_the_document() {
    let problems = [
        (3, 2, 0.05),
        (4, 2, 0.05),
        (4, 3, 0.05),
        (10, 2, 0.004),
        (10, 3, 0.004),
        (10, 4, 0.004),
        (20, 2, 1e-4),
        (20, 4, 1e-4),
    ];
    let mut rows = ["K, M, u", "(1)", "`lower_bound`", "best, no bias", "best, free bias"]
        .map(|name| format!("| {name} |"));
    for (classes, depth, strength) in problems {
        let best = |bias| searched(&with_strength(classes, depth, bias, strength), 8);
        let (without, free) = (best(Bias::None), best(Bias::Unregularized));
        let bound = without.lower_bound().unwrap();
        assert_eq!(bound, free.lower_bound().unwrap());
        let numbers =
            [by_nuclear_norm(classes, depth, strength), bound, without.loss(), free.loss()];
        write!(rows[0], " {classes}, {depth}, {strength} |").unwrap();
        for (row, number) in rows[1..].iter_mut().zip(numbers) {
            write!(row, " {number:.6} |").unwrap();
        }
    }
    let [head, rest @ ..] = rows;
    let rule = "|---".repeat(problems.len() + 1);
    compare("bounds", &format!("{head}\n{rule}|\n{}\n", rest.join("\n")));
}

/// Losses and boundaries that stand in sentences of the document.
#[test]
fn sentences_of_the_document_are_true() {
    let free = Bias::Unregularized;
    for (classes, depth, bias, strength, name, loss) in [
        (16, 2, Bias::None, 0.0047578, "half 5-cube", 0.319865),
        (12, 2, Bias::None, 0.0181843, "12-circulant(2,3)", 0.801231),
        (10, 4, free, 0.0012, "patch of a triangular lattice", 0.0395857),
        (10, 4, free, 0.0012, "three triangles and an apex", 0.0412828),
    ] {
        let landscape = with_strength(classes, depth, bias, strength).landscape().unwrap();
        let mut points = landscape.points().iter();
        let point = points.find(|point| point.structure().to_string() == name);
        let found = point.unwrap_or_else(|| panic!("{name}")).loss();
        // To the printed digits.
        assert!((found / loss - 1.0).abs() < 2e-6, "{name}: {found}");
    }
    let phases = phase_diagram(24, 2, Bias::None, 0.0).unwrap();
    let names: Vec<String> = phases.iter().map(|phase| phase.structure.to_string()).collect();
    let spread = |rank| format!("points spread over a sphere, rank {rank}");
    assert_eq!(names, [spread(6), spread(5), "24-cell".to_string(), "zero".to_string()]);
    assert_eq!(boundary(phases[2].to), "0.049248");
    assert!(phases[2].from > 0.04);
    // Down to 1e-12 the simplex ETF of five classes is lowest nowhere.
    let phases = phase_diagram(5, 2, free, 0.0).unwrap();
    assert_eq!(phases[0].structure.to_string(), "triangle ⊕ pair");
}
