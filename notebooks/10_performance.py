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
# # Performance: what it costs, and where the time goes
#
# **Written without the tensor that its weights seem to ask for, InfoCORE's loss takes the same time for a hundred experimental batches as for a thousand. Its batch classifiers are not free: they make a step longer than CLIP's, by two fifths at the paper's gene-expression size and a fifth at its cell-painting size. A whole step reaches about three fifths of the speed of its own matrix products on the processor that was measured.**

# %% [markdown]
# :::{admonition} Before you start
# :class: start
# **Aim.** Know what InfoCORE costs beyond CLIP, on which sizes the cost depends, how far the library is from the limit of the machine, and what to do when a screen outgrows it.
#
# **You need.** {doc}`01_derivation` for the loss, {doc}`04_gene_expression` for the training.
#
# **Time.** Ten minutes to read, half a minute to run.
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
SEED = 0  # of the embeddings of the live comparison
PROFILE = "quick"  # "paper": at the size of the paper's screen but for n_B
OUTPUT_DIR = "output"

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
import pandas as pd
import torch
from IPython.display import Markdown

from infocore_mini.experiments.notebook import captioned, check_parameters
from infocore_mini.experiments.performance import figures, gpu
from infocore_mini.experiments.performance import report as benchmarks
from infocore_mini.experiments.results import save_results, stored

parameters = check_parameters(globals())

# %% [markdown]
# ## Why the obvious code is slow
#
# The weight of a pair, $w_{ij} = \alpha\, \hat p(b_i \mid z_i) + (1 - \alpha)\, \hat p(b_i \mid z_j)$, looks like a tensor: anchors by candidates by experimental batches.
# At the size of the paper's gene-expression screen that is 256 × 4,097 × 1,019 numbers, 4.3 GB, and automatic differentiation keeps several of them.
# But an anchor needs the posteriors of *one* experimental batch, the one it comes from.
# One column of the posteriors is gathered for each anchor, and the weights are a matrix.
#
# Live, both ways, values compared:

# %%
from infocore_mini.losses import reweighted_info_nce

n, m, n_batches = (64, 512, 40) if PROFILE == "quick" else (256, 4097, 97)
generator = torch.Generator().manual_seed(SEED)
similarity = torch.randn(n, m, generator=generator)
anchor = torch.randn(n, n_batches, generator=generator).log_softmax(1)
candidate = torch.randn(m, n_batches, generator=generator).log_softmax(1)
batch_id = torch.randint(n_batches, (n,), generator=generator)

pairs = (similarity, positive := torch.arange(n), batch_id, anchor, candidate)
scalable = reweighted_info_nce(*pairs, alpha=0.33)
mixture = 0.33 * anchor.exp()[:, None] + 0.67 * candidate.exp()[None]  # (n, m, n_B)
of_batch = torch.nn.functional.one_hot(batch_id, n_batches)[:, None]
weight = (mixture * of_batch).sum(2)
dense = (similarity.exp() * weight).sum(1).log() - similarity[positive, positive]
same = bool(torch.allclose(scalable, dense, rtol=1e-5))

# %% tags=["nbval-check-output"]
print(
    f"{n} x {m} x {n_batches} numbers against {n} x {m}; the losses agree: {same}"
)

# %% [markdown]
# ## Measured
#
# Every figure below is a *ratio* of two things measured in turn in one run, medians over several rounds; bare seconds say more about the machine than about the code.
# `make bench` measures them again and writes `data/results/benchmark_*.json`.

# %%
Markdown("\n".join(f"- `{name}`: {stored(name).made}" for name in benchmarks.NAMES))

# %% [markdown]
# ### The loss, forward and backward
#
# Against the dense formulation, one thread, 256 anchors; empty where the dense one does not fit in the memory allowed to it.

# %% tags=["nbval-check-output"]
against_dense = benchmarks.loss_against_dense()
captioned(
    against_dense.round(0),
    "The loss against its dense formulation: times faster (median, quartiles), "
    "times less memory, and memory; empty where the dense one does not fit.",
)

