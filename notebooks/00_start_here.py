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
# # Start here: the screen remembers its batch
#
# **A drug screen records what a molecule does to cells and which experimental batch it was run in; an embedding trained on it keeps both, and InfoCORE weights the comparisons that it learns from, so that knowing the batch helps it less to tell the right pair from the wrong ones.**

# %% [markdown]
# :::{admonition} Before you start
# :class: start
# **Aim.** See what goes wrong, why, and what {cite:t}`wang2024infocore` do about it; then run it on a table of your own.
#
# **You need.** A little Python. No knowledge of contrastive learning.
#
# **Time.** Ten minutes to read, under a minute to run. All data on this page are *simulated*.
# :::

# %% mystnb={"code_prompt_hide": "Hide what Colab installs", "code_prompt_show": "Show what Colab installs"} tags=["colab", "hide-input"]
import importlib.metadata
import subprocess
import sys

if "google.colab" in sys.modules:
    _address = "https://github.com/infocore-mini/infocore-mini"
    _package = f"infocore-mini[experiments] @ git+{_address}"
    _names = ("numpy", "pandas", "torch")
    _before = [importlib.metadata.version(name) for name in _names]
    _pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.run([*_pip, _package], check=True)
    for _name, _old in zip(_names, _before):
        if (_new := importlib.metadata.version(_name)) != _old:
            print(f"{_name} {_old} became {_new}. Restart the session")
            print("(Runtime menu), then go on below this cell.")

# %% tags=["parameters"]
SEED = 0
PROFILE = "quick"  # "paper": twice the training
OUTPUT_DIR = "output"
ALPHA = 0.09  # InfoCORE's one dial, from 0 to 1

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown

from infocore_mini import CCL, CLIP, InfoCORE
from infocore_mini.evaluate.mixing import linear_probe
from infocore_mini.experiments.notebook import captioned, check_parameters
from infocore_mini.experiments.results import save_results
from infocore_mini.experiments.start import figures as start
from infocore_mini.experiments.start import report, schematics
from infocore_mini.losses import reweighted_info_nce
from infocore_mini.parameters import Fraction
from infocore_mini.simulate.study import simulation_study

chosen = check_parameters(globals(), ALPHA=Fraction)

# %% [markdown]
# ## What goes wrong
#
# You have screened a library: for each drug a readout, say the expression of a thousand genes or the shape of the cells.
# Now you want the drugs that *act alike*, so you look for readouts that *look alike*.
#
# But nobody screens a library in a day.
# It is cut into experimental batches: other plates, other weeks, other hands, other lots of medium.
# Each leaves its mark on everything measured in it, so the readouts that look most alike are often those that were measured together.
#
# Learning does not cure this by itself.
# A contrastive model such as **CLIP** {cite:p}`radford2021clip` trains two encoders until each drug finds its own readout among many.
# Any feature that both sides share helps it in that search.
# The mechanism of the drug is such a feature.
# So is the batch, wherever drugs are not spread evenly over batches (one week kinase inhibitors, the next natural products).
#
# ## In one picture
#
# To see this we need to know the truth, so we simulate.
# Each of 1,250 drugs has one of five effects and was run in one of 25 batches; the drug's features and its readout carry traces of both, and noise.
# Half of the drugs train the encoders, the other half are the ones we look at.

# %%
study = simulation_study(SEED)
train, held_out = study.train, study.held_out
settings = {"embedding_dim": 16, "temperature": 1.0, "learning_rate": 3e-3}
settings |= {"seed": SEED, "epochs": {"quick": 30, "paper": 60}[PROFILE]}
models = {
    "CLIP": CLIP(**settings),
    "CCL": CCL(**settings),
    "InfoCORE": InfoCORE(**settings, alpha=ALPHA),
}
drug, screen, batch_id = study.drug, study.screen, study.batch_id
for model in models.values():
    model.fit(drug[train], screen[train], batch_id=batch_id[train])

# %% [markdown]
# No model is told the effects.
# CLIP ignores the batch labels; InfoCORE uses them, and so does CCL.
# We take each held-out screen and ask the embedding for its ten nearest neighbours: which of them would you follow up?

# %% mystnb={"image": {"alt": "Two tables of coloured squares, one for CLIP and one for InfoCORE. A row is a held-out screen, a column one of its ten nearest neighbours. The bars above give the shares over all screens: InfoCORE has more squares of the same effect from another batch and fewer from the same batch."}}
screen, effect, batch_id = (
    study.screen[held_out],
    study.effect[held_out],
    study.batch_id[held_out],
)
embeddings = {name: model.embed_screen(screen) for name, model in models.items()}
kinds = {
    name: start.neighbour_kinds(embeddings[name], effect, batch_id)
    for name in ("CLIP", "InfoCORE")
}
start.neighbour_tables(kinds)

