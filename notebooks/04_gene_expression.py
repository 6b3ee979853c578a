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
# # Gene expression: pretraining on a screen of many plates
#
# **On a simulated L1000 screen whose doses were fixed on real plates before any method saw it, InfoCORE finds the right molecule within an experimental batch more often than CLIP, in every seed, as in the paper. Among all molecules the paper's InfoCORE gains a little; ours gives a little away at the paper's setting, and next to nothing at one chosen for this screen. Three real plates are too few to tell the methods apart.**

# %% tags=["colab", "hide-input"]
import subprocess
import sys

if "google.colab" in sys.modules:
    _package = "infocore-mini[experiments] @ git+https://github.com/infocore-mini/infocore-mini"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", _package], check=True)

# %% [markdown]
# **Aim.** See how strongly a plate marks an expression profile, build a simulated screen that real plates vouch for, pretrain CLIP, CCL and InfoCORE on it as the paper does, and compare retrieval with Table 2 of {cite:t}`wang2024infocore`.
#
# **You need.** {doc}`02_simulation` for the methods, {doc}`03_molecules` for the drug side.
#
# **Time.** Half an hour to read, two minutes to run.

# %% tags=["parameters"]
SEED = 0  # of the live run: screen, split and training
PROFILE = "quick"  # "paper": the whole reduced-shape study live, six seeds (an hour on two cores)
OUTPUT_DIR = "output"

# %% tags=["hide-input"]
import pandas as pd
from IPython.display import Markdown

from infocore_mini.experiments.calibration import figures as calibration_figures
from infocore_mini.experiments.calibration.report import agreement
from infocore_mini.experiments.gene_expression import figures
from infocore_mini.experiments.gene_expression import report as chapter
from infocore_mini.experiments.notebook import check_parameters
from infocore_mini.experiments.pretraining import report
from infocore_mini.experiments.pretraining.run import run_study
from infocore_mini.experiments.pretraining.studies import STUDIES, quick
from infocore_mini.experiments.results import save_results, stored
from infocore_mini.experiments.retrieval import figures as retrieval_figures
from infocore_mini.simulate.molecules import sample_molecules

parameters = check_parameters(globals())

# %% [markdown]
# ## The plates
#
# L1000 measures the expression of 978 landmark genes {cite:p}`subramanian2017l1000`.
# A screen of twenty thousand compounds is run plate by plate, about 370 wells each, some twenty of them with the vehicle DMSO alone.
# We have three such plates, all on the cell line A375: one with hundreds of different compounds, two with about sixty kinase inhibitors each in six doses.
#
# The standard remedy for plate effects, used by the paper as well, is to subtract from every well the mean of the control wells of its plate.
# Does it work?

# %%
shown = chapter.plates(SEED)
Markdown(f"> **{shown.notice}**" if shown.notice else "> The three plates below are **real** L1000 level-3 data.")

# %% mystnb={"figure": {"caption": "Treated wells of three plates, before and after the mean of each plate's DMSO wells is subtracted. One colour a plate.", "name": "fig-ge-plates"}, "image": {"alt": "Two scatter plots of principal components. Before subtraction the three plates form separate clouds; afterwards they move together but stay distinguishable."}}
raw = [plate.treated for plate in shown.plates]
subtracted = [plate.treated - plate.control.mean(0) for plate in shown.plates]
figures.plates_in_two_dimensions(
    {"as measured": raw, "DMSO mean subtracted": subtracted}, ["plate 1", "plate 2", "plate 3"]
)

# %%
chapter.same_plate_table(shown.plates).round(1).to_frame("nearest other molecule is on the same plate (%)")

