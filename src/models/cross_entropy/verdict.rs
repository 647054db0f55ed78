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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::regularization::Regularization;

    fn statement(source: Option<Source>) -> String {
        source.map_or_else(String::new, |source| format!("{source:?}"))
    }

    /// Pairs beat a simplex ETF of four classes from three layers on, and of six from two on; a pair and a free bias that
    /// of three classes.
    #[test]
    fn simplices_are_refuted_where_it_is_proved() {
        let etf = LogitStructure::SimplexEtf;
        for classes in 2..=7 {
            for depth in 1..=4 {
                for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.1)] {
                    let ufm = CrossEntropyUfm::with_strength(classes, depth, bias, 1e-4);
                    let found = statement(refutation(&ufm, &etf));
                    let input = format!("{classes}, {depth}, {bias:?}: {found}");
                    let expected = match (classes, depth, bias) {
                        (4.., 3.., _) | (6.., 2, _) => "pairs of classes have",
                        (3, 3.., Bias::Unregularized) => "a pair and a class at zero have",
                        _ => "",
                    };
                    assert_eq!(found.is_empty(), expected.is_empty(), "{input}");
                    assert!(found.contains(expected), "{input}");
                    let is_published = expected.starts_with("pairs") && bias == Bias::None;
                    assert_eq!(found.contains("Garrod & Keating"), is_published, "{input}");
                    assert_eq!(found.contains(OWN), !found.is_empty() && !is_published, "{input}");
                    // Not of zero, and not with smoothed labels.
                    assert_eq!(refutation(&ufm, &LogitStructure::Collapsed), None);
                    let smoothed = ufm.with_label_smoothing(0.1).unwrap();
                    assert_eq!(refutation(&smoothed, &etf), None);
                }
            }
        }
    }

    #[test]
    fn the_published_theorem_has_its_conditions() {
        let equal = CrossEntropyUfm::with_strength(6, 2, Bias::None, 1e-3);
        assert!(within_garrod_keating(&equal));
        assert!(within_garrod_keating(&equal.clone().with_widths(&[6, 7]).unwrap()));
        assert!(!within_garrod_keating(&equal.with_widths(&[7, 5]).unwrap()));
        assert!(!within_garrod_keating(&CrossEntropyUfm::with_strength(
            6,
            2,
            Bias::Unregularized,
            1e-3
        )));
        let regularization = Regularization::new(&[1e-3, 2e-3], 1e-3).unwrap();
        assert!(!within_garrod_keating(&CrossEntropyUfm::new(6, 1, regularization).unwrap()));
    }

    /// One layer and two classes always; zero from a strength on and, with smoothed labels, a simplex ETF up to one.
    #[test]
    fn minima_are_proved_where_it_is_proved() {
        let (etf, zero) = (LogitStructure::SimplexEtf, LogitStructure::Collapsed);
        let proof = |ufm: &CrossEntropyUfm, structure| statement(proof(ufm, structure));
        let hard = CrossEntropyUfm::with_strength(5, 1, Bias::None, 0.01);
        assert!(proof(&hard, &etf).contains("Zhu"));
        let smoothed = hard.with_label_smoothing(0.1).unwrap();
        assert!(proof(&smoothed, &etf).contains("with smoothed labels too"));
        assert!(
            proof(&CrossEntropyUfm::with_strength(2, 3, Bias::None, 0.01), &etf)
                .contains("two classes")
        );
        let at = |strength: f64| {
            CrossEntropyUfm::with_strength(5, 3, Bias::None, strength)
                .with_label_smoothing(0.1)
                .unwrap()
        };
        let potential = at(1.0).simplex_potential();
        let (simplex, collapse) = (potential.proved_simplex(), potential.proved_collapse());
        assert!(0.0 < simplex && simplex < collapse);
        for (strength, is_etf, is_zero) in [
            (simplex * 0.999, true, false),
            (simplex * 1.001, false, false),
            (collapse * 0.999, false, false),
            (collapse * 1.001, false, true),
        ] {
            let ufm = at(strength);
            assert_eq!(proof(&ufm, &etf).contains("smoothed labels make"), is_etf, "{strength}");
            assert_eq!(proof(&ufm, &zero).contains("zero attains"), is_zero, "{strength}");
            assert_eq!(proof(&ufm, &etf).is_empty(), !is_etf, "{strength}");
            assert_eq!(proof(&ufm, &zero).is_empty(), !is_zero, "{strength}");
        }
    }
}
