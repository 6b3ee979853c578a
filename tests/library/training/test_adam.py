"""Our Adam is torch's Adam, without what torch's loads."""

import subprocess
import sys

import pytest
import torch

from infocore_mini.training.adam import Adam


def trained(optimiser_of, steps: int = 6) -> list[torch.Tensor]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.SiLU(), torch.nn.Linear(8, 2))
    optimiser = optimiser_of(net)
    for _ in range(steps):
        net(torch.randn(16, 4)).square().sum().backward()
        optimiser.step()
        if isinstance(optimiser, torch.optim.Optimizer):
            optimiser.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())
    return [parameter.detach() for parameter in net.parameters()]


@pytest.mark.parametrize("betas, eps", [((0.9, 0.999), 1e-8), ((0.5, 0.999), 1e-5)])
def test_same_steps_as_torch(betas, eps):
    ours = trained(lambda net: Adam(net.parameters(), learning_rate=0.01, betas=betas, eps=eps))
    torchs = trained(lambda net: torch.optim.Adam(net.parameters(), lr=0.01, betas=betas, eps=eps, fused=True))
    for a, b in zip(ours, torchs, strict=True):
        assert torch.equal(a, b)


def test_goes_on_from_its_state():
    def steps(optimiser, parameter, values):
        for value in values:
            parameter.grad = torch.tensor([value])
            optimiser.step()

    settings = dict(learning_rate=0.1, betas=(0.9, 0.99), eps=1e-8)
    whole, half, rest = (torch.nn.Parameter(torch.zeros(1)) for _ in range(3))
    steps(Adam([whole], **settings), whole, [1.0, -0.5, 2.0, 0.1])
    first = Adam([half], **settings)
    steps(first, half, [1.0, -0.5])
    second = Adam([rest], **settings)
    rest.data.copy_(half.data)
    second.load_state_dict(first.state_dict())
    steps(second, rest, [2.0, 0.1])
    assert torch.equal(whole, rest)
    with pytest.raises(ValueError, match="zip"):
        Adam([rest, whole], **settings).load_state_dict(first.state_dict())


def test_training_loads_neither_compiler_nor_tables():
    """The reason to exist: 70 MB each, and a second, in every process."""
    program = """
import sys, torch
from infocore_mini.config import Config
from infocore_mini.train import pretrain
a, b = torch.randn(32, 3), torch.randn(32, 4)
pretrain(a, b, torch.arange(32) % 4, Config(framework="moco", epochs=1, queue_size=64))
print([name for name in ("torch._dynamo", "pandas", "sklearn", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
