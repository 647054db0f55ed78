"""Writes the .pt files of the tests with PyTorch itself: python make_pt.py (torch 2.x).

The features, labels and weights are those of make_npz.py, whatever way they are stored.
"""

import collections

import torch
from torch import nn

torch.manual_seed(0)

features = torch.arange(12, dtype=torch.float64).reshape(4, 3) / 8 - 0.5
labels = torch.tensor([0, 1, 1, 0])
first = torch.tensor([[1.0, -2.0, 0.5], [0.25, 4.0, -8.0]], dtype=torch.float64)
second = torch.tensor([[3.0, 0.125], [-1.5, 2.0]], dtype=torch.float64)
bias = torch.tensor([0.5, -0.5])

# A linear head as PyTorch has it: a state dict is an OrderedDict with an attribute, `_metadata`.
head = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2))
with torch.no_grad():
    head[0].weight.copy_(first)
    head[1].weight.copy_(second)
    head[1].bias.copy_(bias)
network = nn.ModuleDict({"classifier": head})
torch.save(network.state_dict(), "state_dict.pt")

# A training script's checkpoint: the state dict below a key, the optimiser's state beside it, plain numbers.
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=5e-4)
network["classifier"](features.float()).square().sum().backward()
optimizer.zero_grad()
for parameter in network.parameters():
    parameter.grad = torch.zeros_like(parameter)
optimizer.step()  # a step of zero: only so that there is a state
with torch.no_grad():
    head[0].weight.copy_(first)
    head[1].weight.copy_(second)
    head[1].bias.copy_(bias)
torch.save(
    {
        "epoch": 90,
        "arch": "linear",
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lambda_w": [5e-4, 5e-4],
        "lambda_h": 1e-5,
        "loss_function": "mse",
    },
    "checkpoint.pt",
)

# Everything in one file, in other types and layouts: a transposed view, a slice of a larger storage, a
# parameter, half precision, and two names for the same tensor.
wide = torch.full((6, 5), 77.0, dtype=torch.float64)
wide[1:5, 1:4] = features
torch.save(
    {
        "features": wide[1:5, 1:4],
        "labels": torch.tensor([9, 0, 1, 1, 0, 9], dtype=torch.uint8)[1:5],
        "classifier": collections.OrderedDict(
            [
                ("1.weight", nn.Parameter(first.half().t().contiguous().t())),
                ("2.weight", second.bfloat16()),
                ("bias", bias),
            ]
        ),
        "same": {"labels": labels, "again": labels},
    },
    "views.pt",
    pickle_protocol=4,
)

# Single tensors: named by their files.
torch.save(features.float(), "features.pt")
torch.save(labels.reshape(4, 1).to(torch.uint16), "labels.pt")

# What is refused: the format before version 1.6, a pickled module, an expanded view.
torch.save({"features": features}, "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(head, "module.pt")
torch.save({"features": torch.zeros(1, 1).expand(1000, 1000)}, "expanded.pt")
