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
# # Your own screen: from a file to an answer
#
# **Ask first whether the file can answer: audit it, then train on one part of the molecules, and audit and score what was learnt on another. The same questions find three files that are wrong before anyone trains on them.**

# %% [markdown]
# :::{admonition} Before you start
# :class: start
# **Aim.** Take a table with molecules, readouts and plates all the way to an audit, a trained model, retrieved molecules and a report; know what the audit's words mean and where they are weak.
#
# **You need.** A table, a well a row. {doc}`00_start_here` for what InfoCORE is about.
#
# **Time.** Ten minutes to read, one or two to run on two CPU cores.
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
PROFILE = "quick"  # "paper": train for longer
OUTPUT_DIR = "output"
ALPHA = 0.33  # InfoCORE's one dial, from 0 to 1

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
from pathlib import Path

import pandas as pd
from IPython.display import Markdown

from infocore_mini.experiments.audit.report import (
    calibration_table,
    screens_table,
    trained_table,
)
from infocore_mini.experiments.notebook import (
    captioned,
    check_parameters,
    with_intervals,
)

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
from infocore_mini.experiments.nuisances import report as nuisances
from infocore_mini.experiments.results import checksums, save_results, stored
from infocore_mini.experiments.your_own_screen import figures, sentences, tables
from infocore_mini.parameters import Fraction

chosen = check_parameters(globals(), ALPHA=Fraction)

# %% [markdown]
# ## The file
#
# We need one to start from.
# The two COMAS screens are small, public and under the MIT licence: pictures of cells after each of 549 compounds of *dark chemical matter*, all measured in two runs, and of natural products and relatives, measured on many dates.
# As a table, with what any laboratory has: the structure, when and on which plate it was measured, and the readouts.

# %%
folder = Path(OUTPUT_DIR)
folder.mkdir(parents=True, exist_ok=True)
table, origin = tables.measured_or_simulated(SEED)
table.to_csv(folder / "wells.csv", index=False)
Markdown(
    f"> **{origin}**: {len(table):,} wells, {len(tables.readouts(table))} readouts."
)

# %%
captioned(
    table.iloc[[0, 1, -2, -1], :7],
    "Four wells of the file, and its first columns.",
)

# %% [markdown]
# ## Read it
#
# The reader is told what is not called as it would guess.
# All other numeric columns are readouts.

# %%
from infocore_mini.readers import read_profiles

columns = dict(
    smiles="smiles", name="smiles", batch="run", plate="plate", controls=None
)
screen = read_profiles(folder / "wells.csv", **columns, separate=["collection"])
screen

# %% [markdown]
# `separate` keeps the collection with each well (it can also tell conditions apart, such as doses).
# With control wells, `controls=("role", "dmso")` would subtract their mean plate by plate.
# Two things to look at before anything else: what was not taken and why, and which spellings count as one molecule.

# %%
taken = screen.left_out["reason"].value_counts().to_dict()
print(f"left out: {taken or 'nothing'}")
print(f"spellings of molecules that have several: {len(screen.merged)}")
captioned(
    screen.merged.iloc[:3],
    "Spellings that were read as one molecule, and their profiles.",
)

# %% [markdown]
# ## Audit it
#
# `labelled_rows` gives the readouts and what is known of each: molecule, run, and what else we name.
# The plate is a second nuisance.
# The two collections share no run, so labels are exchanged within a collection (`library`).

# %%
from infocore_mini import audit
from infocore_mini.confounding import labelled_rows

readout, known = labelled_rows(screen, nuisance=["plate"], library="collection")
found = audit(readout, **known, seed=SEED)
found.report(folder / "audit.html")
found

# %% [markdown]
# The report is one page that opens offline: verdict, what to do next, pictures, every check.
# Here is what it has on the run:

# %%
captioned(
    sentences.checks_of(found, "experimental batch").round(3),
    "The audit's checks of the experimental batch: observed shares, what permuted "
    "labels give (expected), adjusted p, rows asked, and the verdict.",
)

# %% [markdown]
# *Observed* is a share of the wells, or of the values of the run, for which the check tells the run; *expected* is the mean over permuted labels; the p-value counts all checks of the audit.
# Two are no shares: estimability counts the comparisons between runs that the design allows, and drift is a squared distance. Replicates are another question: there *more* than expected is good, and a small p is clean.
#
# How to read it:
#
# - **Confounded** says *that* there is more of the run than chance allows, not how much: with this many wells a small effect is enough. The size is the distance from observed to expected.
# - It does not say *whose fault* it is. On the dates other molecules were measured, and what differs between dates may be chemistry. Give `label=` or control wells to tell them apart; this file has neither.
# - **Cannot tell** stands where the design lets no one compare some values, or where a shift would too often have gone unseen. The report says which.
#
# ## Train, and hold molecules out
#
# A split by molecule; the epoch is chosen on the validation part, and the test part is not touched.

