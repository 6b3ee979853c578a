"""A whole training step against the matrix products inside it, at the paper's sizes and widths.

``python -m benchmarks.step --output data`` writes ``results/benchmark_step.json``: the step's time over the time of
its own matrix products, measured in turn; where the rest goes; how the step grows with n_B, queue and minibatch; what soft
labels, bfloat16 and compiling change; how often a minibatch meets a molecule twice; and the memory of the process above its
data.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import torch

from benchmarks.memory import in_child, random_screen
from benchmarks.timing import bfloat16_instructions, flops, interleaved, linear_products, products, ratio
from infocore_mini.config import Config
from infocore_mini.experiments.performance.full_shape import CELL_LINES, FULL, SHAPE
from infocore_mini.experiments.results import save_results
from infocore_mini.networks import Shapes
from infocore_mini.screens import PairedScreen
from infocore_mini.training.pairs import Chosen, ScreenPairs, sample
from infocore_mini.training.trainer import Trainer

# The two screens of the paper: their shapes and, in CP, what its configuration changes.
SCREENS = MappingProxyType(
    {
        "GE": dict(
            n_drugs=SHAPE["n_drugs"],
            n_conditions=SHAPE["n_conditions"],
            n_replicates=SHAPE["n_replicates"],
            n_batches=SHAPE["n_batches"],
            n_features=978,
            cell_lines=CELL_LINES,
        ),
        "CP": dict(
            n_drugs=30_204,
            n_conditions=30_204,
            n_replicates=4,
            n_batches=97,
            n_features=701,
            cell_lines=("U2OS",),
        ),
    }
)
CHANGES = MappingProxyType(
    {
        "GE": {},
        "CP": dict(alpha=0.83, hidden_classifier=(512,), classifier_steps=5, cell_line_heads=False, sampling="random")
        | dict(noise_screen=0.0, mixup_concentration=0.8, clip_screen=1.0),
    }
)
# The replicates of a condition, in one experimental batch or, where labels are soft, in up to three.
REPLICATES = MappingProxyType({"hard": dict(n_replicates=3), "soft": dict(n_replicates=3, replicate_batches=3)})
QUICK = MappingProxyType(  # for a test of the program, not of the speed
    dict(
        hidden_drug=(64,),
        hidden_screen=(32,),
        hidden_classifier=(32,),
        embedding_dim=16,
        queue_size=64,
        minibatch_size=16,
    )
)


def shape_of(name: str, *, share: float = 1.0, **changes) -> dict:
    """The shape of a screen, or of a ``share`` of its rows."""
    rows = {field: int(share * SCREENS[name][field]) for field in ("n_drugs", "n_conditions")}
    return SCREENS[name] | rows | changes


def config_of(name: str, **changes) -> Config:
    """The paper's configuration of a screen."""
    return Config(**dict(FULL) | CHANGES[name] | changes)


def _settings(name: str, changes: dict) -> dict:
    """A run that enters every phase and fills every queue: two epochs, the heads parted in the second."""
    return dict(FULL) | CHANGES[name] | changes | dict(epochs=2, steps_per_epoch=160)


def step_products(config: Config, shapes: Shapes) -> list[tuple[int, int, int]]:
    """Every matrix product that a step of InfoCORE or CLIP under MoCo cannot do without, as (n, k, m).

    Args:
        shapes: of the trainer: features of the views, n_B.
    """
    n, d = config.minibatch_size, config.embedding_dim
    towers = [
        _layers(shapes.n_drug, config.hidden_drug, d) + ([(d, d)] if config.cell_line_heads else []),
        _layers(shapes.n_screen, config.hidden_screen, d),
    ]
    queue = config.queue_size // 2 if config.sampling == "alternate" else config.queue_size
    queue = (queue + config.queue_size) // 2  # random and one-line minibatches take turns
    found = []
    for tower in towers:
        found += 2 * linear_products(n, tower, backward=False)  # online and slow
        found += linear_products(n, tower, backward=True)
        found += [(n, d, n + queue), (n, n + queue, d)]  # similarity, and its gradient in the anchors
    if config.method == "infocore":
        classifier = _layers(d, config.hidden_classifier, shapes.n_batches)
        forward = linear_products(n, classifier, backward=False)
        update = forward + linear_products(n, classifier, backward=True)
        # Both views: candidates, then updates, of which the first shares its forward pass with the anchors.
        found += 2 * (forward + config.classifier_steps * update)
    return found


def _layers(n_in: int, hidden: tuple[int, ...], n_out: int) -> list[tuple[int, int]]:
    widths = (n_in, *hidden, n_out)
    return list(zip(widths, widths[1:]))


