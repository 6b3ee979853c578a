# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Cell painting: a second screen, and where a method cannot help
#
# **On COMAS, two small real screens of cell images, and with equal chances for all methods, InfoCORE and CLIP are not told apart among all molecules and level within a batch beyond top 1; CCL loses the whole library and is not told apart within a batch. On eighty-four real plates with solvent wells, none of four usual corrections brings the plate down to chance; all of them make treated wells of a plate more alike. In a last screen every compound was measured in one week only, and no method could separate the two.**

# %% [markdown]
# :::{admonition} Before you start
# :class: start
# **Aim.** Meet the paper's second kind of readout, see soft batch labels at work, run the three methods on real cell-painting data, and see what the usual corrections of plates do, and learn to recognise a screen whose design leaves nothing to correct.
#
# **You need.** {doc}`04_gene_expression`.
#
# **Time.** Twenty minutes to read, two minutes to run.
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
SEED = 0  # of the live runs: split, training and simulation
PROFILE = "quick"  # "paper": the whole COMAS study live, 72 runs (15 minutes)
OUTPUT_DIR = "output"

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
from dataclasses import replace

import pandas as pd
from IPython.display import Markdown

from infocore_mini.experiments.calibration.figures import real_and_simulated
from infocore_mini.experiments.cell_painting import report as chapter
from infocore_mini.experiments.gene_expression import figures as plate_figures
from infocore_mini.experiments.names import label
from infocore_mini.experiments.notebook import captioned, check_parameters
from infocore_mini.experiments.pretraining import figures as pretraining_figures
from infocore_mini.experiments.pretraining import marks, report, studies
from infocore_mini.experiments.pretraining.deviations import deviations
from infocore_mini.experiments.pretraining.run import run_study

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
from infocore_mini.experiments.pretraining.studies import (
    SMALL_CELL_PAINTING,
    quick,
    simulated_cell_painting,
    study_of,
)
from infocore_mini.experiments.results import save_results, stored
from infocore_mini.experiments.retrieval import figures
from infocore_mini.experiments.retrieval import report as retrieval_report
from infocore_mini.sources import DataUnavailable

parameters = check_parameters(globals())

# %% [markdown]
# ## The readout
#
# In a cell-painting assay, dyes mark the parts of the cell, a microscope takes pictures, and software measures hundreds of features in each cell: areas, intensities, textures {cite:p}`bray2017`.
# A well's profile is the median or mean over its cells, usually as a z-score against the DMSO wells of its plate.
# Staining, focus and cell density differ from run to run, so experimental batches mark these profiles too.
#
# ## COMAS: two runs and many dates
#
# The COMAS screens are small and public: 549 compounds of *dark chemical matter*, each measured in two runs, and 262 natural products and relatives, measured on 18 dates.
# Many of the latter are stereoisomers of each other, which no featuriser of this book tells apart: they count as one molecule, 184 in all, whose forms are conditions of their own.
# A molecule whose profiles come from two runs belongs to no single experimental batch.
# Its label is a *distribution*, and the losses of this library take it as such; where a method needs one batch for each condition, as CCL does, `per_batch()` makes a condition of its own of the replicates in each batch.

# %%
study = study_of("comas", PROFILE, SEED)
real = study.name == "comas"
screen = study.screen(SEED)
origin = (
    "Real data"
    if real
    else "SIMULATED SCREEN: the COMAS files are not at hand (set INFOCORE_DATA)"
)
Markdown(f"> **{origin}**: {screen!r}.")

# %%
if real:
    from infocore_mini.readers import read_comas

    whole = read_comas()
    first = whole.batch_id[0]
    print(f"soft labels: {tuple(whole.batch_id.shape)}")
    print(f"of the first molecule: {first[first > 0].tolist()}")
    print(f"cut by batch: {tuple(whole.per_batch().batch_id.shape)}")

# %% [markdown]
# Does structure give the batch away?
# A linear classifier of the batch on Mol2vec features, tested on molecules that it has not seen, says yes and no: it tells the two screens apart nearly without error, and one run of the dark matter from the other not at all, since both hold the same molecules.

# %%
told = chapter.batch_from_structure(screen).round(0) if real else pd.DataFrame()
told = captioned(
    told,
    "Percent of conditions whose run or date a linear model reads off the "
    "structure of held-out molecules; COMAS (real).",
)
told if real else Markdown("> Not shown: the real COMAS files are not at hand.")