# %% tags=["nbval-check-output"]
Markdown(benchmarks.against_dense_in_words())

# %% mystnb={"figure": {"caption": "The loss at 256 anchors and 4,097 candidates, forward and backward. Left: times faster than the dense formulation, as far as that fits in memory. Right: its own time as the number of experimental batches grows, median and quartiles.", "name": "fig-performance-loss"}, "image": {"alt": "Left: a line that rises with the number of experimental batches. Right: a flat line at about one."}}
growth = benchmarks.growth()
figures.loss_sizes(against_dense, growth)

# %% tags=["nbval-check-output"]
captioned(
    growth.round(2),
    "Time of the loss over the time at the smallest number of experimental "
    "batches: median and quartiles.",
)

# %% [markdown]
# ### A whole training step
#
# Encoders, momentum copies, queues, augmentation, optimiser, classifiers, at the paper's widths and screens.
# The limit is the time of the matrix products that such a step cannot do without, at their own shapes, measured in the same run: a step at 100 % would do nothing else.

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.step_shares().round(1),
    "A training step at the paper's sizes (GE gene expression, CP cell painting): "
    "percent of the speed of its own matrix products, with quartiles.",
)

# %% [markdown]
# What is left is Adam and the momentum copies, which read and write every weight once a step, and buffers. How much it weighs depends on the processor: on the one measured before, whose products were slower, the same step stood nearer to its limit. Why it is so much less here was not measured; products by themselves may find their operands in this processor's large cache, which a step does not.

# %% tags=["nbval-check-output"]
Markdown(benchmarks.over_clip_in_words())

# %% mystnb={"figure": {"caption": "Time of a training step at gene-expression size as one size grows, over the time at the smallest. Dotted: in proportion to the size.", "name": "fig-performance-step"}, "image": {"alt": "Three panels with logarithmic axes. The time grows slowly with the number of experimental batches, until thousands, and more slowly than queue and minibatch."}}
scaling = benchmarks.scaling()
figures.step_scaling(scaling)

# %% tags=["nbval-check-output"]
by_size = scaling.round({"time": 2, "of the limit (%)": 0})
captioned(
    by_size.set_index(["axis", "size"]),
    "Time of a training step as one size grows, over the time at the smallest, "
    "and percent of the speed of its matrix products.",
)

# %% [markdown]
# Molecules that a minibatch meets twice are encoded twice. Encoding them once would save next to nothing on these screens:

# %% tags=["nbval-check-output"]
stored_step = stored("benchmark_step").results
repeated = 100 * pd.Series(stored_step["repeated_molecules"])
captioned(
    repeated.round(2).to_frame("repeated (%)"),
    "Percent of the rows of a minibatch whose molecule an earlier row has.",
)

# %% [markdown]
# `Config(precision="bf16-mixed")` runs the networks in bfloat16, `Config(compile=True)` compiles them.
# Times faster than plain float32 on the processor of the benchmark, below 1 slower:

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.step_options().round(2),
    "Times faster than a plain step (below 1: slower), median and quartiles.",
)

# %% tags=["nbval-check-output"]
print(
    "bfloat16 instructions of that processor:",
    ", ".join(stored_step["bfloat16_instructions"]) or "none",
)

# %% [markdown]
# Compiling gains nothing on a processor, which launches nothing.
# In bfloat16 the products are so much faster that what is no product weighs more. Against its own products in bfloat16 a step stands lower, and even one that did its products, Adam and the momentum copies and nothing else would not come near to all of it:

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.bfloat16_shares().round(0).astype(int),
    "A step in bfloat16: percent of the speed of its own matrix products in "
    "bfloat16, with quartiles, and what could be reached.",
)

# %% [markdown]
# What bfloat16 gains depends on the instructions named above; without any it can be slower, so measure before you choose.
# What it costs: change of retrieval accuracy in percent on the **simulated** gene-expression screen of {doc}`04_gene_expression`, six seeds, paired, by library and top (`data/results/bf16.json` beside `gene_expression.json`, each with its provenance).

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.bfloat16_accuracy(),
    "Change of retrieval accuracy by networks in bfloat16, in percent, paired by "
    "seed, with the 95 % interval (simulated screen).",
)

