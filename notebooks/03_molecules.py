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
# # Molecules: from SMILES to a vector
#
# **A molecule becomes 300 numbers by adding up learnt vectors of its small pieces; analogues of well-known drugs then lie next to each other, and what the pieces cannot say, such as stereochemistry, is lost for good.**

# %% [markdown]
# :::{admonition} Before you start
# :class: start
# **Aim.** Turn the structures of a screen into the drug side $X_d$ of every later chapter, look at what that representation calls similar, and know its limits before training anything on it.
#
# **You need.** To have read a SMILES string before; no other chapter.
#
# **Time.** 15 minutes to read, about a minute to run on two CPU cores.
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
SEED = 0  # of the map: which molecules are drawn, and t-SNE
PROFILE = "quick"  # "paper": five times as many molecules on the map
OUTPUT_DIR = "output"
MAP_MOLECULES = 1500

# %% mystnb={"code_prompt_hide": "Hide the imports", "code_prompt_show": "Show the imports"} tags=["hide-input"]
import numpy as np
import pandas as pd

from infocore_mini.experiments.molecules import figures
from infocore_mini.experiments.molecules import report as chapter
from infocore_mini.experiments.notebook import captioned, check_parameters
from infocore_mini.experiments.results import save_results
from infocore_mini.featurize import mol2vec, substructure_sentences
from infocore_mini.parameters import Count
from infocore_mini.smiles import InvalidSmiles
from infocore_mini.vectors import load_vectors

parameters = check_parameters(globals(), MAP_MOLECULES=Count)

# %% [markdown]
# ## Theory: a molecule as a sentence
#
# A contrastive model needs a fixed number of inputs for molecules of any size.
# Mol2vec {cite:p}`jaeger2018mol2vec` borrows the answer from language: *substructures are words, a molecule is a sentence, and words in like company get like vectors*.
#
# The words come from the Morgan algorithm {cite:p}`rogers2010ecfp`.
# At radius 0 it describes each atom by itself (element, neighbours, hydrogens, charge, ring or not), at radius 1 together with the atoms it is bonded to, and hashes each description to a number, the *identifier*.
# Reading the atoms in order, radius 0 before radius 1, gives the sentence.
# Word2Vec {cite:p}`mikolov2013word2vec` then learns a vector $v_w$ for each word $w$ such that a word predicts its neighbours in the sentence (skip-gram), and a molecule $m$ is the sum
#
# $$
# X_d(m) = \sum_{w} n_w(m)\, v_w ,
# $$ (eq-mol2vec)
#
# where $n_w(m)$ counts how often substructure $w$ occurs.
# So a whole library is one sparse matrix of counts times one matrix of vectors, which is how `mol2vec` computes it.
# A word that training saw at most three times, or never, gets the vector of the word `UNK`.
#
# The control is the **Morgan fingerprint** {cite:p}`rogers2010ecfp`: 2,048 bits, each set if a substructure of radius up to 2 that hashes to it is there. Nothing in it is learnt.
#
# ## Practice
#
# ### One molecule, word by word

# %% tags=["nbval-check-output"]
aspirin = chapter.NAMED["aspirin"]
[sentence] = substructure_sentences([aspirin])
print(f"{aspirin}: {len(sentence)} words, {len(set(sentence))} of them different")
print(" ".join(sentence[:8]), "...")

# %% mystnb={"figure": {"caption": "The words of aspirin. Each panel is one substructure, shaded where it first occurs, with its radius, its number of occurrences and its identifier.", "name": "fig-aspirin-words"}, "image": {"alt": "Grid of drawings of aspirin; in each, an atom or an atom with its neighbours is shaded."}}
figures.substructure_panels(aspirin)

# %% [markdown]
# The vectors that the project ships were trained on 282,420 molecules by `python -m infocore_mini.experiments mol2vec`; the {doc}`model card </book/model_cards>` has the corpus, the settings and how to use the published model instead.

# %% tags=["nbval-check-output"]
vectors = load_vectors()
features = mol2vec([aspirin, chapter.NAMED["diazepam"]], vectors=vectors)
n_molecules = vectors.metadata["n_molecules"]
print(f"{len(vectors.identifiers):,} substructures from {n_molecules:,} molecules")
print("two molecules:", features.shape, features.dtype)

# %% [markdown]
# Atoms have no natural order, so a molecule has many SMILES, and all must give the same vector.
# They do, to the last bit:

# %% tags=["nbval-check-output"]
spellings = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "OC(=O)c1ccccc1OC(C)=O",
    "C1=CC=CC(C(=O)O)=C1OC(=O)C",
    "c1(OC(C)=O)c(C(O)=O)cccc1",
]
table = mol2vec(spellings, vectors=vectors)
bool((table == table[0]).all())

# %% [markdown]
# ### Rows that are no molecules
#
# A registration system of any age holds a few broken structures.
# A featuriser that gives them zeros puts them all in one place, where a model will find them most similar to each other.
# Here they stop the run, all of them named at once:

