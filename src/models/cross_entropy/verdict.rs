//! What is proved about the structures, whatever else is known.

use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::models::cross_entropy::structure::LogitStructure;
use crate::prediction::{Source, Verdict};
use crate::problem::regularization::Bias;

/// Where this project's own proofs are.
const OWN: &str = "docs/cross-entropy.md of this project";

/// Why a point with this structure and its best sizes is a global minimum, if that is proved.
pub(crate) fn proof(ufm: &CrossEntropyUfm, structure: &LogitStructure) -> Option<Source> {
    let potential = ufm.simplex_potential();
    if ufm.depth() == 1 {
        return Some(one_layer(ufm.label_smoothing()));
    }
    if ufm.classes() == 2 {
        let statement = "two classes have logits of rank one, in which the problem is convex";
        return Some(Source::new(statement, OWN));
    }
    match structure {
        LogitStructure::Collapsed if ufm.strength() >= potential.proved_collapse() => {
            Some(Source::new("zero attains a lower bound of the loss of all logits", OWN))
        }
        LogitStructure::SimplexEtf if ufm.strength() <= potential.proved_simplex() => {
            let statement =
                "smoothed labels make the simplex ETF the global minimum for small decays";
            Some(Source::new(statement, OWN))
        }
        _ => None,
    }
}

fn one_layer(smoothing: f64) -> Source {
    if smoothing == 0.0 {
        let reference = "Theorem 3.1 of Zhu et al., NeurIPS 2021";
        return Source::new("the simplex ETF is the global minimum for one layer", reference);
    }
    Source::new(
        "the simplex ETF is the global minimum for one layer, with smoothed labels too",
        OWN,
    )
}

/// Why a simplex ETF is not a global minimum, if that is proved for all decays at once.
///
/// For K ≥ 4 and M ≥ 3 or K ≥ 6 and M = 2, pairs (and a triangle if K is odd) with the same margin have a lower
/// loss; for K = 3, M ≥ 3 and a free bias a pair with the third class at the origin has one.
pub(crate) fn refutation(ufm: &CrossEntropyUfm, structure: &LogitStructure) -> Option<Source> {
    if *structure != LogitStructure::SimplexEtf || ufm.label_smoothing() > 0.0 {
        return None;
    }
    let (classes, depth) = (ufm.classes(), ufm.depth());
    if (classes >= 4 && depth >= 3) || (classes >= 6 && depth == 2) {
        let statement = "pairs of classes have a lower loss than a simplex ETF";
        let published = "Theorem 1 of Garrod & Keating, arXiv 2410.23169";
        let reference = if within_garrod_keating(ufm) { published } else { OWN };
        return Some(Source::new(statement, reference));
    }
    if classes == 3 && depth >= 3 && ufm.regularization().bias() == Bias::Unregularized {
        let statement = "a pair and a class at zero have a lower loss than a simplex ETF";
        return Some(Source::new(statement, OWN));
    }
    None
}

/// Garrod & Keating prove their theorem for equal decays, no bias and widths of at least K.
fn within_garrod_keating(ufm: &CrossEntropyUfm) -> bool {
    let regularization = ufm.regularization();
    let equal =
        regularization.weight_decays().iter().all(|&decay| decay == regularization.feature_decay());
    let wide = ufm.widths().is_none_or(|widths| widths.iter().all(|&width| width >= ufm.classes()));
    equal && wide && regularization.bias() == Bias::None
}

/// What is known about a structure without looking at others.
pub(crate) fn verdict(ufm: &CrossEntropyUfm, structure: &LogitStructure) -> Verdict {
    if let Some(source) = proof(ufm, structure) {
        return Verdict::Proved(source);
    }
    match refutation(ufm, structure) {
        Some(source) => Verdict::Refuted(source),
        None => Verdict::BestKnown { found_by: structure.found_by().into() },
    }
}

/// The verdict on a point above another one.
pub(crate) fn lower_point_known() -> Verdict {
    Verdict::Refuted(Source::new("a point with a lower loss is known", OWN))
}
