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
# **The paper adds four devices to CLIP before it adds the batch weights: a momentum queue, augmentation, heads for the cell lines and minibatches of one line. Taken away one by one on our simulated screen, none of them matters much, and the order is not that of Table 5; the batch weights move the batch library most.**

# %% tags=["colab", "hide-input"]
import subprocess
import sys

if "google.colab" in sys.modules:
    _package = "infocore-mini[experiments] @ git+https://github.com/infocore-mini/infocore-mini"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", _package], check=True)

# %% [markdown]
# **Aim.** Know which parts of Appendix F carry the retrieval accuracy, and how sensitive InfoCORE is to its own two settings.
#
# **You need.** {doc}`04_gene_expression`, whose simulated screen is used here.
#
# **Time.** Fifteen minutes to read, a minute and a half to run.

# %% tags=["parameters"]
SEED = 0  # of the live sweep: screen, split and training
PROFILE = "quick"  # "paper": the whole ablation live, three seeds (an hour and a half on two cores)
OUTPUT_DIR = "output"
ALPHA = 0.33  # of the live InfoCORE run; rerun over a grid with papermill
GRADIENT_SCALE = 0.0  # lambda

# %% tags=["hide-input"]
from dataclasses import replace

from IPython.display import Markdown

from infocore_mini.experiments.gene_expression import figures
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.notebook import check_parameters
from infocore_mini.experiments.pretraining import report
from infocore_mini.experiments.pretraining.run import run_study
from infocore_mini.experiments.pretraining.studies import STUDIES, quick
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
# | one-line minibatches | every second minibatch from one cell line, with a queue of its own | all minibatches at random |
#
# All arms share data, split, settings and number of epochs; only what is named changes (`ablation_arms`).
#
# ## The stored study
#
# From `data/results/ablation.json`: the **simulated** screen of {doc}`04_gene_expression` (4,000 molecules, 3 cell lines, 60 experimental batches), three seeds.

# %%
main = stored("ablation")
Markdown(f"Seeds {main.parameters['seeds']}. Made by {main.made}")

# %% tags=["nbval-check-output"]
by_arm = report.tables(main.results)
report.side_by_side(by_arm)

# %% mystnb={"figure": {"caption": "Top-1 accuracy of each arm relative to CLIP's: ours on a simulated screen with 95 % intervals over three seeds, and the paper's on the real one.", "name": "fig-ablation"}, "image": {"alt": "Two panels, whole and batch library, one row for each arm, with our point and interval and the paper's diamond."}}
figures.ablation(report.accuracies(by_arm), report.paper_ablation())

# %% [markdown]
# ### Paired by seed
#
# Each arm minus CLIP on the same screens and splits, in points; then the paper's difference.

# %% tags=["nbval-check-output"]
chosen = report.steps_from(by_arm, "CLIP", report.paper_ablation())
chosen.round(1)

# %% tags=["nbval-check-output"]
report.order_agreement(by_arm, report.paper_ablation()).round(2)

# %% [markdown]
# The last table is Spearman's rank correlation between our seven arms and the paper's, top-1.
# One means the same order.
#
# **Our order is not the paper's.**
# Taking away MoCo costs a little in the batch library, as in the paper; for augmentation, heads and one-line minibatches the intervals include no difference, and the vanilla model is not worse than the full one.
# The arm that leaves CLIP furthest is InfoCORE, in the batch library.
#
# Why, as far as we can tell:
#
# - *Cell lines.* In the simulator, {eq}`eq-ge-simulator`, a mechanism keeps most of its signature from line to line, and the effect of the cell line itself went away with the control wells. Heads and one-line minibatches are there for lines that dominate the profile and respond differently; that is a fact about real lines which our three plates, all of one line, could not calibrate.
# - *Augmentation.* Simulated replicates are many and alike, three of them for every condition and all in one experimental batch; the paper's are uneven.
# - *The queue.* Ours holds a quarter of all training pairs, the paper's less than a tenth; negatives are less scarce here.
# - *Length.* These runs are about twenty times shorter than the paper's; a regulariser pays late.
#
# An ablation ranks devices *on its own data*: before you copy the paper's recipe, run it on your screen.
#
# ## SimCLR beside MoCo
#
# CCL cannot have a queue for each of a thousand experimental batches, so the paper trains it by SimCLR, and repeats CLIP and InfoCORE by SimCLR to compare like with like (its Table 7).
# Here too, on the **simulated** gene-expression screen of {doc}`04_gene_expression` (`data/results/simclr.json` beside `gene_expression.json`, six seeds; $\alpha = 0.2$ by SimCLR, as in the paper's configuration) and on the real COMAS cell-painting screens of {doc}`05_cell_painting` (`comas_simclr.json` beside `comas.json`, three splits).

# %%
names = ("gene_expression", "simclr", "comas", "comas_simclr")
Markdown("\n".join(f"- {name}: {stored(name).made}" for name in names))

# %% tags=["nbval-check-output"]
frameworks = report.by_framework("gene_expression", "simclr")
report.side_by_side(frameworks)

# %% mystnb={"figure": {"caption": "Top-1 accuracy by method and framework relative to CLIP by MoCo: ours on the simulated screen with 95 % intervals over six seeds, and the paper's on the real one.", "name": "fig-frameworks"}, "image": {"alt": "Two panels, whole and batch library, one row for each method and framework, with our point and interval and the paper's diamond."}}
paper_frameworks = report.paper_frameworks("gene_expression")
figures.ablation(report.accuracies(frameworks), paper_frameworks, reference="CLIP (MoCo)")

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
report.beside_paper(frameworks, pairs, paper_frameworks)

