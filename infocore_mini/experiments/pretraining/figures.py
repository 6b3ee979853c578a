"""Whether the runs of a stored pretraining study had come to rest: losses and validation scores by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.style import METHOD_COLOURS, figure, finish


def courses(results: Sequence[Mapping]) -> Figure:
    """Contrastive loss and validation score by epoch, a line a run, a colour a method; a dot is the epoch that was kept.

    Args:
        results: of a stored study; its arms are called like the methods.
    """
    fig, (loss, score) = figure(1, 2, panel=(3.6, 2.6))
    for row in results:
        course, look = row["training"], dict(color=METHOD_COLOURS[row["arm"]], lw=0.9, alpha=0.7)
        values = course["losses"]["contrastive"]
        loss.plot(range(1, len(values) + 1), values, **look)
        scored = {int(epoch): 100 * value for epoch, value in course["validations"].items()}
        score.plot(list(scored), list(scored.values()), **look)
        score.plot(course["best_epoch"], 100 * course["validation"], "o", ms=3, **look)
    loss.set(xlabel="epoch", ylabel="contrastive loss (nats)", title="training molecules")
    score.set(xlabel="epoch", ylabel="mean retrieval accuracy (%)", title="validation molecules", ylim=(0, None))
    arms = dict.fromkeys(row["arm"] for row in results)
    score.legend([Line2D([], [], color=METHOD_COLOURS[arm]) for arm in arms], [METHOD_NAMES[arm] for arm in arms])
    return finish(fig)