# %% mystnb={"figure": {"caption": "First two principal components of the conditions, after clipping at 10; one colour for each of the largest experimental batches.", "name": "fig-cp-batches"}, "image": {"alt": "Scatter plot of profiles coloured by experimental batch; the batches overlap but occupy different regions."}}
largest = screen.batch_id.bincount().argsort(descending=True)[:6].tolist()
profiles = screen.mean_profile().clamp(-10, 10).numpy()
groups = [profiles[(screen.batch_id == code).numpy()] for code in largest]
plate_figures.plates_in_two_dimensions(
    {"conditions": groups}, [screen.batch_names[code] for code in largest]
)

# %% [markdown]
# ### The study, stored
#
# From `data/results/comas.json`: **real data**, split by molecule, six splits, planned before they were run (`infocore_mini/experiments/pretraining/plan.md`).
# Every method has the same networks, minibatches, epochs and four candidates of its settings: two temperatures, and two rates of feature dropout or, for InfoCORE, two values of $\alpha$. CCL draws each minibatch from one experimental batch, by SimCLR, which in as many epochs is more and shorter steps.
# Of each split the candidate that is best on validation molecules is shown, on test molecules.
# A test part has some 150 molecules and most dates hold a handful of them, so batch libraries count from five molecules on, and the lift over chance stands beside the accuracy.
# Splits of one screen share their molecules; the intervals are widened for that {cite:p}`nadeau2003`.

# %% tags=["nbval-check-output"]
of_comas = stored("comas").results
by_arm = report.stored_tables("comas")
captioned(
    report.side_by_side(by_arm),
    "Retrieval accuracy on COMAS (real) in the whole and in the batch library, "
    "percent ± half of the 95 % interval over six splits.",
    marks=marks.best_arms(by_arm),
)

# %% mystnb={"figure": {"caption": "COMAS, real data: accuracy with 95 % intervals over six splits. Dotted: chance. Dashed: the paper's number on its own, much larger screen.", "name": "fig-cp-accuracies"}, "image": {"alt": "Accuracy of CLIP, CCL and InfoCORE at top 1, 5 and 10 in two panels, whole and batch library, each with its interval and the chance level."}}
rows = report.accuracies(by_arm)
figures.accuracies(
    {arm: rows[rows["arm"] == arm] for arm in by_arm},
    report.paper_accuracies("cell_painting"),
)

# %% tags=["nbval-check-output"]
lift = rows.pivot(index="arm", columns=["library", "top"], values="lift")
captioned(
    lift.loc[list(by_arm)].round(1),
    "The same as multiples of chance.",
)

# %% [markdown]
# The plan's questions, answered by the numbers: *above* or *below* where the 95 % interval of the difference, paired by split, leaves out zero; *level* where it lies within a tenth of the other's accuracy. That margin is wide: chance is part of the accuracy, so in a small library the margin is much of what a method adds to chance, and most differences that the paper prints fit into it. *Level* excludes a large difference, not the paper's. Nothing is corrected for the number of intervals.

# %% tags=["nbval-check-output"]
pairs = [("infocore", "clip"), ("infocore", "ccl"), ("ccl", "clip")]
Markdown(report.verdict(by_arm, pairs))

# %% [markdown]
# And what is left of the batch: the share of same-batch molecules among the first ten, the share expected at random, and linear probes for the batch on the two embeddings (percent).

# %% tags=["nbval-check-output"]
before = [row for row in stored("probed_inputs").results if row["study"] == "comas"]
captioned(
    report.what_the_batch_leaves(of_comas, by_arm.overlap, before),
    "What is left of the batch on COMAS (real), percent ± half of the 95 % "
    "interval: of the first ten molecules those of the query's batch, and batches "
    "that a linear probe names.",
)

# %% [markdown]
# **Within a batch six splits do not tell the three methods apart; among all molecules CCL loses.**
# An earlier version of this page had CCL behind within a batch, too: it had given CCL minibatches of 512 rows and another temperature, which on this screen is two steps an epoch.
# CCL does what it says: it leaves the share of same-batch molecules nearly at random, and pays for it among all molecules, as in the paper's table.
# InfoCORE, at the $\alpha$ that validation chose, leaves of the batch what CLIP leaves.
#
# How much is there to correct? A reading, not a measurement: between the two runs structure says nothing about the batch, since both hold the same molecules.
# Between the two screens it says everything, and then, as BBBC021 below shows, no method can tell batch from biology.
# In the paper, too, CLIP and InfoCORE lie close on cell painting: see the last table.
#
# Had the runs come to rest?

