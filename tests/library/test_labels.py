"""Soft labels as codes and shares: the same labels as dense rows of them."""

import pytest
import torch

from infocore_mini.labels import FEW, SoftLabels, cross_entropy, few_or_all, rows_of
from infocore_mini.losses import reweighted_info_nce_from_labels

N_BATCHES = 3 * FEW


def shares(n=12) -> torch.Tensor:
    """(n, n_B) rows of one, two or three batches."""
    generator = torch.Generator().manual_seed(0)
    code = torch.rand(n, N_BATCHES, generator=generator).argsort(1)[:, :3]
    share = torch.rand(n, 3, generator=generator) * (torch.arange(3) <= torch.arange(n)[:, None] % 3)
    return torch.zeros(n, N_BATCHES).scatter_(1, code, share / share.sum(1, keepdim=True))


def test_rows_of_few_batches_become_codes_and_shares_and_others_stay():
    dense = shares()
    few = few_or_all(dense)
    assert isinstance(few, SoftLabels) and few.code.shape == few.share.shape == (12, 3)
    assert torch.equal(few.dense(N_BATCHES), dense)
    own = dense.gather(1, few.code) > 0
    assert own.all()  # a row of one batch is filled up with that one
    assert few_or_all(dense[:, :-1]).shape == (12, N_BATCHES - 1)  # three of them are no longer few
    everywhere = torch.full((4, N_BATCHES), 1 / N_BATCHES)
    assert few_or_all(everywhere) is everywhere


def test_labels_one_by_one_are_those_above_zero():
    few = few_or_all(shares())
    row, code, share = few.named()
    assert torch.equal(row, row.sort().values) and len(row) == int((shares() > 0).sum()) < few.share.numel()
    rebuilt = torch.zeros(12, N_BATCHES).index_put_((row, code), share)
    assert torch.equal(rebuilt, shares())


@pytest.mark.parametrize("rows", [slice(2, 7), torch.tensor([4, 0])])
def test_rows_are_taken_alike(rows):
    dense = shares()
    assert torch.equal(rows_of(few_or_all(dense), rows).dense(N_BATCHES), rows_of(dense, rows))


def test_the_cross_entropy_is_that_of_dense_labels():
    logits, dense = torch.randn(12, N_BATCHES), shares()
    found = []
    for labels in (few_or_all(dense), dense):
        leaf = logits.clone().requires_grad_()
        loss = cross_entropy(leaf.log_softmax(1), labels)
        loss.backward()
        found.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(*found)
    torch.testing.assert_close(found[0][0], torch.nn.functional.cross_entropy(logits, dense))


@pytest.mark.parametrize("labels", [torch.arange(3), shares(3), few_or_all(shares(3))], ids=["codes", "dense", "few"])
def test_a_process_without_a_share_adds_nothing(labels):
    empty = torch.zeros(0, N_BATCHES, requires_grad=True)
    loss = cross_entropy(empty.log_softmax(1), rows_of(labels, slice(0)))
    loss.backward()
    assert float(loss.detach()) == 0 and empty.grad is not None


def test_no_value_is_asked_for_off_the_cpu():
    """On the meta device, which holds none: shapes are those of the labels, and a GPU is never waited for."""
    few = SoftLabels(*(part.to("meta") for part in few_or_all(shares())))
    row, code, share = few.named()
    assert row.shape == code.shape == share.shape == (36,)
    similarity, log_posterior = (torch.empty(12, m, device="meta", requires_grad=True) for m in (40, N_BATCHES))
    columns = log_posterior[row, code], torch.empty(40, N_BATCHES, device="meta").T[code]
    positive = torch.arange(12, device="meta")
    loss = reweighted_info_nce_from_labels(similarity, positive, row, share, *columns, gradient_scale=1.0)
    (loss.sum() + cross_entropy(log_posterior, few) + few.dense(N_BATCHES).sum()).backward()
    assert similarity.grad.shape == (12, 40) and log_posterior.grad.shape == (12, N_BATCHES)