# %% tags=["nbval-check-output"]
try:
    mol2vec([aspirin, "CC(=O)Oc1ccccc1C(=O", "CF(C)C", "c1cccc1", "", None])
except InvalidSmiles as error:
    print(error)

# %% [markdown]
# ### Substructures that training never saw
#
# Tellurium is rare in drug discovery. Its compounds still get a vector, because what is unknown is summed as `UNK`:

# %%
exotic = {
    "telluride": "C[Te]c1ccccc1",
    "selenide": "C[Se]c1ccccc1",
    "sulfide": "CSc1ccccc1",
    "Eu(3+)": "[Eu+3]",
    "Tb(3+)": "[Tb+3]",
}

# %% tags=["nbval-check-output"]
sentences = substructure_sentences(exotic.values())
words = [np.array(sentence, dtype=np.int64) for sentence in sentences]
none = len(vectors.identifiers)  # where a word has no vector
unseen = [int((vectors.rows(row) == none).sum()) for row in words]
counts = {"words": [len(row) for row in words], "unseen": unseen}
captioned(
    pd.DataFrame(counts, index=list(exotic)),
    "Words of rare molecules, and how many of them have no vector.",
)

# %% [markdown]
# The price: two molecules that differ only in what is unseen get the same vector, as the last two do.
#
# ### Who is next to whom?
#
# The library: the compounds of the Broad Institute's list that look like drugs (one fragment, 10 to 60 heavy atoms, common elements), stereoisomers counted once, and some sixty well-known drugs.
# For five of these drugs, their nearest four by cosine of Mol2vec vectors and by Tanimoto similarity of Morgan fingerprints:

# %%
library = chapter.library()
found = chapter.features(library, vectors)
neighbours = chapter.neighbours(chapter.QUERIES, library, found, vectors)
print(f"library: {len(library):,} molecules")

# %% mystnb={"figure": {"caption": "Five drugs (left) and the four most similar library molecules: by Mol2vec in the upper row of each pair, by Morgan fingerprint in the lower. A name is given where we know it.", "name": "fig-drug-neighbours"}, "image": {"alt": "Grid of molecule drawings, two rows for each of aspirin, diazepam, dexamethasone, imatinib and penicillin V; most neighbours share the ring system of the drug."}}
figures.neighbour_panels(
    neighbours, {name: chapter.NAMED[name] for name in chapter.QUERIES}
)

# %% [markdown]
# How a chemist may read it, when the library is the full list:
#
# - **Diazepam, dexamethasone, penicillin V**: both featurisers return benzodiazepines, fluorinated or chlorinated corticosteroids, and penicillins.
# - **Imatinib**: both put an analogue first in which a thiazole stands for the pyrimidine. Further down Mol2vec brings kinase inhibitors of other series and then molecules of the same parts list but of no common design. A bag of small pieces does not know how they are joined; Morgan's larger pieces do better on a large molecule.
# - **Aspirin**: acetylated phenols and salicylates. With so few words, one exchanged group is a large change.
#
# A count in place of an impression: among our own drugs of six classes, is the nearest other drug of the same class?

# %% tags=["nbval-check-output"]
classes = chapter.same_class(vectors)
captioned(
    classes,
    "Drugs of a class, and how many of them have a nearest neighbour of the same "
    "class.",
)

# %% [markdown]
# *Well-known drugs, chosen by us; column Mol2vec and column Morgan: for how many of the *drugs* the nearest other one is of their class. A handful of famous, well-separated classes: a sanity check and no benchmark.*
#
# ### A map

# %%
n_map = MAP_MOLECULES * (5 if PROFILE == "paper" else 1)
crowd = np.random.default_rng(SEED).permutation(len(library))[:n_map]
rows = np.union1d(
    np.arange(min(len(chapter.NAMED), len(library))), crowd
)  # the drugs come first in the library
on_map = [library[row] for row in rows]
groups = [chapter.class_of(smiles) for smiles in on_map]

# %% mystnb={"figure": {"caption": "Library molecules in the space of Mol2vec. Left: the first two principal components, coloured by size. Right: a t-SNE of cosine distances, with the drug classes from above.", "name": "fig-molecule-map"}, "image": {"alt": "Two scatter plots. On the left, colour runs smoothly from small to large molecules along the first axis; on the right, coloured markers of a class lie in clumps."}}
figures.size_and_map(
    found["Mol2vec"][rows], chapter.heavy_atoms(on_map), groups, seed=SEED
)

# %% [markdown]
# ## Limits, measured

# %%
measured = chapter.limits(library, found, vectors)
captioned(
    measured.round(2).to_frame("this library"),
    "Limits of Mol2vec, measured on the library of this chapter.",
)