# %% [markdown]
# *Simulated data. Each row is a held-out screen, each square one of its ten nearest neighbours: blue is a find (same effect, another batch), orange comes from the screen's own batch, grey is neither. The bars give the shares over all 625 held-out screens; the squares show the first twenty of them.*
#
# An orange square is no find even when its effect is right: the batch alone could have put it there.
# One screen in 25 is from the same batch, so chance would make 4 % of the squares orange.
#
# The same in numbers, with two more questions.
# How well can a linear classifier read the effect from the embedding (more is better), and how well the batch (less is better)?


# %%
def read(z):
    shares = np.bincount(
        start.neighbour_kinds(z, effect, batch_id).ravel(), minlength=3
    ) / (10 * len(z))
    return [*shares[:2], linear_probe(z, effect)[0], linear_probe(z, batch_id)[0]]


columns = ["finds", "same batch", "effect read", "batch read"]
rows = {"the readout itself": screen, **embeddings}
scores = pd.DataFrame({name: read(z) for name, z in rows.items()}, index=columns).T
scores.loc["chance"] = [1 / 5 * 24 / 25, 1 / 25, 1 / 5, 1 / 25]
captioned(
    (100 * scores).round(0).astype(int),
    "Held-out screens (simulated), percent: of the ten nearest neighbours those "
    "of the same effect from another batch (finds) and those of the same batch; "
    "effect and batch that a linear probe reads.",
)

# %% [markdown]
# *Simulated data. Percent, on held-out screens: the kinds of neighbours as in the picture, then the accuracy of the two classifiers (5-fold cross-validation). For the readout itself the classifier sees all ten numbers.*

# %% tags=["nbval-check-output"]
clip, ccl, infocore = (scores.loc[name] for name in models)
claims = {
    "more neighbours are finds than with CLIP": infocore["finds"] > clip["finds"],
    "fewer are from the same batch": infocore["same batch"] < clip["same batch"],
    "the effect is read better": infocore["effect read"] > clip["effect read"],
    "the batch is read less well": infocore["batch read"] < clip["batch read"],
    "the batch is gone (read in under 6 %)": infocore["batch read"] < 0.06,
    "more neighbours are finds than with CCL": infocore["finds"] > ccl["finds"],
}
claims = {claim: bool(holds) for claim, holds in claims.items()}
captioned(
    pd.Series(claims).to_frame("holds"),
    "What was claimed of InfoCORE, and whether it holds in this run.",
)

# %% [markdown]
# *InfoCORE on this draw.*

# %%
Markdown(report.what_this_draw_shows(scores, ALPHA))

# %% [markdown]
# CCL is a simpler remedy that we come to below.
# This is one draw of one simulation, and one draw proves nothing: change `SEED` and see.
# [Chapter 2](02_simulation) repeats the paper's experiment over many draws, with intervals.
#
# ## Why: a back door through the batch
#
# Draw an arrow from every cause to what it causes:

# %% mystnb={"image": {"alt": "Graph. The experimental batch X_b points to the drug X_d and to the screen X_g. The drug points to the screen; this arrow is what we want to learn. Dashed arrows, the encoders, lead from X_d to Z_d and from X_g to Z_g."}}
schematics.graphical_model()

# %% [markdown]
# *The graphical model (after Figure 2 of {cite:t}`wang2024infocore`). Filled: observed. Dashed: learned.*
#
# There are two ways from drug to readout.
# The straight one is biology.
# The other goes back from the drug to its batch and on to the readout, and whoever learns "what goes with what" learns the sum of both.
# The way to close it is to compare only within a batch: once $X_b$ is known, the back door carries nothing.
# In symbols, CLIP makes $I(Z_d; Z_g)$ large, the information that the embeddings share.
# What we want is $I(Z_d; Z_g \mid X_b)$, the information they share *given* the batch.
#
# ## What InfoCORE does
#
# The obvious remedy is to let each drug compete only with drugs of its own batch.
# That is **CCL**, conditional contrastive learning {cite:p}`ma2021ccl`, which stands in the table above.
# The objection of {cite:t}`wang2024infocore` is that a batch of a real screen may hold too few drugs to learn from.
# InfoCORE lets all drugs compete, and gives each a weight: the more a candidate looks as if it came from the anchor's batch, the more it counts.
#
# | | CLIP | CCL | InfoCORE |
# |---|:-:|:-:|:-:|
# | Leaves the batch out | no | yes | yes |
# | Has many negatives | yes | no | yes |
#
# *After the paper's Table 1 ({cite:t}`wang2024infocore`), which states the aims of the methods; how far each gets is measured in the chapters that follow.*
#
# - *Leaves the batch out*: CLIP gains by telling batches apart; CCL never compares across batches; InfoCORE makes such comparisons count less.
# - *Has many negatives*: CLIP and InfoCORE compare with every candidate at hand; CCL only with those of one batch, which may be a handful.
#
# "Looks as if" is a probability.
# Two small classifiers, trained alongside, guess the batch from an embedding: $\bar G_i$ from the screen's, $\bar D_j$ from the drug's.
# A toy with four pairs, two from batch A and two from batch B, fits on a page:


