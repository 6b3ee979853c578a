"""Tables of the retrieval chapter: what the batch alone is worth, what gives a campaign away, live and stored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from infocore_mini.correct import Correction, PlateCentring, RobustZ
from infocore_mini.evaluate.retrieval import same_batch_share, screen_retrieval
from infocore_mini.evaluate.seeds import compare, outcome, over_seeds, paired
from infocore_mini.experiments.names import METHOD_ARMS, Arm
from infocore_mini.experiments.neighbours import of_real_screens
from infocore_mini.experiments.pretraining.report import Tables, library_size, paper_chance
from infocore_mini.experiments.pretraining.run import Study, batch_probe
from infocore_mini.experiments.results import paper_table
from infocore_mini.experiments.retrieval.run import Embeddings, Trained
from infocore_mini.featurize import morgan
from infocore_mini.readers import read_yeast_growth, read_zebrafish
from infocore_mini.screens import PairedScreen

# Of the paper's screens (its section 3.2): all molecules, and conditions per cell line.
_PAPER_MOLECULES = {"gene_expression": (17_753, 82_914 / 9), "cell_painting": (30_204, 30_204)}
TITLES = {"toxcast": "ToxCast", "simulated": "simulated stand-in"}


def real_batches() -> tuple[pd.DataFrame, str]:
    """Percent of readouts of zebrafish and yeast whose nearest neighbour shares the experimental batch; and a notice.

    See `neighbours.of_real_screens`.
    """
    corrections: dict[str, tuple[Correction, ...]] = {
        "as published": (),
        "mean of the batch": (PlateCentring(),),
        "robust z of the batch": (RobustZ(wells="all"),),
    }
    screens = {"zebrafish behaviour": read_zebrafish, "yeast growth": read_yeast_growth}
    return of_real_screens(screens, corrections)


def banner(study: Study) -> str:
    """What the live sections of the page show: a name, and a warning where it is simulated."""
    if study.name != "simulated":
        return f"**Live sections: real data, {TITLES[study.name]}.**"
    return (
        "**SIMULATED SCREEN in the live sections.** The real file is not at hand, so a small simulated cell-painting "
        "screen takes its place; set INFOCORE_DATA to the folder that holds the file."
    )


# ------------------------------------------------------------------ before any training


def score_extremes(
    embeddings: Mapping[str, Embeddings], screen: PairedScreen, minimum_library: int, *, top: int = 1
) -> pd.DataFrame:
    """Top-k accuracy in percent and its multiple of chance, whole and batch library, a row for each embedding."""
    rows = {}
    for name, (z_screen, z_drug) in embeddings.items():
        table = screen_retrieval(z_screen, z_drug, screen, top=(top,), minimum_library=minimum_library, n_bootstrap=0)
        mean = table[table["cell_line"] == "mean"].set_index("library")
        rows[name] = {
            f"{library}, {what}": mean.loc[library, column] * unit
            for library in ("whole", "batch")
            for what, column, unit in (("%", "accuracy", 100), ("x chance", "lift", 1))
        }
    return pd.DataFrame(rows).T


def lift_from_batch(embeddings: Mapping[str, Embeddings], screen: PairedScreen, *, top: int = 10) -> pd.DataFrame:
    """Lift of whole-library top-k accuracy, and the lift that its same-batch molecules alone would give.

    If a share s of the first k is from the query's batch, and e in a random order, a random pick among them is right
    s / e times as often as chance, the mean over queries; those alone in their batch count 1. A row an embedding.
    """
    scored, rows = score_extremes(embeddings, screen, 1, top=top), {}
    for name, z in embeddings.items():
        table = same_batch_share(*z, screen, top=(top,))
        factor = (table["share"] / table["expected"]).fillna(1.0)
        rows[name] = {f"lift, whole top {top}": scored.loc[name, "whole, x chance"], "from the batch": factor.mean()}
    return pd.DataFrame(rows).T


def readability(screen: PairedScreen) -> pd.Series:
    """Percent of conditions whose experimental batch a linear probe names, cross-validated, from each kind of input.

    "largest batch" is what always naming that one gives. Batches of fewer than 5 conditions are left out.
    """
    profile = screen.mean_profile()
    sources = {
        "Mol2vec": StandardScaler().fit_transform(screen.drug)[screen.drug_id],
        "Morgan fingerprint": morgan(screen.smiles)[screen.drug_id],
        "readout, missing = mean": np.nan_to_num(StandardScaler().fit_transform(profile)),
        "which readouts are missing": profile.isnan().float().numpy(),
    }
    count = screen.batch_id.bincount()
    count = count[count >= 5]
    largest = {"largest batch": float(count.max() / count.sum())}
    return 100 * pd.Series(largest | {name: batch_probe(x, screen) for name, x in sources.items()})


# ------------------------------------------------------------------ live runs


def live_table(runs: Mapping[str, Trained]) -> pd.DataFrame:
    """Percent with the 95 % interval over molecules, and the share of the first ten from the query's own batch."""
    rows = {}
    for arm, run in runs.items():
        table = pd.DataFrame(run.record["retrieval"])
        table = table[(table["cell_line"] == "mean") & (table["top"] != 5)]
        cells = {
            f"{row.library}, top {row.top}": f"{100 * row.accuracy:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"
            for row in table.itertuples()
        }
        share, expected = (f"{100 * run.record['same_batch'][key]:.0f}" for key in ("share", "expected"))
        rows[arm] = cells | {"same batch": share, "expected": expected}
    return pd.DataFrame(rows).T


