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
# # Ablations: what each part of the training is worth
#
# **The paper adds four devices to CLIP before it adds the batch weights: a momentum queue, augmentation, heads for the cell lines and minibatches from one cell line. Taken away one by one on our simulated screen, at top 1 six seeds tell a single device from nothing, and it does harm: without minibatches from one cell line the whole library gains. At top 5 and 10 of the batch library three more are told, by two or three percent: the queue helps, augmentation and heads do not. Without all four the batch library gains, so that the arms stand in another order than in the paper's Table 5. Of all changes, the batch weights change accuracy in the batch library most.**

# %% [markdown]
# :::{admonition} Before you start
# :class: start
# **Aim.** Know which parts of Appendix F carry the retrieval accuracy, and how sensitive InfoCORE is to its own two settings.
#
# **You need.** {doc}`04_gene_expression`, whose simulated screen is used here.
#
# **Time.** Fifteen minutes to read, a minute and a half to run.
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
SEED = 0  # of the live sweep: screen, split and training
PROFILE = "quick"  # "paper": the whole ablation live, six seeds (three hours)
OUTPUT_DIR = "output"
ALPHA = 0.33  # of the live InfoCORE run; rerun over a grid with papermill
GRADIENT_SCALE = 0.0  # lambda

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
from dataclasses import replace

from IPython.display import Markdown

from infocore_mini.experiments.gene_expression import figures
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.notebook import (
    captioned,
    check_parameters,
    with_intervals,
)

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
from infocore_mini.experiments.pretraining import ablation, report
from infocore_mini.experiments.pretraining.run import run_study
from infocore_mini.experiments.pretraining.studies import STUDIES, study_of
from infocore_mini.experiments.results import save_results, stored
from infocore_mini.parameters import Fraction, NonNegative
from infocore_mini.simulate.molecules import sample_molecules

parameters = check_parameters(globals(), ALPHA=Fraction, GRADIENT_SCALE=NonNegative)

# %% [markdown]
# ## Four devices
#
# | device | what it does | taken away |
# |---|---|---|
# | MoCo {cite:p}`he2020moco` | thousands of negatives from a queue, embedded by a slowly moving copy | negatives from the minibatch alone (SimCLR) |
# | augmentation | a raw replicate, a noisy one or a Dirichlet mixture of replicates; features dropped | a raw replicate, whole |
# | cell-line heads | $Z_d^c = \text{proj}_c(\text{Enc}_d(X_d))$: one linear map for each cell line | one drug embedding for all |
# | minibatches from one cell line | every second minibatch from one cell line, with a queue of its own | all minibatches at random |
#
# All arms share data, split, settings and number of epochs; only what is named changes (`ablation_arms`).
#
# ## The stored study
#
# From `data/results/ablation.json`: the **simulated** screen of {doc}`04_gene_expression` (4,000 molecules, 3 cell lines, 60 experimental batches), six seeds, trained on a GPU.

# %%
main = stored("ablation")
Markdown(f"Seeds {main.parameters['seeds']}. Made by {main.made}")

# %% tags=["nbval-check-output"]
by_arm = report.tables(main.results)
captioned(
    report.side_by_side(by_arm),
    "Retrieval accuracy in the whole and in the batch library, percent ± half of "
    "the 95 % interval over six seeds (simulated screen).",
)

# %% mystnb={"figure": {"caption": "Top-1 accuracy of each arm relative to CLIP's: ours on a simulated screen with 95 % intervals over six seeds, and the paper's on the real one.", "name": "fig-ablation"}, "image": {"alt": "Two panels, whole and batch library, one row for each arm, with our point and interval and the paper's diamond."}}
figures.ablation(report.accuracies(by_arm), report.paper_ablation())

# %% [markdown]
# ### Paired by seed
#
# Each arm minus CLIP on the same screens and splits, in points; then the paper's difference.

# %% tags=["nbval-check-output"]
chosen = report.steps_from(by_arm, "CLIP", report.paper_ablation())
by_library = chosen.swaplevel().round(1)
captioned(
    with_intervals(by_library, {"ours": ("low", "high")}, places=1),
    "Top-1 accuracy minus CLIP's, in points, paired by seed, with the 95 % "
    "interval (simulated screen); the paper's difference on its real screen.",
)