# %% [markdown]
# The picture improves, the number hardly moves.
# In 978 dimensions nearly every well still has its nearest neighbour, *among wells with other molecules*, on its own plate.
# What is left over is not in the control wells, so subtracting them cannot remove it.
#
# A plate would do no harm if molecules were spread over plates at random.
# They are not: compounds are plated by library and by series, so that structure tells something about the plate.
# Profile says plate, plate says structure, and a contrastive loss is happy to use that path.
#
# ## A simulated screen that real plates vouch for
#
# Three plates are too few to pretrain on, and the full screen is out of this book's reach.
# So the main study runs on a *simulated* screen of real molecules (`infocore_mini.simulate.screen`):
#
# $$
# \text{profile} = \underbrace{\text{response}_b \odot (\text{loading}_d \, S_c)}_{\text{drug effect}} + \underbrace{\text{shift}_b - \text{error of control mean}_b}_{\text{batch effect}} + \text{noise} .
# $$ (eq-ge-simulator)
#
# The loadings of molecule $d$ on 48 shared mechanisms follow from its substructures in part; the signatures $S_c$ depend on the cell line $c$; every drug plate prefers a series of similar molecules.
# A simulator can be made to say anything, so its doses were fixed first, on diagnostics that run identically on the real plates and on simulated ones of the same sizes.
# **They were committed before any method was compared, and not touched since.**

# %% tags=["nbval-check-output"]
calibrated = stored("calibration").results["gene_expression"]
table = agreement(calibrated)
table[["real", "real_low", "real_high", "simulated", "simulated_low", "simulated_high", "agrees"]].round(2)

# %% mystnb={"figure": {"caption": "Simulated screen beside the three real plates. Left: size of a well's profile after controls are subtracted. Middle: correlation between wells. Right: rates, shares and correlations; small points are single simulated draws or single real plates.", "name": "fig-ge-calibration"}, "image": {"alt": "Three panels. In each, the simulated curves and points lie close to the real ones; the first principal component of treated wells explains more on the real plates."}}
calibration_figures.real_and_simulated(calibrated)

# %% [markdown]
# `structure_auc` and `structure_neighbour` measure the arrow from batch to structure: how much more alike molecules on one plate are than molecules on two.
# Where the rows disagree, the simulator falls short: real plates put more of their variance on one axis than simulated ones do.
#
# Plates cannot tell everything.
# The number of mechanisms and the share of an effect that structure explains are *choices*; they were made so that a supervised model, one that is told the true effects and is therefore no contestant, retrieves held-out molecules about as well as the paper's models do.

# %% tags=["nbval-check-output"]
pd.DataFrame(calibrated["learnability"])[
    ["r2", "whole_1", "chance_whole", "batch_1", "chance_batch", "oracle_whole_1", "oracle_batch_1"]
].mean().round(2).to_frame("supervised ceiling")

# %% [markdown]
# ## Pretraining, live and small
#
# A `PairedScreen` keeps every replicate; a *condition*, a molecule in a cell line, is the pair of the paper.
# `pretrain_screen` does the rest of Appendix F: noise, or a Dirichlet mixture of replicates, or a raw replicate, anew at each step; a universal drug encoder with a linear head for each cell line; minibatches that alternate between random ones and ones of a single cell line, each with queues of their own; the weights of the best epoch on validation molecules.
#
# The run below is a toy (800 simulated molecules, two cell lines, 12 experimental batches, one seed): it shows the path, not the result.

# %%
study = STUDIES["gene_expression"] if PROFILE == "paper" else quick("gene_expression", SEED)
screen = study.screen(SEED)
Markdown(f"> **Simulated screen**: {screen!r}; {sample_molecules(1, SEED).source}.")

# %%
records = run_study(study)
live = report.tables(records)
report.side_by_side(live).map(lambda text: text.replace(" ± nan", ""))

# %% [markdown]
# ## The study: reduced GE shape, six seeds
#
# What follows is read from `data/results/gene_expression.json`: 4,000 molecules, three cell lines, 60 experimental batches, three replicates each, **simulated**; a held-out batch library holds 40 molecules.
# Layers are 512 wide instead of 768 and 2,560, and runs are about twenty times shorter than the paper's, to fit two cores; lengths and learning rate were set on a seed that is not reported.
# $\alpha = 0.33$ and $\lambda = 0$ as in the paper.
# CCL draws each minibatch from one experimental batch, as its authors' rule needs negatives from the anchor's own.

# %%
main = stored("gene_expression")
Markdown(f"Seeds {main.parameters['seeds']}. Made by {main.made}")

# %% tags=["nbval-check-output"]
by_arm = report.tables(main.results)
report.side_by_side(by_arm)

