"""What the protocol does to a property score, from the stored study `property_protocols`: tables and sentences.

"Higher" and "lower" mean a 95 % interval of the difference, paired by seed, that leaves zero out; "level" one that lies
within one point; all else is "not told apart". Seeds train on one split, so no interval covers other molecules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from infocore_mini.evaluate.seeds import outcome, paired
from infocore_mini.experiments.names import METHOD_NAMES, listed
from infocore_mini.experiments.property.protocols import OF_PRETRAINED, PRISM_VARIANTS, SCREEN, TRAININGS
from infocore_mini.experiments.property.run import BASELINE

LEVEL = 1.0  # points
SOUND, *CHANGED = OF_PRETRAINED
ALL_TRAININGS = (*TRAININGS, *PRISM_VARIANTS)  # in the order of the tables


def scores(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row a model: dataset, training, arm, seed, score (ROC-AUC or R2 times 100), and "averaged" of all models."""
    return pd.DataFrame(
        {
            "dataset": row["dataset"],
            "training": row["training"],
            "arm": row["arm"],
            "seed": seed,
            "score": 100 * score,
            "averaged": 100 * row["averaged"],
        }
        for row in results
        for seed, score in enumerate(row["single"])
    )


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """What each training changes in the baseline's score on the sets for classification: rows sets, columns trainings.

    Cells as "+1.2 [0.3, 2.1]": one model against one, with the 95 % interval paired by seed; "" where it is no other
    training.
    """
    rows: dict[str, dict[str, str]] = {}
    for (dataset, training), found in _against_sound(table[table["arm"] == BASELINE]).items():
        if dataset != "PRISM":
            rows.setdefault(dataset, {})[training] = _with_interval(found)
    wide = pd.DataFrame.from_dict(rows, orient="index").fillna("")
    return wide[[name for name in ALL_TRAININGS if name in wide]]