# %%
from infocore_mini import Config, pretrain_screen

split = screen.split(seed=SEED)
config = Config(
    alpha=ALPHA,
    minibatch_size=64,
    epochs={"quick": 40, "paper": 120}[PROFILE],
    seed=SEED,
)
model = pretrain_screen(
    split.train, config, validation=split.validation, validate_every=1, patience=20
)
model.save(folder / "model.safetensors")
split.test

# %% [markdown]
# ## Retrieve, and score
#
# Given a readout, which molecule was it?
# Among all held-out molecules, and among those of the same run, which is the question that the run cannot answer for us:

# %%
from infocore_mini.evaluate.retrieval import screen_retrieval

z_screen, z_drug = model.embed(split.test)
accuracy = screen_retrieval(z_screen, z_drug, split.test, minimum_library=5)
of_lines = with_intervals(accuracy, {"accuracy": ("low", "high")}, places=3)
columns_of = ["library", "top", "accuracy", "chance", "lift", "n_queries"]
captioned(
    of_lines.loc[of_lines["cell_line"] == "mean", columns_of].round(3),
    "Retrieval of held-out molecules: accuracy as a fraction with its 95 % "
    "interval over molecules, chance, and how many times chance (lift).",
)

# %%
Markdown(sentences.retrieved(accuracy, len(split.test.drug)))

# %% [markdown]
# {doc}`05_cell_painting` has the same screen with six splits and all methods.
# A readout needs neither a label nor a fit to be embedded, and that of a new plate would not either. The molecules nearest to two held-out ones:

# %%
from infocore_mini.evaluate.ranking import nearest

row, cosine = nearest(z_screen[:2], z_drug, n=3)
smiles = split.test.smiles[split.test.drug_id.numpy()]
nearest = {"molecule": smiles[row.ravel()], "cosine": cosine.ravel().round(2)}
captioned(
    pd.DataFrame({"query": [0] * 3 + [1] * 3} | nearest),
    "The three molecules nearest to each of two held-out readouts.",
)

# %% [markdown]
# ## Audit what was learnt
#
# On wells that training has not seen, before and after: the same rows, the same labels, the same checks.

# %%
rows, known = labelled_rows(split.test, library="collection")
audits = {"readout": audit(rows, **known, seed=SEED)}
audits["embedding"] = audit(model.embed_screen(rows), **known, seed=SEED)
audits["embedding"].report(folder / "audit_embedding.html")
{name: one.verdict for name, one in audits.items()}

# %% mystnb={"figure": {"caption": "Held-out wells. Dots: how often each check tells the experimental batch. Bars: the middle 95 % of what permuted labels give.", "name": "fig-own-audit"}, "image": {"alt": "Two panels, readout and embedding. In each, four rows for four checks; a dot for the share observed stands beside a bar for the shares under permuted labels."}}
figures.observed_and_permuted(audits, "experimental batch")

# %%
Markdown(sentences.before_and_after(audits))

# %% [markdown]
# The way from the file to here, in full:
#
# ```python
# from infocore_mini import Config, audit, pretrain_screen
# from infocore_mini.confounding import labelled_rows
# from infocore_mini.evaluate.retrieval import screen_retrieval
# from infocore_mini.readers import read_profiles
#
# columns = {"smiles": "smiles", "name": "smiles", "batch": "run", "plate": "plate"}
# screen = read_profiles("wells.csv", **columns, controls=None)
# readout, known = labelled_rows(screen)
# audit(readout, **known).report("before.html")
# split = screen.split(seed=0)
# config = Config(alpha=0.33)
# model = pretrain_screen(split.train, config, validation=split.validation)
# print(screen_retrieval(*model.embed(split.test), split.test))
# rows, known = labelled_rows(split.test)
# audit(model.embed_screen(rows), **known).report("audit.html")
# model.save("model.safetensors")
# ```
#
# And in a shell, where a new plate has one line more:
#
# ```console
# infocore-mini audit wells.csv -o before.html --smiles smiles --batch run
# infocore-mini train wells.csv -o model.safetensors --smiles smiles --batch run
# infocore-mini embed new_plate.csv -m model.safetensors -o embeddings.csv
# infocore-mini retrieve new_plate.csv -m model.safetensors --library candidates.smi
# ```
#
# (With several collections, as here, `--library collection` and `separate=["collection"]` keep them apart.)
#
# ## Three files that are wrong
#
# ### One run for each collection
#
# Someone asks whether dark matter and natural products look different, and measured each in a run of its own.
# Real wells, from the file above, through the command line this time:

# %%
from infocore_mini.__main__ import main

tables.one_run_each(table).to_csv(folder / "one_run_each.csv", index=False)
asked = "--smiles smiles --batch run --label collection".split()
done = main(["audit", str(folder / "one_run_each.csv"), *asked])