class Step:
    """A trainer in mid-run: queues full, heads parted, minibatches of the two kinds in turn."""

    def __init__(self, screen: PairedScreen, config: Config) -> None:
        pairs = ScreenPairs(screen, config.device)
        self.trainer = Trainer(pairs, config)
        self.trainer.start_epoch()
        n, line = config.minibatch_size, screen.cell_line
        of_one_line = Chosen((line == 0).nonzero().squeeze(1)[:n], only_line=0)
        at_random = Chosen(torch.randperm(len(pairs))[:n])
        self.kinds = [at_random, of_one_line] if config.sampling == "alternate" else [at_random]
        for queue in [*self.trainer.framework.queues, *self.trainer.framework.line_queues]:
            queue.filled.fill_(True)
        self.count = 0

    def _chosen(self) -> Chosen:
        self.count += 1
        return self.kinds[self.count % len(self.kinds)]

    def run(self) -> None:
        """One step of each kind of minibatch."""
        for _ in self.kinds:
            self.trainer.step(self._chosen())

    def load(self) -> None:
        """The part of a step that draws, augments and scales the minibatch."""
        for _ in self.kinds:
            self.trainer.augmented(self._chosen())

    def updates(self):
        """What no product is and every step has: Adam on all weights and the slow copies, in float32, alone."""
        trainer = self.trainer
        steps = [trainer.encoder_optimiser] + trainer.config.classifier_steps * [trainer.classifier_optimiser]
        gradients = {parameter: torch.zeros_like(parameter) for each in steps for parameter in each.parameters}

        def run() -> None:
            for _ in self.kinds:
                for optimiser in steps:
                    for parameter in optimiser.parameters:
                        parameter.grad = gradients[parameter]
                    optimiser.step()
                trainer.framework.update(trainer.model)

        return run

    def limit(self, dtype: torch.dtype = torch.float32):
        """The matrix products of the same steps, alone."""
        run = products(step_products(self.trainer.config, self.trainer.shapes), dtype=dtype)
        return lambda: [run() for _ in self.kinds]


def against_products(name: str, config: Config, repeats: int, **screen_options) -> dict:
    """Step and data share against the step's own products: ratios, and seconds for orientation."""
    step = Step(random_screen(**shape_of(name, **screen_options)), config)
    limit = step.limit()
    seconds = interleaved({"limit": limit, "step": step.run, "load": step.load}, repeats)
    found = step_products(config, step.trainer.shapes)
    return {
        "fraction_of_limit": ratio(seconds["limit"], seconds["step"]),
        "loading_share": ratio(seconds["load"], seconds["step"]),
        "gflop": flops(found) / 1e9,
        "seconds": {part: float(value.min()) / len(step.kinds) for part, value in seconds.items()},
    }


def scaling(name: str, axis: str, values: tuple[int, ...], repeats: int, **changes) -> list[dict]:
    """Time of a step as one size grows, over the time at the first value; all sizes measured in turn."""
    work = {}
    for value in values:
        sizes = {axis: value} if axis != "n_batches" else {}
        shape = shape_of(name, share=0.1) | ({axis: value} if axis == "n_batches" else {})
        step = Step(random_screen(**shape), config_of(name, **changes | sizes))
        work[f"{value}"], work[f"limit {value}"] = step.run, step.limit()
    seconds = interleaved(work, repeats)
    first = seconds[f"{values[0]}"]
    return [
        {axis: value, "growth": ratio(seconds[f"{value}"], first)}
        | {"fraction_of_limit": ratio(seconds[f"limit {value}"], seconds[f"{value}"])}
        for value in values
    ]


def options(name: str, config: Config, repeats: int, **screen_options) -> dict[str, dict]:
    """Times faster than plain float32 (below 1: slower) in bfloat16 and compiled; all measured in turn."""
    screen = random_screen(**shape_of(name, **screen_options))
    choices = {"plain": {}, "bf16": {"precision": "bf16-mixed"}}
    if shutil.which("g++"):  # torch compiles for a CPU with it
        choices["compiled"] = {"compile": True}
    steps = {choice: Step(screen, replace(config, **changes)) for choice, changes in choices.items()}
    seconds = interleaved({choice: step.run for choice, step in steps.items()}, repeats)
    return {choice: ratio(seconds["plain"], taken) for choice, taken in seconds.items() if choice != "plain"}