# %% tags=["nbval-check-output"]
Markdown(benchmarks.bfloat16_in_words())

# %% [markdown]
# Peak memory of a training process at the paper's shapes, data included, all queues filled:

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.step_memory().astype(float).round(2),
    "Peak memory of a training process at the paper's shapes.",
)

# %% [markdown]
# **Soft labels**, replicates of a condition in up to three batches, cost little more than hard ones, since labels stay as the few numbers that they are:

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.soft_labels().round(2),
    "Training on soft labels over that on hard ones, by the length of the queue: "
    "time of a step (median, quartiles) and peak memory above the data.",
)

# %% [markdown]
# What stands above the data is Python with torch imported, weights, their slow copy, gradients and the two moments of Adam; a process that reads its screen through pandas, or validates, takes some more.
# In the panels above, a step slows down with $n_B$ only where the last layer of the batch classifiers becomes the largest product of all, which any classifier of so many classes has to pay.
#
# ### A million molecules
#
# `retrieval_hits` and `nearest` read the library block by block, from memory, from a `numpy.memmap` or from anything that yields blocks.
# Cosines are float32 and stand in the processor's cache, one small tile at a time; what their rounding leaves open is decided in float64, so that ranks and ties are those of exact arithmetic.
# Percent of the speed of the matrix product alone, with the same tiles, embeddings of 256 numbers:

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.retrieval_shares().round(0).astype(int),
    "Retrieval in a large library: percent of the speed of the matrix product "
    "alone.",
)

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.retrieval_rivals().round(1),
    "Times faster than two rivals (below 1: slower), median and quartiles.",
)

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.retrieval_memory().round(2),
    "Peak memory of a process that ranks a large library, by where the library "
    "comes from.",
)

# %% [markdown]
# Against faiss, whose exact index looks for neighbours in float32 without deciding ties, ours is slower for one query and for a thousand, and faster in between. Its index, all unit vectors in memory, was built beforehand and does not count; ours takes the library as it comes, lengths included, on every call.
# With blocks that are made as they are needed the process stays at a few hundred megabytes; of a memory map, the file's own pages count as far as the system keeps them.
#
# ### Mol2vec
#
# The features of the HIV benchmark's molecules on one core, against the path of the `mol2vec` package, which gives the same numbers:

# %% tags=["nbval-check-output"]
captioned(
    benchmarks.mol2vec_speed().round(1),
    "Times faster than the package mol2vec, median.",
)

# %% [markdown]
# ## On a GPU
#
# The networks of this book are small for a GPU. A step is more than a thousand kernels, most of a few microseconds, and launching them one by one from Python takes ten times as long as their work.
# So the trainer records the step of each kind of minibatch as a CUDA graph and replays it from then on (`infocore_mini/training/graphs.py`): one launch, the same arithmetic, the same random numbers.
#
# Measured once, on one card, by `python -m benchmarks.gpu` (`data/results/benchmark_gpu.json`):

# %% tags=["nbval-check-output"]
Markdown(f"{gpu.ceilings()} Made by {gpu.measured().made}")

# %% [markdown]
# **Is it the same?** Largest relative difference to a CPU, trainings without dropout and noise:

# %% tags=["nbval-check-output"]
captioned(
    gpu.equality(),
    "Largest relative difference between the results of GPU and CPU.",
)

# %% tags=["nbval-check-output"]
Markdown(gpu.repeats())

# %% [markdown]
# **How fast?** Percent of the speed of the step's own matrix products, as the card does them at the same precision; InfoCORE's step over CLIP's, and the same of their products alone.
# "bf16" is `precision="bf16-mixed"` with `torch.set_float32_matmul_precision("high")`, "compiled" is `compile=True` besides, which compiles networks and loss.

# %% tags=["nbval-check-output"]
captioned(
    gpu.steps(),
    "Share of the GPU's own matrix products that a training step reaches, in "
    "percent, and InfoCORE's step over CLIP's.",
)

# %% tags=["nbval-check-output"]
Markdown(gpu.steps_in_words())

