//! The page of a training.

use std::path::Path;

use neural_collapse::audit::{PredictedRates, fitted_rate, line_of_rate};
use neural_collapse::models::AnyModel;
use neural_collapse::{Error, GlobalMinimum};

use super::html::{Entry, Page};
use crate::audit::AuditedNetwork;
use crate::error::CliError;
use crate::pictures::{Curve, Ink, Level, Picture, curves};
use crate::report::LossNames;
use crate::tables::shortest_number;
use crate::trajectory::{Row, json_lines};

/// Points of the curve of a law.
const LAW_POINTS: u32 = 200;

/// What the last checkpoint tells of the rates that are to be expected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates {
    /// The sum of the steps of an epoch.
    step: Option<f64>,
    /// Of NC1, per epoch.
    nc1: Option<f64>,
    /// Of NC0, per epoch: −ln of its factor.
    nc0: Option<f64>,
    /// The largest step size at which gradient descent is stable at the minimum.
    largest_step: Option<f64>,
    /// The predicted loss.
    optimum: Option<f64>,
    /// What it and the gap to it are called.
    names: Option<LossNames>,
    /// How the largest and the smallest singular value of W_M⋯W₁ should grow from the first checkpoint on.
    growth: Vec<Growth>,
    /// What could not be told, and why.
    missing: Vec<String>,
}

/// The logistic law of a squared singular value.
#[derive(Debug, Clone)]
struct Growth {
    name: &'static str,
    /// Of the checkpoints.
    measured: fn(&Row) -> Option<f64>,
    /// s∞².
    limit: f64,
    /// The rate per epoch at which s² grows at first, and at which it comes near s∞² at last.
    rate: f64,
    /// s² over the epoch.
    points: Vec<(f64, f64)>,
}

impl Rates {
    /// The rates at the minimum that is predicted for the last of the checkpoints, for gradient descent with steps η that
    /// sum to `step` in an epoch.
    pub(crate) fn new(
        network: &AuditedNetwork,
        step: Option<f64>,
        rows: &[Row],
    ) -> Result<Self, CliError> {
        let optimum = network.audit.loss_optimum();
        let prediction = network.audit.prediction.as_ref();
        let names = prediction.map(|prediction| LossNames::new(&prediction.verdict));
        let mut rates = Self { optimum, names, step, ..Self::default() };
        let Some(model) = &network.model else { return Ok(rates) };
        if step.is_none() {
            rates.missing.push(
                "Predicted rates: the step size is not known (--learning-rate, the sum of the steps of an epoch).".into(),
            );
        }
        let predicted = PredictedRates::new(model, step)?;
        (rates.nc1, rates.nc0) = (predicted.nc1, predicted.nc0);
        rates.largest_step = predicted.largest_step;
        let AnyModel::Squared(minimum) = model else {
            rates
                .missing
                .push("Curvature, logistic law: they are known for the squared loss only.".into());
            return Ok(rates);
        };
        let of_curvature = predicted.reasons.get("curvature");
        rates.missing.extend(of_curvature.map(|why| format!("Curvature of the minimum: {why}.")));
        if let Some(step) = step {
            match Growth::of(minimum, step, rows) {
                Ok(growth) => rates.growth = growth,
                Err(error) => rates.missing.push(format!("Logistic law: {error}.")),
            }
        }
        Ok(rates)
    }
}

impl Rates {
    /// What the distance to the predicted loss is called.
    fn gap_name(&self) -> &'static str {
        self.names.map_or("loss gap", |names| names.gap)
    }
}

impl Growth {
    /// In the directions of the largest and the smallest classes.
    fn of(minimum: &GlobalMinimum, step: f64, rows: &[Row]) -> Result<Vec<Self>, Error> {
        let last = minimum.directions().len().saturating_sub(1);
        let mut found = vec![Self::along(minimum, (0, "largest"), squared_largest, step, rows)?];
        found.push(Self::along(minimum, (last, "smallest"), squared_smallest, step, rows)?);
        Ok(found.into_iter().flatten().collect())
    }

