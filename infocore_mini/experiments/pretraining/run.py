"""Pretraining studies (sections 3.2 and appendix F): screens, arms, seeds, scores.

With a folder every run is kept there, with a checkpoint while it lasts; a second call continues where the first
stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from joblib import delayed

from infocore_mini.config import Config, settings_of
from infocore_mini.evaluate.mixing import linear_probe
from infocore_mini.evaluate.retrieval import same_batch_share, screen_retrieval
from infocore_mini.experiments.chances import best_on_validation
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.records import Made, Record, in_parallel, kept, path_of
from infocore_mini.experiments.results import checksums, save_results
from infocore_mini.pretrained import Pretrained
from infocore_mini.screens import PairedScreen, Split
from infocore_mini.train import pretrain_screen

# Given by the paper (appendix H) or its configuration: alpha, lambda, temperature, augmentation, clipping, heads,
# sampling. Ours, for runs many times shorter on two cores: narrower layers, half the queue, a higher learning
# rate halved three times, momentum 0.99 in place of 0.999. Set on seed 100, which is not reported.
SETTINGS = MappingProxyType(
    dict(
        framework="moco",
        alpha=0.33,
        gradient_scale=0.0,
        temperature=0.1,
        embedding_dim=256,
        hidden_drug=(512, 512, 512),
        hidden_screen=(512, 512),
        hidden_classifier=(512,),
        layer_norm=True,
        dropout=0.1,
        cell_line_heads=True,
        head_warmup_epochs=5,
        clip_drug=2.5,
        clip_screen=1.5,
        noise_screen=0.5,
        mixup_concentration=0.6,
        feature_dropout_screen=0.1,
        epochs=40,
        warmup_epochs=1,
        minibatch_size=256,
        sampling="alternate",
        learning_rate=5e-4,
        classifier_learning_rate=1e-3,
        classifier_steps=2,
        halve_at=(20, 28, 34),
        adam_betas=(0.5, 0.999),
        adam_eps=1e-5,
        queue_size=2048,
        momentum=0.99,
        classifier_momentum=0.99,
    )
)
ONE_BATCH = MappingProxyType(dict(framework="simclr", sampling="one_batch", smallest_minibatch=10))
METHODS: Mapping[str, Arm] = MappingProxyType(
    {"clip": Arm("clip"), "ccl": Arm("ccl", change=ONE_BATCH), "infocore": Arm("infocore")}
)
WITHOUT = MappingProxyType(
    {
        "MoCo": {"framework": "simclr"},
        "augmentation": {"noise_screen": 0.0, "mixup_concentration": 0.0, "feature_dropout_screen": 0.0},
        "cell-line heads": {"cell_line_heads": False},
        "one-line minibatches": {"sampling": "random"},
    }
)


@dataclass(frozen=True)
class Study:
    """What is trained on, the settings that the arms share, what each arm changes, and the seeds.

    Attributes:
        make_screen: (seed, **shape) -> PairedScreen; a real screen is the same for every seed, and only split anew.
        settings: of ``Config``, shared by all arms.
        arms: by the names that stored rows have.
        candidates: arm -> settings of its candidates, of which the best on validation is reported; an arm without any
            is run as it is.
        tuning_seeds: that choose the candidate of each arm, where every seed draws a screen of its own; none of them is
            reported. Without them every seed chooses its own.
        trains_on: arm -> what becomes of the training screen first, where it is not taken as it is; tests are the same.
        minimum_library: molecules a batch library needs to be scored.
        shape: of a simulated screen.
        files: data files behind the screen.
        overlap: test molecules over the others, where all seeds split one real screen (`evaluate.seeds.half_width`);
            0 where every seed draws a screen of its own.
    """

    name: str
    make_screen: Callable[..., PairedScreen]
    settings: Mapping[str, Any]
    arms: Mapping[str, Arm] = field(default_factory=lambda: METHODS)
    candidates: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    tuning_seeds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    trains_on: Mapping[str, Callable[[PairedScreen], PairedScreen]] = field(default_factory=dict)
    minimum_library: int = 20
    shape: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    overlap: float = 0.0

    def screen(self, seed: int) -> PairedScreen:
        """The screen that a seed trains on."""
        return self.make_screen(seed, **self.shape)

    def config(self, arm: str, seed: int, candidate: Mapping[str, Any] = MappingProxyType({})) -> Config:
        """The configuration of one run: shared settings, those of a candidate, and what the arm itself changes."""
        return Config(**dict(self.settings) | dict(candidate) | self.arms[arm].settings | {"seed": seed})

    def candidates_of(self, arm: str) -> list[dict[str, Any]]:
        """The settings of an arm's candidates, at least one."""
        return [dict(candidate) for candidate in self.candidates.get(arm, ({},))]

    def on(self, device: str) -> Study:
        """The same study trained on a device, "cpu", "cuda" or "cuda:N"."""
        return self if device == "cpu" else replace(self, settings=dict(self.settings) | {"device": device})

    def checksums(self) -> dict[str, str]:
        """File name -> sha256 of the data files behind the screen, as far as they can be had."""
        return checksums(self.files)