# %% [markdown]
# In percent of CLIP's accuracy, what six seeds tell; a null result says what would have been seen.
# *Higher* and *lower*: the 95 % interval of the change, paired by seed, leaves zero out; *within 10 % of it*: the interval lies inside that margin, ours.

# %% tags=["nbval-check-output"]
Markdown(ablation.lines(by_arm, [(arm, "CLIP") for arm in by_arm if arm != "CLIP"]))

# %% [markdown]
# Further down the list the intervals are narrower. The same at top 5 and 10, where something is told; nothing is corrected for the number of intervals:

# %% tags=["nbval-check-output"]
Markdown(ablation.further_down(by_arm, "CLIP"))

# %% [markdown]
# Is our order the paper's?
# One arm at a time the intervals above already leave most of the paper's changes out.
# All arms together say it at once: Spearman's rank correlation between our seven arms and the paper's (one means the same order), with an interval for the error of our means, pooled over the arms, and beside it what that error would leave of the correlation if the paper's changes were true on our screen.

# %% tags=["nbval-check-output"]
Markdown(ablation.against_table_5(by_arm, report.paper_ablation()))

# %% [markdown]
# Pooling takes the error to be the same for every arm.
# What it cannot say is which arm is out of place, and it is about *this* screen, not about the paper's.
#
# What may be behind it; none of this was tested:
#
# - *Cell lines.* In the simulator, {eq}`eq-ge-simulator`, a mechanism keeps most of its signature from line to line, and the effect of the cell line itself went away with the control wells. Heads and minibatches from one cell line are there for lines that dominate the profile and respond differently; that is a fact about real lines which our three plates, all of one cell line, could not calibrate.
# - *Augmentation.* Simulated replicates are alike, three of them for every condition and all in one experimental batch; the paper's are uneven.
# - *The queue.* Ours holds 2,048 of 7,680 training pairs, the paper's 4,096 of about 53,000; negatives are less scarce here.
# - *Length.* These runs see their training pairs 40 times, the paper's some three hundred times and more (its 77,000 steps of 256), and those are seven times as many; a regulariser pays late.
#
# An ablation ranks devices *on its own data*: before you copy the paper's recipe, run it on your screen.
#
# ## SimCLR beside MoCo
#
# CCL cannot have a queue for each of a thousand experimental batches, so the paper trains it by SimCLR, and repeats CLIP and InfoCORE by SimCLR to compare like with like (its Table 7).
# Here too, on the **simulated** gene-expression screen of {doc}`04_gene_expression` (`data/results/simclr.json` beside `gene_expression.json`, six seeds; settings searched on two screens that are not reported, which chose $\alpha = 0.2$ by SimCLR, the paper's) and on the real COMAS cell-painting screens of {doc}`05_cell_painting` (`comas_simclr.json` beside `comas.json`, six splits).

# %%
names = ("gene_expression", "simclr", "comas", "comas_simclr")
Markdown("\n".join(f"- {name}: {stored(name).made}" for name in names))

# %% tags=["nbval-check-output"]
frameworks = report.by_framework("gene_expression", "simclr")
captioned(
    report.side_by_side(frameworks),
    "Retrieval accuracy by method and framework, percent ± half of the 95 % "
    "interval over six seeds (simulated screen).",
)

# %% mystnb={"figure": {"caption": "Top-1 accuracy by method and framework relative to CLIP by MoCo: ours on the simulated screen with 95 % intervals over six seeds, and the paper's on the real one.", "name": "fig-frameworks"}, "image": {"alt": "Two panels, whole and batch library, one row for each method and framework, with our point and interval and the paper's diamond."}}
paper_frameworks = report.paper_frameworks("gene_expression")
figures.ablation(
    report.accuracies(frameworks), paper_frameworks, reference="CLIP (MoCo)"
)

# %% [markdown]
# What the method changes within a framework, and the framework within a method, in percent of top-1 accuracy, paired by seed; the paper's beside it:

# %% tags=["nbval-check-output"]
pairs = [
    ("InfoCORE (MoCo)", "CLIP (MoCo)"),
    ("InfoCORE (SimCLR)", "CLIP (SimCLR)"),
    ("CCL (SimCLR)", "CLIP (SimCLR)"),
    ("CLIP (SimCLR)", "CLIP (MoCo)"),
    ("InfoCORE (SimCLR)", "InfoCORE (MoCo)"),
]
captioned(
    ablation.beside_paper(frameworks, pairs, paper_frameworks),
    "Change of top-1 accuracy in percent, with the 95 % interval (simulated "
    "screen), and the paper's (real).",
)