# %% [markdown]
# COMAS, real, against the paper's cell-painting screen:

# %% tags=["nbval-check-output"]
on_comas = report.by_framework("comas", "comas_simclr")
report.beside_paper(on_comas, pairs, report.paper_frameworks("cell_painting"))

# %% [markdown]
# **On the simulated screen most of the paper's pattern comes back.**
# Within an experimental batch InfoCORE leads CLIP by either framework, and by SimCLR, with its smaller $\alpha$, by more; CCL loses half of the whole library; and the framework matters less than the method.
# What does not come back is InfoCORE's gain among all molecules: by SimCLR its top-1 is about CLIP's, with a wide interval, and its top-5 is below (first table).
# The queue gives CLIP a little, as in the paper, and InfoCORE nothing that six seeds could tell.
# On COMAS three splits of 733 molecules tell one thing: CCL loses the whole library.
#
# ## $\alpha$ and $\lambda$
#
# InfoCORE has two settings of its own.
# $\alpha$ divides the weight of a pair between anchor and candidate: at 1 the loss is CLIP's, at 0 only the candidate's posterior counts.
# $\lambda$ lets gradient flow through the posteriors.
#
# From `data/results/alpha_sweep.json`: the same **simulated** screen on three seeds that no other table of this book reports, so that a setting may be chosen on them.
# Change of accuracy relative to CLIP in percent, paired by seed, with 95 % intervals (three seeds make them wide):

# %% tags=["nbval-check-output"]
sweep = report.tables(stored("alpha_sweep").results)
report.versus(sweep, [(arm, "clip") for arm in sweep if arm != "clip"])

# %% mystnb={"figure": {"caption": "What alpha trades: accuracy relative to CLIP on the same simulated screens, 95 % intervals over three seeds.", "name": "fig-alpha-sweep"}, "image": {"alt": "Two panels. In the whole library the change rises from clearly negative at alpha 0 to about zero from 0.33 on. In the batch library it falls steadily from a third at alpha 0 to zero at alpha 1."}}
figures.sweep(
    {
        arm.change["alpha"]: report.against(sweep, name, "clip")
        for name, arm in STUDIES["alpha_sweep"].arms.items()
        if "alpha" in arm.change
    }
)

# %% [markdown]
# The smaller $\alpha$, the more the batch library gains; below 0.33 the whole library pays for it.
# Between 0.33 and 0.8 the whole library is about where CLIP has it.
# A $\lambda$ above 0 acts like a smaller $\alpha$, and buys nothing that $\alpha$ does not: the paper's $\lambda = 0$ is the choice here too.
# {doc}`04_gene_expression` takes an $\alpha$ chosen here to fresh seeds.
#
# ### A grid of your own
#
# The live run below is small: 800 simulated molecules, 12 experimental batches, one seed.
# It is far too short for the two settings to make a difference that means anything, and is here as a template for yours.

# %%
base = quick("gene_expression", SEED)
arms = {f"alpha = {alpha}": Arm("infocore", change={"alpha": alpha}) for alpha in sorted({0.0, ALPHA, 0.66, 1.0})}
arms |= {
    f"lambda = {scale}": Arm("infocore", change={"alpha": ALPHA, "gradient_scale": scale})
    for scale in sorted({GRADIENT_SCALE, 0.1, 1.0} - {0.0})
}
study = STUDIES["ablation"] if PROFILE == "paper" else replace(base, arms={"clip": Arm("clip")} | arms)
records = run_study(study)
Markdown(f"> **Simulated screen**; {sample_molecules(1, SEED).source}.")

# %%
live = report.tables(records)
report.side_by_side(live, top=(1, 10)).map(lambda text: text.replace(" ± nan", ""))

# %%
report.what_the_batch_leaves(records)[["same batch", "expected"]].map(lambda text: text.replace(" ± nan", ""))

# %% [markdown]
# For a real grid, let papermill vary the parameters and read the JSON that every run writes:
#
# ```bash
# for alpha in 0.0 0.2 0.33 0.5 0.83 1.0; do
#   papermill 09_ablations.ipynb runs/alpha_$alpha.ipynb -p ALPHA $alpha -p OUTPUT_DIR runs/alpha_$alpha
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
# ::::
#
# ## Takeaways
#
# - The arms are one settings dictionary each: nothing but the named part changes.
# - On this simulated screen the paper's order of the four devices does not come back; the batch weights are what moves the batch library.
# - $\alpha$ trades the two libraries against each other, $\lambda$ adds nothing to it; choose $\alpha$ on molecules, or seeds, that you do not report.
# - Queue or minibatch alone: on this screen the framework matters less than the method, as in the paper's Table 7.
# - A rank correlation over seven arms says how far two tables agree, and keeps one from seeing agreement by eye.
#
# ## References
#
# {cite:t}`wang2024infocore`, Table 5 and Appendix F; MoCo: {cite:t}`he2020moco`; SimCLR: {cite:t}`chen2020simclr`.

# %%
summary = {
    "live": report.accuracies(live).to_dict("records"),
    "stored_minus_clip": chosen.reset_index().to_dict("records"),
}
path = save_results("09_ablations", parameters, summary, output_dir=OUTPUT_DIR, data=study.checksums())
print(path.name)
