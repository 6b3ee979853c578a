"""The simulation study (section 3.1): draws, methods, scores, comparisons.

``python -m infocore_mini.experiments.simulation.run --output data`` runs the whole grid behind the chapter
(about half an hour on two cores). It saves after every variant, and a second call continues where the first stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy import stats
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from infocore_mini.config import Config
from infocore_mini.encoders import MLP
from infocore_mini.evaluate.mixing import batch_mixing_entropy, knn_purity, linear_probe
from infocore_mini.experiments.results import paper_table, save_results
from infocore_mini.simulate.study import SimulationStudy, simulation_study
from infocore_mini.train import Pretrained, pretrain

METHODS = ("clip", "ccl", "infocore")
NEIGHBOURS = (2, 5, 10, 15, 20)
TUNING_DRAWS = range(1000, 1008)  # settings were chosen on these draws; others are reported

# Given by the paper (appendix H): 2-d embeddings, hidden width 128, alpha, lambda. The rest is ours.
SETTINGS = MappingProxyType(
    dict(
        embedding_dim=2,
        hidden_drug=(128, 128),
        hidden_screen=(128, 128),
        alpha=0.09,
        gradient_scale=0.1,
        temperature=1.0,
        minibatch_size=64,
        epochs=120,
        learning_rate=3e-3,
        hidden_classifier=(128,),
        classifier_learning_rate=1e-2,
        classifier_steps=2,
    )
)


def supervised_ceiling(study: SimulationStudy, view: str, *, epochs: int = 100, seed: int = 0) -> float:
    """Effect accuracy of a 2-d encoder trained *with* the effect labels: what two dimensions can hold at best.

    The same 3-layer MLP as the contrastive encoders, with a linear layer on top, trained on the training
    half; a linear probe scores its 2-d output on the held-out half.

    Args:
        study: one draw.
        view: "drug" or "screen".

    Returns:
        Accuracy, a fraction.
    """
    x = getattr(study, view)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, head = MLP(x.shape[1], (128, 128), 2), torch.nn.Linear(2, int(study.effect.max()) + 1)
        optimiser = torch.optim.Adam(
            [*encoder.parameters(), *head.parameters()], lr=3e-3, weight_decay=1e-4, fused=True
        )
        for _ in range(epochs):
            for rows in study.train[torch.randperm(len(study.train))].split(64):
                optimiser.zero_grad()
                cross_entropy(head(encoder(x[rows])), study.effect[rows]).backward()
                optimiser.step()
        with torch.no_grad():
            z = encoder(x[study.held_out])
    return linear_probe(z, study.effect[study.held_out])[0]


def ceilings(draws: Iterable[int], noises: Sequence[float], *, n_jobs: int = 2, **generator) -> pd.DataFrame:
    """``supervised_ceiling`` of both views over draws and noise levels: rows of noise, draw, view, ceiling."""

    def one(draw: int, noise: float, view: str) -> dict:
        torch.set_num_threads(1)
        study = simulation_study(draw, noise=noise, **generator)
        return {"noise": noise, "draw": draw, "view": view, "ceiling": supervised_ceiling(study, view)}

    tasks = [(draw, noise, view) for noise in noises for draw in draws for view in ("screen", "drug")]
    return pd.DataFrame(Parallel(n_jobs=n_jobs)(delayed(one)(*task) for task in tasks))


def train_on(study: SimulationStudy, config: Config) -> Pretrained:
    """Pretrain on the training half of a draw; view a is the drug, view b the screen."""
    rows = study.train
    return pretrain(study.drug[rows], study.screen[rows], study.batch_id[rows], config)


def score(study: SimulationStudy, model: Pretrained) -> list[dict]:
    """Scores on the held-out half, one row for "screen" (Z_g), one for "drug" (Z_d).

    Returns:
        Rows with view; effect and batch, accuracies of the linear probes; purity_k and entropy_k (nats)
        for each k of ``NEIGHBOURS``.
    """
    rows = study.held_out
    effect, batch_id = study.effect[rows], study.batch_id[rows]
    scores = []
    for view, embed in (("screen", model.embed_screen), ("drug", model.embed_drug)):
        x = getattr(study, view)[rows]
        z = embed(x)
        purity = knn_purity(x, z, batch_id, k=NEIGHBOURS)
        entropy = batch_mixing_entropy(z, batch_id, k=NEIGHBOURS)
        row = {"view": view, "effect": linear_probe(z, effect)[0], "batch": linear_probe(z, batch_id)[0]}
        row |= {f"purity_{k}": value for k, value in zip(NEIGHBOURS, purity)}
        scores.append(row | {f"entropy_{k}": value for k, value in zip(NEIGHBOURS, entropy)})
    return scores


def run(
    draws: Iterable[int],
    methods: Sequence[str] = METHODS,
    *,
    generator: Mapping = MappingProxyType({}),
    settings: Mapping = MappingProxyType({}),
    n_jobs: int = 2,
    description: str = "simulation",
) -> pd.DataFrame:
    """Train every method on every draw of the data; draw s is generated and trained with seed s.

    Args:
        draws: seeds.
        methods: of "clip", "ccl", "infocore".
        generator: what to change in ``simulation_study``.
        settings: what to change in ``SETTINGS``.
        n_jobs: processes, one thread each.

    Returns:
        A row for each draw, method and view, with the columns of ``score``.
    """
    tasks = [(draw, method) for draw in draws for method in methods]
    jobs = (delayed(_run_one)(draw, method, dict(generator), dict(settings)) for draw, method in tasks)
    results = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    rows = [row for part in tqdm(results, total=len(tasks), desc=description, disable=None) for row in part]
    return pd.DataFrame(rows)


def _run_one(draw: int, method: str, generator: dict, settings: dict) -> list[dict]:
    torch.set_num_threads(1)
    study = simulation_study(draw, **generator)
    model = train_on(study, Config(**{**SETTINGS, **settings, "method": method, "seed": draw}))
    return [{"draw": draw, "method": method, **row} for row in score(study, model)]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracies in percent with the half-width of the 95 % t-interval over draws, by view and method."""
    grouped = frame.groupby(["view", "method"])[["effect", "batch"]]
    mean, half = 100 * grouped.mean(), 100 * grouped.agg(half_width)
    return mean.join(half.add_suffix("_ci95")).assign(draws=grouped.size())


