"""Figures that a reader can touch: one frame for each value of one thing, and a row of buttons to step through them.

The buttons are radio buttons and the stepping is a line of CSS, so that keyboard, touch and screen readers have them, no
script is asked for, and Jupyter and Colab show them as the book does.  Where HTML is not shown the first frame stands
there as a picture; where its style is not, all frames stand one below the other; paper gets the frame that was chosen.
A library for charts would do more than a page may weigh (1.5 MB with all that it loads): minified, plotly.js is 1.2 MB
even as its basic bundle, Vega with Vega-Lite and its loader 0.8 MB.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure

from infocore_mini.experiments.style import fewer_colours

COLOURS = 32  # many frames, and a notebook has 300 KB
_STYLE = """
.touch { display: flex; flex-wrap: wrap; gap: 0.4rem; align-items: center; border: 0; margin: 0; padding: 0; min-width: 0; }
.touch legend { float: left; margin: 0; padding: 0; width: auto; font-size: inherit; }
.touch input { position: absolute; opacity: 0; }
.touch label { order: 1; min-width: 1.5rem; margin: 0; padding: 0.3rem 0.6rem; border: 2px solid #767676; border-radius: 4px;
  background: white; color: black; text-align: center; cursor: pointer; }
.touch input:checked + label { border-color: black; background: black; color: white; font-weight: bold; }
.touch input:focus-visible + label { outline: 3px solid #0173b2; outline-offset: 2px; }
.touch::after { content: ""; order: 1; flex-basis: 100%; }
.touch img { order: 2; flex: none; max-width: 100%; height: auto; }
.touch input:not(:checked) + label + img { display: none; }
@media print { .touch input:not(:checked) + label { display: none; } }
"""


@dataclass(frozen=True)
class Frame:
    """One value and its picture.

    Attributes:
        label: the value, as its button says it.
        picture: PNG of at most `COLOURS` colours.
        alt: what it shows, for those who do not see it.
        width: in pixels of CSS.
    """

    label: str
    picture: bytes
    alt: str
    width: int


@dataclass(frozen=True)
class Touchable:
    """Frames that a notebook shows as a row of buttons and the picture of the one that is chosen.

    Attributes:
        name: of the buttons as a group; no other figure of the page may have it.
        legend: what the values are values of, before the buttons.
        frames: in the order of the buttons.
        first: position of the frame that is shown before anything is touched, and where no HTML is.
    """

    name: str
    legend: str
    frames: Sequence[Frame]
    first: int

    def _repr_html_(self) -> str:
        rows = "\n".join(self._row(at, frame) for at, frame in enumerate(self.frames))
        legend = f"<legend>{escape(self.legend)}</legend>"
        return f'<style>{_STYLE}</style>\n<fieldset class="touch">\n{legend}\n{rows}\n</fieldset>'

    def _repr_png_(self) -> bytes:
        return self.frames[self.first].picture

    def __repr__(self) -> str:
        return f"{self.legend}: {', '.join(frame.label for frame in self.frames)}"

    def _row(self, at: int, frame: Frame) -> str:
        key = f"{self.name}-{at}"
        checked = " checked" if at == self.first else ""
        source = f"data:image/png;base64,{base64.b64encode(frame.picture).decode()}"
        return (
            f'<input type="radio" name="{self.name}" id="{key}"{checked}><label for="{key}">{escape(frame.label)}</label>'
            f'<img width="{frame.width}" alt="{escape(frame.alt, quote=True)}" src="{source}">'
        )


def touchable(
    name: str, legend: str, figures: Mapping[str, Figure], alt: Mapping[str, str], *, first: str | None = None
) -> Touchable:
    """Figures, one for each value, as one that a reader steps through.

    Args:
        name: letters, digits and hyphens; no other figure of the page may have it.
        legend: what the values are values of: "alpha =".
        figures: a figure for each label, in the order of the buttons, all of one size.
        alt: what each of them shows, in words, by the same labels.
        first: the label to begin with; None = the first one.

    Raises:
        ValueError: on fewer than two figures, figures of several sizes, a label without words, words that two frames
            share, or a `first` that is no label.
    """
    labels, sizes = list(figures), {tuple(figure.get_size_inches()) for figure in figures.values()}
    first = labels[0] if first is None and labels else first
    if len(labels) < 2 or len(sizes) > 1:
        raise ValueError(f"figures: got {len(labels)} of the sizes {sorted(sizes)}, expected two or more of one size")
    if set(alt) != set(labels) or len({words.strip() for words in alt.values()} - {""}) < len(labels):
        raise ValueError(f"alt: got words for {list(alt)}, expected some of its own for each of {labels}")
    if first not in labels:
        raise ValueError(f"first: got {first!r}, expected one of {labels}")
    frames = [Frame(label, _png(figure), alt[label], _width(figure)) for label, figure in figures.items()]
    return Touchable(name, legend, frames, labels.index(first))


def _png(figure: Figure) -> bytes:
    """Whole, without trimming, so that nothing jumps from frame to frame."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return fewer_colours(file.getvalue(), COLOURS)


def _width(figure: Figure) -> int:
    """In pixels of CSS, as inline figures have: a pixel a dot."""
    return round(figure.get_figwidth() * figure.dpi)