# %%
def unit(*degrees):
    angle = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angle.cos(), angle.sin()], dim=1)


drug, screens = unit(10.0, 75.0, 150.0, 270.0), unit(30.0, 60.0, 175.0, 250.0)
from_drug = torch.tensor(
    [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]]
)  # P(A), P(B)
from_screen = torch.tensor([[0.8, 0.2], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9]])
in_batch = torch.tensor([0, 0, 1, 1])

f = screens @ drug.T  # temperature 1
M = (
    ALPHA * from_screen.gather(1, in_batch[:, None])
    + (1 - ALPHA) * from_drug[:, in_batch].T
)

# %% mystnb={"image": {"alt": "Flow chart. Drugs and screens go through an encoder each and become embeddings. On the left their cosines form a four by four matrix f. On the right two batch classifiers turn the embeddings into a four by four matrix M of weights, large where anchor and candidate seem to be from the same batch. Both enter the loss: log of the sum over j of M_ij times e to the f_ij, minus f_ii."}}
schematics.how_it_works(f, M, ["A", "A", "B", "B"])

# %% [markdown]
# *How the loss is put together (after Figure 1 of {cite:t}`wang2024infocore`), shown for screens as anchors; drugs as anchors are the mirror image, and the two are averaged. Embeddings and probabilities of this toy are made up; the matrices are computed from them. Framed: the true pairs.*
#
# For screen $i$ from batch $B_i$, with $\tau$ the temperature and $f_{ij} = \cos(G_i, D_j)/\tau$,
#
# $$
# \begin{aligned}
# \mathrm{loss}_i &= \textstyle\log \sum_j M_{ij}\, e^{f_{ij}} - f_{ii}, \\
# M_{ij} &= \alpha\, \bar G_i[B_i] + (1 - \alpha)\, \bar D_j[B_i].
# \end{aligned}
# $$ (eq-start)
#
# Put all $M_{ij} = 1$ and this is CLIP; put 1 for the same batch and 0 for another and it is CCL.
# InfoCORE stands between the two, and the classifiers decide how far.
# The dial $\alpha$ says whose classifier counts: the anchor's answer is the same for every candidate, so at $\alpha = 1$ no candidate counts more than another and it is CLIP again.
# (The paper has a second dial, $\lambda$, for a gradient through the classifiers; on this page it is 0, as for the paper's drug screens, so that the weights are all there is.)
# That {eq}`eq-start` is a lower bound on the information we want, and what it takes to hold, is [chapter 1](01_derivation).
# The library's function agrees with the formula:

# %% tags=["nbval-check-output"]
loss = (M * f.exp()).sum(1).log() - f.diag()
library = reweighted_info_nce(
    f, torch.arange(4), in_batch, from_screen.log(), from_drug.log(), alpha=ALPHA
)
bool(torch.allclose(loss, library))

# %% [markdown]
# ### Turn the dial
#
# What should the squares do as $\alpha$ goes from 0 to 1? Predict first, then step through (tap a value, or move with the arrow keys).

# %%
kinds_at = {ALPHA: kinds["InfoCORE"]}
for alpha in (0.0, 0.2, 0.4, 0.7, 1.0):
    other = InfoCORE(**settings, alpha=alpha)
    other.fit(
        study.drug[train], study.screen[train], batch_id=study.batch_id[train]
    )
    z = other.embed_screen(screen)
    kinds_at[alpha] = start.neighbour_kinds(z, effect, batch_id)
start.alpha_dial(kinds["CLIP"], dict(sorted(kinds_at.items())), first=ALPHA)

# %% [markdown]
# *Simulated data, the picture from above for six values of $\alpha$, each trained anew; on the left CLIP, which has none. At $\alpha = 1$ the loss is CLIP's and the squares are nearly: the classifiers are trained along, which draws other random numbers.*

# %% [markdown]
# ## Try it on your own screen
#
# You need three things, a row for each measured profile: features of the drug (fingerprint, Mol2vec, descriptors), the readout (as shifts against the controls of the same batch, if you have controls), and the batch.
# The batch may be any label: a plate, a date, an operator, a string that joins them.

