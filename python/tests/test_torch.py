import csv
import json

import numpy as np
import pytest
from conftest import DATA, assert_same, program, read_safetensors

import neuralcollapse as nc
from neuralcollapse import errors

torch = pytest.importorskip("torch")
nn = torch.nn


def model_and_data(depth=1, bias=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    layers = [nn.Linear(5, 8, bias=False) for _ in range(1)]
    middle = [nn.Linear(8, 8, bias=False) for _ in range(depth - 1)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.BatchNorm1d(8), *middle, nn.Dropout(0.5), nn.Linear(8, 3, bias=bias))
    labels = torch.arange(3).repeat_interleave(torch.tensor([30, 20, 10]))
    inputs = torch.randn(60, 5, generator=generator) + labels[:, None]
    return model, inputs, labels


@pytest.mark.parametrize("depth", [1, 3])
def test_the_head_of_a_model(depth):
    model, _, _ = model_and_data(depth)
    head = nc.from_torch(model)
    assert len(head.weights) == depth and head.classes == 3 and head.widths == [8] * depth
    np.testing.assert_array_equal(head.weights[-1], model[-1].weight.detach().numpy())
    np.testing.assert_array_equal(head.bias, model[-1].bias.detach().numpy())
    assert nc.from_torch(model, head.names[-1]).names == (head.names[-1],)
    assert nc.from_torch(model[-1]).names == ("",)


def test_heads_that_are_none():
    model, _, _ = model_and_data()
    with pytest.raises(errors.ArgumentError, match="ReLU"):
        nc.from_torch(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    with pytest.raises(errors.ArgumentError, match="not in the model"):
        nc.from_torch(model, "fc")
    with pytest.raises(errors.ArgumentError, match="but must be a torch"):
        nc.from_torch(model, "1")
    affine = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    assert nc.from_torch(affine).names == ("1",)  # the layer below has a bias: it is no part of the linear head
    with pytest.raises(errors.ArgumentError, match="has a bias"):
        nc.from_torch(affine, ["0", "1"])


def test_what_may_hide_between_layers_is_not_taken_for_linear():
    """A forward pass may have an activation that is no module; inside of Sequential it cannot."""

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4, bias=False)
            self.second = nn.Linear(4, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    assert nc.from_torch(Hidden()).names == ("second",)
    assert nc.from_torch(Hidden(), ["first", "second"]).names == ("first", "second")  # as was asked for
    nested = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 2)), nn.Identity())
    assert nc.from_torch(nested).names == ("1.0", "1.1")


def test_decays_of_optimizers():
    from neuralcollapse.torch import decays_of

    model, _, _ = model_and_data(2)
    head, rest = [model[-1].bias], [p for p in model.parameters() if p is not model[-1].bias]
    groups = [{"params": rest, "weight_decay": 3e-4}, {"params": head, "weight_decay": 0.0}]
    for kind in (torch.optim.SGD, torch.optim.Adam):
        decays = decays_of(kind(groups, lr=0.1), model)
        assert decays.weight_decay == [3e-4, 3e-4] and decays.bias_decay == 0.0
    with pytest.raises(errors.ArgumentError, match="apart from the gradient"):
        decays_of(torch.optim.AdamW(groups, lr=0.1), model)
    with pytest.raises(errors.ArgumentError, match="not known to add"):
        decays_of(torch.optim.Rprop(model.parameters()), model)
    with pytest.raises(errors.ArgumentError, match="does not train"):
        decays_of(torch.optim.SGD(model[0].parameters(), lr=0.1), model)


def features_of(model, inputs):
    """What enters the last layer, by hand."""
    training = model.training
    model.eval()
    with torch.no_grad():
        features = model[:-1](inputs)
    model.train(training)
    return features