# %% [markdown]
# Top-1, 5 and 10 accuracy in percent, mean over cell lines, with half of the 95 % interval over the seeds.
# The interval is wide because seeds are few and each draws its own screen; the comparison that counts is paired, method against method on the same screen.

# %% mystnb={"figure": {"caption": "Top-1 accuracy on the simulated screen at reduced GE shape. A line joins the runs of one seed: same screen, same split.", "name": "fig-ge-seeds"}, "image": {"alt": "Two panels, whole and batch library, with one line per seed from CLIP over CCL to InfoCORE. In the batch library InfoCORE is the highest; in the whole library CCL falls far below."}}
figures.seed_by_seed(by_arm)

# %% tags=["nbval-check-output"]
report.lead_in_percent(by_arm, "infocore", "clip", "InfoCORE over CLIP (%)")

# %% tags=["nbval-check-output"]
report.lead_in_percent(by_arm, "infocore", "ccl", "InfoCORE over CCL (%)")

# %% [markdown]
# Within an experimental batch InfoCORE is above CLIP in every seed, by about as much as the paper's 14.7 %.
# **In the whole library it is not**: the paper's InfoCORE gains 7 % there, ours loses about as much at top-1, with an interval that includes zero, and significantly at top-5 and top-10.
# A likely reason shows below, under *what is left of the batch*: on this screen, structure says a good deal about the plate, so that CLIP's pairing by plate *pays* on new molecules of the whole library.
# InfoCORE gives that income up, and earns most of it back by biology.
# A larger $\alpha$ should give up less of it and gain less within a batch; the next section measures that trade.
# Seeds 0 to 2 were run first and showed the same; 3 to 5 were added to narrow the intervals, with nothing changed.
#
# ### An alpha for this screen, and fresh seeds
#
# $\alpha = 0.33$ is the paper's choice for the paper's screen.
# What suits this one was read off a sweep on three seeds that no table reports ({doc}`09_ablations`, {numref}`fig-alpha-sweep`), by a rule fixed before it ran: the smallest $\alpha$ whose whole-library accuracy is not below CLIP's.
# On those three seeds alone that would again be 0.33; with the six seeds above it is not, so the next $\alpha$ of the sweep was taken, **0.45**, before any fresh seed had been run.
# Six fresh seeds, new screens, `data/results/chosen_alpha.json`:

# %% tags=["nbval-check-output"]
fresh = report.tables(stored("chosen_alpha").results)
report.side_by_side(fresh)

# %% tags=["nbval-check-output"]
report.lead_in_percent(fresh, "infocore", "clip", "InfoCORE, 0.45, over CLIP (%)")

# %% [markdown]
# With that $\alpha$ the gain within an experimental batch is the paper's in size, and in every seed; among all molecules top-1 is where CLIP has it, and top-5 still a little below.
# The two cannot both be had in full here: what a smaller $\alpha$ adds within a batch it takes from the whole library, where a plate read off the structure is worth something ({numref}`fig-alpha-sweep`).
# Without the queue InfoCORE comes nearer to it: trained by SimCLR, it gains more within a batch and holds CLIP's top-1 among all molecules, though not its top-5 ({numref}`fig-frameworks`).
#
# ### What the paper reports beside what we got
#
# Levels cannot be compared: the paper's libraries are larger (about 3,700 molecules in all, 63 in a batch), ours smaller and simulated.
# Multiples of chance, and ratios between methods, can.

# %% tags=["nbval-check-output"]
chapter.beside_paper(by_arm, report.paper_accuracies("gene_expression")).round(2)

# %% mystnb={"figure": {"caption": "Simulated screen, 95 % interval over six seeds. Dotted: chance. Dashed: the paper's number on the real screen, where libraries are larger.", "name": "fig-ge-accuracies"}, "image": {"alt": "Accuracy of the three methods at top 1, 5 and 10 in the whole and in the batch library."}}
rows = report.accuracies(by_arm)
retrieval_figures.accuracies(
    {arm: rows[rows["arm"] == arm] for arm in by_arm}, report.paper_accuracies("gene_expression")
)

# %% [markdown]
# ### What is left of the batch
#
# Two ways to look: of the ten molecules retrieved first from the whole library, how many share the query's experimental batch; and how well does a linear probe read the batch off an embedding, within a cell line.

