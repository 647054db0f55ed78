//! The largest of some scores, where it is certain.

/// Scores that are compared side by side.
const LANES: usize = 16;

/// The class with the largest score and offset, if that is more than `margin` above all others.
#[inline(always)]
pub(super) fn certain(scores: &[f32], offsets: &[f32], margin: f64) -> Option<usize> {
    let Largest { first, second } = Largest::of(scores, offsets);
    let is_certain = f64::from(first) - f64::from(second) > margin;
    let mut sums = scores.iter().zip(offsets).map(|(score, offset)| score + offset);
    if is_certain { sums.position(|sum| sum == first) } else { None }
}

/// The two largest of some numbers that are not NaN.
#[derive(Clone, Copy)]
struct Largest {
    first: f32,
    second: f32,
}

impl Largest {
    const OF_NONE: Self = Self { first: f32::NEG_INFINITY, second: f32::NEG_INFINITY };

    /// Those of the sums of scores and offsets.
    #[inline(always)]
    fn of(scores: &[f32], offsets: &[f32]) -> Self {
        let (scores, last_scores) = scores.as_chunks::<LANES>();
        let (offsets, last_offsets) = offsets.as_chunks::<LANES>();
        let mut found = Self::OF_NONE;
        for (score, offset) in last_scores.iter().zip(last_offsets) {
            found = found.or(Self { first: score + offset, second: f32::NEG_INFINITY });
        }
        if scores.is_empty() {
            return found;
        }
        let (mut first, mut second) = ([f32::NEG_INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        for (scores, offsets) in scores.iter().zip(offsets) {
            for lane in 0..LANES {
                let sum = scores[lane] + offsets[lane];
                second[lane] = larger(second[lane], smaller(first[lane], sum));
                first[lane] = larger(first[lane], sum);
            }
        }
        for (first, second) in first.into_iter().zip(second) {
            found = found.or(Self { first, second });
        }
        found
    }

    /// Those of both together.
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self {
            first: larger(self.first, other.first),
            second: larger(smaller(self.first, other.first), larger(self.second, other.second)),
        }
    }
}

/// The larger of two numbers that are not NaN, in one instruction.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller one.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few and many classes, where the largest is alone, is not far enough from another one, or is there twice.
    #[test]
    fn certain_is_what_is_far_from_all_others() {
        assert_eq!(certain(&[1.0], &[0.0], 1e30), Some(0));
        for classes in [2, 10, 16, 17, 100] {
            let offsets: Vec<f32> = (0..classes).map(|class| (class % 3) as f32).collect();
            for (best, other) in [(0, classes - 1), (classes - 1, 0), (classes / 2, 0)] {
                let mut scores: Vec<f32> =
                    (0..classes).map(|class| ((class * 7) as f32).sin() - offsets[class]).collect();
                (scores[best], scores[other]) = (5.0 - offsets[best], 4.5 - offsets[other]);
                assert_eq!(certain(&scores, &offsets, 0.49), Some(best));
                assert_eq!(certain(&scores, &offsets, 0.5), None);
                scores[other] = scores[best] + offsets[best] - offsets[other];
                assert_eq!(certain(&scores, &offsets, 0.0), None);
            }
        }
    }
}
