//! The head is found, or asked for, never guessed.

use super::write::{Array, Format, INTEGERS, container};
use super::*;
use crate::input::keys::Reading;

/// Four features, three classes.
fn samples() -> Vec<Array> {
    let features: Vec<_> = (0..12).map(f64::from).collect();
    vec![
        Array::new("features", &[3, 4], &features),
        Array::new("labels", &[3], &[0.0, 1.0, 2.0]).of(INTEGERS[0]),
    ]
}

/// Arrays of these shapes beside the samples.
fn with_arrays(arrays: &[(&str, &[usize])]) -> Vec<Array> {
    let array = |(key, shape): &(&str, &[usize])| {
        let count = shape.iter().product();
        Array::new(
            key,
            shape,
            &(0..count).map(|index: usize| (index as f64).sin()).collect::<Vec<_>>(),
        )
    };
    samples().into_iter().chain(arrays.iter().map(array)).collect()
}

fn read_head(arrays: &[Array], keys: &Keys, reading: &Reading) -> Result<MeasuredNetwork, String> {
    let folder = Folder::new();
    let file = folder.write("a.npz", &container(Format::Npz, arrays));
    let (keys, reading) = (keys.clone(), reading.clone());
    read_network(&Request { files: vec![file], keys, reading, ..Request::default() })
        .map_err(|error| folder.shorten(&error.to_string()))
}

/// The names of the layers and the bias that are found.
fn found(arrays: &[(&str, &[usize])]) -> Result<String, String> {
    let network = read_head(&with_arrays(arrays), &Keys::default(), &Reading::default())?;
    let names = network.head.keys.iter().chain(&network.head.bias_key).cloned();
    assert_eq!(network.facts.weights, network.head.keys);
    assert_eq!(network.facts.bias, network.head.bias_key);
    assert!(network.facts.weights_were_found);
    Ok(names.collect::<Vec<_>>().join(" "))
}

type Shapes<'a> = &'a [(&'a str, &'a [usize])];

