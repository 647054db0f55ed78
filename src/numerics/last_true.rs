//! The last number at which a condition holds.

/// How many neighbors are looked at: the rounding errors of an estimate and of a condition need fewer.
const MAX_NEIGHBORS: usize = 64;

/// The largest number near a positive estimate at which a condition holds that holds at smaller numbers and fails
/// at larger ones; the nearest number that was looked at, if 64 neighbors do not lead there.
pub(crate) fn last_true(estimate: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let mut number = estimate;
    for _ in 0..MAX_NEIGHBORS {
        if holds(number) {
            break;
        }
        number = number.next_down();
    }
    for _ in 0..MAX_NEIGHBORS {
        if !holds(number.next_up()) {
            break;
        }
        number = number.next_up();
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_is_found_from_both_sides() {
        let moved = |from: f64, steps: i64| f64::from_bits((from.to_bits() as i64 + steps) as u64);
        for last in [1e-300, 0.3, 1.0, 4.5e17] {
            for steps in [-64, -5, -1, 0, 1, 7, 64] {
                assert_eq!(last_true(moved(last, steps), |x| x <= last), last, "{last}, {steps}");
            }
            // Farther off it is the nearest number that was looked at.
            for (steps, left) in [(-70, -6), (-65, -1), (65, 1), (70, 6)] {
                let found = last_true(moved(last, steps), |x| x <= last);
                assert_eq!(found, moved(last, left), "{last}, {steps}");
            }
        }
    }
}
