# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Simulation: five effects, twenty-five batches
#
# **On simulated screens where the truth is known, InfoCORE recovers the drug effect far better than CLIP and holds less of the experimental batch; a well-tempered CCL does as well.**

# %% tags=["colab", "hide-input"]
import subprocess
import sys

if "google.colab" in sys.modules:
    _package = "infocore-mini[experiments] @ git+https://github.com/infocore-mini/infocore-mini"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", _package], check=True)

# %% [markdown]
# **Aim.** Reproduce the paper's simulation study (its section 3.1, Figures 3 and 4, Table 6) over many draws of the data, and find out what the conclusion rests on.
#
# **You need.** [Start here](00_start_here) for the idea; the [derivation](01_derivation) only if you want the mathematics.
#
# **Time.** 20 minutes to read, about 3 minutes to run on two CPU cores. All data on this page are *simulated*.
#
# The first block below can be changed, in the notebook or from outside:
# `papermill notebooks/02_simulation.ipynb out.ipynb -p ALPHA 0.5 -p SEED 3`.

# %% tags=["parameters"]
SEED = 0  # first draw; draw s is generated and trained with seed s
PROFILE = "quick"  # "paper": twice the draws
OUTPUT_DIR = "output"
METHOD = "all"  # "all", or one of "clip", "ccl", "infocore" to hold against CLIP
N_DRAWS = 20
# stated by the paper
ALPHA = 0.09
GRADIENT_SCALE = 0.1
# left open by the paper: the generator ...
NOISE = 0.5
ACTIVATION = "relu"
GENERATOR_WIDTH = 30
# ... and the training
TEMPERATURE = 1.0
LEARNING_RATE = 0.003
MINIBATCH_SIZE = 64
EPOCHS = 120
CLASSIFIER_STEPS = 2

# %% tags=["hide-input"]
from typing import Literal

import pandas as pd

from infocore_mini.experiments.notebook import check_parameters
from infocore_mini.experiments.results import save_results
from infocore_mini.experiments.simulation import figures, report
from infocore_mini.experiments.simulation import run as experiment
from infocore_mini.parameters import Count, Method
from infocore_mini.simulate.study import simulation_study

chosen = check_parameters(
    globals(),
    METHOD=Literal["all", Method],
    N_DRAWS=Count,
    **experiment.GENERATOR_PARAMETERS,
    **experiment.TRAINING_PARAMETERS,
)

# %% [markdown]
# ## Theory: a screen in miniature
#
# A simulated drug has one of five **effects** and was run in one of 25 **experimental batches**.
# Each effect and each batch is a random vector of ten numbers; a third vector of ten is noise of the sample itself.
# The 30 numbers go through two different random networks: one gives what we call the drug's structure $X_d$, the other its screen readout $X_g$, ten numbers each.
#
# $$
# \begin{aligned}
# X_d &= \mathrm{MLP}_d\big([\,\text{effect},\ \text{batch},\ \sigma\,\varepsilon\,]\big), \\
# X_g &= \mathrm{MLP}_g\big([\,\text{effect},\ \text{batch},\ \sigma\,\varepsilon\,]\big), \qquad \varepsilon \sim \mathcal{N}(0, I_{10}).
# \end{aligned}
# $$ (eq-simulation)
#
# So the two views share the effect, and they share the batch.
# A contrastive encoder that may keep only a direction in the plane (a point on the unit circle) must choose which of the two to tell.
# For telling 1,250 pairs apart, 25 batches are worth more than five effects: $\log 25 > \log 5$.
# CLIP is paid for either; InfoCORE is paid for the effect alone.
#
# We follow {cite:t}`wang2024infocore` wherever they say what they did: 1,250 samples, 50 a batch, half held out, encoders with three layers of width 128, two-dimensional embeddings, $\alpha = 0.09$ and $\lambda = 0.1$.
# They do not say the spread $\sigma$ of the noise, the width and activation of the generator, the temperature, the optimiser, the minibatch size or how the batch classifiers are trained.
# Those are the parameters above, and the last part of this page moves each of them.
#
# ## Practice
#
# ### Fix the data first, looking at no contrastive method
#
# With $\sigma = 1$, the literal reading of the paper, even an encoder that is *given* the effect labels cannot put them into two dimensions well; the task would then measure noise.
# Our rule, fixed before any method was compared: take the largest of $\sigma = 0.25, 0.5, 1$ at which a supervised two-dimensional encoder reaches 85 to 95 % on held-out samples, mean of both views.

