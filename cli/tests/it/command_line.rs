//! The program as a user runs it: exit status, standard output and standard error.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{assert_keys, column, command, error_line, file, json, run, text};

const DECAYS: &str = "--weight-decay 5e-4 --feature-decay 5e-4";

#[test]
fn help_and_version_succeed() {
    for line in
        ["--help", "--version", "predict --help", "audit --help", "help audit", "predict -h"]
    {
        let output = run(line);
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn bad_usage_exits_with_2() {
    for line in [
        "",
        "collapse",
        "audit",
        "predict",
        "predict --counts 5,5 --depth 1 --weight-decay 1",
        "predict --counts 5,5 --depth one --weight-decay 1 --feature-decay 1",
        "predict --counts 5,5 --depth 1 --weight-decay x --feature-decay 1",
        "predict --counts 5,5 --depth 1 --weight-decay 1 --feature-decay 1 --bias maybe",
        "predict --counts 5,5 --depth 1 --weight-decay 1 --feature-decay 1 --colour",
        "predict --counts 5,5 --depth 1 --weight-decay 1 --feature-decay --json",
        "predict --counts @ --depth 1 --weight-decay 1 --feature-decay 1",
        "audit a.npz --metrics some",
        "audit a.npz --weights a,,b",
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn bad_numbers_exit_with_1_and_one_line() {
    for (line, part) in [
        ("--counts 5,0 --depth 1", "--counts: `0` is not a class size"),
        ("--counts -5,5 --depth 1", "--counts: `-5` is not a class size `SIZE` or `SIZExCLASSES`"),
        ("--counts , --depth 1", "--counts: `counts` is empty"),
        ("--counts 9999999999999x9999999999999 --depth 1", "--counts: `counts`"),
        ("--counts 5,5 --depth 0", "--depth: 0, but a depth from 1"),
        (
            "--counts 5,5 --depth 18446744073709551615",
            "--depth: 18446744073709551615, but a depth from 1",
        ),
        ("--counts 5,5 --depth 2 --widths 3,4,5", "--widths: 3 values for 2 layers"),
        ("--counts 5,5 --depth 2 --widths 0", "--widths: 0, but must be at least 1"),
        ("--counts 5,5 --depth 2 --bias -1", "--bias: -1, but must be positive and finite"),
        ("--counts @/no/such/file --depth 2", "/no/such/file cannot be read"),
    ] {
        let message = error_line(&format!("predict {DECAYS} {line}"));
        assert!(message.contains(part), "{message}");
    }
    for decay in ["0", "-1e-4", "nan", "inf", "1e-400"] {
        let rest = "predict --counts 5,5 --depth 1";
        error_line(&format!("{rest} --weight-decay {decay} --feature-decay 1"));
        error_line(&format!("{rest} --weight-decay 1 --feature-decay {decay}"));
    }
}

#[test]
fn counts_come_from_files_and_the_standard_input() {
    let path = file("sizes.txt", b"200 100\n50x2,\n");
    let rest = format!("--depth 1 {DECAYS} --json");
    let inline = run(&format!("predict --counts 200,100,50,50 {rest}"));
    assert_eq!(inline.status.code(), Some(0));
    let from_file = run(&format!("predict --counts @{} {rest}", path.display()));
    assert_eq!(text(&from_file.stdout), text(&inline.stdout));
    let mut child = command(&format!("predict --counts @- {rest}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"200,100 50x2").unwrap();
    let from_pipe = child.wait_with_output().unwrap();
    assert_eq!(text(&from_pipe.stdout), text(&inline.stdout));
}

/// The JSON object of a prediction.
fn prediction(line: &str) -> Value {
    json(&format!("predict {line} --json"))
}

/// The numbers of paper C.2.2: its printed W₁ has the squared row norms 35.76, 13.20, 13.25 and 0.
#[test]
fn minority_collapse_is_predicted() {
    let json =
        prediction("--counts 2000,495,495,10 --depth 1 --weight-decay 3e-3 --feature-decay 3e-3");
    assert_eq!(json["geometry"], "general_orthogonal_frame");
    assert_eq!(json["unique"], true);
    assert_eq!(json["bias"], Value::Null);
    let norms = column(&json["classes"], "classifier_norm_squared");
    for (norm, printed) in norms.iter().zip([35.76, 13.20, 13.25, 0.0]) {
        assert!((norm - printed).abs() < 0.06, "{norms:?}");
    }
    let collapsed: Vec<_> =
        json["classes"].as_array().unwrap().iter().map(|class| &class["collapsed"]).collect();
    assert_eq!(collapsed, [false, false, false, true]);
    let table =
        run("predict --counts 2000,495,495,10 --depth 1 --weight-decay 3e-3 --feature-decay 3e-3");
    assert!(text(&table.stdout).contains("1–2 (2)"), "{}", text(&table.stdout));
    assert_eq!(text(&table.stdout).matches("  collapsed").count(), 1);
}

#[test]
fn the_json_object_has_the_fields_of_the_contract() {
    let json =
        prediction(&format!("--counts 5,9 --depth 2 {DECAYS} --bias unregularized --widths 8"));
    let fields = [
        "schema_version",
        "loss_function",
        "problem",
        "geometry",
        "unique",
        "proof",
        "statement",
        "lower_bound",
        "gap",
        "collapse_factors",
        "scale",
        "threshold",
        "loss",
        "bias",
        "directions",
        "classes",
    ];
    assert_keys(&json, &fields);
    let fields = [
        "counts",
        "samples",
        "depth",
        "weight_decay",
        "feature_decay",
        "bias",
        "widths",
        "rank_limit",
    ];
    assert_keys(&json["problem"], &fields);
    let fields = ["target_squared", "ratio", "x", "energy", "s"];
    assert_keys(&json["directions"][0], &fields);
    let fields = ["count", "collapsed", "classifier_norm_squared", "feature_norm_squared"];
    assert_keys(&json["classes"][0], &fields);
    assert_eq!(json["problem"]["weight_decay"].as_array().unwrap().len(), 2);
    assert_eq!(json["problem"]["widths"].as_array().unwrap().len(), 2);
    assert_eq!(json["bias"].as_array().unwrap().len(), 2);
}

#[test]
fn directions_are_in_class_order_without_bias_and_sorted_with_one() {
    let json = prediction(&format!("--counts 5,20,5,10 --depth 2 {DECAYS}"));
    assert_eq!(column(&json["directions"], "target_squared"), [5.0, 20.0, 5.0, 10.0]);
    let json = prediction(&format!("--counts 5,20,5,10 --depth 2 {DECAYS} --bias unregularized"));
    let targets = column(&json["directions"], "target_squared");
    assert!(targets.len() == 3 && targets.is_sorted_by(|a, b| a >= b), "{targets:?}");
}

#[test]
fn families_are_not_presented_as_one_answer() {
    let json = prediction(&format!("--counts 20,10,10,10 --depth 2 {DECAYS} --widths 2"));
    assert_eq!(json["unique"], false);
    let norms = column(&json["classes"], "classifier_norm_squared");
    assert!(norms[0] > 0.0 && norms[1..].iter().all(|norm| norm.is_nan()), "{norms:?}");
    // Which of the equal directions survives is not determined, but how many do is.
    let fitted: Vec<bool> = column(&json["directions"], "x").iter().map(|&x| x > 0.0).collect();
    assert_eq!(fitted, [true, true, false, false]);
}

/// b* is n/N without a penalty, and the same for all classes with one.
#[test]
fn the_bias_is_printed() {
    let table = |line: &str| text(&run(&format!("predict {DECAYS} {line}")).stdout).to_string();
    let line = "--counts 20,10,10 --depth 2 --bias unregularized";
    assert_eq!(
        prediction(&format!("{DECAYS} {line}"))["bias"],
        serde_json::json!([0.5, 0.25, 0.25])
    );
    let printed = table(line);
    assert!(printed.contains("b*") && printed.contains("0.500000"), "{printed}");
    let regularized = prediction(&format!("{DECAYS} --counts 20x3 --depth 2 --bias 0.01"));
    let entries = regularized["bias"].as_array().unwrap();
    assert!(entries.len() == 3 && entries.iter().all(|entry| *entry == entries[0]), "{entries:?}");
    assert!(!table("--counts 20,10 --depth 2").contains("b*"));
}

/// The list of b* was made even for a table, which shows one row: the program ran out of memory.
#[test]
fn as_many_classes_as_there_are_numbers_are_one_row() {
    for bias in ["none", "unregularized", "0.1"] {
        let line = format!("predict --counts 1x{} --depth 1 --bias {bias}", u64::MAX);
        let output = run(&format!("{line} --weight-decay 5e-20 --feature-decay 5e-20"));
        assert_eq!(output.status.code(), Some(0), "{bias}: {}", text(&output.stderr));
    }
}

#[test]
fn too_narrow_layers_are_explained() {
    let table = |line: &str| text(&run(&format!("predict {DECAYS} {line}")).stdout).to_string();
    let explained = |printed: &str| {
        let printed = printed.replace('\n', " ");
        let family = printed.contains("which of equal ones are fitted is not determined");
        (printed.contains("and the rank limit leaves room for it"), family)
    };
    assert_eq!(explained(&table("--counts 20,10,10 --depth 2")), (false, false));
    assert_eq!(explained(&table("--counts 20,10,5 --depth 2 --widths 2")), (true, false));
    assert_eq!(explained(&table("--counts 20,10,10 --depth 2 --widths 2")), (true, true));
}

#[test]
fn problems_without_a_closed_form_are_refused() {
    let message =
        error_line(&format!("predict --counts 5,9 --depth 2 {DECAYS} --bias 0.1 --search 0"));
    assert!(message.contains("no closed form is known"), "{message}");
}

#[test]
fn bad_files_exit_with_1_and_one_line() {
    let garbage: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for (name, content) in [
        ("empty.npz", &[][..]),
        ("empty.safetensors", &[]),
        ("garbage.npz", &garbage),
        ("garbage.safetensors", &garbage),
        ("garbage.bin", &garbage),
        ("json.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
        ("deep.safetensors", &[&[0x10, 0x20, 0, 0, 0, 0, 0, 0][..], &[b'['; 0x2010]].concat()),
    ] {
        let path = file(name, content);
        let message = error_line(&format!("audit {}", path.display()));
        assert!(message.contains(name), "{message}");
    }
    let directory = env!("CARGO_TARGET_TMPDIR");
    for path in ["/no/such/file.npz", directory] {
        let message = error_line(&format!("audit {path}"));
        assert!(message.starts_with(&format!("{path}: cannot be read")), "{message}");
    }
}

#[test]
fn keys_with_line_breaks_stay_on_one_line() {
    let header = br#"{"a\nb\u001b[31m":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#;
    let content = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat();
    let path = file("line_break.safetensors", &content);
    let message = error_line(&format!("audit {}", path.display()));
    assert!(!message.contains('\u{1b}'), "{message}");
}

#[test]
fn files_of_numpy_are_audited() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    for name in ["stored.npz", "deflated_fortran_big_endian.npz"] {
        let output = run(&format!("audit {directory}/{name}"));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let missing = error_line(&format!("audit {directory}/{name} --features h"));
        assert!(
            missing.contains("has no `h`") && missing.contains("`classifier.1.weight`"),
            "{missing}"
        );
    }
}
