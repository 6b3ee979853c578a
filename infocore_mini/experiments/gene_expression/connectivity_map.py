"""What the gene-expression chapter shows of the Connectivity Map, and how it sums up the planned study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infocore_mini.correct import BatchCentring
from infocore_mini.evaluate.retrieval import same_batch_share
from infocore_mini.evaluate.seeds import detectable, half_width, paired, t_interval
from infocore_mini.experiments import best
from infocore_mini.experiments.gene_expression import run
from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.neighbours import OWN_BATCH, SAME_DRUG, neighbours
from infocore_mini.experiments.pretraining.report import paper_accuracies, paper_chance
from infocore_mini.experiments.retrieval.run import campaign_from_structure
from infocore_mini.screens import PairedScreen, Split
from infocore_mini.sources import DataUnavailable

# Scores of the study on the Connectivity Map, in percent; of the last, less is better.
WHOLE, BATCH, SAME_BATCH = "whole library, top 1", "batch library, top 1", "neighbour in the own batch"
SCORES = (WHOLE, BATCH, SAME_DRUG, SAME_BATCH)
_CONTRASTS = (("infocore", "clip"), ("infocore", "ccl"))


class Shown(NamedTuple):
    """The screen that the live cells run on; ``notice`` says which, ``simulated`` whether it is a stand-in."""

    screen: PairedScreen
    notice: str
    simulated: bool


def load() -> Shown:
    """The Connectivity Map, or a small simulated screen where its files cannot be had."""
    try:
        return Shown(run.screen(), "The live cells below run on the **real** Connectivity Map.", False)
    except DataUnavailable:
        notice = (
            "SIMULATED SCREEN in the live cells. The Connectivity Map is not at hand; set INFOCORE_DATA to the folder "
            "that holds its files. The stored results below are of the real one."
        )
        return Shown(run.screen(simulated=True), notice, True)


def largest_batches(screen: PairedScreen, n: int = 6) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Of the cell line with most conditions, the ``n`` largest batches: name, mean profiles raw, and batch-centred."""
    line = int(screen.cell_line.bincount().argmax())
    size = screen.batch_id[screen.cell_line == line].bincount(minlength=screen.n_batches)
    raw, centred = (part.mean_profile().numpy() for part in (screen, BatchCentring().fit(screen).transform(screen)))
    for batch in size.argsort(descending=True)[:n].tolist():
        rows = ((screen.cell_line == line) & (screen.batch_id == batch)).numpy()
        yield screen.batch_names[batch], raw[rows], centred[rows]


def neighbours_of_profiles(splits: Mapping[str, Sequence[Split]], whole: Mapping[str, Mapping]) -> pd.DataFrame:
    """Percent of the readouts whose nearest neighbour shares a label, before any training.

    Args:
        splits: input -> splits; scored on their test molecules, mean over the splits.
        whole: input -> `neighbours` of all molecules.

    Returns:
        Rows (molecules, input); columns `OWN_BATCH`, `SAME_DRUG`, and what permuted labels and chance give.
    """
    rows = {("all", kind): whole[kind] for kind in whole}
    for kind, parts in splits.items():
        found = [neighbours(part.test.mean_profile().numpy(), part.test) for part in parts]
        rows["test", kind] = pd.DataFrame(found).mean().to_dict()
    names = [OWN_BATCH, f"{OWN_BATCH}, permuted", SAME_DRUG, f"{SAME_DRUG}, chance"]
    table = 100 * pd.DataFrame.from_dict(rows, orient="index").set_axis(names, axis=1)
    return table.rename_axis(["molecules", "input"])