    /// From the first checkpoint on that is not zero; `None` without epochs.
    fn along(
        minimum: &GlobalMinimum,
        (direction, name): (usize, &'static str),
        measured: fn(&Row) -> Option<f64>,
        step: f64,
        rows: &[Row],
    ) -> Result<Option<Self>, Error> {
        let points = rows.iter().map(|row| row.epoch.zip(measured(row)));
        let Some(points) = points.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let start = points.iter().find(|point| point.1 > 0.0);
        let Some((&(first, start), &(end, _))) = start.zip(points.last()) else { return Ok(None) };
        let law = minimum.logistic_law(direction, start)?;
        // A logarithmic axis begins with the first checkpoint after the epoch 0.
        let early = points.iter().map(|point| point.0).find(|&epoch| epoch > 0.0).unwrap_or(end);
        let share = |index: u32| f64::from(index) / f64::from(LAW_POINTS);
        let later = (0..=LAW_POINTS).map(|index| early * (end / early).powf(share(index)));
        let epochs = std::iter::once(first).chain(later).filter(|&epoch| epoch >= first);
        let point =
            |epoch: f64| Ok((epoch, law.squared_singular_value(step * (epoch - first).max(0.0))?));
        Ok(Some(Self {
            name,
            measured,
            limit: law.limit(),
            rate: law.rate() * step,
            points: epochs.map(point).collect::<Result<_, Error>>()?,
        }))
    }
}

fn squared_largest(row: &Row) -> Option<f64> {
    row.largest_singular_value.map(|value| value * value)
}

fn squared_smallest(row: &Row) -> Option<f64> {
    row.smallest_singular_value.map(|value| value * value)
}

/// The page of a training.
pub(crate) fn training_page(
    rows: &[Row],
    rates: &Rates,
    command: &str,
) -> Result<String, CliError> {
    let verdict = rows.last().map_or(String::new(), |row| format!("At the end: {}.", row.verdict));
    let mut page = Page::new(&format!("Neural collapse in {} checkpoints", rows.len()), &verdict);
    let axis = match rows.iter().all(|row| row.epoch.is_some()) {
        true => "epoch",
        false => "number of the checkpoint",
    };
    let time = |index: usize, row: &Row| match axis {
        "epoch" => row.epoch.unwrap_or_default(),
        _ => index as f64,
    };
    let series = |value: &dyn Fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = rows.iter().enumerate();
        points.filter_map(|(index, row)| Some((time(index, row), value(row)?))).collect()
    };
    page.paragraph(
        "Distances are those to the predicted matrices; the network collapses as far as they fall. Curves on logarithmic \
         axes leave out what is zero, also the epoch 0.",
    );
    page.heading("Curves");
    page.figures(figures(&series, rates, axis), false);
    page.heading("Rates");
    if let Some(step) = rates.step {
        page.paragraph(&format!(
            "Predicted for plain gradient descent with coupled weight decay and steps that sum to {} an epoch; momentum, Adam \
             and schedules have other rates. The logistic law starts from the first checkpoint, for features that are free.",
            shortest_number(step)
        ));
    }
    add_rates(&mut page, &series, rates, axis);
    page.heading("Checkpoints");
    add_rows(&mut page, rows);
    if !rates.missing.is_empty() {
        page.heading("What is missing");
        page.list(&rates.missing);
    }
    let json = format!("[{}]", json_lines(rows)?.trim_end().replace('\n', ","));
    Ok(page.finish(command, Some(&json)))
}

/// The numbers of a key against the time.
type Series<'a> = &'a dyn Fn(&dyn Fn(&Row) -> Option<f64>) -> Vec<(f64, f64)>;

fn curve(name: &str, points: Vec<(f64, f64)>) -> Curve {
    Curve { name: name.into(), points, is_drawn_through: false }
}

fn figures(series: Series<'_>, rates: &Rates, axis: &str) -> Vec<(Picture, String)> {
    let mut pictures = Vec::new();
    let is_early = most_are_early(&series(&|row| row.nc4));
    let mut add = |title: &str, label: &str, drawn: Vec<Curve>, levels: &[Level], log: bool| {
        let drawn: Vec<Curve> =
            drawn.into_iter().filter(|curve| curve.is_seen([is_early, log])).collect();
        if !drawn.is_empty() {
            let picture = curves(title, [axis, label], drawn, levels, [is_early, log], Ink::OfPage);
            pictures.push((picture, String::new()));
        }
    };
    let mut nc1 = vec![
        curve("NC1", series(&|row| row.nc1)),
        curve("tr Σ_W/tr Σ_B", series(&|row| row.nc1_trace_quotient)),
        curve("CDNV", series(&|row| row.cdnv)),
    ];
    nc1.extend(predicted_line(&series(&|row| row.nc1), rates.nc1));
    add("Spread within classes", "NC1 and variants", nc1, &[], true);
    let depth =
        (1..=64).take_while(|&m| !series(&|row| row.nc2.get(m - 1).copied().flatten()).is_empty());
    let mut shape: Vec<Curve> = depth
        .map(|m| {
            curve(&format!("NC2, m = {m}"), series(&|row| row.nc2.get(m - 1).copied().flatten()))
        })
        .collect();
    shape.push(curve("NC3", series(&|row| row.nc3)));
    shape.push(curve("NC3, centered", series(&|row| row.nc3_centered)));
    add("Distance to the predicted geometry", "distance", shape, &[], true);
    let decisions =
        vec![curve("NC4", series(&|row| row.nc4)), curve("accuracy", series(&|row| row.accuracy))];
    add("Decisions", "share of samples", decisions, &[], false);
    let level = |(value, names): (f64, LossNames)| Level { name: names.optimum.into(), value };
    let levels: Vec<Level> = rates.optimum.zip(rates.names).map(level).into_iter().collect();
    add("Loss", "loss f", vec![curve("f", series(&|row| row.loss))], &levels, true);
    let gap = vec![
        curve(rates.gap_name(), series(&|row| row.loss_gap_relative)),
        curve("‖∇f‖", series(&|row| row.gradient_norm)),
    ];
    let distance = rates.names.map_or("Distance to the minimum", |names| names.distance);
    add(distance, "gap and gradient", gap, &[], true);
    let distances = vec![
        curve("‖W − W*‖/‖W*‖", series(&|row| row.weight_distance)),
        curve("‖H̄ − H̄*‖/‖H̄*‖", series(&|row| row.feature_distance)),
    ];
    add("Distance to the nearest minimizer", "relative distance", distances, &[], true);
    let mut growth = vec![
        curve("largest", series(&squared_largest)),
        curve("smallest", series(&squared_smallest)),
    ];
    growth.extend(rates.growth.iter().map(|law| Curve {
        name: format!("logistic law, {}", law.name),
        points: law.points.clone(),
        is_drawn_through: true,
    }));
    add("Squared singular values of the head", "squared singular value s²", growth, &[], true);
    let mut nc0 = vec![curve("NC0", series(&|row| row.nc0))];
    nc0.extend(predicted_line(&series(&|row| row.nc0), rates.nc0));
    add("Sum of the classifier's rows", "NC0", nc0, &[], true);
    pictures
}

