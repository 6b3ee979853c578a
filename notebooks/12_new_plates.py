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
# # New plates: what holds on batches that nobody trained on
#
# **A screen lives by its next plate. Asked for new molecules on plates that no training had seen, no method is told to be above CLIP on any real screen, and over four of them together training on the information bound adds nothing that matters to centring the batches. No loss made the encoder blind to a new plate. Correcting the plates did not help to find molecules either; on one real screen of three it helped readouts to find their replicates, and most of all without any training.**

# %% [markdown]
# :::{admonition} Before you start
# :class: start
# **Aim.** Know what of a trained representation holds on new plates, what a correction of the readout does without any training, and when which method wins. Which one to take for a screen of your own is asked in {doc}`../book/which_method`.
#
# **You need.** {doc}`00_start_here` for InfoCORE, {doc}`11_your_own_screen` for the audit.
#
# **Time.** Twenty minutes to read, one or two to run on two CPU cores.
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
SEED = 3  # of the live training, and its fold, 0 to 4
PROFILE = "quick"  # "paper": all five folds of the live screen
OUTPUT_DIR = "output"
# What is trained live: yeast, comas, zebrafish, connectivity_map or dahlin (real),
# or simulated.
SCREEN = "yeast"

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
from typing import Literal

import pandas as pd
from IPython.display import Markdown

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
from infocore_mini.experiments.new_plates import (
    across,
    figures,
    folds,
    live,
    phases,
    placement,
    report,
)
from infocore_mini.experiments.notebook import captioned, check_parameters
from infocore_mini.experiments.results import save_results, stored
from infocore_mini.experiments.tables import with_intervals

# %% mystnb={"code_prompt_hide": "Hide the check of the parameters", "code_prompt_show": "Show the check of the parameters"} tags=["hide-input"]
parameters = check_parameters(
    globals(),
    SEED=Literal[tuple(range(folds.N_FOLDS))],
    SCREEN=Literal[tuple(report.SCREEN_NAMES)],
)

# %% [markdown]
# ## Three tests from one training
#
# A model that finds molecules on the plates that it was trained on may have learnt the plates.
# So each of five folds holds out a fifth of the molecules *and* a fifth of the experimental batches. Training sees the other molecules on the other batches, and everything else is a test:
#
# 1. **new molecules on seen batches**, the test of all other chapters;
# 2. **seen molecules on new batches**, a known compound on the next plate;
# 3. **new molecules on new batches**, what a library meets that grows. The board is read by this one.
#
# Batches that repeat each other's molecules are held out together, or the "new" plate would be a copy of a seen one.
# For a screen of your own, `infocore_mini.splits.split` with `by=("molecule", "batch")` holds out both.
# Folds, search, comparisons, margin and reading were committed before the first run, in the plan beside the code (`infocore_mini/experiments/new_plates/plan.md`).

# %% tags=["nbval-check-output"]
captioned(
    across.sizes(stored("new_plates_folds")),
    "Molecules in experimental batches of each part, mean over five folds. The "
    "last screen is simulated, the others are real.",
)

# %% [markdown]
# Where the design of a screen leaves a test small it is small: yeast and the simulated screen repeat hardly a molecule on other batches; COMAS has a pair of batches with most of its molecules, which one fold tests.
# The paper tests new molecules on batches that it trained on, so there is no number of its own to hold beside these.
#
# The score is **beaten**: of the other molecules in the library, the share that the right one ranks above. It is 50 % by chance whatever the size of the library, which top-10 accuracy is not.
#
# ## Live: one fold
#
# Trained now, with the settings that the stored search chose:

# %%
boards = {name: stored(f"new_plates_{name}") for name in report.SCREEN_NAMES}
name, notice = live.at_hand(SCREEN)
folds_run = range(folds.N_FOLDS) if PROFILE == "paper" else (SEED,)
tables = {f"fold {k}": live.beside_stored(name, k, boards[name]) for k in folds_run}
Markdown(f"> {notice}")

# %%
captioned(
    pd.concat(tables, names=["fold"]).round(1),
    "New molecules on new batches, percent: trained now (beaten, top 10) and as "
    "stored (beaten).",
)