# ------------------------------------------------------------------ the stored study, and the paper


def answers(
    records: Sequence[Mapping],
    arms: Mapping[str, Arm] = METHOD_ARMS,
    *,
    reference: str = "clip",
    overlap: float = 0.0,
) -> str:
    """Markdown: for each arm, does it pair less by campaign than the reference, and is it better in the batch library?

    Differences are paired by seed, with 95 % t-intervals.

    Args:
        records: results of a study's runs.
        arms: the study's, by the names that the records have.
        reference: the arm that the others are held against.
        overlap: of the seeds' test molecules, as in `evaluate.seeds.half_width`.
    """
    runs = pd.DataFrame(
        {
            "arm": record["arm"],
            "seed": record["seed"],
            "share": 100 * record["same_batch"]["share"],
            "expected": 100 * record["same_batch"]["expected"],
            "accuracy": 100 * _batch_top_1(record),
        }
        for record in records
    ).set_index(["arm", "seed"])
    base = runs.loc[reference]
    lines = [
        f"- {arms[reference].label}: {base['share'].mean():.0f} % of the first ten come from the query's campaign "
        f"({base['expected'].mean():.0f} % in random order); batch library, top 1: {base['accuracy'].mean():.1f} %."
    ]
    for arm in runs.index.unique("arm").drop(reference):
        ours = runs.loc[arm]
        lines.append(
            f"- {arms[arm].label}: from the query's campaign {ours['share'].mean():.0f} %, "
            f"{_said(ours['share'], base['share'], overlap)}; "
            f"batch library, top 1: {ours['accuracy'].mean():.1f} %, {_said(ours['accuracy'], base['accuracy'], overlap)}."
        )
    return "\n".join(lines)


def intervals(by_arm: Tables, *, library: str = "batch", top: int = 1) -> pd.DataFrame:
    """Half widths of 95 % intervals in points of accuracy, a row an arm: of each seed over molecules, and over seeds."""
    rows = {}
    for arm, by_seed in by_arm.items():
        one = {f"molecules, seed {seed}": _half_width(table, library, top) for seed, table in by_seed.items()}
        rows[arm] = one | {"seeds": _half_width(over_seeds(by_seed, overlap=by_arm.overlap), library, top)}
    return pd.DataFrame(rows).T


