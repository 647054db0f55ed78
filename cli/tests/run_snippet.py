"""Runs the Python of README.md and audits what it writes: python run_snippet.py PROGRAM (needs PyTorch)."""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from torch import nn

program = pathlib.Path(sys.argv[1]).resolve()
readme = pathlib.Path(__file__).parents[2] / "README.md"
(snippet,) = [block for block in readme.read_text().split("```python\n")[1:] if "def save_for_audit" in block]
code = snippet.split("```")[0]

torch.manual_seed(0)
inputs, targets = torch.randn(60, 8), torch.arange(60) % 3
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), batch_size=16, shuffle=True)


class Network(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 6), nn.ReLU())
        self.fc = head

    def forward(self, batch):
        return self.fc(self.body(batch))


with tempfile.TemporaryDirectory() as folder:
    for head, layers in [
        (nn.Linear(6, 3), 1),
        (nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 3)), 2),
    ]:
        model = Network(head)
        exec(code, {"model": model, "loader": loader, "__name__": "snippet"})
        network = pathlib.Path("network.pt").resolve()
        network = network.rename(pathlib.Path(folder) / network.name)
        printed = subprocess.run([program, "audit", network, "--json"], check=True, capture_output=True, text=True)
        audit = json.loads(printed.stdout)
        assert len(audit["nc2"]) == layers, audit
        assert audit["loss_function"] == "cross_entropy", audit
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(inputs), targets).double()
            hidden = model.body(inputs)
            loss += 5e-4 / 2 * sum(w.square().sum() for n, w in head.named_parameters() if n.endswith("weight"))
            loss += 1e-5 / 2 * hidden.square().sum()
        assert abs(audit["loss"] - loss.item()) < 1e-5 * loss.item(), (audit["loss"], loss)
        assert [entry["count"] for entry in audit["classes"]] == [20, 20, 20], audit
print("the snippet writes what an audit needs")