# %% [markdown]
# *No training* gives a new molecule the mean readout of the five training molecules that resemble it most. A method that does not beat it has learnt nothing that a table of Tanimoto similarities does not know.
#
# ## The board
#
# Nine corrections of the readout, each without training, with CLIP and with InfoCORE; five other methods, on raw and on centred batches; first the two dumb baselines, the batch's mean and the cell count. Every trained method had the same networks, minibatches, steps, and four candidates of settings, chosen on new molecules and batches inside training.
#
# | correction of a plate | what it does |
# |---|---|
# | raw | nothing, but what the published file has done |
# | control mean, robust z | subtracts the mean of the control wells; median and spread of all wells |
# | batch centring | subtracts the mean of the batch's own wells |
# | sphering {cite:p}`ando2017tvn` | makes control wells uncorrelated and of unit variance, after their mean |
# | ComBat {cite:p}`johnson2007combat`, Harmony {cite:p}`korsunsky2019harmony` † | shrunken mean and spread of each batch; batches moved together cluster by cluster |
# | cell-count regression | takes out what the number of cells explains, a line fitted on control wells |
# | stabilised | mean and spread of the plate, from all its wells, shrunk towards training |
#
# | method | what it does about the batch |
# |---|---|
# | CLIP, CCL, InfoCORE | nothing; negatives of the own batch alone; weights by batch posterior |
# | CCL-K {cite:p}`tsai2022kernel` | CCL with a kernel: negatives of batches with a similar mean profile count, too |
# | gradient reversal {cite:p}`ganin2015` | CLIP, with an encoder that makes a classifier of the batch fail |
# | HSIC penalty {cite:p}`gretton2005hsic` | CLIP, with a price on dependence between embedding and batch |
# | PCA, no training | no loss: 50 whitened components of the readout; the readout itself |

# %% tags=["nbval-check-output"]
captioned(
    across.board(boards),
    "New molecules on new batches, whole library: others beaten in percent, mean "
    "over five folds ± half of the 95 % interval. Corrections with † were fitted "
    "on the test's wells too, and are not among those that can be best.",
    marks=across.best_arms(boards),
)

# %% [markdown]
# The highest of so many arms is partly luck: it is named, not tested. What was to be tested was written down: ten comparisons a screen, paired by fold, with Holm's correction for their number {cite:p}`holm1979`, and intervals for folds that share training {cite:p}`nadeau2003`.

# %% tags=["nbval-check-output"]
captioned(
    across.compared(boards),
    "Planned comparisons: difference in points of others beaten, 95 % interval for "
    "folds that share training, and what is said (Holm over ten; level: within 2 "
    "points).",
)

# %% tags=["nbval-check-output"]
Markdown("\n".join(f"- {report.verdict(key, of)}" for key, of in boards.items()))

# %% [markdown]
# And the one claim that this chapter was made for. What does training on the information bound add, over centring the batches, on new plates?

# %% tags=["nbval-check-output"]
Markdown(f"> **{across.claim(boards)}**")

# %% [markdown]
# A screen by itself has five folds that share training, so its intervals are wide. All real screens together say more, by random effects: each screen weighs by its own error and the spread between screens {cite:p}`hartung2001`. That was not planned, and nothing is corrected for the number of rows:

# %% tags=["nbval-check-output"]
together = across.together(boards)
captioned(
    with_intervals(together, {"difference": ("low", "high")}, 1),
    "The same comparisons over the real screens together, in points of others "
    "beaten, with the 95 % interval over screens. Not planned.",
)

# %% tags=["nbval-check-output"]
Markdown(across.claim_together(boards))

# %% mystnb={"figure": {"caption": "Connectivity Map (real): others beaten by the right molecule, new molecules on new batches. A dot a fold, a bar the mean; dashed: chance.", "name": "fig-new-plates-board"}, "image": {"alt": "A dot plot with a row for every arm of the board, ordered by mean; five dots and a bar in each row, and a dashed line at 50 percent."}}
figures.board_figure(boards["connectivity_map"])

# %% [markdown]
# ### Seen and new
#
# The same trainings on all three tests:

