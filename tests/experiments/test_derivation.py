"""The figures of the derivation."""

import numpy as np

from infocore_mini.experiments.derivation import figures


def test_figures_show_what_they_are_given():
    fig = figures.bound_gaps({"one": [-1.0, -0.5], "two": [-2.0, -0.1]})
    assert [ax.get_title() for ax in fig.axes] == ["one", "two"]
    fig = figures.estimator_spread([0.5, 1.0], {"a": np.random.default_rng(0).normal(size=(2, 9))}, 2.0)
    assert len(fig.axes) == 2
    fig = figures.saturation(
        [2, 4], {"full": [0.1, 0.2]}, {"mixed": [0.0, 0.1]}, truth=0.3, unconditional=0.5, ceiling=[0.4, 1.0]
    )
    assert list(fig.axes[0].lines[2].get_ydata()) == [0.1, 0.2]
    fig = figures.correction_terms({"c": [0.1, 0.2, -0.1]})
    assert list(fig.axes[0].lines[0].get_xdata()) == [0.1, 0.2, -0.1]
