//! Damaged files, and files that are something else.

use super::*;

#[test]
fn damaged_safetensors_are_errors() {
    let file = safetensors_file(&small_network(), &[]);
    let error = |bytes: &[u8]| read("a.safetensors", bytes).unwrap_err();
    assert_eq!(
        error(&[]),
        "a.safetensors: is not a valid .safetensors file: it is only 0 bytes long; copy or save it again"
    );
    let truncated = error(&file[..file.len() - 5]);
    assert!(
        truncated.ends_with("it is truncated: its header announces 80 bytes of data, 75 follow; copy or save it again"),
        "{truncated}"
    );
    let extended = error(&[&file[..], &[0]].concat());
    assert!(
        extended.ends_with("it is too long: its header announces 80 bytes of data, 81 follow; copy or save it again"),
        "{extended}"
    );
    let absurd = error(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat());
    assert!(
        absurd.ends_with(
            "it announces a header of 18446744073709551615 bytes, but only 2 bytes follow; copy or save it again"
        ),
        "{absurd}"
    );
    let header = br#"{"features":{"dtype":"F64","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#;
    let overflow = error(&[&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat());
    assert!(overflow.contains("bad header"), "{overflow}");
}

#[test]
fn damaged_npz_are_errors() {
    let error = |bytes: &[u8]| read("a.npz", bytes).unwrap_err();
    assert!(error(b"hello").starts_with("a.npz: is not a valid .npz file: bad zip archive"));
    let with_features = |entry: Vec<u8>| {
        let labels = npy_file("{'descr': '<i8', 'fortran_order': False, 'shape': (0,), }", &[]);
        error(&npz_file(&[("features.npy", entry), ("labels.npy", labels)]))
    };
    for (entry, message) in [
        (
            b"\x93NUMPX\x01\x00\x00\x00".to_vec(),
            "bad .npy header: it does not start with `\\x93NUMPY`",
        ),
        (
            b"\x93NUMPY\x07\x00\x00\x00".to_vec(),
            "bad .npy header: its version is 7.0, but 1.0, 2.0 or 3.0 is expected",
        ),
        (
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            "bad .npy header: it announces 4294967295 bytes, but at most 10000 are allowed",
        ),
        (
            npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", &[0; 31]),
            "its shape announces 32 bytes of data, 31 follow",
        ),
        (
            npy_file(
                "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999), }",
                &[],
            ),
            "its shape [9999999999, 9999999999] is absurd",
        ),
    ] {
        assert_eq!(
            with_features(entry),
            format!("a.npz: `features`: {message}; copy or save it again")
        );
    }
    let typed = |name| {
        with_features(npy_file(
            &format!("{{'descr': '{name}', 'fortran_order': False, 'shape': (1, 1), }}"),
            &[0; 16],
        ))
    };
    assert_eq!(
        typed("<c16"),
        "a.npz: `features` has the data type <c16, but f64, f32, f16 or bf16 is expected; convert it before it is saved"
    );
    assert_eq!(
        typed("<f16"),
        "a.npz: `features`: it has numbers in extended precision (longdouble); save features.astype('f8') instead"
    );
    assert_eq!(
        typed("|O"),
        "a.npz: `features`: it has Python objects (dtype=object), which only unpickling could read; save each array by \
         itself, as in np.savez('OUT.npz', features=np.stack(...))"
    );
}

#[test]
fn a_damaged_layer_is_not_passed_over() {
    let matrix = |values: &[f64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", &bytes)
    };
    let labels = npy_file("{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }", &[0, 1]);
    let damaged = npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", &[0; 31]);
    let error = read(
        "a.npz",
        &npz_file(&[
            ("features.npy", matrix(&[1.0, 2.0, 3.0, 4.0])),
            ("labels.npy", labels),
            ("classifier.1.weight.npy", matrix(&[1.0, 0.0, 0.0, 1.0])),
            ("classifier.2.weight.npy", damaged),
        ]),
    );
    assert_eq!(
        error.unwrap_err(),
        "a.npz: `classifier.2.weight`: its shape announces 32 bytes of data, 31 follow; copy or save it again"
    );
}

#[test]
fn unknown_formats_are_errors() {
    let message = "is in no format that is read: .safetensors, .npz, .npy, .pt or .pth of torch.save, or the \
                   *.index.json of a sharded checkpoint; save it as one of these";
    assert_eq!(read("a", b"hello").unwrap_err(), format!("a: {message}"));
    assert_eq!(read("a.dat", b"").unwrap_err(), format!("a.dat: {message}"));
}

/// Reads every truncation of `file`, and `file` with every byte changed in several ways: whatever comes out,
/// it comes out as a result.
pub(super) fn damage_everywhere(name: &str, file: &[u8]) {
    damage_every(1, name, file);
}

/// The same, but only every `step`th byte of a longer file.
pub(super) fn damage_every(step: usize, name: &str, file: &[u8]) {
    let folder = Folder::new();
    let read = |bytes: &[u8]| {
        let path = folder.write(name, bytes);
        read_files(&[path], &Keys::default(), &StatedTraining::default())
    };
    for length in (0..file.len()).step_by(step) {
        assert!(read(&file[..length]).is_err(), "truncated to {length} bytes");
    }
    let mut damaged = file.to_vec();
    for index in (0..file.len()).step_by(step) {
        for change in [0x01, 0x80, 0xff, file[index], file[index] ^ b'9'] {
            damaged[index] = file[index] ^ change;
            let _ = read(&damaged);
        }
        damaged[index] = file[index];
    }
}

#[test]
fn no_damage_is_a_panic() {
    damage_everywhere("a.npz", NUMPY_STORED);
    damage_everywhere("a.npz", NUMPY_DEFLATED);
    let metadata = [("lambda_w", "[5e-4]"), ("lambda_h", "1e-5"), ("bias", "unregularized")];
    damage_everywhere("a.safetensors", &safetensors_file(&small_network(), &metadata));
}
