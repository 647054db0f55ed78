//! Files that are not read: what they are, and how to convert them.

use std::path::Path;

use super::super::error::Problem;

/// The bytes at the start of a file that [`recognize`] looks at.
pub(crate) const START: u64 = 512;

/// What a file of PyTorch is converted with.
const SAVE_STATE_DICT: &str = "convert it where its code is at hand: python -c \"import torch; m = \
     torch.load('IN.pt', weights_only=False); torch.save(getattr(m, 'state_dict', lambda: m)(), 'OUT.pt')\"";

/// What Keras and HDF5 files are converted with.
const SAVE_ARRAYS: &str = "convert it: python -c \"import h5py, numpy as np; a = {}; h5py.File('IN.h5') \
     .visititems(lambda n, x: a.update({n: x[()]}) if hasattr(x, 'dtype') else None); np.savez('OUT.npz', **a)\" \
     and give --transposed for Keras's kernels";

/// The error for a format that is known but not read, by the first bytes of the file.
pub(crate) fn recognize(start: &[u8], path: &Path) -> Option<Problem> {
    let foreign = |what, remedy: &str| Some(Problem::Foreign { what, remedy: remedy.into() });
    match start {
        [b'\x89', b'H', b'D', b'F', ..] => foreign("an HDF5 file (Keras, MATLAB 7.3)", SAVE_ARRAYS),
        // The first pickle of the format before PyTorch 1.6 is this number.
        [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, ..] => {
            foreign("a file of torch.save in the format before PyTorch 1.6", SAVE_STATE_DICT)
        }
        // A safetensors file with a header of 640 bytes more than a multiple of 65536 starts alike, but for `{`.
        [0x80, 2..=5, ..] if start.get(8) != Some(&b'{') => foreign(
            "a Python pickle, which could run any code when it is read",
            "write its arrays with numpy.savez or safetensors.numpy.save_file instead",
        ),
        [0x1f, 0x8b, ..] => foreign("compressed with gzip", "unpack it with gunzip"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            foreign("compressed with bzip2", "unpack it with bunzip2")
        }
        [b'M', b'A', b'T', b'L', b'A', b'B', b' ', ..] => foreign(
            "a MATLAB file",
            "convert it: python -c \"import numpy as np, scipy.io as s; np.savez('OUT.npz', **{k: v for k, v in \
             s.loadmat('IN.mat').items() if k[0] != '_'})\"",
        ),
        _ if start.get(257..262) == Some(b"ustar") => foreign(
            "a tar archive",
            "unpack it, or convert it as torch.load reads it to torch.save",
        ),
        [b'{', ..] => foreign(
            "a JSON file, but not an index of a sharded checkpoint (it has no `weight_map`)",
            "give files of arrays, or the checkpoint's *.index.json",
        ),
        _ => {
            let name = path.extension()?.to_string_lossy().to_lowercase();
            ["csv", "txt", "tsv"].contains(&name.as_str()).then(|| Problem::Foreign {
                what: "a text file",
                remedy: "write its numbers with numpy.save or numpy.savez: python -c \"import numpy as np; \
                         np.save('OUT.npy', np.loadtxt('IN.csv', delimiter=','))\""
                    .into(),
            })
        }
    }
}

/// The error for zip archives that are not read, by the names in them.
pub(crate) fn recognize_zip(names: &[impl AsRef<str>]) -> Option<Problem> {
    let mut names = names.iter().map(AsRef::as_ref);
    if names.clone().any(|name| name.ends_with(".weights.h5")) {
        return Some(Problem::Foreign {
            what: "a Keras file",
            remedy: "write its weights with NumPy: python -c \"import keras, numpy as np; m = \
                     keras.models.load_model('IN.keras'); np.savez('OUT.npz', **{w.path: w.numpy() for w in \
                     m.weights})\", and give --transposed for its kernels"
                .into(),
        });
    }
    // TorchScript has the same table of tensors and code beside it.
    let is_script = names.any(|name| name.ends_with("/constants.pkl"));
    is_script.then(|| Problem::Foreign {
        what: "a TorchScript module",
        remedy: "save its tensors: python -c \"import torch; \
                 torch.save(torch.jit.load('IN.pt').state_dict(), 'OUT.pt')\""
            .into(),
    })
}