# %% [markdown]
# Small minibatches leave a card idle whatever is done: at 256 rows most products are too small for it.
# If memory and the number of batches allow, raise `minibatch_size`.
#
# Where the time goes when kernels are launched one by one, in bfloat16:

# %% tags=["nbval-check-output"]
captioned(
    gpu.kernels(),
    "What a launched step in bfloat16 is made of.",
)

# %% [markdown]
# The longest kernel of the large minibatch added up the gradient of the heads' biases, one row after the other.
# It has been replaced since; no card has measured the step again, so the shares above are those before.
#
# **What grows?** Replayed, in bfloat16, minibatches of 256:

# %% tags=["nbval-check-output"]
Markdown(gpu.growth())

# %% [markdown]
# **A whole study.** One seed of the **simulated** gene-expression study of {doc}`04_gene_expression` in float32: accuracy in percent on the card and on a CPU, and how many times faster the run was, simulation and scores on the CPU included, which take most of what is left.
# The two draw other random numbers, so they agree as two seeds would.

# %% tags=["nbval-check-output"]
captioned(
    gpu.study(),
    "Accuracy on the GPU / on a CPU, in percent, one seed (simulated screen), and "
    "times faster.",
)

# %% [markdown]
# ## When the screen outgrows the machine
#
# **More memory or a faster card.** `Config(device="cuda", precision="bf16-mixed", compile=True)` runs the networks in bfloat16 and compiled; embeddings, posteriors and losses stay in float32.
#
# **Several processes.** The same script under `torchrun --nproc-per-node 4 script.py` trains one model in four processes (Lightning Fabric); across machines add `--nnodes` and `--rdzv-endpoint`.
# `minibatch_size` is that of all processes together, and every process sees the candidates of all of them with their gradients, so the losses are those of one process up to rounding: a test trains with two and compares every step.
# Dropout is the exception: each process drops units of its own.
# The first process writes the checkpoint; all must be able to read it.
#
# ```python
# from infocore_mini.config import Config
# from infocore_mini.train import pretrain_screen
#
# config = Config(device="cuda", precision="bf16-mixed", compile=True)
# model = pretrain_screen(screen, config, checkpoint="run.pt")
# ```
#
# **Many runs.** Every table of the paper is a grid of cells, one papermill rerun each; `make grid` runs what is missing, on one machine or a cluster, and goes on after a kill (`workflow/README.md`).
#
# Two processes, checkpoints and the grid are tested at every change, on CPUs.
# Several GPUs and a real cluster have not been tried.
#
# ## Exercises
#
# ::::{exercise}
# :label: ex-performance-soft
#
# With soft labels an anchor comes from many experimental batches. Why is there still no tensor?
# ::::
#
# ::::{solution} ex-performance-soft
# :class: dropdown
#
# $\sum_j e^{f_{ij}} \hat p(b \mid z_j)$ for all anchors and batches at once is the matrix product of $e^{f}$, anchors by candidates, and the posteriors, candidates by batches; the anchor's own part is a row sum times $\hat p(b \mid z_i)$.
# ::::
#
# ## Takeaways
#
# - One gathered column for each anchor replaces the tensor: much faster and smaller than the dense form, and flat in the number of experimental batches.
# - What is left of a step is matrix products, and weights that are read and written; loading and augmentation take less than two hundredths.
# - On a GPU a step is replayed, not launched: the same numbers, and at large minibatches in bfloat16 half the speed of the card's own products.
# - A library of a million molecules is ranked exactly, without its cosines ever standing in memory.
# - Past one machine: the same script under `torchrun`, the same tables under `make grid`.
#
# ## References
#
# The loss: {cite:t}`wang2024infocore`, propositions 2 and 3; queues: {cite:t}`he2020moco`.

# %% tags=["remove-output"]
summary = {
    "agree": same,
    "growth_in_n_B": growth.to_dict("records"),
    "step": benchmarks.step_shares().to_dict("index"),
}
path = save_results("10_performance", parameters, summary, output_dir=OUTPUT_DIR)
print(path.name)
