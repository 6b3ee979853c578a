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
# # One cell of a grid
#
# **One arm of one study on one seed: the unit that `workflow/Snakefile` reruns behind every table of the paper.**
# By hand: `papermill workflow/cell.ipynb out.ipynb -p STUDY comas -p ARM infocore -p SEED 3`.

# %% tags=["parameters"]
STUDY = "gene_expression"
ARM = "clip"
SEED = 0  # of data, split and training
CHANGE = {}  # of the arm's own settings, such as {"framework": "simclr"}
PROFILE = "quick"  # "paper": the runs that the book reports
OUTPUT_DIR = "output"
RUNS = "output/runs"  # finished runs, and checkpoints of those that are not

# %%
from pathlib import Path
from typing import Literal

import torch

from infocore_mini.experiments import grid
from infocore_mini.experiments.notebook import check_parameters
from infocore_mini.experiments.results import save_results
from infocore_mini.parameters import OutputDir

parameters = check_parameters(
    globals(),
    STUDY=Literal[tuple(grid.CELLS)],
    ARM=str,
    CHANGE=dict,
    RUNS=OutputDir,
)
torch.set_num_threads(1)  # a cell is one thread: many cells run side by side

# %%
rows, records = grid.run_cell(
    STUDY, ARM, SEED, change=CHANGE, profile=PROFILE, runs=Path(RUNS)
)
rows

# %%
path = save_results(
    "cell",
    parameters,
    rows,
    output_dir=OUTPUT_DIR,
    runs=[record.provenance for record in records],
)
print(path.name)
