"""Run by test_processes.py in one process and, under torchrun, in two: prints the loss of every step."""

import json
import sys

import torch
from test_train import data
from test_train_screen import FULL, toy

from infocore_mini.config import Config
from infocore_mini.train import pretrain, pretrain_screen
from infocore_mini.training.processes import Processes
from infocore_mini.training.trainer import Trainer

STEPS = 50
CASES = {
    f"{method} {framework}": dict(method=method, framework=framework)
    for method in ("infocore", "clip")
    for framework in ("simclr", "moco")
}
SMALL = dict(embedding_dim=8, hidden_drug=(32,), hidden_screen=(32,), hidden_classifier=(16,), layer_norm=True)


def losses_of_steps(case: str) -> list[list[float]]:
    """(contrastive, classifier) of 50 steps, on minibatches of 15 rows that two processes cannot share equally."""
    found, step = [], Trainer.step

    def recorded(self, chosen):
        found.append(step(self, chosen))
        return found[-1]

    Trainer.step = recorded
    settings = dict(SMALL, minibatch_size=15, queue_size=64, noise_drug=0.1, gradient_scale=0.3, **CASES[case])
    pretrain(*data(150), Config(**settings, epochs=3, momentum=0.9))
    if case == "infocore moco":
        pretrain_screen(toy(), Config(**dict(FULL) | SMALL | dict(epochs=3)))
    else:
        soft = case == "infocore simclr"
        pretrain_screen(
            toy(soft=soft), Config(**SMALL | CASES[case] | dict(noise_screen=0.3, minibatch_size=15, epochs=3))
        )
    Trainer.step = step
    assert len(found) >= STEPS, len(found)
    return torch.stack(found).double().tolist()


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {case: losses_of_steps(case) for case in CASES}
    dropped = pretrain(*data(64), Config(**SMALL, dropout=0.5, epochs=3, minibatch_size=15))
    weights = torch.cat([p.flatten() for p in dropped.model.parameters()])
    processes = Processes("cpu")
    alike = torch.equal(processes.total(weights.clone()), processes.count * weights)
    checkpointed = pretrain(*data(64), Config(**SMALL, epochs=2, minibatch_size=15), checkpoint=sys.argv[1] + ".pt")
    if processes.rank == 0:
        result = {"losses": found, "alike": alike, "processes": processes.count, "history": checkpointed.history}
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(result, file)
