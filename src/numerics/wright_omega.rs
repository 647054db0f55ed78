//! Wright's omega function of real numbers, ω(x) = W₀(eˣ), without overflow.

/// The solution ω > 0 of ω + ln ω = x, within a few ulp of the values around x.
///
/// Two steps of the method of Fritsch, Shafer and Crowley (Comm. ACM 16, 1973), which multiplies the number of right
/// digits by four. For x below −745 it is zero, as eˣ is.
pub(crate) fn wright_omega(x: f64) -> f64 {
    if x < -40.0 {
        // ω = eˣ(1 − eˣ + …).
        return x.exp();
    }
    if x > 1e8 {
        // The next term of the series is below rounding, and the squares below could overflow.
        return x - x.ln() + x.ln() / x;
    }
    let mut omega = start(x);
    for _ in 0..2 {
        let residual = x - omega - omega.ln();
        let next = 1.0 + omega;
        let term = 2.0 * next * (next + 2.0 / 3.0 * residual);
        omega *= 1.0 + residual / next * (term - residual) / (term - 2.0 * residual);
    }
    omega
}

/// ω with a digit or two right.
fn start(x: f64) -> f64 {
    if x > 2.0 {
        x - x.ln() + x.ln() / x
    } else if x < -1.0 {
        let small = x.exp();
        small / (1.0 + small)
    } else {
        // ω(1) = 1 with the slope 1/2.
        0.5 * (x + 1.0) + (x - 1.0) * (x - 1.0) / 16.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_solves_its_equation() {
        let omega = 0.567_143_290_409_783_8;
        assert!((wright_omega(0.0) - omega).abs() < 1e-16);
        assert_eq!(wright_omega(1.0), 1.0);
        assert_eq!(wright_omega(-800.0), 0.0);
        for step in -4000..4000 {
            let x = f64::from(step) / 100.0;
            let omega = wright_omega(x);
            let residual = x - omega - omega.ln();
            assert!(residual.abs() <= 4.0 * f64::EPSILON * x.abs().max(1.0), "{x}: {residual:e}");
        }
        for x in [1e3, 1e8, 1.1e8, 1e300] {
            let omega = wright_omega(x);
            assert!((omega + omega.ln() - x).abs() <= 2.0 * f64::EPSILON * x);
        }
    }
}