def structure_signal(split: Split) -> dict[str, float]:
    """How much the structure tells of the readout: percent of other test molecules that the right one ranks above.

    A ridge regression, its strength chosen within the training molecules, predicts the mean profile of a molecule in
    a cell line from its features; each test readout ranks the predictions for the test molecules by cosine. 50 is
    chance.

    Returns:
        cell line -> percent, and "mean".
    """
    train, test = split.train, split.test
    found = {}
    for line in test.cell_line.unique().tolist():
        rows, asked = train.cell_line == line, test.cell_line == line
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(1, 6, 11)))
        model.fit(train.drug[train.drug_id[rows]].numpy(), train.mean_profile()[rows].numpy())
        molecules, target = test.drug_id[asked].unique(return_inverse=True)
        predicted = torch.as_tensor(model.predict(test.drug[molecules].numpy()), dtype=torch.float32)
        readout, centre = test.mean_profile()[asked], train.mean_profile()[rows].mean(0)
        cosine = torch.nn.functional.normalize(readout - centre) @ torch.nn.functional.normalize(predicted - centre).T
        above = (cosine < cosine.gather(1, target[:, None])).sum(1) / (len(molecules) - 1)
        found[test.cell_line_names[line]] = 100 * float(above.mean())
    return found | {"mean": float(np.mean(list(found.values())))}


def what_structure_tells(splits: Mapping[str, Split]) -> pd.Series:
    """Percent: how far held-out structures give the batch away, and how far the readout; ``splits`` by kind of input.

    Of the first ten molecules ranked by how well a linear model of their structure fits the query's batch, those of
    that batch (`retrieval.run.campaign_from_structure`), beside a random order; and `structure_signal`.
    """
    split = next(iter(splits.values()))
    follow = same_batch_share(*campaign_from_structure(split), split.test, top=(10,))
    found = {
        "first ten of the query's batch, read off the structure": 100 * follow["share"].mean(),
        "the same in a random order": 100 * follow["expected"].mean(),
    }
    for kind, part in splits.items():
        found[f"others that the right molecule beats, {kind} readout (chance 50)"] = structure_signal(part)["mean"]
    return pd.Series(found)


def scores(rows: Sequence[Mapping]) -> pd.DataFrame:
    """Percent, a row for each (input, method, seed), columns ``SCORES``; rows as those of `run.run_all`."""
    table = {}
    for row in rows:
        near = row["neighbours"]
        values = (*_top_1(row, "accuracy"), near["same_drug"], near["same_batch"])
        table[row["input"], METHOD_NAMES[row["method"]], row["seed"]] = dict(zip(SCORES, values))
    return 100 * pd.DataFrame.from_dict(table, orient="index").rename_axis(["input", "method", "seed"])


def chances(rows: Sequence[Mapping]) -> dict[str, float]:
    """Percent that each of ``SCORES`` has by chance: of the same splits, mean over rows."""
    found = []
    for row in rows:
        near = row["neighbours"]
        found.append((*_top_1(row, "chance"), near["same_drug_chance"], near["same_batch_permuted"]))
    return dict(zip(SCORES, (100 * np.mean(found, axis=0)).tolist()))


def _top_1(row: Mapping, what: str) -> tuple[float, float]:
    """Accuracy or chance at top 1, mean over the cell lines, in the whole and in the batch library."""
    found = {
        scored["library"]: scored[what]
        for scored in row["retrieval"]
        if (scored["cell_line"], scored["top"]) == ("mean", 1)
    }
    return found["whole"], found["batch"]


def side_by_side(table: pd.DataFrame, overlap: float) -> pd.DataFrame:
    """Mean and half of the 95 % interval of `scores`, as text: a row for each input and method, a column a score."""

    def text(values: pd.Series) -> str:
        found = t_interval(values, overlap=overlap)
        return f"{found.mean:.1f}" + (f" ± {found.high - found.mean:.1f}" if len(values) > 1 else "")

    return table.groupby(["input", "method"], sort=False).agg(text)


def best_arms(table: pd.DataFrame, overlap: float) -> pd.DataFrame:
    """The marks of `side_by_side`, from differences paired by split; of neighbours from the same batch, less is better."""
    by_split = {score: table[score].unstack("seed").T for score in SCORES}
    return best.of_seeds(by_split, lower=(SAME_BATCH,), overlap=overlap)


