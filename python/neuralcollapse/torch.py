"""From PyTorch: the linear head and the decays of a model, audits while it trains, and audits on several machines.

PyTorch is needed for what is in this module only.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from . import _arrays, _rates
from ._audit import PredictionLike, number_of_classes, resolved
from ._core import Audit, AuditSums, FirstPass, Prediction, nc0, predict
from .errors import ArgumentError

__all__ = ["Decays", "Head", "Tracker", "audit", "decays_of", "from_torch"]


@dataclass(frozen=True)
class Head:
    """The linear layers at the end of a network, from the features to the output.

    ``weights`` are arrays (outputs, inputs), ``bias`` is (K,) or None, ``names`` are those of the modules.
    """

    weights: list[npt.NDArray[Any]]
    bias: npt.NDArray[Any] | None
    names: tuple[str, ...]

    @property
    def classes(self) -> int:
        """K, the number of outputs."""
        return int(self.weights[-1].shape[0])

    @property
    def widths(self) -> list[int]:
        """d_1, …, d_M, the inputs of each layer."""
        return [int(weight.shape[1]) for weight in self.weights]


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return np.asarray(tensor.cpu())


def _linear_layers(module: torch.nn.Module, layer: str | Sequence[str] | None) -> list[tuple[str, torch.nn.Linear]]:
    modules = dict(module.named_modules())
    if layer is not None:
        names = [layer] if isinstance(layer, str) else list(layer)
        layers: list[tuple[str, torch.nn.Linear]] = []
        for name in names:
            part = modules.get(name)
            if not isinstance(part, torch.nn.Linear):
                found = "not in the model" if part is None else type(part).__name__
                message = f"`layer` '{name}' is {found}, but must be a torch.nn.Linear"
                raise ArgumentError(message, argument="layer", expected="the name of a torch.nn.Linear")
            layers.append((name, part))
        return layers
    if isinstance(module, torch.nn.Linear):
        return [("", module)]
    # What has parts is not itself a step of the forward pass.
    steps = [(name, part) for name, part in modules.items() if name and not list(part.children())]
    while steps and isinstance(steps[-1][1], _PASSIVE):
        steps.pop()
    name, last = steps[-1] if steps else ("", module)
    if not isinstance(last, torch.nn.Linear):
        message = (
            f"`module` ends in '{name}', {type(last).__name__}, which is not a torch.nn.Linear: give the name of the "
            "classifier as `layer`"
        )
        raise ArgumentError(message, argument="module", expected="a torch.nn.Linear at its end, or `layer`")
    return [*_linear_before(modules, name, last), (name, last)]


#: Modules that are the identity in evaluation mode.
_PASSIVE = (torch.nn.Identity, torch.nn.Dropout)


def _linear_before(
    modules: dict[str, torch.nn.Module], name: str, last: torch.nn.Linear
) -> list[tuple[str, torch.nn.Linear]]:
    """The linear layers without a bias right before the last one, in the ``torch.nn.Sequential`` that it is in: anywhere
    else the forward pass may do something between two layers that no module shows."""
    parent, _, own = name.rpartition(".")
    container = modules[parent]
    head: list[tuple[str, torch.nn.Linear]] = []
    if not isinstance(container, torch.nn.Sequential):
        return head
    inputs = last.in_features
    names = [child for child, _ in container.named_children()]
    for child in reversed(names[: names.index(own)]):
        part = container.get_submodule(child)
        if isinstance(part, _PASSIVE):
            continue
        # A bias in between makes the layers affine, not linear.
        if not isinstance(part, torch.nn.Linear) or part.bias is not None or part.out_features != inputs:
            break
        inputs = part.in_features
        head.insert(0, (f"{parent}.{child}" if parent else child, part))
    return head


def from_torch(module: torch.nn.Module, layer: str | Sequence[str] | None = None) -> Head:
    """The linear head of a model: weights and bias of its last linear layers.

    Without ``layer`` it is the module that was defined last, which must be a ``torch.nn.Linear``, and, if that is in a
    ``torch.nn.Sequential``, the linear layers without a bias right before it there (identities and dropout aside). With
    ``layer`` they are those of the given names, first to last. Raises ArgumentError where there is no such head.
    """
    layers = _linear_layers(module, layer)
    inner = [name for name, part in layers[:-1] if part.bias is not None]
    if inner:
        message = f"`layer` '{inner[0]}' has a bias, but only the last layer may: the others must be linear"
        raise ArgumentError(message, argument="layer", expected="layers without a bias before the last")
    last = layers[-1][1]
    bias = None if last.bias is None else _array(last.bias)
    return Head([_array(part.weight) for _, part in layers], bias, tuple(name for name, _ in layers))


@dataclass(frozen=True)
class Decays:
    """Weight decays as an optimizer has them: λ_1, …, λ_M, and λ_b (0 if it has none, None without a bias)."""

    weight_decay: list[float]
    bias_decay: float | None


def decays_of(
    optimizer: torch.optim.Optimizer, module: torch.nn.Module, layer: str | Sequence[str] | None = None
) -> Decays:
    """The weight decays of the head's layers from the optimizer's groups of parameters.

    SGD and Adam add λW to the gradient, so that λ is the decay of the objective. AdamW and relatives shrink weights
    apart from the gradient, which is the decay of no objective: they are refused (ArgumentError), as is what is unknown.
    """
    name = type(optimizer).__name__
    decoupled = any(group.get("decoupled_weight_decay", False) for group in optimizer.param_groups)
    coupled = isinstance(optimizer, (torch.optim.SGD, torch.optim.Adam)) and not isinstance(
        optimizer, torch.optim.AdamW
    )
    if decoupled or not coupled:
        reason = (
            "shrinks the weights apart from the gradient, by the learning rate times the decay: what it ends in is the "
            "minimum of no objective with these decays"
            if decoupled or "W" in name
            else "is not known to add the decay times the weights to the gradient"
        )
        message = f"`optimizer` is {name}, which {reason}; give weight_decay and feature_decay yourself"
        raise ArgumentError(message, argument="optimizer", expected="torch.optim.SGD or torch.optim.Adam")
    decays = {
        id(parameter): float(group["weight_decay"]) for group in optimizer.param_groups for parameter in group["params"]
    }

    def decay(parameter: torch.Tensor, what: str) -> float:
        if id(parameter) not in decays:
            message = f"`optimizer` does not train {what}"
            raise ArgumentError(message, argument="optimizer", expected="an optimizer of the head's parameters")
        return decays[id(parameter)]

    layers = _linear_layers(module, layer)
    weights = [decay(part.weight, f"the weights of '{name}'") for name, part in layers]
    last = layers[-1][1]
    bias = None if last.bias is None else decay(last.bias, f"the bias of '{layers[-1][0]}'")
    return Decays(weights, bias)


class _Loader(Protocol):
    def __iter__(self) -> Iterator[Any]: ...


def _batches(data: _Loader | tuple[object, object], batch_size: int) -> Iterable[tuple[Any, Any]]:
    """Pairs of inputs and labels, from a DataLoader or from whole arrays."""
    if isinstance(data, tuple) and len(data) == 2:
        inputs, labels = (torch.as_tensor(part) for part in data)
        for first in range(0, len(labels), batch_size):
            yield inputs[first : first + batch_size], labels[first : first + batch_size]
        return
    for batch in data:
        if not isinstance(batch, (list, tuple)) or len(batch) < 2:
            message = f"`data` gives {type(batch).__name__}, but must give pairs of inputs and labels"
            raise ArgumentError(message, argument="data", expected="batches (inputs, labels)")
        yield batch[0], batch[1]


class Tracker:
    """Audits of a model while it trains: one row an epoch.

    Parameters
    ----------
    model : the torch module
    layer : name of its classifier, or names of its last linear layers from the features on; found by
        :func:`from_torch` if it is not given
    weight_decay, feature_decay, bias_decay, loss : of the training objective, for the prediction; the decays of the
        layers are taken from ``optimizer`` if it is given. ``bias_decay`` 0 or None is a bias without a penalty. A
        feature_decay that is not known is not guessed: without it there is no prediction, and rows have distances to
        the frames that need none
    optimizer : SGD or Adam (see :func:`decays_of`)
    all_metrics, balance : as in :func:`neuralcollapse.audit`
    batch_size : of arrays that are given whole
    **options : further arguments of :func:`neuralcollapse.predict`

    After an epoch call ``tracker.update(loader)`` with the training set: it runs the model twice over it, in evaluation
    mode and without gradients, on the device of its parameters, and keeps two numbers for each class and feature.
    Samples may come in any order, but must be the same in both runs (an augmentation at random makes them others).

    ``tracker.rows`` is a list of dictionaries for ``pandas.DataFrame``, with the columns of the program's
    ``audit --trajectory``; ``to_csv`` and ``to_json_lines`` write them as it does, and ``plot`` draws them.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        layer: str | Sequence[str] | None = None,
        *,
        weight_decay: float | Sequence[float] | None = None,
        feature_decay: float | None = None,
        bias_decay: float | None = None,
        loss: str | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        all_metrics: bool = False,
        balance: bool = True,
        batch_size: int = 1024,
        **options: Any,
    ) -> None:
        self._model = model
        self._layer = layer
        self._layers = _linear_layers(model, layer)
        from_torch(model, layer)  # refuses what is not linear now rather than after the first epoch
        if optimizer is not None and weight_decay is None:
            decays = decays_of(optimizer, model, layer)
            weight_decay = decays.weight_decay
            bias_decay = decays.bias_decay if bias_decay is None else bias_decay
        self._weight_decay = weight_decay
        self._feature_decay = feature_decay
        self._bias_decay = bias_decay
        self._loss = loss
        self._options = options
        self._audit_options: dict[str, Any] = {"all_metrics": all_metrics, "balance": balance}
        self._batch_size = batch_size
        self._predictions: dict[tuple[int, ...], tuple[Prediction | None, str | None]] = {}
        self.rows: list[dict[str, Any]] = []
        self.audits: list[Audit] = []

    def _features(self, data: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """What enters the first layer of the head, batch by batch."""
        device = next(self._model.parameters()).device
        caught: list[torch.Tensor] = []
        first = self._layers[0][1]
        hook = first.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].detach()))
        modes = {module: module.training for module in self._model.modules()}
        self._model.eval()
        try:
            for inputs, labels in _batches(data, self._batch_size):
                caught.clear()
                with torch.no_grad():
                    self._model(inputs.to(device) if isinstance(inputs, torch.Tensor) else inputs)
                if len(caught) != 1:
                    message = f"`layer` was called {len(caught)} times for one batch, but must be once"
                    raise ArgumentError(message, argument="layer", expected="a layer that is called once")
                features = caught[0]
                # Several positions of a sample, such as tokens, are samples of their own.
                yield features.reshape(-1, features.shape[-1]), torch.as_tensor(labels).reshape(-1)
        finally:
            hook.remove()
            for module, mode in modes.items():
                module.training = mode

    def _prediction(self, first_pass: FirstPass, head: Head) -> tuple[Prediction | None, str | None]:
        """The prediction for these class counts, or why there is none; made once."""
        known = {"weight_decay": self._weight_decay, "feature_decay": self._feature_decay, "loss": self._loss}
        missing = [name for name, value in known.items() if value is None]
        if missing:
            return None, f"{' and '.join(missing)} are not given" if missing[1:] else f"{missing[0]} is not given"
        key = tuple(int(count) for count in first_pass.counts)
        if key not in self._predictions:
            bias: str | float | None = None
            if head.bias is not None:
                bias = self._bias_decay or "unregularized"
            depth = None if isinstance(self._weight_decay, Sequence) else len(head.weights)
            options = {**known, "depth": depth, "bias": bias, "widths": head.widths, **self._options}
            self._predictions[key] = resolved(lambda counts: predict(counts, **options), first_pass)
        return self._predictions[key]

    def measure(self, data: Any) -> Audit:
        """The audit of the model as it is, without a row for it."""
        head = from_torch(self._model, self._layer)
        first_pass = FirstPass(head.widths[0], head.classes)
        dtype = "float64"
        for features, labels in self._features(data):
            dtype = "float64" if features.dtype == torch.float64 else "float32"
            first_pass.add(features, labels)
        model, reason = self._prediction(first_pass, head)
        sums = AuditSums(first_pass, head.weights, head.bias, model, dtype=dtype, **self._audit_options)
        for features, labels in self._features(data):
            sums.add(features, labels)
        return sums.audit(model, reason)

    def update(self, data: Any, epoch: int | None = None, **values: float) -> Audit:
        """Measure the model on its training set, and add a row: ``epoch`` (default: the last one plus one), the numbers of
        the audit, and ``values`` of your own, such as a validation accuracy.

        ``data`` is a DataLoader of (inputs, labels), or the pair of whole arrays.
        """
        audit = self.measure(data)
        if epoch is None:
            epoch = int(self.rows[-1]["epoch"]) + 1 if self.rows else 0
        row = row_of(audit, from_torch(self._model, self._layer), epoch)
        clash = set(values) & set(row)
        if clash:
            name = min(clash)
            raise ArgumentError(f"`{name}` is a column of its own already", argument=name)
        self.rows.append({**row, **values})
        self.audits.append(audit)
        return audit

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all rows as CSV; what is not determined is empty."""
        names: dict[str, None] = {}
        for row in self.rows:
            names.update(dict.fromkeys(row))
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(names))
            writer.writeheader()
            writer.writerows(self.rows)

    def to_json_lines(self, path: str | os.PathLike[str]) -> None:
        """Write all rows as JSON, one object a line, with ``nc2`` as a list; what is not determined is null."""
        with open(path, "w", encoding="utf-8") as file:
            for row, audit in zip(self.rows, self.audits, strict=True):
                plain = {name: value for name, value in row.items() if not name.startswith("nc2_")}
                file.write(json.dumps({**plain, "nc2": audit.nc2}) + "\n")

    def rates(self, step: float | None = None) -> list[dict[str, Any]]:
        """Rates ρ of e^(−ρt) per epoch, one dictionary each: name, predicted (:meth:`Prediction.rates` of the last epoch, and
        the logistic law of singular values), and fitted to the second half of the rows; None where there is none.

        ``step`` is the sum of the step sizes of an epoch, such as the learning rate times the number of batches; without it
        there are no predicted rates. They are those of plain gradient descent with coupled weight decay.
        """
        return _rates.table(self.audits[-1].prediction if self.audits else None, self.rows, step)

    def plot(self, step: float | None = None) -> Any:
        """Draw the figures of the program's report of a training with matplotlib: metrics, decisions, loss and gradient, the
        distance to the nearest minimizer and singular values over the epochs; returns its figure.

        With ``step``, the sum of the step sizes of an epoch, lines of the predicted rates and the logistic law are drawn too
        (:meth:`rates`).
        """
        from . import plotting

        return plotting.tracker(self, step)

    def __repr__(self) -> str:
        last = f", last={self.audits[-1]!r}" if self.audits else ""
        return f"Tracker(epochs={len(self.rows)}{last})"


def row_of(audit: Audit, head: Head, epoch: int) -> dict[str, Any]:
    """The numbers of an audit as one row, with the columns of ``neural-collapse audit --trajectory``."""
    metrics = audit.metrics or {}
    row: dict[str, Any] = {
        "epoch": epoch,
        "nc0": nc0(head.weights),
        "nc1": audit.nc1,
        "nc1_resolved": audit.nc1_resolved,
    }
    if metrics:
        row["nc1_trace_quotient"] = metrics["nc1_trace_quotient"]["center_samples"]
        row["cdnv"] = (metrics["cdnv"] or {}).get("mean")
    row.update({f"nc2_{m}": value for m, value in enumerate(audit.nc2, start=1)})
    row.update(nc3=audit.nc3, nc3_centered=audit.nc3_centered)
    if metrics:
        row["self_duality"] = metrics["self_duality"]
    for name in ("nc4", "accuracy", "loss", "loss_optimum", "loss_gap_relative", "gradient_norm"):
        row[name] = getattr(audit, name)
    row["weight_distance"], row["feature_distance"] = audit.nearest_distance or (None, None)
    values = audit.singular_values(1, len(audit.weights))
    row["largest_singular_value"] = float(values[0])
    # With fewer features than classes the others are zero.
    row["smallest_singular_value"] = float(values[head.classes - 1]) if len(values) >= head.classes else 0.0
    row["verdict"] = audit.verdict_text
    return row


def _reduce(piece: Any, group: Any) -> list[Any]:
    """The pickled pieces of all processes, in the order of their ranks; each travels once to every process."""
    gathered: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(gathered, piece, group=group)
    return gathered


def audit(
    batches: Callable[[], Iterable[tuple[Any, Any]]],
    weights: object,
    bias: object = None,
    prediction: PredictionLike = None,
    *,
    group: Any = None,
    dtype: str = "float64",
    **options: Any,
) -> Audit:
    """Audit features that the processes of ``torch.distributed`` have between them; every process gets the audit.

    ``batches()`` gives this process's share as pairs (features, labels), the same both times it is called; it may be
    empty. ``weights``, ``bias`` and ``prediction`` are as in :func:`neuralcollapse.audit` and the same everywhere;
    ``dtype`` "float32" projects features of single precision in it. Without an initialised process group it is the
    audit of this process alone.

    Over the network go 2dK numbers of each process after the first pass, and about dK (with ``balance`` d²/2 more) after
    the second.
    """
    layers = _arrays.layers(weights)
    dimension = int(_arrays.double_matrix(layers[0], "weights").shape[1])
    first_pass = FirstPass(dimension, number_of_classes(weights))
    for features, labels in batches():
        first_pass.add(features, labels)
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if together:
        own, first_pass = first_pass, FirstPass(dimension, number_of_classes(weights))
        for piece in _reduce(own, group):
            first_pass.merge(piece)
    model, reason = resolved(prediction, first_pass)
    sums = AuditSums(first_pass, weights, bias, model, dtype=dtype, **options)
    for features, labels in batches():
        sums.add(features, labels)
    if together:
        whole = sums.empty()
        for piece in _reduce(sums.part(), group):
            whole.merge(piece)
        sums = whole
    return sums.audit(model, reason)