def paired_difference(frame: pd.DataFrame, method: str, baseline: str, *, view: str = "screen") -> pd.Series:
    """``method`` minus ``baseline`` on the same draws, in percentage points.

    Returns:
        effect, effect_low, effect_high: mean and 95 % t-interval of the difference in effect accuracy;
        batch, batch_low, batch_high: the same for batch accuracy;
        batch_lower: share of draws in which ``method`` has the lower batch accuracy; draws: their number.
    """
    wide = frame[frame.view == view].pivot(index="draw", columns="method", values=["effect", "batch"])
    result = {}
    for target in ("effect", "batch"):
        difference = 100 * (wide[target][method] - wide[target][baseline])
        half = half_width(difference)
        result |= {
            target: difference.mean(),
            f"{target}_low": difference.mean() - half,
            f"{target}_high": difference.mean() + half,
        }
    result["batch_lower"] = float((wide["batch"][method] < wide["batch"][baseline]).mean())
    return pd.Series(result | {"draws": len(wide)}, name=f"{method} - {baseline}")


def claims(frame: pd.DataFrame) -> dict[str, bool]:
    """The paper's conclusion about the screen embedding, as statements that a rerun can contradict."""
    screen = summary(frame).loc["screen"].loc["infocore"]
    difference = paired_difference(frame, "infocore", "clip")
    return {
        "InfoCORE reads the effect in at least 70 %": bool(screen["effect"] >= 70),
        "InfoCORE reads the batch in at most 7 %": bool(screen["batch"] <= 7),
        "InfoCORE leads CLIP by at least 15 points of effect accuracy": bool(difference["effect"] >= 15),
        "the 95 % interval of that lead excludes 0": bool(difference["effect_low"] > 0),
        "InfoCORE holds less batch than CLIP in at least 95 % of the draws": bool(difference["batch_lower"] >= 0.95),
    }