def beside_paper(by_arm: Tables, name: str, arms: Mapping[str, Arm] = METHOD_ARMS) -> pd.DataFrame:
    """Top-1 accuracy against CLIP's in percent, ours with the 95 % interval over seeds, the paper's from its Table 2.

    name: of our screen; arms: the study's. Levels do not compare between screens, so only the change against CLIP is shown.
    """
    rows = {}
    for arm in by_arm:
        if arm == "clip":
            continue
        table = compare(by_arm[arm], by_arm["clip"], overlap=by_arm.overlap)
        table = table[(table["cell_line"] == "mean") & (table["top"] == 1)].set_index("library")
        rows[f"ours, {name}", arms[arm].label] = {
            library: "{:+.0f} ({:+.0f} to {:+.0f})".format(
                *(100 * table.loc[library, ["relative", "relative_low", "relative_high"]])
            )
            for library in ("whole", "batch")
        }
    for dataset, printed in paper_table("table2_retrieval").items():
        printed = {row["method"]: row for row in printed}
        for method in ("CCL", "InfoCORE"):
            change = {
                library: 100 * (printed[method][library]["1"] / printed["CLIP"][library]["1"] - 1)
                for library in ("whole", "batch")
            }
            rows[f"paper, {dataset.replace('_', ' ')}", method] = {k: f"{v:+.0f}" for k, v in change.items()}
    return pd.DataFrame(rows).T.rename_axis(["screen", "method"])


def differences(against: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Arms against one reference in percentage points, side by side: rows (library, top), columns (arm, what).

    Args:
        against: arm -> rows of ``pretraining.report.against``.
    """
    what = ["difference", "difference_low", "difference_high"]
    points = {arm: 100 * table.set_index(["library", "top"])[what] for arm, table in against.items()}
    return pd.concat(points, axis=1, names=["arm"]).sort_index()


def batch_alone_in_paper() -> pd.DataFrame:
    """What the batch alone would score on the paper's whole libraries, from its Table 2: percent, a row a screen.

    An embedding that knows nothing but the batch finds its molecule among all as often as chance does within the batch.
    """
    rows = {}
    for dataset, printed in paper_table("table2_retrieval").items():
        whole, batch = ({row["method"]: row[library]["1"] for row in printed} for library in ("whole", "batch"))
        rows[f"paper, {dataset}"] = {
            "chance, %": 100 * paper_chance(dataset)["whole", 1],
            "batch alone, %": batch["Random"],
            "x chance": batch["Random"] / 100 / paper_chance(dataset)["whole", 1],
            "CLIP, %": whole["CLIP"],
        }
    return pd.DataFrame(rows).T


def paper_library_sizes() -> pd.DataFrame:
    """Molecules of the paper's whole libraries, as their random accuracies allow, beside a fifth of two counts.

    Columns: smallest and largest library; a fifth of all molecules, and of those measured in a cell line on average.
    """
    rows = {}
    for dataset, (n_molecules, per_cell_line) in _PAPER_MOLECULES.items():
        printed = paper_table("table2_retrieval")[dataset]
        random = next(row["whole"] for row in printed if row["method"] == "Random")
        low, high = library_size({int(k): percent for k, percent in random.items()})
        rows[dataset] = {
            "library, from": low,
            "to": high,
            "fifth of all": n_molecules / 5,
            "fifth of a cell line": per_cell_line / 5,
        }
    return pd.DataFrame(rows).T


def _batch_top_1(record: Mapping) -> float:
    rows = (r for r in record["retrieval"] if (r["cell_line"], r["library"], r["top"]) == ("mean", "batch", 1))
    return next(rows)["accuracy"]


def _said(ours: pd.Series, base: pd.Series, overlap: float) -> str:
    """The mean difference in points, its interval, and what it says."""
    mean, low, high = paired(ours, base, overlap=overlap)
    told = outcome(low, high)
    says = f"{told} by {len(ours)} seeds" if told == "not told apart" else f"**{told}**"
    return f"{says} ({mean:+.1f} points, {low:+.1f} to {high:+.1f})"


def _half_width(table: pd.DataFrame, library: str, top: int) -> float:
    row = table[(table["cell_line"] == "mean") & (table["library"] == library) & (table["top"] == top)].iloc[0]
    return 50 * (row["high"] - row["low"])