# %% [markdown]
# - **Counts dominate.** A sum over substructures grows with their number, so the length of a vector is little else than the size of the molecule.
# - **All molecules look alike** before scaling: everything has carbons in common, and two molecules drawn at random already have a high cosine. That is why the training chapters standardise $X_d$ by the training split, as the paper does.
# - **Some molecules cannot be told apart**, by any model trained on these features: their screens differ, their $X_d$ does not.
#
# What lies behind the last point, pair by pair; 1 means that the two are the same to the featuriser:

# %%
pairs = {
    "stereo: dexamethasone, betamethasone": (
        chapter.NAMED["dexamethasone"],
        chapter.NAMED["betamethasone"],
    ),
    "position: 2- and 3-hexanol": ("CCCCC(C)O", "CCCC(O)CC"),
    "position: meta- and para-cresol": ("Cc1cccc(O)c1", "Cc1ccc(O)cc1"),
    "tautomers: 2-pyridone, 2-hydroxypyridine": ("O=c1cccc[nH]1", "Oc1ccccn1"),
    "salt: lidocaine and its hydrochloride": (
        chapter.NAMED["lidocaine"],
        chapter.NAMED["lidocaine"] + ".Cl",
    ),
    "unseen: ions of europium and terbium": ("[Eu+3]", "[Tb+3]"),
}

# %% tags=["nbval-check-output"]
captioned(
    chapter.compare_pairs(pairs, vectors).round(2),
    "Cosine of Mol2vec and Tanimoto similarity of Morgan fingerprints, of pairs "
    "of molecules.",
)

# %% [markdown]
# Stereochemistry is invisible to both; a betamethasone screen and a dexamethasone screen share one drug vector.
# Where a substituent sits on a ring or a chain hardly moves Mol2vec, and moves Morgan a lot.
# Tautomers are different molecules to both, so settle on one form before you start.
# A salt is read whole, nothing is stripped, as the mol2vec package does it; a hydrochloride adds one word to a long sentence.
# And the ions of two metals, both unseen, are one and the same to Mol2vec.

# %% tags=["hide-input", "remove-output"]
results = {
    "limits": measured.round(4).to_dict(),
    "same_class": classes.to_dict(),
    "neighbours": neighbours.round(4).to_dict("list"),
    "library": len(library),
}
path = save_results("03_molecules", parameters, results, output_dir=OUTPUT_DIR)
path.name

# %% [markdown]
# ## What the paper did, beside what we do
#
# | | {cite:t}`wang2024infocore` | here |
# |---|---|---|
# | features of a molecule | Mol2vec, 300 numbers | the same |
# | vectors trained on | about 20 million compounds (the published model) | 282,420 compounds |
# | words | radius 0 and 1, rare ones as `UNK` | the same; identifiers tested equal to the package's |
# | scaling | standardised on all molecules, by the published code | standardised on the training split only |
#
# The paper reports no number on the features themselves, so there is none to reproduce on this page.
# Our vectors saw 70 times fewer molecules; a reader who has the published model can load it and rerun this page.
#
# ## Exercises
#
# ::::{exercise}
# :label: ex-mean-in-place-of-sum
#
# Divide each Mol2vec vector by the number of words in its sentence.
# Does the cosine between molecules change? Does a Euclidean nearest neighbour?
# ::::
#
# ::::{solution} ex-mean-in-place-of-sum
# :class: dropdown
#
# The cosine ignores length, so it stays exactly as it is.
# Euclidean neighbours change a lot: with sums they are mostly molecules of the same size, with means they are close to the cosine's.
# The model of the later chapters sees standardised sums, so it *can* use size, and a batch that holds a library of large molecules can be recognised by it.
# ::::
#
# ::::{exercise}
# :label: ex-own-drug
#
# Take a drug that you know well and look for its neighbours among `library` with `chapter.similarity`.
# Which of the two featurisers finds the compounds that you would call its series?
# ::::
#
# ::::{solution} ex-own-drug
# :class: dropdown
#
# `scores = chapter.similarity("Mol2vec", mol2vec([smiles]), found["Mol2vec"])[0]`, then `[library[i] for i in (-scores).argsort()[:10]]`; with `morgan([smiles])`, `"Morgan"` and `found["Morgan"]` for the other.
# Expect both to find close analogues of a compact drug, and Mol2vec to wander for a large one made of common rings.
# ::::
#
# ## Takeaways
#
# - A Mol2vec vector is a sum of learnt vectors of small pieces: independent of spelling, fast, and blind to stereochemistry and to how pieces are joined.
# - Its length is size; scale it before use, on the training split.
# - Broken structures stop the run with a list of rows; unknown pieces become `UNK`, and both are shown to you.
#
# In this notebook we have turned SMILES into words and words into vectors, checked the neighbours of five drugs by eye and of six classes by count, and measured what the representation cannot see.
#
# ## References
#
# Mol2vec: {cite:t}`jaeger2018mol2vec`; Word2Vec: {cite:t}`mikolov2013word2vec`; Morgan fingerprints: {cite:t}`rogers2010ecfp`; the use made of them: {cite:t}`wang2024infocore`.