# %% mystnb={"figure": {"caption": "COMAS, real data: contrastive loss and validation score of every reported run. A dot marks the epoch whose weights are kept.", "name": "fig-cp-courses"}, "image": {"alt": "Two panels over sixty epochs: the loss falls and flattens, the validation score rises and levels off, for all three methods."}}
pretraining_figures.courses(of_comas)

# %% [markdown]
# Where these settings differ from the paper's:

# %%
captioned(
    deviations("comas"),
    "Where the study departs from the paper's settings, and why.",
)

# %% [markdown]
# ### A live run

# %%
records = run_study(study)
live = report.tables(records)
captioned(
    report.side_by_side(live),
    "Retrieval accuracy of the live run, percent, one seed; COMAS, real unless "
    "the note above says otherwise.",
)

# %% [markdown]
# ## Eighty-four plates with their solvent wells
#
# COMAS comes corrected, and without control wells. {cite:t}`dahlin2023injury` give both: 144 compounds that harm cells in one way or another, in several doses, on 84 plates of two experiments, with 1,457 wells of DMSO alone.
# That is too few molecules to train on, and the best place to ask what a plate does, since wells of DMSO differ in nothing else.
#
# For each well take the nearest neighbour by cosine; for treated wells, among *other* molecules.
# How often is it of the same plate, and how often would it be under labels permuted within the experiment?
# And, as a price tag: of treated wells, how many find *the same drug* as their nearest neighbour on another plate? In percent:

# %%
plates, notice = chapter.injury_plates()
Markdown(f"> {notice}")

# %%
captioned(
    plates.round(0),
    "Percent of wells whose nearest neighbour is of their own plate, or the same "
    "drug on another plate; Dahlin and others (real).",
)

# %% [markdown]
# A solvent well lies nearest to one of its own plate more than twice as often as it should, and so does a treated well.
# That is less than in gene expression, and the drug is by far the stronger signal.
#
# Now the corrections. Subtracting the mean of a plate's solvent wells, what everybody does, changes nothing for them and makes treated wells *more* alike within a plate: most plates have five solvent wells, and a mean of five has an error that all wells of the plate share.
# A robust z divides by the spread of those few wells as well, feature by feature; the error of that spread is shared, too, and now most treated wells lie nearest to their own plate.
# The mean of the whole plate has less of an error, but it carries what the plate's compounds do: the drug is found a little more often, and the solvent wells, which had nothing of these compounds, now wear the mark of their plate.
# Sphering shrinks the directions in which solvent wells vary; drugs are found as before, and the plate twice as often.
#
# (A few plates hold most of the solvent wells, so their column is mostly about these; and for a correction that was estimated from them it is no test.)
#
# **A correction estimated from a few wells is itself a batch effect.** Measure it, on the wells that it was not estimated from, before you trust it.

# %% [markdown]
# ## BBBC021: one week for every compound
#
# BBBC021 is the benchmark on which profiles of cell images are classified by mechanism of action: 38 compounds, 55 plates, ten weeks, *and every compound in exactly one week*.
# The table at hand names plates and wells, not compounds, so pairing cannot be run on it; what the week does to the wells can be seen without.
#
# Six positions are filled on every one of the plates, and no others.
# They are very likely the controls, although the table does not say so; we call them *shared wells*.
# A linear classifier learns the week on some plates and is tested on others: once on shared wells alone, where no compound should differ, once on the other wells.

# %%
try:
    weeks, notice = (
        chapter.bbbc021_weeks().round(0),
        "Real data: BBBC021. Week recognised on new plates, percent of wells.",
    )
except DataUnavailable:
    weeks = pd.DataFrame()
    notice = "BBBC021 IS NOT AT HAND (set INFOCORE_DATA): nothing is shown for it."
Markdown(f"> **{notice}**")

# %%
captioned(
    weeks,
    "Percent of wells on new plates whose week a linear classifier recognises; "
    "BBBC021 (real).",
)