#[test]
fn heads_of_well_known_libraries_are_found() {
    let cases: [(Shapes<'_>, &str); 12] = [
        (&[("fc.weight", &[3, 4]), ("fc.bias", &[3])], "fc.weight fc.bias"),
        (
            &[("module.fc.weight", &[3, 4]), ("module.fc.bias", &[3])],
            "module.fc.weight module.fc.bias",
        ),
        (
            &[("classifier.0.weight", &[5, 4]), ("classifier.1.weight", &[3, 5])],
            "classifier.0.weight classifier.1.weight",
        ),
        (
            &[("classifier.1.weight", &[3, 4]), ("classifier.1.bias", &[3])],
            "classifier.1.weight classifier.1.bias",
        ),
        // A ResNet: blocks with several kernels, and convolutions that are no matrices.
        (
            &[
                ("conv1.weight", &[4, 3, 7, 7]),
                ("layer1.0.conv1.weight", &[4, 4, 3, 3]),
                ("layer1.0.downsample.0.weight", &[4, 4, 1, 1]),
                ("layer1.0.bn1.weight", &[4]),
                ("fc.weight", &[3, 4]),
                ("fc.bias", &[3]),
            ],
            "fc.weight fc.bias",
        ),
        // A vision transformer of timm.
        (
            &[
                ("pos_embed", &[1, 5, 4]),
                ("blocks.0.attn.qkv.weight", &[12, 4]),
                ("blocks.0.attn.proj.weight", &[4, 4]),
                ("blocks.0.attn.proj.bias", &[4]),
                ("blocks.0.mlp.fc1.weight", &[16, 4]),
                ("blocks.0.mlp.fc2.weight", &[4, 16]),
                ("norm.weight", &[4]),
                ("head.weight", &[3, 4]),
                ("head.bias", &[3]),
            ],
            "head.weight head.bias",
        ),
        // Language models, with a head of their own and with that of the embedding.
        (&[("model.embed_tokens.weight", &[3, 4]), ("lm_head.weight", &[3, 4])], "lm_head.weight"),
        (
            &[("transformer.wte.weight", &[3, 4]), ("transformer.wpe.weight", &[9, 4])],
            "transformer.wte.weight",
        ),
        (&[("score.weight", &[3, 4]), ("transformer.wte.weight", &[7, 4])], "score.weight"),
        // The state of an optimizer has the shapes of what it optimizes.
        (
            &[
                ("state_dict.fc.weight", &[3, 4]),
                ("state_dict.fc.bias", &[3]),
                ("optimizer.state.0.exp_avg", &[3, 4]),
                ("optimizer.state.1.exp_avg", &[3]),
            ],
            "state_dict.fc.weight state_dict.fc.bias",
        ),
        (&[("W", &[3, 4]), ("b", &[3])], "W b"),
        (&[("head.weight", &[3, 4, 1, 1]), ("head.bias", &[1, 3])], "head.weight head.bias"),
    ];
    for (arrays, names) in cases {
        assert_eq!(found(arrays).as_deref(), Ok(names));
    }
}

#[test]
fn what_could_be_meant_in_two_ways_is_asked_for() {
    let ask = "name the linear layers with --weights, from the features to the output; only a linear chain may be \
               named, without activations between its layers";
    let several = "the head cannot be told for sure: more than one way leads from the 4 features to the 3 classes, and";
    let cases: [(Shapes<'_>, &str); 6] = [
        (
            &[("fc.weight", &[3, 4]), ("head.weight", &[3, 4])],
            "`fc.weight` (3×4), `head.weight` (3×4) can come first",
        ),
        (
            &[("proj.weight", &[4, 4]), ("fc.weight", &[3, 4])],
            "`fc.weight` (3×4), `proj.weight` (4×4) can come first",
        ),
        (
            &[("c.0.weight", &[9, 4]), ("c.2.weight", &[5, 9]), ("c.4.weight", &[3, 5])],
            "`c.0.weight` (9×4) can come first (numbered 0, 2, 4: activations may stand in the gaps)",
        ),
        (
            &[("c.3.weight", &[4, 4]), ("c.6.weight", &[3, 4])],
            "`c.3.weight` (4×4), `c.6.weight` (3×4) can come first (numbered 3, 6: activations may stand in the gaps)",
        ),
        (&[("A", &[4, 4]), ("B", &[3, 4])], "`A` (4×4), `B` (3×4) can come first"),
        (&[("fc1.weight", &[9, 4]), ("fc2.weight", &[3, 9])], "`fc1.weight` (9×4) can come first"),
    ];
    for (arrays, part) in cases {
        assert_eq!(found(arrays).unwrap_err(), format!("a.npz: {several} {part}; {ask}"));
    }
    assert_eq!(
        found(&[("x", &[5, 6]), ("y", &[4, 3])]).unwrap_err(),
        format!(
            "a.npz: no head is found: no matrices lead from the 4 features to the 3 classes of the labels; there are `x` \
             (5×6), `y` (4×3); `y` would fit as inputs × outputs, the order of Keras and Flax: --transposed reads it \
             so; {ask}"
        )
    );
}

#[test]
fn swapped_kernels_are_pointed_out() {
    let arrays = with_arrays(&[("kernel", &[4, 3])]);
    let keys = Keys { weights: Some(vec!["kernel".into()]), ..Keys::default() };
    assert_eq!(
        read_head(&arrays, &keys, &Reading::default()).unwrap_err(),
        "a.npz: `kernel` has shape 4×3, but 3×4, outputs × inputs, for the width of `features` (--transposed reads \
         inputs × outputs) is expected; --weights names others"
    );
    let transposed = Reading { transposed: true, ..Reading::default() };
    let head = read_head(&arrays, &Keys::default(), &transposed).unwrap().head;
    assert_eq!((head.linear.weights()[0].nrows(), head.linear.weights()[0].ncols()), (3, 4));
}

#[test]
fn layers_by_name_silence_other_matrices() {
    let arrays =
        with_arrays(&[("fc.weight", &[3, 4]), ("head.weight", &[3, 4]), ("head.bias", &[3])]);
    let keys = Keys { weights: Some(vec!["head.weight".into()]), ..Keys::default() };
    let network = read_head(&arrays, &keys, &Reading::default()).unwrap();
    assert_eq!(network.head.bias_key.as_deref(), Some("head.bias"));
    assert!(!network.facts.weights_were_found);
}

#[test]
fn a_vector_that_may_be_the_bias_is_not_left_out() {
    let unused = |key: &str, used: Option<&str>| {
        let beside = used.map(|used| format!(" beside `{used}`")).unwrap_or_default();
        let other = used.unwrap_or("none");
        Err(format!(
            "a.npz: has `{key}`, as long as the 3 outputs of the last layer, which would be left out{beside}; --bias-key \
             {key} takes it as the bias, --bias-key {other} leaves it out"
        ))
    };
    for shape in [&[3][..], &[1, 3], &[3, 1]] {
        assert_eq!(found(&[("fc.weight", &[3, 4]), ("offset", shape)]), unused("offset", None));
    }
    assert_eq!(
        found(&[("fc.weight", &[3, 4]), ("fc.bias", &[3]), ("other", &[3])]),
        unused("other", Some("fc.bias"))
    );
    assert_eq!(
        found(&[
            ("classifier.1.weight", &[3, 4]),
            ("classifier.1.bias", &[3]),
            ("classifier.bias", &[3])
        ]),
        unused("classifier.bias", Some("classifier.1.bias"))
    );
    // That of another layer is not taken for that of the head.
    let aux =
        [("fc.weight", &[3, 4][..]), ("classifier.weight", &[3, 8]), ("classifier.bias", &[3])];
    assert_eq!(found(&aux), unused("classifier.bias", None));
    let both = [&aux[..], &[("fc.bias", &[3][..])]].concat();
    assert_eq!(found(&both), unused("classifier.bias", Some("fc.bias")));
    let hidden = found(&[
        ("c.0.weight", &[5, 4]),
        ("c.0.bias", &[5]),
        ("c.1.weight", &[3, 5]),
        ("c.1.bias", &[3]),
    ]);
    assert_eq!(
        hidden.unwrap_err(),
        "a.npz: has `c.0.bias`, which would be left out: in the model only the last layer has a bias; give --weights \
         without the layers up to this one and the features after it, or --bias-key none to leave all biases out"
    );
    let arrays = with_arrays(&[("fc.weight", &[3, 4]), ("offset", &[3])]);
    for (name, bias) in [("offset", Some("offset")), ("none", None)] {
        let weights = Some(vec!["fc.weight".into()]);
        let keys = Keys { weights, bias: Some(name.into()), ..Keys::default() };
        let head = read_head(&arrays, &keys, &Reading::default()).unwrap().head;
        assert_eq!(head.bias_key.as_deref(), bias);
    }
    let keys = Keys { bias: Some("b".into()), ..Keys::default() };
    let missing = read_head(&arrays, &keys, &Reading::default()).unwrap_err();
    assert!(
        missing.contains("has no `b` (the bias of the last layer)")
            && missing.ends_with("--bias-key names others")
    );
}

/// What stands beside a hidden layer with its length is not passed over, whatever it is called.
#[test]
fn a_hidden_bias_of_any_name_is_refused() {
    for (key, shape) in
        [("head.0.bias", &[5][..]), ("head.0.offset", &[5]), ("head.0.scale", &[1, 5])]
    {
        let arrays =
            with_arrays(&[("head.0.weight", &[5, 4]), (key, shape), ("head.1.weight", &[3, 5])]);
        let error = read_head(&arrays, &Keys::default(), &Reading::default()).unwrap_err();
        assert!(
            error.starts_with(&format!("a.npz: has `{key}`, which would be left out")),
            "{error}"
        );
        assert!(error.contains("--bias-key none"), "{error}");
        let none = Keys { bias: Some("none".into()), ..Keys::default() };
        assert!(read_head(&arrays, &none, &Reading::default()).is_ok());
    }
    // A count of batches is none.
    let arrays =
        [("head.0.weight", &[5, 4][..]), ("head.0.steps", &[7]), ("head.1.weight", &[3, 5])];
    assert!(read_head(&with_arrays(&arrays), &Keys::default(), &Reading::default()).is_ok());
}

#[test]
fn one_output_is_half_of_two() {
    let values = [1.0, -2.0, 0.5, 4.0];
    let mut arrays = samples();
    arrays[1] = Array::new("labels", &[3], &[0.0, 1.0, 1.0]).of(INTEGERS[0]);
    arrays.push(Array::new("out.weight", &[1, 4], &values));
    arrays.push(Array::new("out.bias", &[1], &[3.0]));
    let folder = Folder::new();
    let file = folder.write("a.npz", &container(Format::Npz, &arrays));
    let given = StatedTraining {
        weight_decays: Some(vec![Decay::Given(1e-3)]),
        bias: Some(Bias::Regularized(1e-4)),
        ..StatedTraining::default()
    };
    let network =
        read_network(&Request { files: vec![file], given, ..Request::default() }).unwrap();
    let half = values.map(|value| value / 2.0);
    let rows: Vec<f64> = half.iter().map(|value| -value).chain(half).collect();
    assert_eq!(network.head.linear.weights(), [DMatrix::from_row_slice(2, 4, &rows)]);
    assert_eq!(network.head.linear.bias().cloned(), Some(DVector::from_vec(vec![-1.5, 1.5])));
    assert!(network.head.stated.has_one_output && network.facts.assumptions.len() == 1);
    // λ/2 ‖w‖² is the same penalty as 2λ/2 (‖w/2‖² + ‖w/2‖²).
    let regularization = network.head.stated.regularization(&network.head.linear, 3).unwrap();
    assert_eq!(regularization.weight_decays(), [Some(2e-3)]);
    assert_eq!(regularization.bias(), Bias::Regularized(2e-4));
}

#[test]
fn sharded_checkpoints_are_read_by_their_index() {
    let folder = Folder::new();
    let samples = folder.write("samples.npz", &container(Format::Npz, &samples()));
    let write = |name: &str, key: &str, shape: &[usize]| {
        let all = with_arrays(&[(key, shape)]);
        folder.write(name, &container(Format::Safetensors, &all[2..]))
    };
    let first = write("model-1.safetensors", "model.norm.weight", &[4]);
    write("model-2.safetensors", "lm_head.weight", &[3, 4]);
    write("model-3.safetensors", "lm_head.bias", &[3]);
    let index = |map: &str| folder.write("model.safetensors.index.json", map.as_bytes());
    let map = r#"{"metadata": {"total_size": 1}, "weight_map": {"model.norm.weight": "model-1.safetensors",
        "lm_head.weight": "model-2.safetensors", "lm_head.bias": "model-3.safetensors"}}"#;
    let read = |files: Vec<PathBuf>| {
        read_network(&Request { files, ..Request::default() })
            .map_err(|error| folder.shorten(&error.to_string()))
    };
    let network = read(vec![index(map), samples.clone()]).unwrap();
    assert_eq!(network.head.keys, ["lm_head.weight"]);
    assert_eq!(network.head.bias_key.as_deref(), Some("lm_head.bias"));
    // A file that is named and in the index counts once, but then it has to serve a purpose.
    let useless = read(vec![index(map), samples.clone(), first]).unwrap_err();
    assert!(
        useless.starts_with("model-1.safetensors: has neither `lm_head.weight` nor `features`"),
        "{useless}"
    );
    for bad in ["../secret", "/etc/passwd", ""] {
        let map = format!(r#"{{"weight_map": {{"fc.weight": "{bad}"}}}}"#);
        let error = read(vec![index(&map), samples.clone()]).unwrap_err();
        assert!(error.contains(&format!("`{bad}` is not a file beside it")), "{error}");
    }
    let error = read(vec![index("{}"), samples]).unwrap_err();
    assert!(
        error.contains("is not a valid *.index.json file: missing field `weight_map`"),
        "{error}"
    );
}
