//! Files that PyTorch wrote (`make_pt.py`), and pickles that do more than hold tensors.

use super::damage::damage_every;
use super::*;
use crate::input::keys::Reading;

const CHECKPOINT: &[u8] = include_bytes!("../../../tests/data/checkpoint.pt");
const EXPANDED: &[u8] = include_bytes!("../../../tests/data/expanded.pt");
const FEATURES: &[u8] = include_bytes!("../../../tests/data/features.pt");
const LABELS: &[u8] = include_bytes!("../../../tests/data/labels.pt");
const LEGACY: &[u8] = include_bytes!("../../../tests/data/legacy.pt");
const MODULE: &[u8] = include_bytes!("../../../tests/data/module.pt");
const STATE_DICT: &[u8] = include_bytes!("../../../tests/data/state_dict.pt");
const VIEWS: &[u8] = include_bytes!("../../../tests/data/views.pt");

fn read_torch(files: &[(&str, &[u8])], keys: &Keys) -> Result<Whole, String> {
    let folder = Folder::new();
    let files: Vec<_> = files.iter().map(|(name, bytes)| folder.write(name, bytes)).collect();
    read_request(&Request { files, keys: keys.clone(), ..Request::default() })
        .map_err(|message| folder.shorten(&message))
}

#[test]
fn state_dicts_and_single_tensors_are_read() {
    let samples = [("features.pt", FEATURES), ("labels.pt", LABELS)];
    for head in [STATE_DICT, CHECKPOINT] {
        let files = [&samples[..], &[("head.pth", head)]].concat();
        let whole = read_torch(&files, &Keys::default()).unwrap();
        check_numpy_network(&whole);
        assert_eq!(
            whole.network.head.linear.bias().cloned(),
            Some(DVector::from_vec(vec![0.5, -0.5]))
        );
    }
}

#[test]
fn plain_values_of_a_checkpoint_are_metadata() {
    let files = [("features.pt", FEATURES), ("labels.pt", LABELS), ("a.pt", CHECKPOINT)];
    let network = read_torch(&files, &Keys::default()).unwrap().network;
    assert_eq!(
        network.head.keys,
        ["state_dict.classifier.0.weight", "state_dict.classifier.1.weight"]
    );
    assert_eq!(network.head.bias_key.as_deref(), Some("state_dict.classifier.1.bias"));
    let stated = &network.head.stated;
    assert_eq!(stated.weight_decays, Some(vec![Decay::Given(5e-4); 2]));
    assert_eq!((stated.feature_decay, stated.loss), (Some(Decay::Given(1e-5)), Some(Loss::Mse)));
    let unknown: Vec<_> =
        network.facts.unknown_metadata.iter().map(|(_, entry)| entry.name.as_str()).collect();
    assert_eq!(unknown, ["arch"]);
    assert_eq!(network.facts.epoch, Some(90.0));
}

#[test]
fn views_of_larger_storages_are_read() {
    let whole = read_torch(&[("views.pt", VIEWS)], &Keys::default()).unwrap();
    check_numpy_network(&whole);
    assert_eq!(whole.network.head.keys, ["classifier.1.weight", "classifier.2.weight"]);
    let other = Keys { labels: Some("same.again".into()), ..Keys::default() };
    assert_eq!(read_torch(&[("views.pt", VIEWS)], &other).unwrap().labels, [0, 1, 1, 0]);
}

#[test]
fn what_would_have_to_be_executed_is_refused() {
    let error = |bytes| read_torch(&[("a.pt", bytes)], &Keys::default()).unwrap_err();
    let legacy = error(LEGACY);
    assert!(
        legacy.starts_with(
            "a.pt: is a file of torch.save in the format before PyTorch 1.6; convert it"
        ),
        "{legacy}"
    );
    assert!(legacy.contains("torch.load('IN.pt'"), "{legacy}");
    let module = error(MODULE);
    assert!(
        module.starts_with(
            "a.pt: is a torch.save file of more than tensors, names and numbers; it needs Python's \
             `torch.nn.modules.container.Sequential`, which is not executed here; save the tensors alone: python -c"
        ),
        "{module}"
    );
    let keys = Keys { features: Some("features".into()), ..Keys::default() };
    let expanded = read_torch(&[("a.pt", EXPANDED), ("labels.pt", LABELS)], &keys).unwrap_err();
    assert!(expanded.starts_with("a.pt: `features`: it is an expanded view"), "{expanded}");
}

