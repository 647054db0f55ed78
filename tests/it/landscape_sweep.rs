//! The search and the closed forms against each other on a grid of problems.
//!
//! `LANDSCAPE_SWEEP=3-24 cargo test --release --test it landscape_sweep -- --nocapture` does so for these numbers of
//! classes, and prints each problem in which the search ends lower; every run does a small part of it.

use std::time::Instant;

use neural_collapse::{Bias, Prediction};

use crate::landscape_search::{evaluated, searched, with_strength};

/// Strengths as shares of the threshold beyond which zero is better than every simplex ETF: close to each other where
/// there are many phases.
const SHARES: [f64; 10] = [0.97, 0.7, 0.4, 0.2, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-5];

/// What a search finds on a grid is never below the lower bound, is stationary, and is no worse than every
/// closed form.
#[test]
fn the_search_and_the_closed_forms_agree_with_the_bounds() {
    let range = std::env::var("LANDSCAPE_SWEEP").ok();
    let (classes, shares, most_starts): (Vec<usize>, &[f64], usize) = match &range {
        Some(range) => {
            let (first, last) = range.split_once('-').expect("numbers of classes as 3-24");
            ((first.parse().unwrap()..=last.parse().unwrap()).collect(), &SHARES, 25)
        }
        None => (vec![3, 5, 8], &[0.97, 0.1], 6),
    };
    let mut failures = Vec::new();
    for &classes in &classes {
        let start = Instant::now();
        // Closed forms are starts, too; with many classes a start takes long.
        let starts = if classes <= 12 { most_starts } else { most_starts.min(10) };
        let mut gains = Vec::new();
        for depth in 2..=4 {
            for bias in [Bias::None, Bias::Unregularized] {
                let top = with_strength(classes, depth, bias, 1.0).simplex_potential().threshold();
                for share in shares {
                    match compared(classes, depth, bias, share * top, starts) {
                        Ok(gain) => gains.push(gain),
                        Err(failure) => failures.push(failure),
                    }
                }
            }
        }
        let lower = gains.iter().filter(|&&gain| gain > LOWER).count();
        let most = gains.iter().copied().fold(0.0, f64::max);
        let (problems, seconds) = (gains.len(), start.elapsed().as_secs_f64());
        println!(
            "K = {classes}: {problems} problems, the search lower in {lower}, by up to {most:.1e}; {seconds:.0} s"
        );
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A relative difference of losses that is none of rounding.
const LOWER: f64 = 1e-9;

/// By how much the search is lower than every closed form; or what is wrong at one point of the grid.
fn compared(
    classes: usize,
    depth: usize,
    bias: Bias,
    strength: f64,
    starts: usize,
) -> Result<f64, String> {
    let ufm = with_strength(classes, depth, bias, strength);
    let closed = ufm.landscape().unwrap();
    let landscape = searched(&ufm, starts);
    let input = format!("K = {classes}, M = {depth}, {bias:?}, u = {strength:e}");
    let (loss, gradient) = evaluated(&landscape, ufm.regularization());
    let error = (loss - landscape.loss()).abs();
    let gain = 1.0 - landscape.loss() / closed.loss();
    if gain > LOWER {
        let best = (closed.best().structure(), landscape.best().structure());
        println!("{input}: {} is lower than {} by {gain:.1e}", best.1, best.0);
    }
    let not_above_search =
        landscape.search().is_none_or(|found| found.loss >= landscape.loss() * (1.0 - 1e-9));
    let holds = [
        ("no higher than the closed forms", landscape.loss() <= closed.loss()),
        ("no lower than the bound", landscape.loss() >= landscape.lower_bound().unwrap()),
        // The objective in full rounds logits of some 30 before it subtracts them.
        ("attained", error <= 1e-11 * loss + 64.0 * f64::EPSILON),
        // Many classes have nearly equal singular values, and valleys so flat that losses are rounding errors before the
        // gradient is: it moves the loss by less than 1e-8 of the penalties.
        ("stationary", gradient <= if classes <= 10 { 1e-6 } else { 1e-4 } * strength),
        ("no higher than its search", not_above_search),
    ];
    match holds.into_iter().find(|(_, holds)| !holds) {
        None => Ok(gain),
        Some((broken, _)) => {
            Err(format!("{input}: not {broken}, gradient {gradient:e}, error {error:e}"))
        }
    }
}
