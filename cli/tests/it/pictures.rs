//! Pictures, pages and rows of trainings.

use std::path::{Path, PathBuf};

use neural_collapse::audit::fitted_rate;
use neural_collapse::{ClassCounts, Regularization, Ufm};
use serde_json::Value;

use crate::support::{error_line, json, run, text};

/// A file that a test writes.
fn written(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What a command writes into its file.
fn output(line: &str, name: &str) -> Vec<u8> {
    let path = written(name);
    let result = run(&format!("{line} -o {}", path.display()));
    assert!(result.status.success(), "{line}: {}", text(&result.stderr));
    assert!(result.stdout.is_empty() && result.stderr.is_empty());
    std::fs::read(path).unwrap()
}

fn page(line: &str, name: &str) -> String {
    String::from_utf8(output(line, name)).unwrap()
}

/// The numbers that a page shows with their paths in the JSON object, as texts.
fn numbers(page: &str) -> Vec<(String, f64, String)> {
    let elements = page.split("<data value=\"").skip(1).filter_map(|rest| {
        let (value, rest) = rest.split_once('"')?;
        let (key, rest) = rest.strip_prefix(" data-key=\"")?.split_once('"')?;
        let (shown, _) = rest.strip_prefix('>')?.split_once('<')?;
        Some((key.to_owned(), value.parse().unwrap(), shown.to_owned()))
    });
    elements.collect()
}

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    let keys = path.split(['.', '[', ']']).filter(|key| !key.is_empty());
    keys.fold(object, |value, key| match key.parse::<usize>() {
        Ok(index) if value.is_array() => &value[index],
        _ => &value[key],
    })
}

#[test]
fn a_report_shows_the_numbers_of_the_audit() {
    for (file, least) in [("digits_m3.safetensors", 50), ("digits_m1.npz", 20)] {
        let page = page(&format!("report data/{file}"), &format!("{file}.html"));
        let audit = json(&format!("audit --json data/{file}"));
        let numbers = numbers(&page);
        assert!(numbers.len() >= least, "{}", numbers.len());
        for (path, value, shown) in numbers {
            assert_eq!(at(&audit, &path).as_f64(), Some(value), "{path}");
            let shown: f64 = shown.trim_start_matches("&lt; ").parse().unwrap();
            assert!((shown - value).abs() <= 5.1e-3 * value.abs() || value.abs() < 1e-12, "{path}");
        }
    }
}

