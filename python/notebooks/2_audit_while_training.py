# %% [markdown]
# # Audit a network while it trains
#
# An MLP on the 8×8 digits of scikit-learn, trained with SGD whose weight decay is that of the objective. `Tracker` runs the
# model over the training set after an epoch and lays NC1 to NC4 and the loss beside the prediction.
#
# The theory has a penalty $\lambda_H/2\,\|H\|^2$ of the features. Here it is part of the training loss, so that the prediction
# is for exactly what is minimized; usual training has none, and then no `feature_decay` is known (`Tracker` does not guess
# one).

# %%
import numpy as np
import torch
from sklearn.datasets import load_digits

import neuralcollapse as nc

torch.manual_seed(0)
torch.set_num_threads(1)  # the model is small
images, digits = load_digits(return_X_y=True)
chosen = np.concatenate([np.flatnonzero(digits == k)[:100] for k in range(10)])
inputs = torch.tensor(images[chosen] / 16, dtype=torch.float32)
labels = torch.tensor(digits[chosen])
weight_decay, feature_decay = 1e-2, 1e-4  # λ_W, λ_H

body = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64))
model = torch.nn.Sequential(body, torch.nn.Linear(64, 10))
nc.from_torch(model).names, [weight.shape for weight in nc.from_torch(model).weights]

# %% [markdown]
# The weights of the head get the decay of the objective, its bias and the layers below none:

# %%
groups = [{"params": [model[1].weight], "weight_decay": weight_decay}, {"params": [model[1].bias, *body.parameters()]}]
optimizer = torch.optim.SGD(groups, lr=0.3, momentum=0.9)
tracker = nc.Tracker(model, optimizer=optimizer, feature_decay=feature_decay, loss="ce")
tracker.update((inputs, labels), epoch=0)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
for epoch in range(1, 1001):
    features = body(inputs)
    loss = torch.nn.functional.cross_entropy(model[1](features), labels)
    loss = loss + feature_decay / 2 * features.square().sum()  # the decay of the weights is the optimizer's
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if epoch % 50 == 0:
        tracker.update((inputs, labels), epoch=epoch)
tracker.audits[-1]

# %%
tracker.plot()

# %%
tracker.audits[-1].plot()

# %% [markdown]
# The network comes close to the predicted figure and loss, but not all the way: an MLP of this size cannot give each class one
# point, so that NC1 does not vanish, and the loss stays a few percent above the minimum for features that are free.
#
# The rows are plain dictionaries:

# %%
import pandas

pandas.DataFrame(tracker.rows)[["epoch", "nc0", "nc1", "nc2_1", "nc3", "nc4", "accuracy", "loss", "loss_optimum"]].iloc[::4]

# %%
tracker.audits[-1].verdict_text

# %% [markdown]
# AdamW shrinks weights apart from the gradient. What it ends in is the minimum of no objective with these decays, and so it
# is refused rather than compared with one:

# %%
try:
    nc.Tracker(model, optimizer=torch.optim.AdamW(model.parameters(), weight_decay=1e-2), loss="ce")
except ValueError as error:
    print(error)