# %%
X_drug, y_screen = study.drug.numpy(), study.screen.numpy()  # put your tables here
plate = np.array(
    [f"plate {code:02d}" for code in study.batch_id]
)  # and your labels here

model = InfoCORE(embedding_dim=16, temperature=1.0, alpha=ALPHA, epochs=5)
model.fit(X_drug[train], y_screen[train], batch_id=plate[train])
z_drug, z_screen = (
    model.embed_drug(X_drug[held_out]),
    model.embed_screen(y_screen[held_out]),
)
z_drug.shape, z_screen.shape

# %% [markdown]
# Rows have length one, so a product is a cosine. These held-out drugs fit the first held-out screen best:

# %%
best = np.argsort(-z_drug @ z_screen[0])[:5]
cosine = (z_drug @ z_screen[0])[best].round(2)
nearest = {
    "drug (row)": held_out[best],
    "cosine": cosine,
    "run on": plate[held_out][best],
}
captioned(
    pd.DataFrame(nearest),
    "The five drugs nearest to the first held-out screen (simulated).",
)

# %% [markdown]
# Five epochs are for looking, not for use.
# Before you trust an embedding, hold drugs out, and read the batch from it with `linear_probe` as above; do the same with the labels shuffled to learn what chance gives.
# Choose `alpha`, `temperature` and `epochs` on held-out drugs too.
#
# ## What it does not do
#
# - **It needs the batch labels.** What you do not record, it cannot leave out.
# - **It cannot tell effect and batch apart where they are one thing.** If a mechanism was only ever run in one week, the week explains it perfectly, and leaving out the week leaves out the mechanism. No method can help there; only a design that mixes drugs over batches can.
# - **It reduces the batch; nothing makes sure that it erases it.** See what the table above says of "the batch is gone".
# - **It need not be the best.** Compare it with CCL in the table above. In the forty draws of [chapter 2](02_simulation) the two are not told apart at this temperature, and CCL with minibatches from one batch is ahead only where it makes 2.8 times the steps.
# - **This page is a simulation.** Ten numbers a drug, five clear-cut effects, batches of equal size. It shows the mechanism, not how large the gain is on your screen.
#
# ## Exercises
#
# ::::{exercise}
# :label: ex-start-negatives
#
# In the toy above, drugs 2, 3 and 4 are the negatives of screen 1.
# How is the pressure divided among them, with CLIP and with InfoCORE?
# The share of a negative is $M_{ij} e^{f_{ij}}$ over the sum of the negatives', with $M = 1$ for CLIP.
# ::::
#
# ::::{solution} ex-start-negatives
# :class: dropdown
#
# ```python
# for weight in (torch.ones(4), M[0]):
#     pressure = (weight * f[0].exp())[1:]
#     print(pressure / pressure.sum())
# ```
#
# With CLIP drug 2, from the same batch, takes the most, and the two from the other batch equal shares; with InfoCORE it takes more, and drug 4, surest to be of the other batch, the least.
# Being unlike a drug of another batch earns less, so there is less to gain from telling batches apart.
# ::::
#
# ::::{exercise}
# :label: ex-start-shuffled
#
# Shuffle the batch labels that `fit` is given:
#
# ```python
# shuffled = np.random.default_rng(0).permutation(study.batch_id[train])
# ```
#
# What should InfoCORE do now? Predict first, then look at the squares.
# ::::
#
# ::::{solution} ex-start-shuffled
# :class: dropdown
#
# Shuffled labels say nothing about an embedding, so the best a classifier can do is to answer 1/25 for every batch.
# Then all weights are equal, a constant comes out of the sum in {eq}`eq-start`, and what is left is CLIP.
# The squares should look like CLIP's, up to what the classifiers memorise.
# The removal rests on the labels; nothing in the loss knows what a batch is.
# ::::
#
# ## Takeaways
#
# - Readouts that look alike may only have been measured together; a contrastive model learns this as readily as biology.
# - The target is $I(Z_d; Z_g \mid X_b)$: what drug and screen share once the batch is known.
# - InfoCORE is CLIP with weights: candidates that look as if they came from the anchor's batch count more.
# - It needs labels, overlap between batches, and a check on held-out drugs.
#
# Next: [the derivation](01_derivation) if you want to know why, [the simulation](02_simulation) if you want to know how well.
#
# ## References
#
# The method, the two figures and the table redrawn here: {cite:t}`wang2024infocore`. CLIP: {cite:t}`radford2021clip`. CCL: {cite:t}`ma2021ccl`.

# %% tags=["hide-input", "remove-output"]
path = save_results(
    "00_start_here",
    chosen,
    {"scores": scores.round(4).to_dict("index"), "claims": claims},
    output_dir=OUTPUT_DIR,
)
path.name