def ablation_arms() -> dict[str, Arm]:
    """Table 5: InfoCORE, CLIP, CLIP less one component each, CLIP less all of them."""
    without = {
        f"CLIP without {name}": Arm("clip", f"without {name}", change=change) for name, change in WITHOUT.items()
    }
    vanilla = {name: value for change in WITHOUT.values() for name, value in change.items()}
    return (
        {"InfoCORE": Arm("infocore"), "CLIP": Arm("clip")}
        | without
        | {"vanilla CLIP": Arm("clip", "vanilla", change=vanilla)}
    )


def run(
    study: Study,
    arm: str,
    seed: int,
    folder: Path | None = None,
    *,
    candidate: Mapping[str, Any] = MappingProxyType({}),
) -> Record:
    """Train and score one arm, or one candidate of it, on one seed.

    With a ``folder`` the record is kept there, with a checkpoint until it is done, and found again: also by other
    studies that train on the same screen with the same configuration.

    Returns:
        A record whose result is {"arm", "seed", "candidate": its settings, "validation": its best score there,
        ``score``, "training": {"history", "seconds"}}.
    """
    config = study.config(arm, seed, candidate)
    settings = {
        "screen": study.make_screen.__name__,
        "shape": dict(study.shape),
        "config": settings_of(config),
        "minimum_library": study.minimum_library,
    }
    view = study.trains_on.get(arm)
    settings |= {"trains_on": view.__name__} if view else {}
    checkpoint = path_of(folder, "pretraining", settings).with_suffix(".pt") if folder else None
    record = kept(folder, "pretraining", settings, lambda: train_and_score(study, config, checkpoint, view))
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    training = record.result["training"] | {"seconds": record.provenance["seconds"]}
    about = {"arm": arm, "seed": seed, "candidate": dict(candidate)}
    about["validation"] = max(
        (epoch["validation"] for epoch in training["history"] if "validation" in epoch), default=0
    )
    return replace(record, result=about | record.result | {"training": training})


def train_and_score(
    study: Study,
    config: Config,
    checkpoint: Path | None,
    view: Callable[[PairedScreen], PairedScreen] | None = None,
) -> Made:
    """The scores of one run and its course, and checksums of the data files; goes on from the checkpoint, if any."""
    split = study.screen(config.seed).split(config.seed)
    train = view(split.train) if view else split.train
    model = pretrain_screen(train, config, validation=split.validation, checkpoint=checkpoint)
    return score(model, split, study.minimum_library) | {"training": {"history": model.history}}, study.checksums()


def score(model: Pretrained, split: Split, minimum_library: int = 20) -> dict:
    """Scores on the test molecules only.

    Returns:
        {"retrieval": rows of ``screen_retrieval``, "same_batch": mean share of the first 10 retrieved molecules
        that share the query's batch and the share expected at random, "probe": accuracy of linear probes for the
        experimental batch on z_screen and z_drug, mean over the cell lines; absent where a cell line has one}.
    """
    test = split.test
    z_screen, z_drug = model.embed(test)
    seen = (split.train, split.validation)
    table = screen_retrieval(z_screen, z_drug, test, minimum_library=minimum_library, seen=seen)
    share = same_batch_share(z_screen, z_drug, test, top=(10,))[["share", "expected"]].mean()
    return {
        "retrieval": table.to_dict("records"),
        "same_batch": share.to_dict(),
        "probe": {"screen": batch_probe(z_screen, test), "drug": batch_probe(z_drug, test)},
    }


def batch_probe(z, screen: PairedScreen, *, folds: int = 5) -> float | None:
    """Accuracy of a linear probe for the experimental batch, mean over cell lines; batches of ``folds`` rows or more.

    A molecule with conditions in several batches stays in one fold.

    None where no cell line has two such batches, or conditions lie in several batches.
    """
    if screen.batch_id.ndim == 2:
        return None
    scores = []
    for line in screen.cell_line.unique():
        rows = screen.cell_line == line
        label = screen.batch_id[rows]
        common = label.bincount()[label] >= folds
        if len(label[common].unique()) > 1:
            molecule = screen.drug_id[rows][common]
            group = molecule if len(molecule.unique()) < len(molecule) else None
            scores.append(linear_probe(z[rows][common], label[common], group=group, folds=folds)[0])
    return sum(scores) / len(scores) if scores else None


