"""Measures what moves between the machines of an audit: the tables of distributed.md.

    python docs/traffic.py            the sizes of what is pickled
    python docs/traffic.py --cluster  what the workers of a Dask cluster of two processes sent
"""

from __future__ import annotations

import functools
import pickle
import sys
import time

import numpy as np

import neuralcollapse as nc

SIZES = [("CIFAR-10, ResNet-18", 512, 10), ("CIFAR-100, ResNet-50", 2048, 100), ("ImageNet, ResNet-50", 2048, 1000),
         ("next token, small model", 768, 4000)]
SAMPLES_A_CLASS = 2


def megabytes(value: object) -> float:
    return len(pickle.dumps(value)) / 1e6


def sizes() -> None:
    print("| | d | K | dK numbers | first pass | shared | part | part with balance | merge of two first passes |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, d, k in SIZES:
        rng = np.random.default_rng(0)
        labels = np.tile(np.arange(k), SAMPLES_A_CLASS)
        features = rng.normal(size=(len(labels), d)).astype(np.float32)
        weights = rng.normal(size=(k, d))
        first = nc.FirstPass(d, k)
        first.add(features, labels)
        predict = functools.partial(nc.predict, bias=None, weight_decay=1e-2, feature_decay=1e-4, loss="ce")
        prediction = predict(first.counts)
        parts = []
        for balance in (False, True):
            sums = nc.AuditSums(first, weights, None, prediction, balance=balance, dtype="float32")
            shared = megabytes(sums)
            sums.add(features, labels)
            parts.append(megabytes(sums.part()))
            del sums
        other = pickle.loads(pickle.dumps(first))
        start = time.perf_counter()
        other.merge(first)
        merge = time.perf_counter() - start
        print(
            f"| {name} | {d} | {k} | {8 * d * k / 1e6:.2f} MB | {megabytes(first):.2f} MB | {shared:.2f} MB | "
            f"{parts[0]:.2f} MB | {parts[1]:.2f} MB | {1000 * merge:.1f} ms |",
            flush=True,
        )


def received() -> int:
    """Bytes that this machine's loopback interface has received: all that its processes sent each other."""
    with open("/proc/net/dev") as file:
        (line,) = (line for line in file if line.strip().startswith("lo:"))
    return int(line.split()[1])


def cluster() -> None:
    import dask
    import dask.array as da
    from distributed import Client, LocalCluster

    from neuralcollapse import dask as on_dask

    d, k, n = 2048, 100, 20_000
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as made,
        Client(made),
    ):
        rng = np.random.default_rng(0)
        labels = da.from_array(rng.permutation(np.arange(n) % k), chunks=n // 8)
        rows = da.random.default_rng(0).normal(size=(n, d), chunks=(n // 8, d)).astype("float32")
        rows, labels = dask.persist(rows, labels)
        weights = rng.normal(size=(k, d))
        predict = functools.partial(nc.predict, weight_decay=1e-2, feature_decay=1e-4, loss="ce")
        for balance in (False, True):
            time.sleep(1)
            before = received()
            on_dask.audit(rows, labels, weights, None, predict, balance=balance)
            print(
                f"d = {d}, K = {k}, {n * d * 4 / 1e6:.0f} MB of features in 8 partitions on 2 workers, "
                f"balance={balance}: {(received() - before) / 1e6:.1f} MB over the network"
            )


if __name__ == "__main__":
    cluster() if "--cluster" in sys.argv else sizes()
