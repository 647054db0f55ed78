//! What a problem keeps of its arguments, and how it refuses them.

use nalgebra::dmatrix;

use super::*;

fn regularization() -> Regularization {
    Regularization::new(&[0.02], 0.05).unwrap()
}

fn counts() -> ClassCounts {
    ClassCounts::new(&[5, 3, 3]).unwrap()
}

/// Labels that sum to one up to 10⁻⁹ are divided by their sum, others are refused at their place.
#[test]
fn labels_are_made_to_sum_to_one() {
    let labels = dmatrix![0.25, 1.0 - 9e-10; 0.75 + 9e-10, 0.0; 0.0, 0.0];
    let ufm = ConvexUfm::soft_labels(labels, &[5, 3], regularization()).unwrap();
    let Labels::Soft { labels, .. } = ufm.labels() else { panic!("{ufm:?}") };
    assert!(labels.column_iter().all(|label| (label.sum() - 1.0).abs() < 1e-15), "{labels}");
    let refused = |labels: DMatrix<f64>| {
        ConvexUfm::soft_labels(labels, &[5, 3], regularization()).unwrap_err().to_string()
    };
    let far = dmatrix![1.0, 0.5; 0.0, 0.5 + 2e-9; 0.0, 0.0];
    assert!(refused(far).starts_with("`labels[1]` is 1.000000002"));
    let negative = dmatrix![1.0, 1.25; 0.0, -0.25; 0.0, 0.0];
    assert!(refused(negative).starts_with("`labels[(1, 1)]` is -0.25"));
}

/// What was given can be asked for, and beside soft labels or PyTorch's there are no other weights.
#[test]
fn problems_keep_what_they_were_given() {
    let classes = ConvexUfm::cross_entropy(counts(), regularization()).unwrap();
    assert_eq!((classes.class_weights(), classes.label_smoothing()), (None, 0.0));
    assert_eq!((classes.weight_decay(), classes.regularization()), (0.02, &regularization()));
    assert!((classes.price() - 1e-3_f64.sqrt()).abs() < 1e-17);
    let weighted = classes.with_class_weights(&[1.0, 2.0, 3.0]).unwrap();
    let weighted = weighted.with_label_smoothing(0.25).unwrap();
    let weighted = weighted.with_logit_offsets(&[0.5, -1.0, 0.0]).unwrap();
    assert_eq!(weighted.class_weights(), Some(&[1.0, 2.0, 3.0][..]));
    assert_eq!((weighted.label_smoothing(), weighted.classes()), (0.25, 3));
    assert_eq!(weighted.logit_offsets(), Some(&[0.5, -1.0, 0.0][..]));
    assert_eq!((weighted.kinds().unwrap().kinds().len(), weighted.counts()), (3, &counts()));

    let torch = ConvexUfm::pytorch(counts(), &[1.0, 2.0, 3.0], 0.5, regularization()).unwrap();
    assert_eq!(torch.class_weights(), Some(&[1.0, 2.0, 3.0][..]));
    assert_eq!((torch.label_smoothing(), torch.classes()), (0.5, 3));
    let soft =
        ConvexUfm::soft_labels(DMatrix::identity(4, 3), &[5, 3, 3], regularization()).unwrap();
    assert_eq!((soft.class_weights(), soft.label_smoothing(), soft.classes()), (None, 0.0, 4));
    assert!(soft.kinds().is_none());
    let problem = "class weights or smoothing beside labels that have them already";
    for ufm in [torch, soft] {
        assert_eq!(ufm.loss_function(), LossFunction::SoftLabels);
        for changed in [
            ufm.clone().with_class_weights(&[1.0; 3]),
            ufm.clone().with_label_smoothing(0.1),
            ufm.with_logit_offsets(&[0.0; 3]),
        ] {
            assert_eq!(changed, Err(Error::NoClosedForm { problem }));
        }
    }
}
