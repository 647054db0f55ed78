//! A network beside another one: `--against` and `--same-samples`.

use serde_json::Value;

use crate::support::{error_line, json, run, text};

const LATE: &str = "data/trajectory/epoch_381.safetensors";
const EARLY: &str = "data/trajectory/epoch_5.safetensors";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn differences_are_those_of_two_audits() {
    let against = json(&format!("audit --json {LATE} --against {EARLY}"));
    let (late, early) =
        (json(&format!("audit --json {LATE}")), json(&format!("audit --json {EARLY}")));
    assert_eq!(against["nc1"], late["nc1"]);
    let found = &against["against"];
    assert_eq!(found["files"][0], EARLY);
    assert_eq!(found["samples"], "independent");
    for key in ["nc1", "nc3", "accuracy", "loss"] {
        let entry = &found["metrics"][key];
        let (own, other) = (number(&late[key]), number(&early[key]));
        assert!((number(&entry["value"]) / own - 1.0).abs() < 1e-9, "{key}");
        assert!((number(&entry["other"]) / other - 1.0).abs() < 1e-9, "{key}");
        let error =
            number(&late["standard_errors"][key]).hypot(number(&early["standard_errors"][key]));
        assert!((number(&entry["standard_error"]) - error).abs() <= 1e-9 * error, "{key}");
        assert_eq!(entry["paired"], false);
    }
    // The same samples: the errors that both share cancel.
    let same = json(&format!("audit --json {LATE} --against {EARLY} --same-samples"));
    let same = &same["against"];
    assert_eq!(
        (&same["samples"], &same["metrics"]["nc1"]["paired"]),
        (&"same".into(), &true.into())
    );
    let itself = json(&format!("audit --json {LATE} --against {LATE} --same-samples"));
    assert_eq!(itself["against"]["metrics"]["nc1"]["standard_error"], 0.0);
}

#[test]
fn what_is_assumed_is_said() {
    let shown = run(&format!("audit {LATE} --against {EARLY}"));
    let shown = text(&shown.stdout);
    assert!(shown.contains("in errors") && shown.contains("count as independent"), "{shown}");
    assert!(shown.contains("--same-samples gives"), "{shown}");
    let shown = run(&format!("audit {LATE} --against {EARLY} --same-samples"));
    let shown = text(&shown.stdout);
    assert!(shown.contains("paired") && shown.contains("count as the same"), "{shown}");
    let error = error_line(
        "audit data/digits_m1.npz --against data/direct_gof_m1.safetensors --same-samples",
    );
    assert!(error.contains("other labels"), "{error}");
    for (line, words) in [
        (format!("audit {LATE} --same-samples"), "--against"),
        (format!("audit --trajectory {LATE} --against {EARLY}"), "for one network"),
        (format!("report {LATE} --against {EARLY} -o page.html"), "no room for --against"),
    ] {
        let refused = run(&line);
        let error = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && error.contains(words), "{error}");
    }
}
