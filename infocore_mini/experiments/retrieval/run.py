"""What the retrieval chapter computes live: extreme embeddings, the campaign read off the structure, trained models."""

from __future__ import annotations

from typing import NamedTuple

import torch
from joblib import Parallel, delayed
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import one_hot

from infocore_mini.experiments.pretraining.run import Study, score
from infocore_mini.pretrained import Pretrained
from infocore_mini.screens import PairedScreen, Split
from infocore_mini.train import pretrain_screen

Embeddings = tuple[Tensor, Tensor]  # z_screen and z_drug, each (n_conditions, d)


class Trained(NamedTuple):
    """One live run: ``record`` as the result of `pretraining.run`."""

    arm: str
    seed: int
    model: Pretrained
    record: dict


def extremes(screen: PairedScreen, seed: int) -> dict[str, Embeddings]:
    """Embeddings that know the experimental batch alone, nothing, and the molecule alone; hard batch labels."""
    label = one_hot(screen.batch_id, screen.n_batches).float()
    of_molecule = torch.zeros(len(screen.drug), screen.n_batches).index_add_(0, screen.drug_id, label)[screen.drug_id]
    nothing = torch.ones(len(screen), 1)
    molecule = torch.randn(len(screen.drug), 64, generator=torch.Generator().manual_seed(seed))[screen.drug_id]
    return {"batch alone": (label, of_molecule), "constant": (nothing, nothing), "perfect": (molecule, molecule)}


def campaign_from_structure(split: Split) -> Embeddings:
    """Following the batch as far as a linear model reads it off the structure, for the test conditions.

    z_screen is the true batch, one-hot; z_drug is p(b | drug) of a linear discriminant fitted to ``split.train``.
    """
    train, test = split.train, split.test
    scaler = StandardScaler().fit(train.drug)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    model.fit(scaler.transform(train.drug[train.drug_id]), train.batch_id)
    z_drug = torch.zeros(len(test), test.n_batches)
    posterior = model.predict_proba(scaler.transform(test.drug[test.drug_id]))
    z_drug[:, model.classes_] = torch.as_tensor(posterior, dtype=torch.float32)
    return one_hot(test.batch_id, test.n_batches).float(), z_drug


def train(study: Study, split: Split, seed: int, *, n_jobs: int = 2) -> dict[str, Trained]:
    """Every arm of a study on one split, ``n_jobs`` at a time with one thread each: arm -> run."""

    def one(arm: str) -> Trained:
        torch.set_num_threads(1)
        model = pretrain_screen(split.train, study.config(arm, seed), validation=split.validation)
        record = {"arm": arm, "seed": seed, **score(model, split, study.minimum_library)}
        return Trained(arm, seed, model, record)

    return dict(zip(study.arms, Parallel(n_jobs=n_jobs)(delayed(one)(arm) for arm in study.arms), strict=True))