def search(study: Study, arm: str, seed: int, folder: Path | None = None) -> list[Record]:
    """``run`` of every candidate of an arm."""
    return [run(study, arm, seed, folder, candidate=candidate) for candidate in study.candidates_of(arm)]


def chosen(records: Sequence[Record], tuning_seeds: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Of every arm and seed the result of the candidate that is best on validation.

    With ``tuning_seeds`` these chose (`run_all`): their results are left out, and "search" has their mean scores.
    """
    results = [record.result for record in records]
    reported = [row for row in results if row["seed"] not in tuning_seeds]
    best = best_on_validation(reported, keys=("arm", "seed"))
    if tuning_seeds:
        search = _search_scores([row for row in results if row["seed"] in tuning_seeds])
        best = [row | {"search": search[row["arm"]]} for row in best]
    return best


def _search_scores(results: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Arm -> mean validation score over the tuning seeds of each of its candidates, in their order."""
    scores: dict[str, dict[str, list[float]]] = {}
    for row in results:
        scores.setdefault(row["arm"], {}).setdefault(repr(row["candidate"]), []).append(row["validation"])
    return {arm: [sum(values) / len(values) for values in each.values()] for arm, each in scores.items()}


def run_all(study: Study, folder: Path | None = None, *, n_jobs: int = 2, verbose: int = 0) -> list[Record]:
    """All runs of a study, ``n_jobs`` at a time with one thread each; ``folder`` as in ``run``.

    With tuning seeds every candidate runs on them first; the one with the best mean validation score, of equals the
    first, then runs on the seeds of the study. Without them every candidate runs on every seed.
    """

    def one(seed: int, arm: str, candidate: Mapping[str, Any]) -> Record:
        torch.set_num_threads(1)
        return run(study, arm, seed, folder, candidate=candidate)

    def side_by_side(seeds: Sequence[int], candidates: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Record]:
        tasks = [(seed, arm, candidate) for seed in seeds for arm in study.arms for candidate in candidates[arm]]
        return in_parallel(n_jobs, verbose=verbose)(delayed(one)(*task) for task in tasks)

    candidates = {arm: study.candidates_of(arm) for arm in study.arms}
    tried = side_by_side(study.tuning_seeds, candidates)
    if tried:
        scores = _search_scores([record.result for record in tried])
        candidates = {arm: [candidates[arm][scores[arm].index(max(scores[arm]))]] for arm in study.arms}
    return tried + side_by_side(study.seeds, candidates)


def run_study(study: Study, **options) -> list[dict]:
    """The results of ``run_all``, an arm's best candidate of every seed, which the reports take."""
    return chosen(run_all(study, **options), study.tuning_seeds)


def store(study: Study, output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/<study>.json``: settings, scores and course."""
    records = run_all(study, runs, n_jobs=n_jobs, verbose=10)
    parameters = {
        "settings": dict(study.settings),
        "arms": {name: arm.settings for name, arm in study.arms.items()},
        "candidates": {name: study.candidates_of(name) for name in study.arms},
        "tuning_seeds": study.tuning_seeds,
        "seeds": study.seeds,
        "trains_on": {name: view.__name__ for name, view in study.trains_on.items()},
        "minimum_library": study.minimum_library,
        "overlap": study.overlap,
    }
    best = chosen(records, study.tuning_seeds)
    scores = [result | {"training": _course(result["training"])} for result in best]
    made = [record.provenance for record in records]
    return save_results(study.name, parameters, scores, output_dir=output, runs=made)


def _course(training: Mapping[str, Any]) -> dict:
    """Of a run its seconds and epochs, the epoch chosen on validation, and its score; losses and scores by epoch."""
    history: Sequence[Mapping] = training["history"]
    scored = {i: epoch["validation"] for i, epoch in enumerate(history, 1) if "validation" in epoch}
    best = max(scored, key=lambda epoch: (scored[epoch], -epoch))
    losses = {name: [round(epoch[name], 4) for epoch in history] for name in ("contrastive", "classifier")}
    return {
        "seconds": training["seconds"],
        "epochs": len(history),
        "best_epoch": best,
        "validation": scored[best],
        "losses": losses,
        "validations": {str(epoch): round(value, 4) for epoch, value in scored.items()},
    }