#[test]
fn a_page_is_complete_and_alone() {
    let report = page("report data/digits_m3.safetensors", "alone.html");
    for section in [
        "Lengths",
        "Gram matrices",
        "Angles",
        "Singular values",
        "Class means in space",
        "Decisions",
        "Classes",
        "What to know",
        "How this page was made",
    ] {
        assert!(report.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
    let verdict = report.find("At the global minimum").unwrap();
    assert!(verdict < report.find("<h2>").unwrap());
    assert!(report.contains("neural-collapse report data/digits_m3.safetensors -o "));
    assert_eq!(report.matches("<svg").count(), report.matches("role=\"img\"").count());
    let own = report.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", " src=", "@import", "url(http"] {
        assert!(!own.contains(outside), "{outside}");
    }
}

#[test]
fn every_kind_is_drawn() {
    let problem = "--counts 20,10,5,5 --depth 2 --weight-decay 1e-3 --feature-decay 1e-3";
    for kind in ["vectors", "spectrum", "phase", "collapse", "potential"] {
        let svg = output(&format!("plot {kind} {problem}"), &format!("{kind}.svg"));
        let svg = String::from_utf8(svg).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{kind}");
        assert!(
            !svg.contains("NaN") && !svg.contains("inf\"") && !svg.contains("var(--"),
            "{kind}"
        );
        let png = output(&format!("plot {kind} {problem}"), &format!("{kind}.png"));
        assert!(png.starts_with(b"\x89PNG"), "{kind}");
    }
    let page = page(&format!("plot report {problem}"), "prediction.html");
    let prediction = json(&format!("predict --json {problem}"));
    for (path, value, _) in numbers(&page) {
        assert_eq!(at(&prediction, &path).as_f64(), Some(value), "{path}");
    }
}

/// Cross-entropy: over imbalance for one layer, over depth for more.
#[test]
fn cross_entropy_has_phases_in_two_dimensions() {
    let decays = "--weight-decay 5e-3 --feature-decay 5e-3";
    let drawn = |line: &str, name: &str| {
        String::from_utf8(output(&format!("plot phase --loss ce {line} {decays}"), name)).unwrap()
    };
    for counts in ["100x4", "100x2,20x3", "100x2,50x2,20x2"] {
        let svg = drawn(&format!("--counts {counts} --depth 1"), "ce_imbalance.svg");
        assert!(svg.contains("merge above") && svg.contains("all weights are zero above"));
        assert!(svg.contains("largest class / smallest class"), "{counts}");
    }
    let svg = drawn("--counts 100x4 --depth 2", "ce_depth.svg");
    assert!(svg.contains("number of layers M") && svg.contains("M = 6: "));
    for structure in ["simplex ETF", "2 × pair", "zero", "this problem"] {
        assert!(svg.contains(structure), "{structure}");
    }
}

#[test]
fn what_cannot_be_drawn_is_one_line() {
    let problem = "--counts 5x4 --depth 2 --weight-decay 1e-3 --feature-decay 1e-3";
    let refused = |line: String| error_line(&line);
    let folder = written("no_such_folder/x.svg");
    assert!(
        refused(format!("plot vectors {problem} -o {}", folder.display()))
            .contains("cannot be written")
    );
    assert!(
        refused(format!("plot vectors {problem} -o x.pdf")).contains("must end in .svg or .png")
    );
    assert!(
        refused(format!("plot collapse --loss ce {problem} -o x.svg")).contains("squared loss")
    );
    for wrong in ["report data/digits_m3.safetensors", "audit data/digits_m3.safetensors -o x.csv"]
    {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn a_bad_file_leaves_an_old_report_as_it_was() {
    let path = written("kept.html");
    std::fs::write(&path, "old").unwrap();
    error_line(&format!("report Cargo.toml -o {}", path.display()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    let network = written("network.safetensors");
    std::fs::copy("../data/direct_ce_m2.safetensors", &network).unwrap();
    let refused = error_line(&format!("report {0} -o {0}", network.display()));
    assert!(refused.contains("would be overwritten"), "{refused}");
}

#[test]
fn a_page_of_thousands_of_classes_is_small() {
    let counts = "--counts 1000x1500,10x1500 --depth 1 --weight-decay 1e-4 --feature-decay 1e-4";
    let page = output(&format!("plot report {counts}"), "many.html");
    assert!(page.len() < 5_000_000, "{}", page.len());
}

const CHECKPOINTS: [&str; 4] = ["epoch_381", "epoch_5", "epoch_0", "epoch_6000"];

fn files(names: &[&str]) -> String {
    let files = names.iter().map(|name| format!("data/trajectory/{name}.safetensors"));
    files.collect::<Vec<_>>().join(" ")
}

#[test]
fn rows_of_a_training_are_in_order_and_agree_with_the_audits() {
    let printed = run(&format!("audit --trajectory --json {}", files(&CHECKPOINTS)));
    let rows: Vec<Value> =
        text(&printed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let epochs: Vec<f64> = rows.iter().map(|row| row["epoch"].as_f64().unwrap()).collect();
    assert_eq!(epochs, [0.0, 5.0, 381.0, 6000.0]);
    for row in &rows {
        let audit = json(&format!("audit --json {}", row["file"].as_str().unwrap()));
        for key in ["nc1", "nc3", "nc4", "accuracy", "loss", "loss_gap_relative", "gradient_norm"] {
            assert_eq!(row[key], audit[key], "{key}");
        }
        assert_eq!(row["nc2"], audit["nc2"]);
    }
    let distance = |index: usize| rows[index]["weight_distance"].as_f64().unwrap();
    assert!(distance(3) < 0.2 * distance(0), "{} {}", distance(3), distance(0));
}

#[test]
fn a_training_is_resumed() {
    for name in ["rows.csv", "rows.jsonl"] {
        let path = written(name);
        let _ = std::fs::remove_file(&path);
        let line =
            |names: &[&str]| format!("audit --trajectory {} -o {}", files(names), path.display());
        assert!(run(&line(&CHECKPOINTS[..2])).status.success());
        let first = std::fs::read_to_string(&path).unwrap();
        // A mark in a row shows that it is kept.
        std::fs::write(&path, first.replace("not trained", "marked, not trained")).unwrap();
        assert!(run(&line(&CHECKPOINTS)).status.success());
        let second = std::fs::read_to_string(&path).unwrap();
        assert!(second.contains("marked, not trained"), "{second}");
        assert_eq!(second.lines().count(), first.lines().count() + 2);
        // Rows of other checkpoints stay; with other flags, rows are measured again.
        assert!(run(&line(&CHECKPOINTS[3..])).status.success());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), second);
        assert!(run(&format!("{} --weight-decay 1e-2", line(&CHECKPOINTS[..2]))).status.success());
        let third = std::fs::read_to_string(&path).unwrap();
        assert!(!third.contains("marked") && third.lines().count() == second.lines().count());
    }
    let other = written("other.csv");
    std::fs::write(&other, "a,b\n1,2\n").unwrap();
    let line = format!("audit --trajectory {} -o {}", files(&CHECKPOINTS[..1]), other.display());
    assert!(error_line(&line).contains("no rows of a trajectory"));
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "a,b\n1,2\n");
}

#[test]
fn a_training_has_a_page() {
    let names = files(&CHECKPOINTS);
    let page = page(&format!("report --trajectory {names} --learning-rate 0.1"), "training.html");
    assert!(page.contains("predicted rate") && page.contains("Spread within classes"));
    // Rates of the minimum, and the law of growth from the first checkpoint on.
    for named in ["logistic law, largest", "logistic law, smallest", "largest stable step"] {
        assert!(page.contains(named), "{named}");
    }
    let printed = run(&format!("audit --trajectory --json {names}"));
    let rows: Vec<Value> =
        text(&printed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().all(|row| {
        let value = |key: &str| row[key].as_f64().unwrap();
        value("largest_singular_value") >= value("smallest_singular_value")
    }));
    check_rates(&page, &rows);
    let rows = Value::Array(rows);
    let numbers = numbers(&page);
    assert!(numbers.len() > 60);
    for (path, value, _) in numbers {
        assert_eq!(at(&rows, &path).as_f64(), Some(value), "{path}");
    }
}

/// The predicted and fitted rates of a page are those of the library for these rows, with steps that sum to 0.1.
fn check_rates(page: &str, rows: &[Value]) {
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| a["epoch"].as_f64().unwrap().total_cmp(&b["epoch"].as_f64().unwrap()));
    let fitted = |value: &dyn Fn(&Value) -> f64| {
        let points: Vec<(f64, f64)> =
            rows.iter().map(|row| (row["epoch"].as_f64().unwrap(), value(row))).collect();
        fitted_rate(&points[points.len() / 2..]).unwrap()
    };
    let counts: ClassCounts = "60x2,40x2,20x2".parse().unwrap();
    let decays = Regularization::new(&[1e-3], 1e-3).unwrap();
    let minimum = Ufm::new(counts, decays).unwrap().global_minimum().unwrap();
    let curvature = minimum.curvature().unwrap();
    let squared = |row: &Value, key: &str| row[key].as_f64().unwrap().powi(2);
    let [largest, smallest] = [60.0_f64, 20.0].map(|size| size.sqrt() - 240.0 * 1e-3);
    let expected = [
        (
            "NC1",
            Some(0.1 * curvature.nc1_rate().unwrap()),
            fitted(&|row| row["nc1"].as_f64().unwrap()),
        ),
        ("loss gap (f − f*)/f*", None, fitted(&|row| row["loss_gap_relative"].as_f64().unwrap())),
        (
            "s² to its limit, largest singular value (logistic law)",
            Some(0.1 * 2.0 * largest / 240.0),
            fitted(&|row| (squared(row, "largest_singular_value") - largest).abs()),
        ),
        (
            "s² to its limit, smallest singular value (logistic law)",
            Some(0.1 * 2.0 * smallest / 240.0),
            fitted(&|row| (squared(row, "smallest_singular_value") - smallest).abs()),
        ),
    ];
    for (name, predicted, measured) in expected {
        let (_, row) = page.split_once(&format!("<td class=\"text\">{name}</td>")).unwrap();
        let (row, _) = row.split_once("</tr>").unwrap();
        let values: Vec<f64> = row
            .split("<data value=\"")
            .skip(1)
            .map(|cell| cell.split_once('"').unwrap().0.parse().unwrap())
            .collect();
        let expected: Vec<f64> = predicted.into_iter().chain([measured]).collect();
        assert_eq!(values.len(), expected.len(), "{name}");
        for (value, expected) in values.iter().zip(expected) {
            assert!((value / expected - 1.0).abs() < 1e-9, "{name}: {value}, {expected}");
        }
    }
    let (_, row) = page.split_once("largest stable step of gradient descent</td>").unwrap();
    let (_, value) = row.split_once("<data value=\"").unwrap();
    let step: f64 = value.split_once('"').unwrap().0.parse().unwrap();
    assert!((step / curvature.largest_step() - 1.0).abs() < 1e-12);
}

/// A picture of a page as a file of its own: with the colors of the page.
fn figure(page: &str, title: &str) -> String {
    let (_, style) = page.split_once("<style>\n").unwrap();
    let colors = style.lines().take(2).collect::<Vec<_>>().join("\n");
    let (before, after) = page.split_once(&format!("<title>{title}</title>")).unwrap();
    let (_, head) = before.rsplit_once("<svg").unwrap();
    let (body, _) = after.split_once("</svg>").unwrap();
    let own = head.replacen("\"inherit\"", "\"DejaVu Sans, Verdana, sans-serif\"", 1);
    format!("<svg{own}<style>{colors}</style><title>{title}</title>{body}</svg>\n")
}

/// `UPDATE_PICTURES=1` draws them again.
#[test]
fn the_pictures_of_the_documentation_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    // A package without the project around it has none.
    if !folder.parent().is_some_and(Path::is_dir) {
        return;
    }
    let network = page("report data/digits_m3.safetensors", "pictured.html");
    let all = "epoch_0 epoch_5 epoch_7 epoch_11 epoch_16 epoch_24 epoch_36 epoch_53 epoch_79 epoch_117 epoch_173 \
               epoch_257 epoch_381 epoch_565 epoch_837 epoch_1241 epoch_1841 epoch_2729 epoch_4047 epoch_6000";
    let names: Vec<&str> = all.split_whitespace().collect();
    let training =
        page(&format!("report --trajectory {}", files(&names)), "pictured_training.html");
    let ce = "--loss ce --counts 100x4 --depth 2 --weight-decay 5e-3 --feature-decay 5e-3";
    let phases = page(&format!("plot report {ce}"), "pictured_phases.html");
    let pictures = [
        ("star", figure(&network, "Class means in the plane of the star")),
        ("norms", figure(&network, "Squared norms of the classifier against class size")),
        ("training", figure(&training, "Spread within classes")),
        ("phases", figure(&phases, "The structure with the lowest loss")),
    ];
    for (name, drawn) in pictures {
        let path = folder.join(format!("{name}.svg"));
        if std::env::var_os("UPDATE_PICTURES").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &drawn).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == drawn, "{} is out of date: UPDATE_PICTURES=1", path.display());
    }
}
