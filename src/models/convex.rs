//! One layer with any class sizes, class weights or soft labels: convex programs, solved with a certificate.

pub use minimum::ConvexMinimum;
pub use problem::ConvexUfm;

mod certificate;
mod column;
mod curvature;
mod data;
mod minimum;
mod newton;
mod problem;
mod solver;
mod state;
mod tangent;

#[cfg(test)]
mod scratch {
    use super::data::*;
    use crate::problem::regularization::Bias;
    use nalgebra::DMatrix;
    fn build(counts: &[(u64, usize)], bias: Bias, fid: Fidelity) -> Data {
        let n: f64 = counts.iter().map(|&(n, m)| n as f64 * m as f64).sum();
        let rows: Vec<f64> = counts.iter().map(|&(_, m)| m as f64).collect();
        let columns = counts
            .iter()
            .enumerate()
            .map(|(i, &(c, m))| Column {
                weight: c as f64 / n,
                members: m as f64,
                scale: (c as f64).sqrt(),
                anchor: i,
                own: 1.0,
                deficit: 0.0,
            })
            .collect();
        let g = rows.len();
        Data::new(fid, rows, columns, DMatrix::zeros(g, g), bias)
    }
    fn sizes(k: usize, a: f64, b: f64) -> Vec<(u64, usize)> {
        let mut v: Vec<u64> = (0..k)
            .map(|i| (a * (b / a).powf(i as f64 / (k as f64 - 1.0))).round() as u64)
            .collect();
        v.sort_by(|x, y| y.cmp(x));
        let mut out: Vec<(u64, usize)> = vec![];
        for n in v {
            match out.last_mut() {
                Some(l) if l.0 == n => l.1 += 1,
                _ => out.push((n, 1)),
            }
        }
        out
    }
    #[test]
    fn timing() {
        let n = 529;
        let a = DMatrix::from_fn(n, n, |i, j| {
            ((i * 7 + j * 13) as f64).sin() + if i == j { 3.0 } else { 0.0 }
        });
        for _ in 0..2 {
            let t = std::time::Instant::now();
            let p = crate::numerics::linalg::product(&a, &a);
            println!("rank product {:?} {}", t.elapsed(), p[(0, 0)]);
            let t = std::time::Instant::now();
            let p = crate::numerics::linalg::product(&crate::numerics::linalg::transposed(&a), &a);
            println!("rank product t {:?} {}", t.elapsed(), p[(0, 0)]);
        }
        let t = std::time::Instant::now();
        let p = crate::numerics::linalg::svd_thin(&a).unwrap();
        println!("rank svd {:?} {}", t.elapsed(), p.singular_values[0]);
        let t = std::time::Instant::now();
        let p = crate::numerics::linalg::singular_values(&a).unwrap();
        println!("rank svd values {:?} {}", t.elapsed(), p[0]);
        let c = sizes(1000, 1280.0, 5.0);
        let d = build(&c, Bias::None, Fidelity::CrossEntropy);
        let x = d.start(3e-5);
        let t = std::time::Instant::now();
        let s = d.state(&x, super::column::Contrasts::Best(3e-5), &vec![0.0; c.len()]).unwrap();
        println!("rank state {:?}", t.elapsed());
        let cur = super::curvature::Curvature::new(&d, &s).unwrap();
        let mut y = x.clone();
        let t = std::time::Instant::now();
        cur.apply(&mut y);
        println!("rank apply {:?}", t.elapsed());
        let p = crate::numerics::linalg::svd_thin(&x).unwrap();
        let f = super::tangent::Frame {
            left: p.u,
            right: p.v,
            values: p.singular_values.as_slice()[..400].to_vec(),
            duals: vec![0.5; c.len() - 400],
        };
        let t = std::time::Instant::now();
        let v = f.project(&x);
        println!("rank project {:?}", t.elapsed());
        let t = std::time::Instant::now();
        let e = f.expand(&v);
        println!("rank expand {:?} {}", t.elapsed(), e.norm());
        let mut z = v.clone();
        let t = std::time::Instant::now();
        f.add_norm_curvature(&v, &mut z);
        println!("rank norm {:?}", t.elapsed());
        let pc = f.preconditioner(&cur.diagonal());
        let t = std::time::Instant::now();
        let _ = pc.apply(&v);
        println!("rank precond {:?}", t.elapsed());
    }
    #[test]
    fn scratch() {
        let k: usize = std::env::var("K").unwrap_or("100".into()).parse().unwrap();
        let lam: f64 = std::env::var("L").unwrap_or("5e-4".into()).parse().unwrap();
        let bias = match std::env::var("B").unwrap_or("n".into()).as_str() {
            "n" => Bias::None,
            "u" => Bias::Unregularized,
            x => Bias::Regularized(x.parse().unwrap()),
        };
        let fid = if std::env::var("SQ").is_ok() {
            Fidelity::SquaredError
        } else {
            Fidelity::CrossEntropy
        };
        let c = if k == 100 {
            sizes(100, 500.0, 5.0)
        } else if k == 1000 {
            sizes(1000, 1280.0, 5.0)
        } else if k == 3 {
            vec![(1000, 300000), (100, 300000), (10, 400000)]
        } else if k == 8142 {
            sizes(8142, 1000.0, 2.0)
        } else {
            sizes(k, 1280.0, 5.0)
        };
        println!("groups {}", c.len());
        let d = build(&c, bias, fid);
        let t = std::time::Instant::now();
        let s = super::solver::solve(&d, lam, None, &()).unwrap().unwrap();
        println!(
            "{:?} steps {} rank {} F {:.15} gap {:e}",
            t.elapsed(),
            s.steps,
            s.frame.rank(),
            s.objective,
            (s.objective - s.lower_bound) / s.objective
        );
    }
}