# %% tags=["nbval-check-output"]
report.what_the_batch_leaves(main.results)

# %% [markdown]
# InfoCORE does not erase the batch, and does not claim to.
# Its bound asks that the batch stop *paying*: the share of same-batch molecules falls towards what chance would give, while a probe still reads much of the batch off $Z_g$.
# Erasing it by force would also erase biology wherever batch and biology go together.
#
# ## Three real plates
#
# The same three methods on the real plates: 457 molecules, experimental batch = plate, split by molecule with three seeds.
# About ninety molecules are held out, some seventy of them on one plate: **far too few to rank methods**, and shown for honesty, with lift over chance.

# %% tags=["nbval-check-output"]
plates_stored = report.tables(stored("l1000_plates").results)
report.side_by_side(plates_stored)

# %% tags=["nbval-check-output"]
lift = report.accuracies(plates_stored).pivot(index="arm", columns=["library", "top"], values="lift")
lift.loc[list(plates_stored)].round(1)

# %% [markdown]
# ## At the paper's full shape
#
# Written naively, one InfoCORE loss at GE shape holds a (256, 4,097, 1,019) tensor several times over, 4.3 GB each.
# In the form of {doc}`01_derivation` it never exists.
# Here the whole training, data included, runs at the paper's widths on a simulated screen of 82,914 pairs, 1,019 experimental batches and nine cell lines, with $K$ = 4,096 and minibatches of 256, is stopped, and resumes in a second process.

# %% tags=["nbval-check-output"]
full = pd.DataFrame(stored("full_shape").results, index=["first process", "resumed"])
full["peak memory (GB)"] = (full["peak_bytes"] / 1e9).round(1)
full[["pairs", "profiles", "batches", "epochs", "epochs_of_this_process", "peak memory (GB)"]]

# %% [markdown]
# ## Exercises
#
# ::::{exercise}
# :label: ex-ge-doses
# Turn the arrow from batch to structure off: `simulate_screen(0, doses=dataclasses.replace(GE_DOSES, scaffold=0))`.
# What do you expect of InfoCORE's lead over CLIP, and why?
# ::::
#
# ::::{solution} ex-ge-doses
# :class: dropdown
# Without that arrow the batch carries no information about the molecule: $I(X_d; X_b) = 0$, and pairing by batch does not pay on new molecules.
# CLIP can still learn it by heart on the training molecules, so its lead shrinks but need not vanish.
# ::::
#
# ::::{exercise}
# :label: ex-ge-subtract
# Why does subtracting the mean of twenty control wells add a batch effect of its own?
# How large is it, if a control well has a standard deviation of 0.27 log2 units?
# ::::
#
# ::::{solution} ex-ge-subtract
# :class: dropdown
# The mean is measured with error, and the same error is subtracted from every well of the plate: a shift of standard deviation $0.27 / \sqrt{20} \approx 0.06$ for each gene.
# Shared by all wells of a plate and by no other, it is a perfect label.
# ::::
#
# ## Takeaways
#
# - Subtracting control wells aligns plates to the eye, and leaves nearly every profile closest to its own plate.
# - On a simulated screen calibrated to real plates, InfoCORE improves retrieval within an experimental batch over CLIP, as in the paper, and loses a little among all molecules, unlike in the paper; $\alpha$ sets the rate of exchange; CCL pays for its one-batch minibatches with the whole library.
# - Three real plates cannot tell the methods apart, and we do not pretend that they do.
# - The whole of it fits a laptop, at the paper's full shape.
#
# ## References
#
# Method and reported numbers: {cite:t}`wang2024infocore`, section 3.2 and appendices F, H and I; L1000: {cite:t}`subramanian2017l1000`; the baselines: {cite:t}`radford2021clip`, {cite:t}`ma2021ccl`; MoCo: {cite:t}`he2020moco`.

# %%
summary = {
    "infocore_over_clip": report.against(by_arm, "infocore", "clip").to_dict("records"),
    "live": report.accuracies(live).to_dict("records"),
    "same_plate": chapter.same_plate_table(shown.plates).to_dict(),
}
path = save_results("04_gene_expression", parameters, summary, output_dir=OUTPUT_DIR, data=study.checksums())
print(path.name)
