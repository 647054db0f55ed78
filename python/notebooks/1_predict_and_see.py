# %% [markdown]
# # Predict, and see
#
# Where does training with weight decay end? For linear layers after free features (the *unconstrained features model*) the
# lowest point is known exactly. Four classes of 200, 100, 50 and 50 samples, three linear layers, every weight decay
# $5\cdot 10^{-4}$, squared loss:

# %%
import numpy as np

import neuralcollapse as nc

prediction = nc.predict([200, 100, 50, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4)
prediction

# %% [markdown]
# Class means and classifier are at right angles (a *general orthogonal frame*), and longer or shorter with the size of the
# class:

# %%
prediction.plot()

# %% [markdown]
# Matrices that attain the minimum stand in for a trained network. Everything that is measured on them is zero up to
# rounding errors:

# %%
point = prediction.explicit(seed=0)
nc.audit(point["features"], point["labels"], point["weights"], prediction=prediction)

# %% [markdown]
# ## What decides
#
# Each direction of the targets is a minimization of one variable, $g(x) = 1/(x^M+1) + b x$ with $b = M a/\sigma^2$. Below the
# threshold $\beta_M = M\tau_M$ its minimizer is positive, and the direction survives:

# %%
potential = nc.Potential(3)
[(b, potential.minimizer(b)["x"]) for b in (0.1, 0.3, 0.999 * potential.slope_threshold, 1.001 * potential.slope_threshold)]

# %%
from neuralcollapse.plotting import figure

drawn, (axes,) = figure()
x = np.linspace(0, 3, 400)
for b in (0.2, potential.slope_threshold, 0.8):
    axes.plot(x, potential.values(x, b), label=f"b = {b:.3f}")
axes.set(xlabel="x", ylabel="g(x)", title=f"depth 3: threshold {potential.slope_threshold:.4f}")
axes.legend()
drawn

# %% [markdown]
# ## Balanced classes, bias, cross-entropy
#
# With a bias the shared part of the targets costs nothing, and what is left is a simplex equiangular tight frame: all angles
# equal and as large as possible. Under cross-entropy with one layer it is the same figure; with more layers structures of
# lower rank have a lower loss, and `proof` says what is known of them:

# %%
decays = {"weight_decay": 1e-3, "feature_decay": 1e-3}
for keywords in (
    {"loss": "mse"},
    {"loss": "mse", "bias": "unregularized"},
    {"loss": "ce"},
    {"loss": "ce", "depth": 3},
):
    found = nc.predict([100] * 8, **decays, **keywords)
    print(f"{keywords}: {found.geometry}, loss {found.loss:.6f}, {found.proof}")
