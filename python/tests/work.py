"""What processes of the tests do; a module of its own, so that workers can import it."""

from __future__ import annotations

import functools
import os
import pathlib
import signal

import numpy as np

import neuralcollapse as nc

CLASSES, DIMENSION, DEPTH = 4, 12, 2
OPTIONS = {"all_metrics": True}


def predict():
    return functools.partial(
        nc.predict, depth=DEPTH, bias="unregularized", weight_decay=1e-2, feature_decay=1e-3, starts=0
    )


def samples():
    """Skewed classes in the order of their labels, so that parts of the data lack some of them."""
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(CLASSES), [700, 150, 90, 20])
    means = rng.normal(size=(CLASSES, DIMENSION))
    features = means[labels] + 0.2 * rng.normal(size=(len(labels), DIMENSION))
    return features, labels


def head():
    rng = np.random.default_rng(8)
    weights = [rng.normal(size=(DIMENSION, DIMENSION)), rng.normal(size=(CLASSES, DIMENSION))]
    return weights, rng.normal(size=CLASSES)


def single_machine():
    features, labels = samples()
    weights, bias = head()
    return nc.audit(features, labels, weights, bias, predict(), **OPTIONS)


def die_once(folder: str, name: str) -> None:
    """Kills this process the first time that it comes here under a name."""
    path = pathlib.Path(folder) / name
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def gloo_process(rank: int, world: int, store: str, results: str) -> None:
    """One of several processes; the last has no samples, the others shares of different sizes."""
    import json

    import torch.distributed
    from conftest import exact

    from neuralcollapse.torch import audit

    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    features, labels = samples()
    share = {0: slice(0, 640), 1: slice(640, None)}.get(rank, slice(0, 0))
    weights, bias = head()

    def batches():
        for first in range(0, len(labels[share]), 100):
            yield features[share][first : first + 100], labels[share][first : first + 100]

    found = audit(batches, weights, bias, predict(), **OPTIONS)
    pathlib.Path(results, f"{rank}.json").write_text(json.dumps(exact(found)))
    torch.distributed.destroy_process_group()