# %% [markdown]
# On shared wells the week is plain: that is a batch effect.
# It goes when the mean of these wells is subtracted from each plate; on these wells it must, since it is their own mean that is taken away.
# On the other wells most of it *stays*.
# Is that what the week does to treated cells, or what the compounds of that week do?
# Write $X_b = g(X_d)$: the compound determines the week.
# Then the chain rule splits what compound and profile share into two parts,
#
# $$
# I(X_d; X_g) = I(X_b; X_g) + I(X_d; X_g \mid X_b) .
# $$ (eq-cp-chain)
#
# The second is what can be told *within* a week, and what InfoCORE aims at.
# The first holds all that distinguishes the compounds of one week from those of another, biology and week alike, and conditioning on $X_b$ discards both.
# A model that keeps it may keep either; **the data cannot say which**.
# No loss repairs that. A design does: controls and a few shared compounds in every week.
#
# ## Soft labels against hard ones
#
# Is a soft label worth having?
# The paper labels the conditions of its gene-expression screen softly, too: a molecule whose replicates lie in three experimental batches belongs to each by a third.
# There are two ways around it: make a condition of each batch, so that every label is hard and no replicates are averaged, or put all replicates under the label of one of them.
# COMAS is too small to tell them apart, so this study is **simulated**: 2,000 molecules in two cell lines, a replicate of every condition in each of three batches, six seeds, planned before it was run (`data/results/soft_labels.json`).
# All arms take the same number of steps, have the settings of {doc}`04_gene_expression`, and are tested on the same mean profiles.
# CLIP asks for no label; with it, the same step shows what the averaging does by itself.

# %% tags=["nbval-check-output"]
labels = report.stored_tables("soft_labels")
captioned(
    report.side_by_side(labels).rename(index=label),
    "Retrieval accuracy by the label that a condition measured in several batches "
    "gets, percent ± half of the 95 % interval (simulated screen).",
)

# %% tags=["nbval-check-output"]
each = ("infocore, a condition per batch", "clip, a condition per batch")
Markdown(report.verdict(labels, [*studies.SOFT_AND_HARD, each]))

# %% [markdown]
# Soft labels are level with one hard label for all replicates, at every top and in either library, and never told from a condition for each batch:
# on this screen it hardly matters which of them a spread condition carries.
# It matters more whether replicates of several batches are *averaged*.
# With a condition for each batch, nothing averaged, InfoCORE finds a molecule within a batch measurably more often than CLIP at top 1 and 5; with the three replicates averaged under one label, soft or hard, only at top 10.
# A likely reason: a mean over three batches carries less of each, so less is left for the loss to take out.
# Tests are on the same mean profiles throughout, and it is one simulated screen.
#
# ## A simulated screen, and the paper's table
#
# The strengths of the simulator's effects were fixed for cell painting on COMAS, before any method was compared; the fit is looser than for gene expression, since the real runs differ more from each other than simulated ones.

# %% mystnb={"figure": {"caption": "Simulated cell painting beside the COMAS screens.", "name": "fig-cp-calibration"}, "image": {"alt": "Three panels with distributions of profile size, correlations between runs, and diagnostics, real beside simulated."}}
real_and_simulated(stored("calibration").results["cell_painting"])

# %% [markdown]
# From `data/results/cell_painting.json`: 4,000 molecules, 20 experimental batches, two replicates, **simulated**; six seeds, a screen each.
# Every method has the settings of the COMAS study but for the size of the minibatches, and four candidates, tried on two more screens that are not reported:

# %% tags=["nbval-check-output"]
captioned(
    report.searched("cell_painting").round(1),
    "Candidates of the search: mean retrieval accuracy on validation molecules of "
    "the tuning screens (simulated).",
)

# %% tags=["nbval-check-output"]
larger = report.stored_tables("cell_painting")
captioned(
    report.side_by_side(larger),
    "Retrieval accuracy on the simulated cell-painting screen, percent ± half of "
    "the 95 % interval over six seeds.",
    marks=marks.best_arms(larger),
)

# %% tags=["nbval-check-output"]
Markdown(report.verdict(larger, pairs))

# %% [markdown]
# What each leaves of the batch, beside what the readouts and Mol2vec themselves tell of it:

# %% tags=["nbval-check-output"]
before = [
    row
    for row in stored("probed_inputs").results
    if row["study"] == "cell_painting"
]
captioned(
    report.what_the_batch_leaves(stored("cell_painting").results, before=before),
    "What is left of the batch on the simulated screen, percent ± half of the 95 "
    "% interval over six seeds.",
)

# %% tags=["nbval-check-output"]
Markdown(report.left_of_the_batch(stored("cell_painting").results))