@pytest.mark.parametrize("whole", [True, False])
def test_the_tracker_measures_what_audit_does(whole, tmp_path):
    model, inputs, labels = model_and_data()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-2)
    tracker = nc.Tracker(model, optimizer=optimizer, feature_decay=1e-3, loss="mse", bias_decay=0, batch_size=7)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=11, shuffle=True)
    found = tracker.update((inputs, labels) if whole else loader, validation=0.5)
    assert model.training and model[2].training and len(model[-1]._forward_pre_hooks) == 0
    head = nc.from_torch(model)
    decays = {"weight_decay": 1e-2, "feature_decay": 1e-3}
    prediction = nc.predict([30, 20, 10], bias="unregularized", widths=[8], **decays)
    expected = nc.audit(features_of(model, inputs), labels, head.weights, head.bias, prediction)
    for name in ("nc1", "nc3", "nc4", "accuracy", "loss", "gradient_norm", "loss_optimum"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5), name
    tracker.update((inputs, labels), epoch=7)
    tracker.update((inputs, labels))
    assert [row["epoch"] for row in tracker.rows] == [0, 7, 8] and tracker.rows[0]["validation"] == 0.5
    tracker.to_csv(tmp_path / "rows.csv")
    tracker.to_json_lines(tmp_path / "rows.jsonl")
    with open(tmp_path / "rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    for line, row, audit in zip(lines, tracker.rows, tracker.audits, strict=True):
        assert line.pop("nc2") == audit.nc2 and {**line, "nc2_1": audit.nc2[0]} == row
    assert rows[0]["verdict"] == found.verdict_text
    weights = model[-1].weight.detach().double().numpy()
    assert tracker.rows[0]["nc0"] == pytest.approx((weights.sum(axis=0) ** 2).sum() / 3)
    assert float(rows[1]["nc1"]) == tracker.rows[1]["nc1"] and rows[1]["validation"] == ""
    with pytest.raises(errors.ArgumentError):
        tracker.update((inputs, labels), nc1=3.0)
    assert "epochs=3" in repr(tracker)


def test_what_is_not_known_is_not_guessed():
    model, inputs, labels = model_and_data()
    audit = nc.Tracker(model, weight_decay=1e-2, loss="ce").update((inputs, labels))
    assert audit.prediction is None and audit.no_prediction == "feature_decay is not given"
    audit = nc.Tracker(model).update((inputs, labels))
    assert "weight_decay and feature_decay and loss are not given" in audit.no_prediction
    deep, inputs, labels = model_and_data(2, bias=True)
    tracker = nc.Tracker(deep, weight_decay=1e-2, feature_decay=1e-3, bias_decay=1e-3, loss="mse", starts=0)
    assert "no closed form" in tracker.update((inputs, labels)).no_prediction


def test_deep_heads_have_a_column_for_every_layer():
    model, inputs, labels = model_and_data(3)
    tracker = nc.Tracker(model, weight_decay=1e-2, feature_decay=1e-3, loss="ce", starts=0, all_metrics=True)
    audit = tracker.update((inputs, labels))
    row = tracker.rows[0]
    assert [row["nc2_1"], row["nc2_2"], row["nc2_3"]] == audit.nc2
    assert row["self_duality"] == audit.metrics["self_duality"] and row["cdnv"] == audit.metrics["cdnv"]["mean"]


def test_tokens_are_samples():
    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(6, 4)
            self.head = nn.Linear(4, 6, bias=False)

        def forward(self, tokens):
            return self.head(self.embed(tokens))

    torch.manual_seed(0)
    model = Language()
    tokens = torch.arange(6).repeat(5, 2)
    audit = nc.Tracker(model, "head").measure((tokens, tokens.roll(1, 1)))
    assert audit.counts.tolist() == [10] * 6


def test_a_layer_that_is_called_twice_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 3)

        def forward(self, x):
            return self.fc(x) + self.fc(-x)

    _, inputs, labels = model_and_data()
    with pytest.raises(errors.ArgumentError, match="called 2 times"):
        nc.Tracker(Twice(), "fc").update((inputs, labels))
    with pytest.raises(errors.ArgumentError, match="pairs of inputs"):
        nc.Tracker(nn.Linear(5, 3)).update([inputs])


def test_rows_are_those_of_the_program(tmp_path):
    """The columns of `audit --trajectory` but for the file and its fingerprint, with the same numbers."""
    name = DATA / "digits_m1.safetensors"
    tensors = read_safetensors(name)
    model = torch.nn.Linear(64, 10, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(tensors["classifier.1.weight"].copy()))
    tracker = nc.Tracker(model, weight_decay=1e-4, feature_decay=1e-4, loss="mse", all_metrics=True)
    tracker.update((torch.from_numpy(tensors["features"].copy()), torch.from_numpy(tensors["labels"].copy())), epoch=1)
    tracker.to_json_lines(tmp_path / "rows.jsonl")
    found = json.loads((tmp_path / "rows.jsonl").read_text())
    expected = program("audit", "--trajectory", str(name))
    assert set(expected) - set(found) == {"file", "fingerprint"} and set(found) <= set(expected)
    assert_same(found, {key: expected[key] for key in found}, 1e-7)
    tracker.to_csv(tmp_path / "rows.csv")
    header = (tmp_path / "rows.csv").read_text().splitlines()[0].split(",")
    assert header == [key if key != "nc2" else "nc2_1" for key in expected if key not in ("file", "fingerprint")]