# %% [markdown]
# The collections may differ, the runs may differ, and these numbers cannot say which: the audit says so instead of a p-value.
# A classifier would tell the collections apart nearly without error, and nothing would follow from it.
# Only other wells help: some molecules of each collection in both runs, or control wells.
#
# ### Structures that are none, salts, gaps
#
# Wells of sixty molecules, as they might come from a laboratory: the second well of a molecule is spelled as its hydrochloride, three structures are missing or no structures, a column has gaps, another never varies, a third is there twice.

# %%
tables.untidy(table, SEED).to_csv(folder / "untidy.csv", index=False)
untidy = read_profiles(folder / "untidy.csv", **columns, separate=["collection"])
captioned(
    untidy.left_out,
    "What was left out of the untidy file, and why.",
)

# %%
n_spellings = len(untidy.merged)
print(f"{len(untidy.drug)} molecules; of several spellings: {n_spellings}")
captioned(
    untidy.merged.iloc[:2],
    "Spellings of the untidy file that were read as one molecule.",
)

# %% [markdown]
# Had the salts stayed molecules of their own, a split would have put one spelling into training and the other into the test.
# What cannot be mended ends with what came and what was expected:

# %%
for wrong in (
    {"batch": "rnu"},
    {"smiles": "collection", "name": "collection"},
    {"controls": ("collection", "DMSO")},
):
    try:
        read_profiles(folder / "untidy.csv", **(columns | wrong))
    except ValueError as error:
        print("-", error)

# %% [markdown]
# ### Corrected by ComBat, on all rows
#
# The dark matter was measured twice, each molecule in either run.
# ComBat takes the run's location and scale out of every readout; here it is fitted on all wells, as is usual, and the table is passed on.

# %%
before, after = tables.combat_on_all_rows(table)
names = tables.readouts(after)
told = dict(molecule=after["smiles"], before=before[names], seed=SEED)
corrected = audit(after[names], {"run": after["run"]}, **told)
captioned(
    sentences.checks_of(corrected, "run").round(3),
    "The audit's checks of the run after ComBat on all rows.",
)

# %%
Markdown(sentences.only_looks_clean(corrected, "run"))

# %% tags=["nbval-check-output"]
linear = sentences.checks_of(corrected, "run").loc[("treated", "linear probe")]
print(
    "the linear probe lies below what permuted labels give:",
    bool(linear["observed"] < linear["expected"]),
)

# %% [markdown]
# An accuracy *below* chance is no success.
# It comes about because each run was shifted by a mean that these wells had made: leave a well out, and the rest of its run leans the other way.
# It says nothing about a well on which the correction was not fitted.
# So fit corrections on one part (`correct.ComBat().fit(train)`), audit another, and give `before=` to see what became of the replicates.
#
# ## How far to trust the audit
#
# On **simulated** designs, where the truth is known, by a plan that was written first (`infocore_mini/experiments/audit/plan.md`):

# %% tags=["nbval-check-output"]
captioned(
    calibration_table(stored("audit_calibration")),
    "The audit on simulated screens of known make-up: what is wanted of it, and "
    "how often it did it, percent of the draws. A shift holds where fewer than "
    "20 % are called clean.",
)

# %% tags=["nbval-check-output"]
Markdown(sentences.error_and_power(stored("audit_calibration")))

# %% [markdown]
# On the book's **real** screens, as they come and corrected; percent, in brackets what permuted labels give:

# %% tags=["nbval-check-output"]
of_screens = screens_table(stored("audit_screens")).rename(
    columns=lambda name: name.removeprefix("experimental batch, ")
)
captioned(
    of_screens.iloc[:, :5],
    "What the audit says of real screens before and after corrections: its "
    "verdict, and the verdicts on the experimental batch by the rows that it "
    "asks.",
)

# %% tags=["nbval-check-output"]
captioned(
    of_screens.iloc[:, 5:],
    "The same screens: accuracy of the linear probe for the batch, and replicates "
    "found across batches, in percent; in brackets what permuted labels give.",
)

# %% tags=["nbval-check-output"]
Markdown(sentences.of_real_screens(stored("audit_screens")))

# %% [markdown]
# (The design of COMAS is "cannot tell" here and "clean" above: here labels are exchanged within each of its three files, above within the two collections.)
#
# And after training: wells of molecules that no training saw, and the control wells, as readouts ("none") and as embeddings, one setting for all screens, no correction (`data/results/audit_trained.json`, **real**):

# %% tags=["nbval-check-output"]
of_trained = trained_table(stored("audit_trained")).rename(
    columns=lambda name: name.removeprefix("experimental batch, ")
)
captioned(
    of_trained.iloc[:, :5],
    "The same verdicts on embeddings of held-out molecules, beside the readouts "
    "of the same wells (training: none); real screens.",
)

