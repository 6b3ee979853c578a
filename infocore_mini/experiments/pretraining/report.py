"""Stored pretraining studies as tables: accuracies over seeds, arms compared seed by seed, probes, Tables 5 and 7.

Longer than others: what is stored and what the paper prints are read in one place, so that no chapter pairs them by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from infocore_mini.evaluate.seeds import compare, half_width, outcome, over_seeds, paired
from infocore_mini.experiments.names import METHOD_NAMES, Arm, label, listed
from infocore_mini.experiments.pretraining.studies import STUDIES
from infocore_mini.experiments.results import paper_table, stored


class Tables(dict[str, dict[int, pd.DataFrame]]):
    """arm -> seed -> rows of ``screen_retrieval``.

    Attributes:
        overlap: of the seeds' test molecules, as in `evaluate.seeds.half_width`; every interval here takes it.
    """

    overlap: float = 0.0


INPUTS = "readout and Mol2vec, before training"
MARGIN = 0.1  # of the reference's accuracy: what counts as level, see plan.md
FRAMEWORKS = {  # the arms of Table 7, by the names that it has them under
    f"{METHOD_NAMES[method]} ({framework})": Arm(method, framework)
    for method in METHOD_NAMES
    for framework in ("MoCo", "SimCLR")
    if (method, framework) != ("ccl", "MoCo")
}


def tables(records: Sequence[Mapping], overlap: float = 0.0) -> Tables:
    """The retrieval tables of a study's results; ``overlap`` as in ``Study``."""
    found = Tables()
    found.overlap = overlap
    for record in records:
        found.setdefault(record["arm"], {})[record["seed"]] = pd.DataFrame(record["retrieval"])
    return found


def stored_tables(name: str) -> Tables:
    """``tables`` of a stored study."""
    return tables(stored(name).results, STUDIES[name].overlap)


def searched(name: str) -> pd.DataFrame:
    """The search of a stored study whose settings were chosen on screens of their own: rows (method, candidate).

    Columns: mean retrieval accuracy on validation molecules, percent; whether it was chosen.
    """
    held = stored(name)
    search = {row["arm"]: row["search"] for row in held.results}
    rows = {
        (METHOD_NAMES.get(arm, arm), _settings_in_words(candidate)): {
            "validation (%)": 100 * score,
            "chosen": "chosen" if score == max(search[arm]) else "",
        }
        for arm, candidates in held.parameters["candidates"].items()
        for candidate, score in zip(candidates, search[arm], strict=True)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["method", "candidate"])


def _settings_in_words(candidate: Mapping[str, Any]) -> str:
    names = {"feature_dropout_screen": "feature dropout"}
    return ", ".join(f"{names.get(name, name)} {value}" for name, value in candidate.items())


def accuracy_by_seed(by_arm: Tables, library: str, top: int = 1) -> pd.DataFrame:
    """Accuracy in percent, mean over cell lines: rows seeds, columns arms."""

    def value(table: pd.DataFrame) -> float:
        rows = table[(table["cell_line"] == "mean") & (table["library"] == library) & (table["top"] == top)]
        return 100 * float(rows["accuracy"].iloc[0])

    return pd.DataFrame({arm: {seed: value(t) for seed, t in by_seed.items()} for arm, by_seed in by_arm.items()})


def accuracies(by_arm: Tables) -> pd.DataFrame:
    """Mean over cell lines by arm, library and top: accuracy over seeds with its 95 % t-interval, chance, lift."""
    parts = [over_seeds(by_seed, overlap=by_arm.overlap).assign(arm=arm) for arm, by_seed in by_arm.items()]
    rows = pd.concat(parts, ignore_index=True)
    return rows[rows["cell_line"] == "mean"].drop(columns="cell_line")


def against(by_arm: Tables, arm: str, reference: str) -> pd.DataFrame:
    """One arm against another, paired by seed: rows of ``evaluate.seeds.compare``, mean over cell lines."""
    rows = compare(by_arm[arm], by_arm[reference], overlap=by_arm.overlap)
    return rows[rows["cell_line"] == "mean"].drop(columns="cell_line").reset_index(drop=True)