def batch_followed(rows: Sequence[Mapping], overlap: float) -> pd.DataFrame:
    """Of the first ten molecules retrieved from the whole library, percent that share the query's batch.

    Returns:
        Rows (input, method); "same batch" with half of its 95 % interval, and "expected" in a random order.
    """
    table = pd.DataFrame(
        [{"input": row["input"], "method": METHOD_NAMES[row["method"]], **row["same_batch"]} for row in rows]
    )
    by_arm = 100 * table.groupby(["input", "method"], sort=False)[["share", "expected"]].agg(list).map(np.array)
    text = [
        {
            "same batch": f"{share.mean():.2f} ± {half_width(share, overlap=overlap):.2f}",
            "expected": f"{at_random.mean():.2f}",
        }
        for share, at_random in by_arm.itertuples(index=False)
    ]
    return pd.DataFrame(text, index=by_arm.index)


def contrasts(table: pd.DataFrame, overlap: float) -> pd.DataFrame:
    """InfoCORE minus CLIP and minus CCL, paired by split, in percentage points.

    Returns:
        Rows (score, input, against); columns difference, low, high (95 %), told_apart, whether that leaves out zero,
        and detectable, the true difference that such splits would tell from zero four times in five.
    """
    rows = {}
    for score in SCORES:
        by_seed = table[score].unstack("seed").T
        for kind in table.index.unique("input"):
            for ours, theirs in _CONTRASTS:
                a, b = (by_seed[kind, METHOD_NAMES[method]] for method in (ours, theirs))
                found = paired(a, b, overlap=overlap)
                rows[score, kind, METHOD_NAMES[theirs]] = {
                    "difference": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "told_apart": found.low > 0 or found.high < 0,
                    "detectable": detectable(a - b, overlap=overlap),
                }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["score", "input", "against"])


def verdict(table: pd.DataFrame, overlap: float) -> str:
    """The answers to the plan's questions, in sentences written by the numbers: Markdown."""
    found, lines = contrasts(table, overlap), []
    n = len(table.index.unique("seed"))
    for score in SCORES:
        rows = found.loc[score]
        apart = [
            f"InfoCORE is **{'above' if row.difference > 0 else 'below'} {against}** on {kind} input "
            f"({row.difference:+.1f} points, {row.low:+.1f} to {row.high:+.1f})"
            for (kind, against), row in rows.iterrows()
            if row.told_apart
        ]
        rest = f"{len(rows) - len(apart)} of {len(rows)} comparisons are **not told apart** by {n} splits"
        seen = f"a true difference of {rows['detectable'].min():.1f} to {rows['detectable'].max():.1f} points"
        lines.append(
            f"- *{score[0].upper()}{score[1:]}*: {'; '.join([*apart, rest])}, which would show {seen} in four cases of five."
        )
    return "\n".join(lines)


def paper_gain(table: pd.DataFrame, chances: Mapping[str, float]) -> pd.DataFrame:
    """What InfoCORE's gain over CLIP in the paper's Table 2, gene expression, would be at CLIP's level here: top 1.

    A gain is a share of what CLIP adds to chance: the small batch libraries here give much of the accuracy by chance.

    Args:
        chances: of `chances`.

    Returns:
        Rows whole and batch library; columns "paper (%)" and, for each input, "points here, raw" and so on.
    """
    paper, chance = paper_accuracies("gene_expression"), paper_chance("gene_expression")
    clip, rows = table.xs(METHOD_NAMES["clip"], level="method"), {}
    for library, score in (("whole", WHOLE), ("batch", BATCH)):
        more = paper["infocore", library, 1] - paper["clip", library, 1]
        gain = more / (paper["clip", library, 1] - chance[library, 1])
        level = clip[score].groupby("input", sort=False).mean() - chances[score]
        rows[score] = {"paper (%)": 100 * gain} | {f"points here, {kind}": gain * level[kind] for kind in level.index}
    return pd.DataFrame.from_dict(rows, orient="index")