# %% tags=["nbval-check-output"]
Markdown(ablation.lines(frameworks, pairs))

# %% [markdown]
# **On the simulated screen part of the paper's pattern comes back:** within an experimental batch InfoCORE leads CLIP by either framework, CCL loses in the whole library, and in the batch library the framework changes less than the method.
# Two things do not: the paper's gain of InfoCORE among all molecules, and its CCL behind InfoCORE within a batch, which here is ahead ({doc}`04_gene_expression`).
#
# COMAS, real, against the paper's cell-painting screen.
# The splits share their molecules, so that their scores hang together; the intervals are widened for it {cite:p}`nadeau2003`.

# %% tags=["nbval-check-output"]
on_comas = report.by_framework("comas", "comas_simclr")
captioned(
    ablation.beside_paper(
        on_comas, pairs, report.paper_frameworks("cell_painting")
    ),
    "The same on COMAS (real), and the paper's on its cell-painting screen.",
)

# %% tags=["nbval-check-output"]
Markdown(ablation.lines(on_comas, pairs))

# %% [markdown]
# ## $\alpha$ and $\lambda$
#
# InfoCORE has two settings of its own.
# $\alpha$ divides the weight of a pair between anchor and candidate: at 1 the loss is CLIP's, at 0 only the candidate's posterior counts.
# $\lambda$ lets gradient flow through the posteriors.
#
# From `data/results/alpha_sweep.json`: the same **simulated** screen on three seeds that no other table of this book reports, so that a setting may be chosen on them.
# Change of accuracy relative to CLIP in percent, paired by seed, with 95 % intervals (three seeds make them wide):

# %% tags=["nbval-check-output"]
sweep = report.stored_tables("alpha_sweep")
captioned(
    report.versus(sweep, [(arm, "clip") for arm in sweep if arm != "clip"]),
    "Change of accuracy relative to CLIP in percent, with the 95 % interval over "
    "three seeds (simulated screen).",
)

# %% mystnb={"figure": {"caption": "What alpha trades: accuracy relative to CLIP on the same simulated screens, 95 % intervals over three seeds.", "name": "fig-alpha-sweep"}, "image": {"alt": "Two panels, whole and batch library: the change of accuracy against alpha, from 0 to 0.8, with CLIP drawn at 1."}}
figures.sweep(
    {
        arm.change["alpha"]: report.against(sweep, name, "clip")
        for name, arm in STUDIES["alpha_sweep"].arms.items()
        if "alpha" in arm.change
    }
)

# %% tags=["nbval-check-output"]
to_clip = [(arm, "clip") for arm in sweep if arm != "clip"]
Markdown(
    ablation.lines(
        sweep,
        [
            *to_clip,
            ("lambda = 0.1", "alpha = 0.0"),
            ("lambda = 0.1", "alpha = 0.33"),
        ],
    )
)

# %% [markdown]
# A smaller $\alpha$ trades the whole library for the batch library.
# A $\lambda$ above 0 goes the same way as a smaller $\alpha$, and whether it buys something that a smaller $\alpha$ does not cannot be read off here: between $\alpha = 0$ and 0.33 nothing was run, and $\lambda$ was tried at one $\alpha$ only.
# {doc}`04_gene_expression` takes an $\alpha$ chosen here to fresh seeds.
#
# ### What they change on the drug side
#
# At the paper's setting InfoCORE takes the batch out of the *screen's* embedding and leaves in the *drug's* nearly what CLIP leaves there.
# That matters beyond retrieval: {doc}`07_property_prediction` takes the drug encoder alone, so that InfoCORE can hardly differ from CLIP there, for whatever reason else.
# Would another $\alpha$ or a $\lambda$ above 0 change it?
# The same runs have linear probes for the experimental batch on both embeddings: percent named, change against CLIP in points, paired by seed, with what would have been seen (chance is the share of the largest of the twenty batches in each cell line, as in {doc}`04_gene_expression`).

# %% tags=["nbval-check-output"]
sweep_records = stored("alpha_sweep").results
captioned(
    ablation.what_each_side_keeps(sweep_records),
    "Experimental batches that a linear probe names, in percent, and the change "
    "against CLIP in points, with the 95 % interval (simulated screen).",
)