def told(by_arm: Tables, arm: str, reference: str, margin: float = MARGIN) -> pd.DataFrame:
    """``against``, and what each row says: "above", "below", "level" or "not told apart".

    Above and below: the 95 % interval of the difference leaves out zero. Level: it lies within ``margin`` times the
    reference's accuracy on either side. Else the column detectable says what could have been seen.
    """
    rows = against(by_arm, arm, reference)
    ends = zip(rows["difference_low"], rows["difference_high"], margin * rows["accuracy_b"], strict=True)
    said = [outcome(low, high, margin=room, more="above", less="below") for low, high, room in ends]
    return rows.assign(said=said)


def verdict(by_arm: Tables, pairs: Sequence[tuple[str, str]], margin: float = MARGIN) -> str:
    """``told`` in sentences, a line for each (arm, reference) and library: Markdown."""
    lines = []
    for arm, reference in pairs:
        name, other = label(arm), label(reference)
        table = told(by_arm, arm, reference, margin)
        for library, rows in table.groupby("library", sort=False):
            parts = [_apart(row, other) for row in rows.itertuples() if row.said in ("above", "below")]
            level = rows[rows["said"] == "level"]
            if len(level):
                parts.append(f"**level** with {other} at top {_tops(level)} (within {100 * margin:.0f} % of it)")
            rest = rows[rows["said"] == "not told apart"]
            if len(rest):
                low, high = (100 * rest["detectable"].agg(which) for which in ("min", "max"))
                seen = f"{low:.1f}" if len(rest) == 1 else f"{low:.1f} to {high:.1f}"
                parts.append(
                    f"**not told apart** from {other} at top {_tops(rest)}, where a true difference of {seen} "
                    "points would show in four cases of five"
                )
            lines.append(f"- {name} against {other}, {library} library: {'; '.join(parts)}.")
    return "\n".join(lines)


def _apart(row: Any, other: str) -> str:
    points = [100 * value for value in (row.difference, row.difference_low, row.difference_high)]
    return f"**{row.said}** {other} at top {row.top} ({{:+.1f}} points, {{:+.1f}} to {{:+.1f}})".format(*points)


def _tops(rows: pd.DataFrame) -> str:
    return listed([str(top) for top in rows["top"]])


