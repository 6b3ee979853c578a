"""What the first chapter says of its own draw, in words."""

from __future__ import annotations

import pandas as pd

_ORDER = ("CLIP", "CCL", "InfoCORE")


def what_this_draw_shows(scores: pd.DataFrame, alpha: float) -> str:
    """Markdown: how InfoCORE stands to CLIP, to the batch and to CCL on the draw of the page.

    Args:
        scores: fractions; rows "CLIP", "CCL", "InfoCORE" and "chance", columns "finds", "same batch", "batch read".
        alpha: of InfoCORE.
    """
    clip, ccl, ours = (scores.loc[name] for name in _ORDER)
    finds = {name: f"{scores.loc[name, 'finds']:.0%} by {name}" for name in _ORDER}
    aim = ours["finds"] > clip["finds"] and ours["same batch"] < clip["same batch"]
    return (
        f"So at $\\alpha = {alpha:g}$ it {'does' if aim else 'does **not** do'} what it set out to do against CLIP "
        f"on this draw: of the neighbours {finds['InfoCORE']} are finds, {finds['CLIP']}; "
        f"{ours['same batch']:.0%} and {clip['same batch']:.0%} come from the screen's own batch, "
        f"{scores.loc['chance', 'same batch']:.0%} would by chance.\n"
        f"The batch can be read from its embedding in {ours['batch read']:.0%} of the cases "
        f"(chance {scores.loc['chance', 'batch read']:.0%}); "
        f"and CCL finds {'more still' if ccl['finds'] > ours['finds'] else 'no more'} ({ccl['finds']:.0%})."
    )