def changes_of_prism(table: pd.DataFrame) -> pd.DataFrame:
    """What each training changes in the baseline's R2 on PRISM, times 100: of one model, and of the models' average."""
    found = _against_sound(table[(table["arm"] == BASELINE) & (table["dataset"] == "PRISM")])
    rows = {
        training: {"one model": _with_interval(row), "averaged": f"{row['averaged']:+.1f}"}
        for training in ALL_TRAININGS
        if (row := found.get(("PRISM", training)))
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _with_interval(found: Mapping[str, float]) -> str:
    return f"{found['mean']:+.1f} [{found['low']:.1f}, {found['high']:.1f}]"


def _against_sound(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """(dataset, training) -> mean, low, high of the difference to the sound training, and that of the averaged score."""
    found = {}
    for dataset, of_set in table.groupby("dataset", sort=False):
        single = of_set.pivot(index="seed", columns="training", values="score")
        averaged = of_set.groupby("training")["averaged"].first()
        for training in single.columns.drop(SOUND):
            interval = paired(single[training], single[SOUND])
            found[str(dataset), training] = interval._asdict() | {"averaged": averaged[training] - averaged[SOUND]}
    return found


def said_of_changes(table: pd.DataFrame) -> str:
    """Markdown: on which data sets each training moves the baseline, one model against one, and the largest move."""
    found = pd.DataFrame.from_dict(_against_sound(table[table["arm"] == BASELINE]), orient="index")
    found["outcome"] = [outcome(low, high, margin=LEVEL) for low, high in zip(found["low"], found["high"])]
    lines = []
    for training in (name for name in ALL_TRAININGS if name in found.index.unique(level=1)):
        of_training = found.xs(training, level=1)
        parts = [f"{said} on {listed(list(names.index))}" for said, names in of_training.groupby("outcome", sort=False)]
        furthest = of_training["mean"].abs().idxmax()
        low, high = of_training.loc[furthest, ["low", "high"]]
        lines.append(
            f"- *{training}*: {'; '.join(parts)}. The furthest is {furthest}, "
            f"{of_training.loc[furthest, 'mean']:+.1f} [{low:.1f}, {high:.1f}]."
        )
    return "\n".join(lines)


def said_of_averaging(table: pd.DataFrame) -> str:
    """What the average of five models' predictions scores more than one model does, under the sound protocol."""
    sound = table[(table["arm"] == BASELINE) & (table["training"] == SOUND)].groupby("dataset", sort=False)
    gain = (sound["averaged"].first() - sound["score"].mean()).sort_values()
    return (
        f"Averaging the predictions of {table['seed'].nunique()} models moves the baseline by {gain.iloc[0]:+.1f} "
        f"({gain.index[0]}) to {gain.iloc[-1]:+.1f} points ({gain.index[-1]})."
    )


def decided_by_the_grid(table: pd.DataFrame) -> str:
    """On which data sets a wider grid alone moves the baseline further than any method differs from it."""
    baseline = _against_sound(table[table["arm"] == BASELINE])
    methods = judged(table[table["training"] == SOUND])
    furthest = methods["mean"].abs().groupby(methods["dataset"], sort=False).max()
    parts = [
        f"{name} ({baseline[name, 'wider grid']['mean']:+.1f} points, the methods at most {most:.1f})"
        for name, most in furthest.items()
        if abs(baseline[name, "wider grid"]["mean"]) > most
    ]
    if not parts:
        return "On no data set does a wider grid move the baseline further than pretraining by any method does."
    return f"The grid decides more than pretraining does on {listed(parts)}."


def beside_paper(table: pd.DataFrame, paper: Mapping[str, float]) -> pd.DataFrame:
    """The baseline by the sound protocol and by the paper's, one model and five averaged, beside the printed score.

    Args:
        paper: data set -> the score that the paper prints for Mol2vec.
    """
    of_baseline = table[table["arm"] == BASELINE]
    theirs = [
        name for name in of_baseline["training"].unique() if name.startswith("the paper's") and "grid" not in name
    ]
    rows = {}
    for dataset, of_set in of_baseline.groupby("dataset", sort=False):
        last = next(name for name in reversed(theirs) if name in set(of_set["training"]))
        of_set = of_set.groupby("training").agg({"score": "mean", "averaged": "first"})
        rows[dataset] = {
            ("sound", "one model"): of_set.loc[SOUND, "score"],
            ("sound", "five averaged"): of_set.loc[SOUND, "averaged"],
            ("the paper's", "five averaged"): of_set.loc[last, "averaged"],
            ("printed", "five averaged"): paper.get(str(dataset), float("nan")),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Each method against no pretraining by each training: rows dataset, training, method, mean, low, high, outcome."""
    rows = []
    for (dataset, training), found in table.groupby(["dataset", "training"], sort=False):
        wide = found.pivot(index="seed", columns="arm", values="score")
        for method, name in METHOD_NAMES.items():
            if (key := f"{method}, {SCREEN}") in wide:
                interval = paired(wide[key], wide[BASELINE])
                said = outcome(interval.low, interval.high, margin=LEVEL)
                rows.append(
                    {"dataset": dataset, "training": training, "method": name, "outcome": said} | interval._asdict()
                )
    return pd.DataFrame(rows)


def what_the_protocol_decides(table: pd.DataFrame) -> str:
    """Markdown: which outcomes against no pretraining are others by another training than by the sound one."""
    found = judged(table)
    by_training = found.pivot(index=["dataset", "method"], columns="training", values="outcome")
    lines = []
    for training in (name for name in (*CHANGED, *PRISM_VARIANTS) if name in by_training):
        both = by_training[[SOUND, training]].dropna()
        other = both[both[SOUND] != both[training]]
        named = [
            f"{method} on {dataset} ({row[SOUND]}, then {row[training]})" for (dataset, method), row in other.iterrows()
        ]
        opposite = sum({"higher", "lower"} == set(row) for row in other.to_numpy())
        lines.append(
            f"- *{training}*: {len(both) - len(other)} of {len(both)} outcomes are those of the sound protocol; "
            f"{opposite} turn round" + (f". Others: {listed(named)}." if named else ".")
        )
    return "\n".join(lines)


def on_the_edge(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """How many of the baseline's chosen candidates lie on the edge of their grid: rows data sets.

    Columns (training, "learning rate" or "epochs"), of the board's grid and of the wider one: such as "3 of 5".
    """
    rows: dict[str, dict] = {}
    for row in results:
        dataset, training = row["dataset"], row["training"]
        if row["arm"] != BASELINE or training not in (SOUND, "wider grid"):
            continue
        tuning = TRAININGS[training].tuning(dataset)
        for name, grid in (("learning_rate", tuning.learning_rates), ("epochs", tuning.epochs)):
            count = sum(value in (min(grid), max(grid)) for value in row[name])
            rows.setdefault(dataset, {})[training, name.replace("_", " ")] = f"{count} of {len(row[name])}"
    return pd.DataFrame.from_dict(rows, orient="index")