# %% tags=["hide-input"]
ceilings = experiment.ceilings(
    experiment.TUNING_DRAWS, noises=(0.25, 0.5, 1.0), activation=ACTIVATION, generator_width=GENERATOR_WIDTH
)
figures.ceilings(ceilings, low=85, high=95)

# %% [markdown]
# *Simulated data, eight draws that are not reported on. Each dot is the mean held-out accuracy of a supervised two-dimensional encoder, with its 95 % interval; the grey band is the rule.*
#
# That fixes $\sigma = 0.5$.
# The training settings were then chosen on draws 1000 to 1007, for a high effect and a low batch accuracy of InfoCORE, and everything reported below is on draws from `SEED` on.
# They were not tuned for CLIP or CCL, whose runs on the same eight draws we did see; the sweeps at the end show how all three do elsewhere.

# %% [markdown]
# ### One draw, as the paper shows it

# %% tags=["hide-input"]
methods = list(experiment.METHODS) if METHOD == "all" else list(dict.fromkeys(["clip", METHOD]))
generator = {name.lower(): chosen[name] for name in experiment.GENERATOR_PARAMETERS}
settings = {name.lower(): chosen[name] for name in experiment.TRAINING_PARAMETERS}
study = simulation_study(SEED, **generator)
models = {method: experiment.train_on(study, experiment.config_of(method, SEED, settings)) for method in methods}

# %%
held_out = study.held_out
z_screen = {method: model.embed_screen(study.screen[held_out]) for method, model in models.items()}
figures.embedding_rings(z_screen, study.effect[held_out], study.batch_id[held_out])

# %% [markdown]
# *Simulated data. Embeddings $Z_g$ of the 625 held-out screens of one draw. They lie on the unit circle; points are spread outwards at random only to be seen, so read the angle. Top: the five effects. Bottom: the 25 batches.*
#
# And the drug's side:

# %%
z_drug = {method: model.embed_drug(study.drug[held_out]) for method, model in models.items()}
figures.embedding_rings(z_drug, study.effect[held_out], study.batch_id[held_out])

# %% [markdown]
# *Simulated data. Embeddings $Z_d$ of the held-out drugs of the same draw.*
#
# ### Many draws, since one proves nothing
#
# Between draws the effect accuracy of one method moves by ten points and more, so the comparison below repeats everything, data included, and pairs the methods draw by draw.
# Three questions are asked of the held-out embeddings:
#
# - **Linear probe**: how well does a linear classifier read the effect (more is better; chance 20 %) and the batch (less is better; chance 4 %)? Five-fold cross-validation.
# - **KNN purity**: within a batch, how many of a sample's nearest neighbours in the input are still its neighbours in the embedding?
# - **Entropy of batch mixing**: how evenly are the batches spread among a sample's neighbours? At most $\log k$ for $k$ neighbours.

# %%
draws = range(SEED, SEED + N_DRAWS * (2 if PROFILE == "paper" else 1))
frame = experiment.run(draws, methods, generator=generator, settings=settings)
report.summary(frame).round(1)

# %% [markdown]
# *Simulated data. Means over the draws in percent; `_ci95` is half of the 95 % interval.*

# %%
paper = report.paper_accuracies()
figures.accuracies(frame, paper)

# %% [markdown]
# *Simulated data. Each dot is a draw, bars are means with their 95 % interval; dashed: the one draw printed in the paper's Table 6; dotted: chance.*