# %% tags=["nbval-check-output"]
Markdown(ablation.drug_side(sweep_records))

# %% [markdown]
# So **the drug side can be changed**: most by the two settings that also cost the most in the whole library, less by a small $\lambda$.
# Whether such an encoder would do better on molecular properties was not tried.
#
# ### A grid of your own
#
# The live run below is small: 800 simulated molecules, 12 experimental batches, one seed.
# It is far too short for the two settings to make a difference that means anything, and is here as a template for yours.

# %%
arms = {"clip": Arm("clip")}
for alpha in sorted({0.0, ALPHA, 0.66, 1.0}):
    arms[f"alpha = {alpha}"] = Arm("infocore", change={"alpha": alpha})
for scale in sorted({GRADIENT_SCALE, 0.1, 1.0} - {0.0}):
    change = {"alpha": ALPHA, "gradient_scale": scale}
    arms[f"lambda = {scale}"] = Arm("infocore", change=change)
study = study_of("ablation", PROFILE, SEED)
study = study if PROFILE == "paper" else replace(study, arms=arms)
records = run_study(study)
Markdown(f"> **Simulated screen**; {sample_molecules(1, SEED).source}.")

# %%
live = report.tables(records)
captioned(
    report.side_by_side(live, top=(1, 10)),
    "Retrieval accuracy of the live run, percent, one seed (small simulated "
    "screen).",
)

# %%
captioned(
    report.what_the_batch_leaves(records)[["same batch", "expected"]],
    "Of the first ten molecules retrieved, percent of the query's batch, and as "
    "many as a random order has (small simulated screen).",
)

# %% [markdown]
# For a real grid, let papermill vary the parameters and read the JSON that every run writes:
#
# ```bash
# for alpha in 0.0 0.2 0.33 0.5 0.83 1.0; do
#   papermill 09_ablations.ipynb runs/alpha_$alpha.ipynb \
#     -p ALPHA $alpha -p OUTPUT_DIR runs/alpha_$alpha
# done
# ```
#
# ## Exercises
#
# ::::{exercise}
# :label: ex-ablation-alpha
#
# At $\alpha = 1$ and $\lambda = 0$ InfoCORE trains the encoders as CLIP does, yet the two rows above need not be equal. Why?
# ::::
#
# ::::{solution} ex-ablation-alpha
# :class: dropdown
#
# The gradient is the same (`test_infocore_at_alpha_one_trains_as_clip`), but InfoCORE also builds and trains classifiers, which takes random numbers: initial weights, dropout and shuffles differ, so this is another seed of the same method.
# ::::
#
# ::::{exercise}
# :label: ex-ablation-queue
#
# In which of the two libraries would you expect a longer queue to help more, and why?
# ::::
#
# ::::{solution} ex-ablation-queue
# :class: dropdown
#
# In the whole one: a longer queue brings negatives from more experimental batches. Within a batch it adds few, unless the weights, as InfoCORE's, point at them.
# The study above does not bear that out: without a queue CLIP is told to be worse in the batch library, at top 5 and 10, and not among all molecules.
# ::::
#
# ## Takeaways
#
# - The arms are one settings dictionary each: nothing but the named part changes.
# - On this simulated screen the arms do not stand in the paper's order; most of its changes are ruled out. The batch weights move the batch library most.
# - $\alpha$ trades the two libraries against each other, and so does $\lambda$; choose them on molecules, or seeds, that you do not report.
# - At the paper's setting the drug embedding keeps nearly as much of the batch as CLIP's; a smaller $\alpha$ or a $\lambda$ above 0 takes more of it away.
# - Queue or minibatch alone: in the batch library of this screen the framework matters less than the method, as in the paper's Table 7.
# - A rank correlation over seven arms needs an interval, and what it would be if the other table were right, before it says anything.
#
# ## References
#
# {cite:t}`wang2024infocore`, the paper's Table 5 and Appendix F; MoCo: {cite:t}`he2020moco`; SimCLR: {cite:t}`chen2020simclr`; intervals over splits: {cite:t}`nadeau2003`.

# %% tags=["remove-output"]
summary = {
    "live": report.accuracies(live).to_dict("records"),
    "stored_minus_clip": chosen.reset_index().to_dict("records"),
}
path = save_results(
    "09_ablations",
    parameters,
    summary,
    output_dir=OUTPUT_DIR,
    data=study.checksums(),
)
print(path.name)