# %% tags=["nbval-check-output"]
shown = [("raw", "none"), ("raw", "clip"), ("raw", "infocore")]
captioned(
    across.seen_and_new(boards, shown).round(1),
    f"Others beaten in percent, mean over folds, by test; tests of fewer than "
    f"{across.LEAST_SHOWN} molecules are left out.",
)

# %% tags=["nbval-check-output"]
Markdown(across.lost(boards))

# %% [markdown]
# The tests hold other molecules and other batches, so an untrained readout changes from one to the other, too. What CLIP loses beyond that it will have learnt of the plates.
#
# ### What is left of the batch
#
# Does a loss that conditions on the batches it has seen make the encoder blind to a new one?
# For each readout on a new batch, is its nearest neighbour (another molecule's, by its embedding) from the same batch more often than among permuted labels?

# %% tags=["nbval-check-output"]
methods = ("none", "clip", "ccl", "reversal", "hsic", "infocore")
left = [("raw", method) for method in methods] + [("batch centring", "none")]
left += [(name, "clip") for name in ("batch centring", "stabilised", "Harmony")]
captioned(
    across.board(boards, "excess", left),
    "Nearest neighbours in the own new batch beyond permuted labels, points of "
    "percent, mean over folds ± half of the 95 % interval; a mean alone is over "
    "three folds or fewer.",
)

# %% tags=["nbval-check-output"]
Markdown(across.audited(boards))

# %% [markdown]
# On each real screen all trained methods leave about the same, whether their loss conditions on the batch, unlearns it or ignores it.
# Centring takes a batch's mean away, and can leave its members closer to each other than before: without training it raises the share on four of the six screens, all four real.
# Of these Harmony leaves least on every screen, on three of them nothing that can be told from permuted labels, and has seen the wells that it is judged on.
#
# ### Replicates on new plates
#
# A screen also asks whether two readouts are of one molecule. Where molecules repeat on several new batches: does a readout find its replicates in *other* batches before other molecules of its *own*? (0: a random order, 100: all of them first.)

# %% tags=["nbval-check-output"]
captioned(
    across.board(boards, "replicates"),
    "Replicates across new batches, normalised average precision in percent, mean "
    "over folds ± half of the 95 % interval.",
    marks=across.best_arms(boards, "replicates"),
)

# %% tags=["nbval-check-output"]
captioned(
    across.compared(boards, "replicates"),
    "The ten comparisons by replicates, in points; the plan made them for others "
    "beaten, so read these as a second look (Holm over ten).",
)

# %% tags=["nbval-check-output"]
told = {  # what is looked at: its row above
    "Shrunken plate statistics": "InfoCORE, stabilised minus InfoCORE, raw",
    "Training by CLIP": "CLIP, raw minus no training, raw",
    "InfoCORE in the place of CLIP": "InfoCORE, raw minus CLIP, raw",
}
Markdown(
    "\n".join(
        f"- {name}: {across.outcomes(boards, row, 'replicates')}."
        for name, row in told.items()
    )
)

# %% [markdown]
# Here the readout matters more than the loss. Training helps readouts that nobody corrected; once the plates are corrected, those of the Connectivity Map find their replicates best without any.
#
# ### More of the board
#
# A mean hides the plate that fails: the worst batch of a fold, among those with five queries or more. Then top-10 accuracy, whose chance depends on the library, and one screen in full (`SCREEN` names another one).

# %% tags=["nbval-check-output", "hide-output"]
captioned(
    across.board(boards, "worst batch"),
    "New molecules on new batches: others beaten in the worst batch, percent.",
)

# %% tags=["nbval-check-output", "hide-output"]
captioned(
    across.board(boards, "top 10"),
    "New molecules on new batches, whole library: right molecule among the first "
    "ten, percent.",
)

# %% tags=["nbval-check-output", "hide-output"]
captioned(
    report.board(boards[SCREEN]),
    f"{report.title_of(SCREEN, boards[SCREEN])}, new molecules on new batches, "
    "percent; the verdict of the audit is on one fold.",
)

# %% tags=["nbval-check-output", "hide-output"]
captioned(across.missing(boards), "Arms that are not possible, and what they lack.")

# %% [markdown]
# ## Alpha without labels
#
# InfoCORE's dial can be set without any label of biology, on batches that training did not have: by retrieval there, or by how little of the batch is left there. Is that better than the fixed 0.33?