# %% [markdown]
# Given the choice, InfoCORE takes the larger $\alpha$, the paper's for cell painting, and with it hardly corrects: it leaves of the batch nearly what CLIP leaves and finds what CLIP finds, level at top 5 and 10 in either library, a little below at top 1 within a batch.
# CCL unlearns the batch on both sides, finds more within it than either at top 5 and 10, and loses more than half of CLIP's top-1 accuracy among all molecules.
# That InfoCORE stays near CLIP and CCL loses the whole library is the paper's pattern for cell painting too.
#
# In percent of CLIP's top-1 accuracy, beside the paper's on its 30,204 molecules:

# %% tags=["nbval-check-output"]
captioned(
    retrieval_report.beside_paper(larger, "simulated cell painting"),
    "Top-1 accuracy relative to CLIP's in percent, with the 95 % interval: ours "
    "on a simulated screen, the paper's on real ones.",
)

# %% [markdown]
# A live run on a **simulated** screen of 1,500 molecules and ten experimental batches, one seed, and the lift over chance beside the paper's on its 30,204 molecules.
# One seed of a toy ranks nothing; it is here to be rerun and enlarged.

# %%
toy = replace(quick("comas", SEED), name="simulated", files=(), minimum_library=20)
toy = replace(toy, make_screen=simulated_cell_painting, shape=SMALL_CELL_PAINTING)
simulated = report.tables(run_study(toy))
captioned(
    chapter.lift_beside_paper(simulated).round(0),
    "Accuracy as a multiple of chance (lift): ours on a small simulated screen, "
    "the paper's on its real one.",
)

# %% [markdown]
# ## Exercises
#
# ::::{exercise}
# :label: ex-cp-design
#
# You may add twenty wells to every plate of BBBC021. What do you put in, and what does InfoCORE then have to work with?
# ::::
#
# ::::{solution} ex-cp-design
# :class: dropdown
#
# The same compounds in every week: then some molecules have a soft batch label, the classifier can no longer read the week off their structure, and what is common to a compound across weeks can be told from the week.
# More controls would help to subtract what shifts every well, not what shifts treated ones.
# ::::
#
# ::::{exercise}
# :label: ex-cp-soft
#
# A molecule has three profiles in run 1 and one in run 2. What is its label, and what is its loss?
# ::::
#
# ::::{solution} ex-cp-soft
# :class: dropdown
#
# $y = (0.75, 0.25)$, and the loss is the same mixture of the losses for either run: $\sum_b y_b [\log \sum_j w_j(b) e^{f_j} - f_1]$.
# When replicates are drawn or mixed anew at each step, the label follows what was drawn.
# ::::
#
# ## Takeaways
#
# - Soft batch labels are part of the loss; no profile has to be thrown away for belonging to two runs.
# - On COMAS six splits do not tell the methods apart within a batch, and CCL loses the whole library. Structure tells the two screens apart and says nothing of the run: neither leaves a method much to correct.
# - Soft labels cost nothing and, where they were put to the test, gained nothing over one label a condition; where replicates of several batches are averaged, InfoCORE's lead over CLIP was smaller, on one simulated screen.
# - On a simulated screen of 4,000 molecules InfoCORE is where CLIP is, and CCL ahead within a batch and far behind among all: the choice is between the two libraries.
# - Give every method the same minibatches and the same search: CCL's lag within a batch was our setting, not its loss.
# - A probe for the batch needs folds by molecule where a molecule has several batches; drawn by profile it falls below chance.
# - A correction estimated from a plate's few solvent wells adds a mark of its own; on 84 real plates the robust z marks them most.
# - Where every compound has a batch of its own, batch and biology cannot be separated, by anyone.
#
# ## References
#
# Method and reported numbers: {cite:t}`wang2024infocore`; cell painting at scale: {cite:t}`bray2017`; CCL: {cite:t}`ma2021ccl`.
# Data: {doc}`/book/data`.

# %% tags=["remove-output"]
summary = {
    "live": report.accuracies(live).to_dict("records"),
    "live_data": study.name,
    "batch_from_structure": told.to_dict(),
    "weeks": weeks.to_dict(),
    "plates": [],
    "simulated": report.accuracies(simulated).to_dict("records"),
}
if len(plates):
    rows = plates.droplevel(0).stack([0, 1]).reset_index()
    summary["plates"] = rows.to_dict("records")
given = {"output_dir": OUTPUT_DIR, "data": study.checksums()}
path = save_results("05_cell_painting", parameters, summary, **given)
print(path.name)