# %%
figures.neighbourhoods(frame)

# %% [markdown]
# *Simulated data. KNN purity and entropy of batch mixing against the number of neighbours (the right-hand panels of the paper's Figures 3 and 4), mean and 95 % interval over draws.*
#
# ## What the paper reports, beside what we got
#
# Differences are paired by draw, in percentage points; the interval is a 95 % $t$-interval over draws.

# %%
pairs = [(method, base) for base in ("clip", "ccl") for method in methods[1:] if method != base and base in methods]
differences = pd.DataFrame([report.paired_difference(frame, *pair) for pair in pairs])
differences.round(1)

# %%
ours = report.summary(frame)[["effect", "batch"]].stack()
table6 = pd.DataFrame({(v, m): row for m, views in paper.items() for v, row in views.items()}).T.stack()
pd.DataFrame({"paper, 1 draw": table6, f"ours, {len(draws)} draws": ours.round(1)}).loc[["screen", "drug"]].dropna()

# %% [markdown]
# The claim in numbers, each a statement that a rerun can contradict:

# %% tags=["nbval-check-output"]
claims = report.claims(frame) if "infocore" in methods else {}
pd.DataFrame({"holds": claims})

# %% [markdown]
# ## What the conclusion rests on
#
# The paper leaves choices open, so we move them one at a time, everything else at its default.
# This takes half an hour on two cores, so it is done once, by `python -m infocore_mini.experiments simulation`, and stored with its provenance in `data/results/simulation.json`; here we only read it.
#
# First the temperature, because it decides the story about CCL:

# %%
stored = report.stored_rows()
figures.sweeps({name: report.sweep(stored, name) for name in ("temperature", "noise", "learning_rate")})

# %% [markdown]
# *Simulated data, stored results: 8 draws a value, mean and 95 % interval; screen side $Z_g$; dotted: chance.*

# %%
by_temperature = report.sweep(stored, "temperature")
pd.DataFrame(
    {
        value: report.paired_difference(rows, "infocore", "ccl")[["effect", "effect_low", "effect_high"]]
        for value, rows in by_temperature.groupby("temperature")
    }
).T.rename_axis("temperature").round(1)

# %% [markdown]
# *InfoCORE minus CCL in effect accuracy, percentage points, paired by draw (stored results, 8 draws).*

# %%
figures.sweeps(
    {name: report.sweep(stored, name) for name in ("minibatch_size", "epochs", "activation", "generator_width")}
)

# %% [markdown]
# *Simulated data, stored results, as above.*
#
# And the choices that only InfoCORE has.
# At $\alpha = 1$ its weights no longer differ between candidates; what is left, at $\lambda > 0$, is CLIP with a pressure on every embedding to hide its own batch from the classifier.

# %%
figures.sweeps({name: report.sweep(stored, name) for name in ("alpha", "gradient_scale", "classifier_steps")})

# %% [markdown]
# *Simulated data, stored results, as above.*
#
# Was CLIP only badly tuned?
# For each variant, InfoCORE's lead over CLIP at the same setting; the five smallest:

# %% tags=["nbval-check-output"]
both = [rows for _, rows in stored.groupby("variant") if {"clip", "infocore"} <= set(rows.method)]
leads = {rows.variant.iloc[0]: report.paired_difference(rows, "infocore", "clip") for rows in both}
columns = ["effect", "effect_low", "effect_high", "batch", "batch_lower", "draws"]
pd.DataFrame(leads).T.nsmallest(5, "effect")[columns].round(2)

# %% [markdown]
# And the default once more, on all stored draws:

# %% tags=["nbval-check-output"]
default = stored[stored.variant == "default"]
one_batch = stored[stored.variant == "sampling=one_batch"].assign(method="ccl, one batch a minibatch")
report.summary(pd.concat([default, one_batch])).round(1)