# %% tags=["nbval-check-output"]
captioned(
    of_trained.iloc[:, 5:],
    "The same embeddings: linear probe for the batch and replicates found, in "
    "percent; in brackets what permuted labels give.",
)

# %% tags=["nbval-check-output"]
Markdown(sentences.of_trained(stored("audit_trained")))

# %% [markdown]
# Read with them:
#
# - Only Dahlin's screen was given a label. On the others an alarm among treated wells may be biology that differs between batches; the controls, where there are some, cannot be excused so.
# - One seed, one audit each: a description of these screens, from which nothing was chosen.
# - A verdict on wells that a correction was fitted on is about those wells. New ones need an audit of their own.
#
# ## More than one nuisance
#
# A plate is seldom all that must not be learnt.
# `InfoCORE().fit(..., nuisance={"day": day, "cell_count": binned(cell_count)})`, `pretrain_screen(..., nuisance=("day", "cell_count"))` and `infocore-mini train --nuisance day --nuisance cell_count` take further ones, each with a classifier of its own; the posteriors are multiplied.
# What it does where the truth is known, **simulated**, eight draws, planned (`data/results/nuisances.json`): accuracy of linear probes in percent, with 95 % intervals; of the nuisances in points above permuted labels.

# %% tags=["nbval-check-output"]
captioned(
    nuisances.table(stored("nuisances")),
    "Two nuisances at once: effect read in percent, and plate and second nuisance "
    "read, in points above permuted labels (simulated).",
)

# %% tags=["nbval-check-output"]
Markdown(nuisances.sentences(stored("nuisances")))

# %% [markdown]
# ## Exercises
#
# ::::{exercise}
# :label: ex-own-clip
#
# Train with `Config(method="clip", ...)` on the same split and audit its embedding.
# Before you look: must it hold more of the run than InfoCORE's?
# ::::
#
# ::::{solution} ex-own-clip
# :class: dropdown
#
# ```python
# config = Config(method="clip", minibatch_size=64, epochs=40)
# clip = pretrain_screen(split.train, config, validation=split.validation)
# audits["CLIP"] = audit(clip.embed_screen(rows), **known)
# figures.observed_and_permuted(audits, "experimental batch")
# ```
#
# No.
# CLIP keeps the run only as far as the run helps to find the molecule.
# Both runs of the dark matter hold the same molecules, so there the run helps no one; between dates it does.
# One split settles nothing: {doc}`05_cell_painting` repeats the comparison.
# ::::
#
# ::::{exercise}
# :label: ex-own-design
#
# You may measure twenty more wells to mend the first wrong file.
# Which, and what will the audit then say of the design?
# ::::
#
# ::::{solution} ex-own-design
# :class: dropdown
#
# Molecules of both collections in *both* runs, ten wells each way.
# Then run and collection no longer coincide, and *estimability* says that the two runs can be compared.
# Whether twenty wells are enough to find a shift is another question, which the injected shift answers; if not, the verdict stays "cannot tell", now for want of rows.
# ::::
#
# ::::{exercise}
# :label: ex-own-columns
#
# `infocore-mini audit wells.csv --batch run` takes the numeric columns for readouts, but for those that describe the well.
# The file numbers its plates in a column `p_no`, and notes in `volume` how much was pipetted into each well.
# What becomes of the two, and how would you notice?
# ::::
#
# ::::{solution} ex-own-columns
# :class: dropdown
#
# `p_no` has one value for each plate, so it is set aside as a label, whatever it is called.
# A volume that differs from well to well looks like any readout and is taken for one; if it drifted from run to run, any probe would tell the run from it.
# The command prints the columns that it took, and those that it set aside and why: look there first, and take out with `--exclude` what was not measured on the cells.
# ::::
#
# ## Takeaways
#
# - Audit the file before training and the embedding after, on molecules that were held out.
# - "Confounded" is about presence; look at observed beside expected for the size, and give labels or controls to say whose it is.
# - Where batch and biology coincide there is nothing to compute. "Cannot tell" is an answer.
# - A probe below chance means that a correction saw these rows.
# - `left_out` and `merged` first: what was not read is not in any result.
#
# ## References
#
# COMAS, Dahlin's screen and all other files: {doc}`/book/data`. ComBat: {cite:t}`johnson2007combat`. The maximum statistic: {cite:t}`westfall1993resampling`.

# %% tags=["hide-input", "remove-output"]
from infocore_mini.readers.cell_painting import COMAS

verdicts = {
    name: one.verdict
    for name, one in (audits | {"file": found, "ComBat": corrected}).items()
}
path = save_results(
    "11_your_own_screen",
    chosen,
    {"verdicts": verdicts, "accuracy": accuracy.to_dict("records")},
    output_dir=OUTPUT_DIR,
    data=checksums(COMAS),
)
path.name
