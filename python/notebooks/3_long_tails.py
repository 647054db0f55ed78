# %% [markdown]
# # Long-tailed data: which classes collapse, and which weights prevent it
#
# Ten classes whose sizes fall from 500 to 5. Under the squared loss without a bias each class is on its own: it survives if it
# has more samples than a threshold that the decays set.

# %%
import numpy as np

import neuralcollapse as nc

counts = np.geomspace(500, 5, 10).astype(int)
decays = {"weight_decay": 5e-3, "feature_decay": 5e-3}
prediction = nc.predict(counts, **decays)
print(counts, "survive above", round(prediction.smallest_surviving_count, 1))
prediction

# %%
prediction.plot()

# %% [markdown]
# A class that has collapsed has zero weights and a zero mean, whatever the training does: no amount of optimization separates
# it. What if all decays were smaller? `collapse_factors` says at which factors classes vanish one after the other:

# %%
prediction.collapse_factors

# %%
gentler = nc.predict(counts, **{name: decay * prediction.largest_decay_factor * 0.99 for name, decay in decays.items()})
[row["collapsed"] for row in gentler.class_table()]

# %% [markdown]
# ## Cross-entropy and class weights
#
# Under cross-entropy with one layer the minimum is a convex program, which is solved with a certificate (`proof`). Here
# class weights $\omega_k \propto n_k^{-p}$, scaled to a mean weight of 1 over the samples, stand between the plain loss
# ($p=0$) and equal influence of the classes ($p=1$). The norm of its row of the classifier says how much is left of a class:

# %%
def weights_of(power):
    weights = counts.astype(float) ** -power
    return weights * counts.sum() / (weights * counts).sum()

found = {}
for power in (0.0, 0.5, 1.0):
    weighted = nc.predict(
        counts, loss="ce", class_weights=weights_of(power), weight_decay=5e-3, feature_decay=5e-3, bias="unregularized"
    )
    found[power] = [row["classifier_norm_squared"] for row in weighted.class_table()]
    print(f"p = {power}: {weighted.geometry}, {weighted.proof}, ‖w‖² from {found[power][0]:.3f} to {found[power][-1]:.3f}")

# %%
from neuralcollapse.plotting import figure

drawn, (axes,) = figure()
for power, norms in found.items():
    axes.plot(counts, norms, "o-", label=f"weights ∝ n^−{power}")
axes.set(xscale="log", xlabel="samples of the class", ylabel="‖w‖² of the class", title="cross-entropy, one layer")
axes.legend()
drawn

# %% [markdown]
# Without weights four of the small classes all but vanish. With $p=1$ all samples of a small class weigh so much that the
# *largest* class fades; half-way, $p=1/2$, every class keeps a good part of its norm.

# %% [markdown]
# ## The layer-peeled model
#
# With budgets for the norms instead of decays, all small classes end in one point once the classes are unequal enough
# (minority collapse, Fang et al. 2021):

# %%
for ratio in (1, 10, 100, 1000):
    peeled = nc.LayerPeeled([ratio * 10] * 3 + [10] * 7, weight_energy=1.0, feature_energy=1.0)
    print(f"{ratio}: {peeled.geometry}, minority collapsed: {peeled.minority_collapsed}")
