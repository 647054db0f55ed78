"""Whatever has numbers is measured as they are."""

import importlib

import numpy as np
import pytest
from conftest import network

import neuralcollapse as nc
from neuralcollapse import _arrays, errors


class WithArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


class WithDlpack:
    """Nothing but the exchange protocol."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_every_kind_of_array_gives_the_same_number():
    features, labels, _, _ = network([20, 30])
    expected = nc.nc1(features, labels)
    wide = np.zeros((100, 14))
    wide[::2, ::2] = features
    swapped = features.astype(features.dtype.newbyteorder())
    for other in (
        np.asfortranarray(features),
        wide[::2, ::2],
        swapped,
        features.tolist(),
        WithArray(features),
        WithDlpack(features),
        np.ma.asarray(features),
        memoryview(features),
    ):
        assert nc.nc1(other, labels) == expected, type(other)
    for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4"):
        assert nc.nc1(features, labels.astype(kind)) == expected
    assert nc.nc1(features, labels.tolist()) == expected
    half = features.astype(np.float16)
    assert nc.nc1(half, labels) == nc.nc1(half.astype(np.float32), labels)
    whole = (features * 100).astype(np.int32)
    assert nc.nc1(whole, labels) == nc.nc1(whole.astype(np.float64), labels)


def test_frozen_and_mapped_arrays(tmp_path):
    features, labels, _, _ = network([20, 30])
    expected = nc.nc1(features, labels)
    np.save(tmp_path / "features.npy", features)
    features.setflags(write=False)
    assert nc.nc1(features, labels) == expected
    assert nc.nc1(np.load(tmp_path / "features.npy", mmap_mode="r"), labels) == expected


def test_nothing_is_copied_that_need_not_be():
    for dtype in (np.float32, np.float64):
        array = np.ones((5, 3), dtype)
        assert _arrays.matrix(array, "features") is array
        assert np.shares_memory(_arrays.matrix(WithDlpack(array), "features"), array)
    labels = np.zeros(5, np.int64)
    assert _arrays.labels(labels, "labels") is labels


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    features, labels, weights, _ = network([20, 30])
    expected = nc.nc1(features, labels)
    tensor = torch.from_numpy(features)
    assert np.shares_memory(_arrays.matrix(tensor, "features"), features)
    assert nc.nc1(tensor.requires_grad_(), torch.from_numpy(labels)) == expected
    half = tensor.detach().to(torch.bfloat16)
    assert nc.nc1(half, labels) == nc.nc1(half.float(), labels)
    layers = torch.nn.ParameterList([torch.nn.Parameter(torch.from_numpy(weights[0]))])
    found = nc.audit(tensor, labels, layers)
    assert found.to_dict() == nc.audit(features, labels, weights).to_dict()
    assert found.to_dict() == nc.audit(features, labels, layers[0]).to_dict()


def test_jax_arrays():
    jax = pytest.importorskip("jax")
    features, labels, weights, bias = network([20, 30], bias=True)
    single = features.astype(np.float32)
    expected = nc.audit(single, labels, weights, bias).to_dict()
    array = jax.numpy.asarray(single)
    assert array.dtype == np.float32
    found = nc.audit(array, jax.numpy.asarray(labels), jax.numpy.asarray(weights[0]), jax.numpy.asarray(bias))
    assert found.nc1 == expected["nc1"]  # weights in single precision are others
    assert nc.audit(array, labels, weights, bias).to_dict() == expected
    # On the host nothing is copied: NumPy sees the memory of JAX, by either way in.
    seen = _arrays.matrix(array, "features")
    assert seen.dtype == np.float32 and np.shares_memory(seen, np.from_dlpack(array))
    assert np.shares_memory(_arrays.matrix(WithDlpack(array), "features"), np.from_dlpack(array))
    half = array.astype(jax.numpy.bfloat16)
    assert nc.nc1(half, labels) == nc.nc1(np.asarray(half).astype(np.float32), labels)
    # Where it is depends on the release.
    module = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    with module.enable_x64(True):
        double = jax.numpy.asarray(features)
        assert double.dtype == np.float64 and nc.nc1(double, labels) == nc.nc1(features, labels)
    layers = [jax.numpy.asarray(weights[0], np.float32)]
    assert nc.nc2(layers, nc.ClassMatrix.simplex_etf(2)) == nc.nc2(layers[0], nc.ClassMatrix.simplex_etf(2))


class OnDevice:
    """As CuPy's arrays: no conversion by itself, `get` copies to the host."""

    __cuda_array_interface__ = {"version": 3}

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __dlpack__(self, **keywords):
        raise BufferError("in the memory of a device")

    def get(self):
        return self.array


def test_arrays_on_a_device_are_copied_to_the_host():
    features, labels, weights, bias = network([20, 30], bias=True)
    expected = nc.audit(features, labels, weights, bias).to_dict()
    found = nc.audit(OnDevice(features), OnDevice(labels), [OnDevice(weights[0])], OnDevice(bias))
    assert found.to_dict() == expected
    assert nc.audit(features, labels, OnDevice(weights[0]), bias).to_dict() == expected


class Unreachable:
    """Nothing but the exchange protocol, from a device that NumPy does not know."""

    def __dlpack__(self, **keywords):
        raise BufferError("in the memory of a device")

    def __dlpack_device__(self):
        return (2, 0)


def test_what_cannot_be_read_is_refused():
    _, labels, _, _ = network([20, 30])
    masked = np.ma.masked_array(np.ones((50, 2)), mask=np.eye(50, 2))
    for data in (Unreachable(), masked, object(), [[1.0], [2.0, 3.0]]):
        with pytest.raises(errors.ArgumentError) as caught:
            nc.nc1(data, labels)
        assert caught.value.argument == "features"


def test_weights_in_every_form():
    features, labels, weights, _ = network([20, 30])
    expected = nc.audit(features, labels, weights).to_dict()
    for other in (weights[0], weights[0].tolist(), tuple(weights), [weights[0].tolist()], iter(weights)):
        if hasattr(other, "__next__"):
            other = list(other)
        assert nc.audit(features, labels, other).to_dict() == expected


def test_single_precision_stays_single():
    features, labels, weights, _ = network([200, 300], dimension=20)
    single = features.astype(np.float32)
    found = nc.audit(single, labels, weights)
    exact = nc.audit(single.astype(np.float64), labels, weights)
    assert found.nc1 == pytest.approx(exact.nc1, rel=1e-5)
    first = nc.FirstPass(20, 2)
    first.add(single, labels)
    sums = nc.AuditSums(first, weights)  # of double precision: widened exactly
    sums.add(single, labels)
    assert sums.audit().nc1 == exact.nc1