def in_bfloat16(name: str, config: Config, repeats: int, **screen_options) -> dict:
    """A step in bfloat16 against its own products in bfloat16, the similarities (in float32 there) among them.

    "reachable": what fraction of that limit a step would have that did its products, Adam and the slow copies, and
    nothing else. Besides there are casts of all weights, masks of dropout and the losses in float32; pages that the system
    hands out anew for every large buffer do not matter (a step without any, by glibc's settings, is no faster).
    """
    step = Step(random_screen(**shape_of(name, **screen_options)), replace(config, precision="bf16-mixed"))
    limit, updates = step.limit(torch.bfloat16), step.updates()
    seconds = interleaved({"limit": limit, "step": step.run, "updates": updates}, repeats)
    return {
        "fraction_of_limit": ratio(seconds["limit"], seconds["step"]),
        "reachable": ratio(seconds["limit"], seconds["limit"] + seconds["updates"]),
    }


def soft_over_hard(
    name: str, queue_sizes: tuple[int, ...], repeats: int, *, share: float = 1.0, **changes
) -> list[dict]:
    """Time and memory of training on soft labels over those on hard ones, measured in turn, at each size of the queue."""
    found = []
    for queue_size in queue_sizes:
        sizes = changes | {"queue_size": queue_size}
        # Few steps leave a large queue partly empty, so that there is less to hide a difference behind.
        settings = _settings(name, sizes) | {"steps_per_epoch": 20}
        steps = {
            kind: Step(random_screen(**shape_of(name, share=0.1 * share, **replicates)), config_of(name, **sizes))
            for kind, replicates in REPLICATES.items()
        }
        seconds = interleaved({kind: step.run for kind, step in steps.items()}, repeats)
        del steps
        peak = {
            kind: in_child("training", screen=shape_of(name, share=share, **replicates), settings=settings)
            for kind, replicates in REPLICATES.items()
        }
        found.append(
            {"queue_size": queue_size, "time": ratio(seconds["soft"], seconds["hard"]), "bytes": peak}
            | {"memory": peak["soft"]["above_data_bytes"] / peak["hard"]["above_data_bytes"]}
        )
    return found


def repeated_molecules(name: str, config: Config, **screen_options) -> float:
    """Share of the rows of a minibatch whose molecule an earlier row of it has, over an epoch: work that is done twice."""
    pairs = ScreenPairs(random_screen(**shape_of(name, **screen_options)), config.device)
    minibatches = [chosen.conditions for chosen in sample(pairs, config)]
    distinct = sum(len(pairs.drug_id[rows].unique()) for rows in minibatches)
    return 1 - distinct / sum(map(len, minibatches))


def measure(repeats: int, *, quick: bool = False) -> dict:
    """All figures of this benchmark."""
    changes, share = (dict(QUICK), 0.02) if quick else ({}, 1.0)
    axes = {
        "n_batches": (25, 97, 256, 1019, 10_000),
        "queue_size": (1024, 4096, 16_384, 65_536),
        "minibatch_size": (64, 128, 256, 512),
    }
    if quick:
        axes = {"n_batches": (25, 97), "queue_size": (64, 128), "minibatch_size": (8, 16)}
    return {
        "step": {
            f"{name} {method}": against_products(name, config_of(name, method=method, **changes), repeats, share=share)
            for name in SCREENS
            for method in ("infocore", "clip")
        },
        "scaling": {
            axis: scaling("GE", axis, values, repeats, **{k: v for k, v in changes.items() if k != axis})
            for axis, values in axes.items()
        },
        "soft_over_hard": {
            name: soft_over_hard(name, (64, 128) if quick else (4096, 65_536), repeats, share=share, **changes)
            for name in SCREENS
        },
        "options": {name: options(name, config_of(name, **changes), repeats, share=share) for name in SCREENS},
        "bfloat16_instructions": bfloat16_instructions(),
        "in_bfloat16": {name: in_bfloat16(name, config_of(name, **changes), repeats, share=share) for name in SCREENS},
        "repeated_molecules": {
            name: repeated_molecules(name, config_of(name, **changes), share=share) for name in SCREENS
        },
        "memory": {
            name: in_child("training", screen=shape_of(name, share=share), settings=_settings(name, changes))
            for name in SCREENS
        },
    }


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path("data"), help="folder that gets results/benchmark_step.json"
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="of torch; the limit is measured with the same")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that the program runs, nothing else")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    settings = {"repeats": options.repeats, "threads": options.threads, "quick": options.quick}
    settings |= {name: dict(SCREENS[name]) | {"config": dict(vars(config_of(name)))} for name in SCREENS}
    results = measure(options.repeats, quick=options.quick)
    print(save_results("benchmark_step", settings, results, output_dir=options.output))


if __name__ == "__main__":
    main()
