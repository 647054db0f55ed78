//! Where no theorem names the minimum, structures are searched for: cross-entropy with several layers, and with classes of
//! different sizes. A monitor watches the search, and what was found is audited like any other prediction.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::{
    Basis, ClassCounts, CrossEntropyUfm, Features, Prediction, Progress, Regularization, Result,
    audit,
};

fn main() -> Result<()> {
    // Every search from a few starts at each rank, so that the example is quick; the default is 25.
    let search = Search::default().with_starts(8);
    let steps = AtomicU64::new(0);
    let monitor = |_: Progress| {
        steps.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    };

    let ufm = CrossEntropyUfm::new(8, 1, Regularization::uniform(3, 0.03, 0.03)?)?;
    let landscape = ufm.searched_landscape(&search, &monitor)?;
    println!("eight equal classes, three layers, the lowest points:");
    for point in landscape.points().iter().take(4) {
        println!("  loss {:.8}  rank {}  {}", point.loss(), point.rank(), point.geometry());
    }
    show(&landscape, &ClassCounts::balanced(8, 1)?)?;

    let counts = ClassCounts::new(&[40, 20, 10, 10])?;
    let regularization = Regularization::uniform(2, 2e-3, 2e-4)?;
    let found = LowRankProblem::cross_entropy(counts.clone(), regularization)?
        .minimize(&search, &monitor)?;
    let (hits, starts) = found.hits();
    println!("classes of different sizes, two layers: {hits} of {starts} starts ended here");
    show(&found, &counts)?;
    println!(
        "the monitor was called {}",
        if steps.into_inner() > 0 { "on the way" } else { "never" }
    );
    Ok(())
}

/// What was found, and an audit of a network that is there.
fn show(prediction: &dyn Prediction, counts: &ClassCounts) -> Result<()> {
    println!("  best: {}, loss {:.8}", prediction.geometry(), prediction.loss());
    println!("  {}", prediction.verdict());
    let network = prediction.explicit(&Basis::Standard)?;
    let features = network.features()?;
    let labels = counts.labels()?;
    let data =
        Features::from_sample_columns(&features)?.with_labels(&labels, prediction.classes())?;
    let audit = audit(&data, network.head(), prediction)?;
    println!("  audit: {}", audit.verdict.text);
    Ok(())
}