def paper_accuracies() -> dict[str, dict[str, dict[str, float]]]:
    """Table 6 as printed: method -> "screen" | "drug" -> "effect" | "batch" accuracy in percent, one draw."""
    views = {"screen": "drug_screens", "drug": "drug_structure"}
    return {
        row["method"].lower(): {
            view: {target: row[key][target][0] for target in ("effect", "batch")} for view, key in views.items()
        }
        for row in paper_table("table6_simulation_linear_probe_accuracy")
    }


def half_width(values: pd.Series) -> float:
    """Half of the 95 % t-interval of the mean; NaN for a single value."""
    return (
        stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    )


# ------------------------------------------------------------------ the grid behind the chapter

REPORTED_DRAWS = range(40)
SWEEP_DRAWS = range(8)
GENERATOR = MappingProxyType(dict(noise=0.5, activation="relu", generator_width=30))
SWEEPS: Mapping[str, tuple] = MappingProxyType(
    dict(
        temperature=(0.05, 0.1, 0.3, 1.0, 3.0),
        noise=(0.25, 0.5, 1.0),
        learning_rate=(1e-3, 3e-3, 1e-2),
        minibatch_size=(64, 128),
        epochs=(60, 120),
        activation=("relu", "tanh"),
        generator_width=(30, 128),
        alpha=(0.0, 0.09, 0.33, 1.0),
        gradient_scale=(0.0, 0.1, 1.0),
        classifier_steps=(1, 2, 5),
    )
)
_INFOCORE_ONLY = ("classifier_steps", "alpha", "gradient_scale")


def _grid() -> Iterable[tuple[str, dict]]:
    """(variant name, arguments of ``run``): the default, then one choice changed at a time."""
    yield "default", dict(draws=REPORTED_DRAWS)
    yield "sampling=one_batch", dict(draws=REPORTED_DRAWS, methods=("ccl",), settings=dict(sampling="one_batch"))
    for name, values in SWEEPS.items():
        where, default = ("generator", GENERATOR) if name in GENERATOR else ("settings", SETTINGS)
        methods = ("infocore",) if name in _INFOCORE_ONLY else METHODS
        for value in values:
            if value != default[name]:
                yield f"{name}={value}", {"draws": SWEEP_DRAWS, "methods": methods, where: {name: value}}


def load_grid(path: Path) -> pd.DataFrame:
    """The stored grid: columns of ``run`` and variant, "default" or "name=value"."""
    variants = json.loads(Path(path).read_text())["results"]
    return pd.concat([pd.DataFrame(rows).assign(variant=name) for name, rows in variants.items()], ignore_index=True)


def sweep(grid: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of one choice over its values, in column ``name``; the default's rows on the same draws included."""
    default = {**GENERATOR, **SETTINGS}[name]
    of_variant = {f"{name}={value}": value for value in SWEEPS[name]} | {"default": default}
    methods = ("infocore",) if name in _INFOCORE_ONLY else METHODS
    rows = grid[grid.variant.isin(of_variant) & grid.draw.isin(SWEEP_DRAWS) & grid.method.isin(methods)]
    return rows.assign(**{name: rows.variant.map(of_variant)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default="data", help="folder; results/simulation.json is written below it")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    path = Path(options.output) / "results" / "simulation.json"
    done = json.loads(path.read_text())["results"] if path.exists() else {}
    for name, variant in _grid():
        if name not in done:
            frame = run(**variant, n_jobs=options.jobs, description=name)
            done[name] = frame.round(4).to_dict("list")
            save_results("simulation", {**GENERATOR, **SETTINGS}, done, output_dir=options.output)


if __name__ == "__main__":
    main()
