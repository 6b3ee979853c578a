"""What the chapter says, written from the numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from infocore_mini.confounding import Audit
from infocore_mini.confounding.rows import BATCH
from infocore_mini.confounding.verdict import ALARMS, POWER
from infocore_mini.experiments.results import StoredResult


def checks_of(found: Audit, nuisance: str) -> pd.DataFrame:
    """The checks of a nuisance among treated rows, and of replicates and design; shares and p as they are."""
    table = found.table[(found.table["nuisance"] == nuisance) & found.table["rows"].ne("controls")]
    return table.set_index(["rows", "check"])[["observed", "expected", "p_adjusted", "n", "verdict"]]


def before_and_after(audits: Mapping[str, Audit], nuisance: str = BATCH) -> str:
    """Markdown: how far a linear classifier tells the nuisance from each of two representations of the same rows."""
    (first, before), (second, after) = audits.items()
    probe = {name: _linear(found, nuisance) for name, found in audits.items()}
    excess = {name: observed - expected for name, (observed, expected) in probe.items()}
    shares = " and ".join(
        f"{observed:.0%} from the {name} (permuted labels: {expected:.0%})"
        for name, (observed, expected) in probe.items()
    )
    nearer = "nearer to chance than" if abs(excess[second]) < abs(excess[first]) else "no nearer to chance than"
    rest = "and nothing is left that the audit would see" if after.verdict == "clean" else "which does not settle it"
    return (
        f"On the same held-out wells a linear classifier tells the {nuisance} in {shares}.\n"
        f"The {second} is {nearer} the {first}, {rest}: the verdicts are *{before.verdict}* and *{after.verdict}*."
    )


def retrieved(accuracy: pd.DataFrame, n: int) -> str:
    """Markdown: how often the molecule of a held-out readout is found, beside chance.

    Args:
        accuracy: of `screen_retrieval`, one cell line.
        n: held-out molecules.
    """
    whole = accuracy[(accuracy["cell_line"] == "mean") & (accuracy["library"] == "whole")].set_index("top")
    low, high, chance = (100 * whole.loc[1, name] for name in ("low", "high", "chance"))
    verdict = "above" if low > chance else "not told from"
    return (
        f"Of {n} molecules that training has not seen, the right one comes first in "
        f"{100 * whole.loc[1, 'accuracy']:.1f} % of the readouts (95 % interval {low:.1f} to {high:.1f}), and chance "
        f"would give {chance:.1f} %: {verdict} chance, and that is all that one split of a screen of this size can say."
    )


def only_looks_clean(found: Audit, nuisance: str) -> str:
    """Markdown: the linear probe, the neighbours and the replicates after a correction that was fitted on all rows."""
    table = checks_of(found, nuisance)
    linear, near = (table.loc[("treated", check)] for check in ("linear probe", "neighbours"))
    kept = table.loc[("replicates", "replicates kept by the correction")]
    below = "less than" if linear["observed"] < linear["expected"] else "no less than"
    still = "still" if near["observed"] > near["expected"] else "no longer"
    lost = "fewer than" if kept["observed"] < kept["expected"] else "no fewer than"
    return (
        f"A linear classifier now finds the {nuisance} in {linear['observed']:.0%} of the wells, {below} permuted labels "
        f"give ({linear['expected']:.0%}), which is called *{linear['verdict']}*.\n"
        f"Nearest neighbours are {still} of the same {nuisance} more often than permuted labels would have it "
        f"({near['observed']:.0%} against {near['expected']:.0%}).\n"
        f"And a well finds a replicate in another {nuisance} in {kept['observed']:.1%} of the cases, {lost} before "
        f"({kept['expected']:.1%})."
    )


def error_and_power(stored: StoredResult) -> str:
    """Markdown: what the calibration shows, its weak spots included.

    Args:
        stored: ``results.stored("audit_calibration")``.
    """
    table = pd.DataFrame(stored.results["table"])
    nothing, shift = table[table["case"] == "nothing"], table[table["case"] == "shift"].set_index("design")
    level = "keeps its word" if nothing["holds"].all() else "does **not** keep its word everywhere"
    alarms = _span(nothing["share"])
    fails = table[~table["holds"]]
    missed = "; ".join(f"{row['case']}, {row['design']}" for row in fails.to_dict("records")) or "none"
    weakest = shift["share"].idxmin()
    wrong = shift["clean"].idxmax()
    return (
        f"Where nothing is to be found, {alarms} of audits raise an alarm on the three designs: it {level} of "
        f"{stored.parameters['level']:.0%}.\n"
        f"A shift of {stored.parameters['shift']:g} standard deviations is found in {shift.loc['balanced', 'share']:.1%} of draws when the design is "
        f"balanced, and in only {shift.loc[weakest, 'share']:.1%} when it is *{weakest}*.\n"
        f'What is missed should be answered "cannot tell"; on *{wrong}* designs {shift.loc[wrong, "clean"]:.1%} of the '
        f'shifts are called "clean" instead, and "clean" promises at most {1 - POWER:.0%}.\n'
        f"Cases that do not hold what was planned: {missed}."
    )


def of_real_screens(stored: StoredResult) -> str:
    """Markdown: how often each verdict comes up on real screens, and where a linear probe alone would have said clean.

    Args:
        stored: ``results.stored("audit_screens")``.
    """
    table = pd.DataFrame(stored.results["table"])
    done = table[table["verdict"] != "not possible"]
    linear = done["treated: linear probe"].astype(float) <= done["treated: linear probe, expected"].astype(float)
    hidden = done[linear & done["treated: verdict"].isin(ALARMS) & (done["correction"] != "none")]
    corrected = done[done["correction"] != "none"]
    clean = (corrected["verdict"] == "clean").sum()
    return (
        f"Of {len(table)} pairs of a real screen and a correction, {len(table) - len(done)} were not possible, for want of "
        f"wells; the others were called {_called(done)}.\n"
        f"{clean or 'None'} of {len(corrected)} corrected readouts {'is' if clean < 2 else 'are'} called clean.\n"
        f"In {len(hidden)} of {len(corrected)} corrected ones the linear probe alone lies at chance or below, and other "
        f"checks of the same wells find the batch: whoever reads that one number would have stopped there."
    )


def of_trained(stored: StoredResult) -> str:
    """Markdown: how often trained embeddings are called clean, and on how many screens InfoCORE's is nearer to chance.

    Args:
        stored: ``results.stored("audit_trained")``.
    """
    table = pd.DataFrame(stored.results["table"])
    done = table[(table["verdict"] != "not possible") & (table["training"] != "none")]
    probe = "treated: linear probe"
    excess = (table[probe].astype(float) - table[f"{probe}, expected"].astype(float)).abs()
    wide = table.assign(excess=excess).pivot(index="screen", columns="training", values="excess").dropna()
    nearest = wide.idxmin(axis=1).value_counts()
    named = ", ".join(f"{'the readout' if name == 'none' else name} on {n}" for name, n in nearest.items())
    return (
        f"Of {len(table[table['training'] != 'none'])} trained embeddings {len(done)} could be audited, and were called {_called(done)}.\n"
        f"The linear probe of treated wells is nearer to chance after InfoCORE than after CLIP on "
        f"{(wide['InfoCORE'] < wide['CLIP']).sum()} of {len(wide)} screens; nearest of all: {named}."
    )


def _called(audits: pd.DataFrame) -> str:
    return ", ".join(f"*{verdict}* {n} times" for verdict, n in audits["verdict"].value_counts().items())


def _linear(found: Audit, nuisance: str) -> tuple[float, float]:
    row = checks_of(found, nuisance).loc[("treated", "linear probe")]
    return row["observed"], row["expected"]


def _span(shares: pd.Series) -> str:
    low, high = 100 * shares.min(), 100 * shares.max()
    return f"{low:.1f} %" if round(low, 1) == round(high, 1) else f"{low:.1f} to {high:.1f} %"