def versus(by_arm: Tables, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Change of accuracy in percent, paired by seed, as text "+17 [12, 22]": rows "arm over reference", by library, top.

    Args:
        pairs: (arm, reference) of each row.
    """
    rows = {}
    for arm, reference in pairs:
        table = 100 * against(by_arm, arm, reference).set_index(["library", "top"])
        cells = table[["relative", "relative_low", "relative_high"]].itertuples()
        rows[f"{arm} over {reference}"] = {
            key: f"{change:+.0f} [{low:.0f}, {high:.0f}]" for key, change, low, high in cells
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns=["library", "top"])


def side_by_side(by_arm: Tables, top: Sequence[int] = (1, 5, 10)) -> pd.DataFrame:
    """What a reader wants to see: percent with half of the 95 % interval, a row an arm, a column a library and top."""
    rows = accuracies(by_arm)
    rows = rows[rows["top"].isin(top)]
    half = (rows["high"] - rows["low"]) / 2
    text = [_with_half(100 * a, 100 * h) for a, h in zip(rows["accuracy"], half)]
    wide = rows.assign(text=text).pivot(index="arm", columns=["library", "top"], values="text")
    return wide.loc[list(by_arm), [("whole", k) for k in top] + [("batch", k) for k in top]]


def _with_half(mean: float, half: float) -> str:  # alone where one seed gives no interval
    return f"{mean:.1f}" if np.isnan(half) else f"{mean:.1f} ± {half:.1f}"


def what_the_batch_leaves(
    records: Sequence[Mapping], overlap: float = 0.0, before: Sequence[Mapping] = ()
) -> pd.DataFrame:
    """Percent, mean over seeds with half of the 95 % interval, a row an arm.

    Columns: "same batch": share of the first 10 retrieved molecules that share the query's batch, and "expected" at
    random; "probe screen", "probe drug": accuracy of a linear probe for the experimental batch.

    Args:
        records: results of a study.
        overlap: as in ``Study``.
        before: of its seeds, as `inputs.probe_inputs`; two more rows, the inputs and chance.
    """
    rows = pd.DataFrame(
        {
            "arm": record["arm"],
            "same batch": record["same_batch"]["share"],
            "expected": record["same_batch"]["expected"],
            "probe screen": record["probe"]["screen"],
            "probe drug": record["probe"]["drug"],
        }
        for record in records
    )
    grouped = rows.groupby("arm", sort=False)
    mean, half = 100 * grouped.mean(), 100 * grouped.agg(half_width, overlap=overlap)
    text = {name: [_with_half(m, h) for m, h in zip(mean[name], half[name])] for name in mean}
    table = pd.DataFrame(text, index=mean.index)
    if before:
        probes = 100 * pd.DataFrame(before)[["screen", "drug", "chance"]]
        level, room = probes.mean(), probes.agg(half_width, overlap=overlap)
        cell = {name: _with_half(level[name], room[name]) for name in probes}
        table.loc[INPUTS] = ["", "", cell["screen"], cell["drug"]]
        table.loc["chance"] = ["", "", f"{level['chance']:.1f}", f"{level['chance']:.1f}"]
    return table


def left_of_the_batch(records: Sequence[Mapping]) -> str:
    """Markdown: what each method leaves of the batch, on both sides, and whether InfoCORE leaves less than CLIP.

    Args:
        records: results of the stored study; differences are paired by seed, with 95 % t-intervals.
    """
    rows = pd.DataFrame(
        {
            "arm": record["arm"],
            "seed": record["seed"],
            "same batch": 100 * record["same_batch"]["share"],
            "screen": 100 * record["probe"]["screen"],
            "drug": 100 * record["probe"]["drug"],
        }
        for record in records
    ).pivot(index="seed", columns="arm")
    mean = rows.mean()
    expected = 100 * np.mean([record["same_batch"]["expected"] for record in records])
    order = mean["same batch"].sort_values().index
    each = "; ".join(
        f"{METHOD_NAMES[arm]} {mean['same batch', arm]:.0f} % and {mean['screen', arm]:.0f} %" for arm in order
    )
    lines = [
        f"- Of the first ten molecules, those of the query's batch ({expected:.1f} % in random order), and the batches "
        f"that a probe names from $Z_g$: {each}. **{METHOD_NAMES[order[0]]} leaves least.**"
    ]
    for side, name in (("screen", "$Z_g$"), ("drug", "$Z_d$")):
        found = paired(rows[side, "infocore"], rows[side, "clip"])
        says = outcome(found.low, found.high, more="more", less="less")
        lines.append(
            f"- Probe on {name}, InfoCORE minus CLIP: {found.mean:+.1f} points, {found.low:+.1f} to {found.high:+.1f} ({says}; "
            f"CLIP {mean[side, 'clip']:.1f} %)."
        )
    return "\n".join(lines)


def paper_accuracies(dataset: str) -> pd.Series:
    """Table 2 as printed, as fractions: index (method, library, top), method "random", "clip", "ccl" or "infocore".

    dataset: "gene_expression" or "cell_painting"; another name raises KeyError.
    """
    return pd.Series(
        {
            (row["method"].lower(), library, int(k)): percent / 100
            for row in paper_table("table2_retrieval")[dataset]
            for library in ("whole", "batch")
            for k, percent in row[library].items()
        }
    ).rename_axis(["method", "library", "top"])


def paper_chance(dataset: str) -> pd.Series:
    """What a random order gives in the paper's Table 2, as fractions: index (library, top).

    In the batch library as printed. In the whole library the printed number, such as 0.02 %, is mostly rounding: k over the
    size of the library, in the middle of what all printed ones allow.
    """
    random = paper_accuracies(dataset).xs("random", level="method")
    low, high = library_size({k: 100 * accuracy for k, accuracy in random["whole"].items()})
    whole = {("whole", k): k * (1 / low + 1 / high) / 2 for k in random["whole"].index}
    batch = {("batch", k): accuracy for k, accuracy in random["batch"].items()}
    return pd.Series(whole | batch).rename_axis(["library", "top"])


def library_size(chance: Mapping[int, float]) -> tuple[float, float]:
    """Smallest and largest library whose random top-k accuracies round to the printed ones.

    chance: k -> percent, printed with two decimals. Raises ValueError if no size fits all of them.
    """
    low = max(100 * k / (percent + 0.005) for k, percent in chance.items())
    high = min(100 * k / (percent - 0.005) for k, percent in chance.items())
    if low > high:
        raise ValueError(f"chance: got {dict(chance)}, expected k / size in percent for one size")
    return low, high


def paper_ablation() -> pd.DataFrame:
    """Table 5 as printed, percent: index of our arm names, columns (library, top)."""
    names = {
        "CLIP (w/o MoCo)": "CLIP without MoCo",
        "CLIP (w/o aug)": "CLIP without augmentation",
        "CLIP (w/o cellproj)": "CLIP without cell-line heads",
        "CLIP (w/o train bycell)": "CLIP without one-line minibatches",
    }
    rows = paper_table("table5_ablation_gene_expression")
    return _printed({names.get(row["method"], row["method"]): row for row in rows})


def paper_frameworks(dataset: str) -> pd.DataFrame:
    """Table 7 as printed, percent: index "CLIP (MoCo)" and so on, columns (library, top).

    dataset: "gene_expression" or "cell_painting"; another name raises KeyError.
    """
    rows = paper_table("table7_retrieval_by_framework")[dataset]
    return _printed({f"{row['method']} ({row['framework']})": row for row in rows})


def _printed(rows: Mapping[str, Mapping]) -> pd.DataFrame:
    """Rows of a printed table, arm -> library -> top, with columns (library, top)."""
    return pd.DataFrame(
        {
            arm: {(library, int(k)): value for library in ("whole", "batch") for k, value in row[library].items()}
            for arm, row in rows.items()
        }
    ).T


def by_framework(moco: str, simclr: str) -> Tables:
    """Two stored studies of one screen and the same seeds in one, under the names of ``paper_frameworks``.

    Args:
        moco: study of CLIP and InfoCORE by MoCo, and of CCL, which runs by SimCLR in both.
        simclr: study of CLIP and InfoCORE by SimCLR.
    """
    queued, alone = stored_tables(moco), stored_tables(simclr)
    found = Tables(
        {
            name: (alone if arm.note == "SimCLR" and arm.method in alone else queued)[arm.method]
            for name, arm in FRAMEWORKS.items()
        }
    )
    found.overlap = queued.overlap
    return found


def steps_from(by_arm: Tables, reference: str, paper: pd.DataFrame) -> pd.DataFrame:
    """Top-1 accuracy of each arm minus the reference's, in points, paired by seed: with interval, and the paper's.

    Args:
        paper: percent, as ``paper_ablation``.
    """
    parts = {}
    for arm in by_arm:
        if arm == reference:
            continue
        rows = against(by_arm, arm, reference)
        for row in rows[rows["top"] == 1].itertuples():
            ours = {"ours": row.difference, "low": row.difference_low, "high": row.difference_high}
            printed = paper.loc[arm, (row.library, 1)] - paper.loc[reference, (row.library, 1)]
            parts[arm, row.library] = {name: 100 * value for name, value in ours.items()} | {"paper": printed}
    return (
        pd.DataFrame(parts).T.rename_axis(["arm", "library"]).sort_index(level=1, ascending=False, sort_remaining=False)
    )


def lead_in_percent(by_arm: Tables, arm: str, reference: str, name: str) -> pd.DataFrame:
    """Accuracy of one arm relative to another's, paired by seed, in whole percent: rows (library, top).

    Columns: the mean change, called ``name``; low and high, its 95 % t-interval; percent of the seeds in which the arm
    is the higher one.
    """
    columns = {
        "relative": name,
        "relative_low": "low",
        "relative_high": "high",
        "a_higher": "seeds in which higher (%)",
    }
    rows = against(by_arm, arm, reference).set_index(["library", "top"])
    return (100 * rows[list(columns)]).round(0).astype(int).rename(columns=columns)


def lead_in_points(by_arm: Tables, arm: str, reference: str, name: str) -> pd.DataFrame:
    """Accuracy of one arm minus another's, paired by seed, in percentage points: rows (library, top).

    Columns: the mean difference, called ``name``; low and high, its 95 % t-interval.
    """
    columns = {"difference": name, "difference_low": "low", "difference_high": "high"}
    rows = against(by_arm, arm, reference).set_index(["library", "top"])
    return (100 * rows[list(columns)]).round(1).rename(columns=columns)
