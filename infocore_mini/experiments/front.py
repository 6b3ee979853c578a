"""What came back of the paper and what did not, in five lines for the front page, from stored results."""

from __future__ import annotations

from typing import NamedTuple

from infocore_mini.evaluate.seeds import paired
from infocore_mini.experiments import board
from infocore_mini.experiments.fairness import report as fairness_report
from infocore_mini.experiments.fairness.intervals import drawn
from infocore_mini.experiments.fairness.intervals import paired as paired_gaps
from infocore_mini.experiments.names import DATASET_NAMES, METHOD_NAMES, Arm
from infocore_mini.experiments.pretraining import report as pretraining_report
from infocore_mini.experiments.property import report as property_report
from infocore_mini.experiments.property.run import BASELINE
from infocore_mini.experiments.results import stored
from infocore_mini.experiments.simulation import report as simulation_report

BACK, TURNED, APART = "came back", "turned round", "not told apart"  # of a gain that the paper has
GAINED, LOST, NONE = (
    "a gain here, none in the paper",
    "a loss here, no gain in the paper",
    "no gain in the paper, none seen here",
)


class Gain(NamedTuple):
    """A gain of InfoCORE: where, ours with its 95 % interval, the paper's, all in one unit; and what became of it."""

    where: str
    mean: float
    low: float
    high: float
    paper: float
    status: str

    def __str__(self) -> str:
        return (
            f"{self.where} {round(self.mean):+d} [{round(self.low)}, {round(self.high)}], paper {round(self.paper):+d}"
        )


def gain(
    where: str, mean: float, low: float, high: float, paper: float, difference: tuple[float, float] | None = None
) -> Gain:
    """With the status that the interval says; ``difference``: ends of another interval that decides, such as that in points."""
    below, above = difference or (low, high)
    has_one = round(paper) > 0  # to the digit that is shown
    more, less, unseen = (BACK, TURNED, APART) if has_one else (GAINED, LOST, NONE)
    return Gain(where, mean, low, high, paper, more if below > 0 else less if above < 0 else unseen)


def in_five_lines() -> str:
    """Markdown, a line an experiment of the paper, each with what became of InfoCORE's gain."""
    of_clip = "percent of CLIP's top-1 accuracy (told by the interval of the difference in points)"
    lines = [
        ("The paper's simulation", "points of effect accuracy over CLIP", simulation()),
        ("Gene expression", of_clip, retrieval("gene_expression")),
        ("Cell painting", of_clip, retrieval("cell_painting")),
        ("Molecular properties", "points over no pretraining, average of seven sets", properties()),
        ("Fairness", "percent of CLIP's equalized-odds gap taken away", fairness()),
    ]
    return "\n".join(
        f"- **{name}: {verdict(gains)}.** In {unit}: {'; '.join(map(str, gains))}." for name, unit, gains in lines
    )


def verdict(gains: list[Gain]) -> str:
    """What became of several gains: "came back" for all of them, or for which."""
    by_status = {
        status: [gain.where for gain in gains if gain.status == status]
        for status in (BACK, TURNED, APART, GAINED, LOST, NONE)
    }
    found = {status: where for status, where in by_status.items() if where}
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{status} ({'; '.join(where)})" for status, where in found.items())


def simulation() -> list[Gain]:
    """Effect accuracy of a linear probe, by view, paired by draw (simulated, as in the paper)."""
    rows = simulation_report.stored_rows()
    rows = rows[rows["variant"] == "default"]
    printed, gains = simulation_report.paper_accuracies(), []
    for view, symbol in (("screen", "$Z_g$"), ("drug", "$Z_d$")):
        wide = 100 * rows[rows["view"] == view].pivot(index="draw", columns="method", values="effect")
        paper = printed["infocore"][view]["effect"] - printed["clip"][view]["effect"]
        gains.append(gain(symbol, *paired(wide["infocore"], wide["clip"])[:3], paper))
    return gains


def retrieval(paper: str) -> list[Gain]:
    """InfoCORE over CLIP on a real and on a simulated screen, top 1, within batches and among all molecules."""
    if paper == "gene_expression":
        screens = {"real": board.connectivity_map().arms, "simulated": pretraining_report.stored_tables(paper)}
    else:
        screens = {
            "real": pretraining_report.stored_tables("comas"),
            "simulated": pretraining_report.stored_tables(paper),
        }
    printed = pretraining_report.paper_accuracies(paper)
    gains = []
    for library, name in (("batch", "in a batch"), ("whole", "among all")):
        theirs = 100 * (printed["infocore", library, 1] / printed["clip", library, 1] - 1)
        for kind, by_arm in screens.items():
            row = pretraining_report.against(by_arm, "infocore", "clip").set_index(["library", "top"]).loc[library, 1]
            ours = (100 * row[part] for part in ("relative", "relative_low", "relative_high"))
            ends = row["difference_low"], row["difference_high"]
            gains.append(gain(f"{name}, {kind}", *ours, theirs, ends))
    return gains


def properties() -> list[Gain]:
    """The average over the seven classification sets, pretrained on the screen nearest to each of the paper's."""
    table, printed = property_report.scores(stored("property").results["cells"]), property_report.paper_means()
    names = {"gene_expression": "pretrained on a simulated screen", "comas": "on COMAS, real"}
    gains = []
    for study, screen in (("gene_expression", "gene_expression"), ("comas", "cell_painting")):
        row = property_report.paired(table, Arm("infocore", study=study).key, BASELINE).loc[property_report.AVERAGE]
        mean = property_report.AVERAGE
        gains.append(gain(names[study], *row, printed["infocore", screen][mean] - printed["mol2vec", None][mean]))
    return gains


def fairness() -> list[Gain]:
    """By how much the equalized-odds gap falls on each data set, real."""
    rows, printed = paired_gaps(drawn(arms=tuple(METHOD_NAMES))), fairness_report.paper_means()["equalized_odds"]
    names = DATASET_NAMES
    return [
        gain(
            names[dataset],
            *(row[part] for part in ("cut", "cut_low", "cut_high")),
            100 * (1 - printed[dataset, "infocore"] / printed[dataset, "clip"]),
        )
        for dataset, row in rows.iterrows()
    ]