/// Whether half of the checkpoints are in the first tenth of the time, where a logarithmic axis shows them.
fn most_are_early(points: &[(f64, f64)]) -> bool {
    match (points.get(points.len() / 2), points.last()) {
        (Some(middle), Some(last)) => points.len() > 4 && middle.0 < 0.1 * last.0,
        _ => false,
    }
}

/// A line that falls at a rate and ends where the measured curve does.
fn predicted_line(points: &[(f64, f64)], rate: Option<f64>) -> Option<Curve> {
    let points = line_of_rate(points, rate.filter(|_| !points.is_empty())?);
    Some(Curve { name: "predicted rate".into(), points, is_drawn_through: true })
}

fn add_rates(page: &mut Page, series: Series<'_>, rates: &Rates, axis: &str) {
    // Near its end a training falls at the rates of the minimum.
    let fitted = |value: &dyn Fn(&Row) -> Option<f64>| {
        let points = series(value);
        fitted_rate(&points[points.len() / 2..])
    };
    let row = |name: &str, predicted: Option<f64>, fitted: Option<f64>| {
        vec![Entry::Text(name.into()), Entry::Derived(predicted), Entry::Derived(fitted)]
    };
    let growth = |law: &Growth| {
        let name = format!("s² to its limit, {} singular value (logistic law)", law.name);
        let rate = Some(law.rate).filter(|&rate| rate > 0.0);
        row(&name, rate, fitted(&|row| Some(((law.measured)(row)? - law.limit).abs())))
    };
    let mut rows = vec![
        row("NC1", rates.nc1, fitted(&|row| row.nc1)),
        row("NC0", rates.nc0, fitted(&|row| row.nc0)),
        row(rates.gap_name(), None, fitted(&|row| row.loss_gap_relative)),
    ];
    rows.extend(rates.growth.iter().map(growth));
    rows.push(row("largest stable step of gradient descent", rates.largest_step, None));
    let caption =
        format!("Rates ρ of e^(−ρt) per {axis}, fitted to the second half of the checkpoints");
    page.table(&caption, &["", "predicted", "fitted"], &rows, false);
}

/// The name of a file without its folders.
fn file_name(file: &str) -> String {
    Path::new(file).file_name().map_or(file.into(), |name| name.to_string_lossy().into_owned())
}

fn add_rows(page: &mut Page, rows: &[Row]) {
    let Some(first) = rows.iter().max_by_key(|row| row.nc2.len()) else { return };
    let names: Vec<String> = first.numbers().into_iter().map(|(name, _)| name).collect();
    let columns: Vec<&str> =
        std::iter::once("file").chain(names.iter().map(String::as_str)).collect();
    let cells = |(index, row): (usize, &Row)| {
        let numbers = row.numbers();
        let mut cells = vec![Entry::Text(file_name(&row.file))];
        cells.extend(names.iter().map(|name| {
            let value = numbers.iter().find(|(other, _)| other == name).and_then(|found| found.1);
            let key = match name.strip_prefix("nc2_").and_then(|layer| layer.parse::<usize>().ok())
            {
                Some(layer) => format!("nc2[{}]", layer - 1),
                None => name.clone(),
            };
            let path = format!("[{index}].{key}");
            match name.as_str() {
                "epoch" => Entry::Given(value, path),
                "nc4" | "accuracy" | "loss" | "loss_optimum" => Entry::Number(value, path),
                _ => Entry::Residual(value, path),
            }
        }));
        cells
    };
    let table: Vec<_> = rows.iter().enumerate().map(cells).collect();
    page.table("Every checkpoint; a heading sorts", &columns, &table, true);
}