# %% [markdown]
# *Stored results on 40 draws at the default. The last kind of CCL draws each minibatch from one experimental batch, so that every anchor has 24 negatives instead of one or two: the fairest CCL we know how to give.*

# %% tags=["hide-input"]
path = save_results(
    "02_simulation",
    chosen,
    {
        "accuracies": frame.round(4).to_dict("list"),
        "differences": differences.round(2).to_dict("index"),
        "claims": claims,
    },
    output_dir=OUTPUT_DIR,
)
path.name

# %% [markdown]
# ## Discussion
#
# **What holds.** In every one of the stored draws InfoCORE's screen embedding holds less of the batch than CLIP's, and it reads the effect better by a margin whose interval stays far from zero.
# That is the paper's main claim on this experiment, and it survives repeating the experiment.
#
# **What does not.** The paper's CCL does hardly better than CLIP at the effect and is blamed for having few negatives.
# We find that only at a low temperature.
# At the temperatures where all methods do best, CCL reads the effect as well as InfoCORE and hides the batch as well: look at the interval of InfoCORE minus CCL above.
# With 25 batches of 25 training samples, a handful of negatives from the same batch is enough to learn five effects.
# This simulation therefore cannot show the weakness of CCL that the paper argues for, batches too small to contrast in; a screen with a thousand batches can.
#
# **What the paper does not say.** The spread of the noise moves InfoCORE and CCL by more points than the methods differ, and the generator's activation and width, the temperature and the learning rate each move all three.
# With a generator and a training schedule left open, absolute numbers mean little and only the comparison within one setting counts; there the mean lead over CLIP keeps its sign at every value that we tried, though at the two lowest temperatures its interval includes zero.
# InfoCORE's own dials matter less: any $\alpha$ well below 1 will do, and so will one classifier step or five.
#
# **Limits.** The embedding has two dimensions on purpose, so that something must be dropped; with more, less is at stake.
# The probes are linear: a batch that is hidden from a line may still be there for a network.
#
# ## Exercises
#
# ::::{exercise}
# :label: ex-literal-noise
#
# Rerun the notebook with `NOISE = 1.0`, the literal reading of the paper (six draws will do).
# Which statements of the list of claims still hold, and what does the supervised ceiling say about those that fail?
# ::::
#
# ::::{solution} ex-literal-noise
# :class: dropdown
#
# `papermill notebooks/02_simulation.ipynb noise1.ipynb -p NOISE 1.0 -p N_DRAWS 6`.
# The comparison with CLIP keeps its direction, but 70 % effect accuracy is out of reach: an encoder that sees the labels hardly gets there.
# ::::
#
# ::::{exercise}
# :label: ex-ccl-cold
#
# Set `METHOD = "ccl"` and `TEMPERATURE = 0.05`.
# Look at the rings of several seeds: what has happened on the draws where CCL fails?
# ::::
#
# ::::{solution} ex-ccl-cold
# :class: dropdown
#
# At a low temperature the loss looks only at the nearest candidates, and a minibatch of 64 holds one or two of the anchor's own batch.
# Two effects that start on the same arc are then seldom compared, and training ends with both there: the accuracy over draws has two humps, not one wide one.
# Drawing each minibatch from one experimental batch helps.
# ::::
#
# ## Takeaways
#
# - One draw of this simulation proves nothing: repeat it, pair by draw, give an interval.
# - Against CLIP the claim of the paper stands; a lead over CCL shows only in the means at low temperature, with intervals that include zero.
# - Fix the data by a rule that looks at no method, choose settings on draws that you do not report, and show what the settings do.
#
# In this notebook we have simulated a screen whose effects and batches are known, fixed its difficulty with a supervised encoder, compared three methods on many draws, and moved each choice that the paper leaves open.
#
# ## References
#
# The experiment: {cite:t}`wang2024infocore`, section 3.1 and appendices H and I; the metrics: {cite:t}`xu2021mixing`; the baselines: {cite:t}`radford2021clip`, {cite:t}`ma2021ccl`.