# %% tags=["nbval-check-output"]
captioned(
    with_intervals(across.alphas(boards), {"difference": ("low", "high")}, 1),
    "Alpha chosen in each fold by either rule, and others beaten with it minus "
    "with 0.33, in points with the 95 % interval.",
)

# %% [markdown]
# Neither rule is told from 0.33 on any screen. On new plates the dial decides little, so leave it where it is, or turn it for what is asked on seen ones.
#
# ## When does which method win?
#
# **Simulated.** The simulation of {doc}`02_simulation` with five dials, one turned at a time around a centre: eight draws, 400 new molecules on new batches, same networks and steps, nothing searched.

# %%
axes = {axis: stored(f"new_plates_phases_{axis}") for axis in phases.AXES}
curves = placement.curves(axes)
figures.phase_diagram(placement.curves(axes, "seen"), curves)

# %% [markdown]
# *Simulated data, stored results. Others beaten by the right molecule as one property of the screen changes (choose it above), left on batches that training had, right on new ones; mean of eight draws and 95 % interval; the axis begins far above chance.*
#
# What parts the methods here is centring, not the loss: InfoCORE and CLIP lie on each other at every value of every dial, on seen and on new batches.
# Centring wins where the mark of the batch is strong, loses in small batches, and loses where a batch's molecules resemble each other, since their mean is then biology.
#
# A diagram of simulated screens is worth what it says about real ones. Four of them are placed on it by what can be measured without training, and what it predicts there is held against the board:

# %% tags=["nbval-check-output"]
kept = stored("structure_arrow"), stored("audit_screens")
where = placement.positions(axes, *kept, boards)
placed = placement.placed(curves, where, boards)
captioned(
    where.rename(index=report.SCREEN_NAMES, columns=figures.AXIS_NAMES),
    "Where real screens lie on the axes of the diagram.",
)

# %% tags=["nbval-check-output"]
Markdown(placement.sentence(placed))

# %% [markdown]
# That is no guide to a real screen. On three of the four the diagram expects centring to do best of the five, and centring is best on none: a simulated batch is a shift that all its readouts share, and a real one may be more than its mean.

# %% [markdown]
# ## Exercises
#
# ::::{exercise}
# :label: ex-new-plates-centre
#
# Centring subtracts the mean of a batch. Why can that hurt on a plate of ten molecules, and what does *stabilised* do about it?
# ::::
#
# ::::{solution} ex-new-plates-centre
# :class: dropdown
#
# The mean of ten readouts holds a tenth of each of them, so centring takes a tenth of the effect away and mixes it into the others. Stabilised statistics shrink a plate's mean and deviation towards those of training, the more the fewer wells it has.
# ::::
#
# ::::{exercise}
# :label: ex-new-plates-seen
#
# A colleague reports retrieval on held-out molecules, all of them from plates that were trained on. What can the model have used that a new plate does not have?
# ::::
#
# ::::{solution} ex-new-plates-seen
# :class: dropdown
#
# The batch: if molecules of a batch resemble each other, knowing the batch of a readout narrows the library to that batch, on plates whose look the encoder has learnt. On a new plate there is nothing learnt to recognise.
# ::::
#
# ## Takeaways
#
# - Hold out batches *and* molecules before you choose anything: a score on seen plates contains the plates.
# - On new plates the information bound adds nothing to centring that four real screens together could show, and no method is above CLIP. It was made for the question within a batch, on plates that it has seen.
# - Audit the embeddings of new plates; training hardly ever made clean what was not.
# - Where replicates on other plates matter, try shrunken plate statistics first, and compare with no training at all.
# - A phase diagram of simulated screens teaches what a method is sensitive to. It did not tell where real screens lie.
#
# ## References
#
# Method: {cite:t}`wang2024infocore`. The data sets are listed in {doc}`../book/data`.

# %% tags=["remove-output"]
summary = {
    "live": {key: table.to_dict("index") for key, table in tables.items()},
    "claim": across.claim(boards),
    "placed": placed.to_dict("index"),
}
path = save_results("12_new_plates", parameters, summary, output_dir=OUTPUT_DIR)
print(path.name)
