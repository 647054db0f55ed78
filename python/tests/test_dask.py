"""A Dask cluster of several processes."""

import functools

import numpy as np
import pytest
import work
from conftest import assert_same, exact

import neuralcollapse as nc
from neuralcollapse import errors

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")


@pytest.fixture(scope="module")
def cluster():
    settings = {"distributed.scheduler.allowed-failures": 5, "distributed.worker.daemon": False}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as made,
        distributed.Client(made) as client,
    ):
        client.upload_file(work.__file__)
        yield client


@pytest.mark.parametrize(
    "chunks", [(960,), (1, 600, 0, 200, 159), (480, 480)], ids=["one", "skewed and empty", "halves"]
)
def test_arrays(cluster, chunks):
    from neuralcollapse import dask as on_dask

    features, labels = work.samples()
    weights, bias = work.head()
    rows = da.from_array(features, chunks=(chunks, (5, 7)))
    found = on_dask.audit(rows, da.from_array(labels, chunks=37), weights, bias, work.predict(), **work.OPTIONS)
    assert_same(exact(found), exact(work.single_machine()), 1e-12)
    assert found.counts.tolist() == [700, 150, 90, 20]


def test_lengths_that_are_not_known(cluster):
    from neuralcollapse import dask as on_dask

    features, labels = work.samples()
    weights, bias = work.head()
    rows, targets = da.from_array(features, chunks=(200, -1)), da.from_array(labels, chunks=200)
    kept = (targets != 3) | (rows[:, 0] > -100)  # all, but Dask cannot know
    found = on_dask.audit(rows[kept], targets[kept], weights, bias, work.predict(), **work.OPTIONS)
    assert_same(exact(found), exact(work.single_machine()), 1e-12)


def load(folder, first, last):
    work.die_once(folder, str(first))
    features, labels = work.samples()
    return features[first:last], labels[first:last]


def test_a_worker_that_dies(cluster, tmp_path):
    """Two tasks kill their worker the first time; they and what was lost are done again."""
    from neuralcollapse import dask as on_dask

    weights, bias = work.head()
    places = [0, 100, 100, 500, 800, 960]
    pieces = []
    for first, last in zip(places, places[1:], strict=False):
        dying = first in (100, 800)
        made = dask.delayed(load if dying else functools.partial(part), nout=2)
        pieces.append(made(str(tmp_path), first, last))
    found = on_dask.audit(pieces, None, weights, bias, work.predict(), **work.OPTIONS)
    assert {path.name for path in tmp_path.iterdir()} == {"100", "800"}
    assert_same(exact(found), exact(work.single_machine()), 1e-12)


def part(folder, first, last):
    features, labels = work.samples()
    return features[first:last], labels[first:last]


def test_bags_and_single_precision():
    """On Dask's own threads, without a cluster."""
    from dask import bag

    from neuralcollapse import dask as on_dask

    features, labels = work.samples()
    weights, bias = work.head()
    pairs = bag.from_sequence(list(zip(features, labels, strict=True)), npartitions=5).filter(lambda pair: pair[1] < 9)
    with dask.config.set(scheduler="threads"):
        found = on_dask.audit(pairs, None, weights, bias, work.predict(), **work.OPTIONS)
        assert_same(exact(found), exact(work.single_machine()), 1e-12)
        rows = da.from_array(features.astype(np.float32), chunks=(300, 12))
        single = on_dask.audit(rows, labels, weights, bias)
        expected = nc.audit(features.astype(np.float32), labels, weights, bias)
        assert single.nc1 == pytest.approx(expected.nc1, rel=1e-6)
        for bad, targets in ((rows[:, 0], labels), (rows, None), (pairs, labels), ([], None)):
            with pytest.raises(errors.ArgumentError):
                on_dask.audit(bad, targets, weights, bias)