/// A zip archive as `torch.save` writes it, with this pickle and one storage of eight bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    npz_file(&[("a/data.pkl", pickle.to_vec()), ("a/data/0", 1.0_f64.to_le_bytes().to_vec())])
}

#[test]
fn pickles_that_do_other_things_are_named() {
    let error = |pickle: &[u8]| read("a.pt", &archive(pickle)).unwrap_err();
    for (pickle, message) in [
        (
            &b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R."[..],
            "it needs Python's `posix.system`",
        ),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "it needs Python's `builtins.eval`"),
        (
            b"\x80\x02(i__main__\nA\n.",
            "the instruction 0x69 at byte 3 is not one that tensors need",
        ),
        (b"\x80\x02}\x81.", "the instruction 0x81 at byte 3"),
        (b"\x80\x02}", "the pickle ends too early"),
        (b"\x80\x02.", "the pickle takes a value that is not there"),
        (b"\x80\x02K\x01.", "neither a tensor nor a dict of tensors was saved"),
        (b"\x80\x02h\x07.", "the pickle recalls what is not there"),
        (b"\x80\x02}K\x01K\x02K\x03\x87R.", "the pickle calls what cannot be called"),
        (b"\x80\x02X\xff\xff\xff\xffa.", "the pickle ends too early"),
        (
            b"\x80\x02\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01.",
            "an integer has more than 64 bits",
        ),
        (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
            "a tensor is not described as torch.save does it",
        ),
        (b"\x80\x02K\x01Q.", "a storage is not described as torch.save does it"),
        (b"\x80\x02K\x01a.", "the pickle takes a value that is not there"),
        (b"\x80\x02}K\x01a.", "the pickle appends to what is no list"),
        (b"\x80\x02]K\x01K\x02s.", "the pickle sets items of what is no dict"),
    ] {
        let found = error(pickle);
        assert!(found.contains(message), "{found}");
    }
}

/// A few bytes can stand for a tree without end, or for one of 2⁵⁰ leaves.
#[test]
fn pickles_cannot_keep_the_program_busy() {
    let mut endless = b"\x80\x02]q\x00h\x00a".to_vec();
    endless.push(b'.');
    assert!(read("a.pt", &archive(&endless)).is_err());
    let mut doubling = b"\x80\x02]q\x00".to_vec();
    for level in 1..=50 {
        doubling.extend([b'0', b']', b'q', level, b'(', b'h', level - 1, b'h', level - 1, b'e']);
    }
    doubling.push(b'.');
    let error = read("a.pt", &archive(&doubling)).unwrap_err();
    assert!(error.starts_with("a.pt: "), "{error}");
}

#[test]
fn no_damage_to_a_torch_file_is_a_panic() {
    damage_every(7, "a.pt", VIEWS);
}

/// The checksum is that of the storage, so it is compared although only a part of the storage is read.
#[test]
fn damage_beside_a_view_is_found() {
    let mut damaged = VIEWS.to_vec();
    let fill = 77.0_f64.to_le_bytes();
    let place = damaged.windows(8).rposition(|bytes| bytes == fill).unwrap();
    damaged[place] ^= 1;
    let error = read("a.pt", &damaged).unwrap_err();
    assert!(error.starts_with("a.pt: `features`: the data cannot be read"), "{error}");
}

#[test]
fn normalization_is_of_features_and_classifier() {
    let folder = Folder::new();
    let file = folder.write("a.safetensors", &safetensors_file(&small_network(), &[]));
    let reading = Reading { temperature: Some(0.1), ..Reading::default() };
    let whole =
        read_request(&Request { files: vec![file], reading, ..Request::default() }).unwrap();
    for sample in whole.features.chunks(2) {
        assert!((sample[0].hypot(sample[1]) - 1.0).abs() < 1e-15);
    }
    for row in whole.network.head.linear.weights()[0].row_iter() {
        assert!((row.norm() - 10.0).abs() < 1e-14);
    }
}
