from __future__ import annotations

import math

import pytest
import torch
from lightly.loss.ntx_ent_loss import NTXentLoss
from lightly.loss.vicreg_loss import (
    VICRegLoss,
    covariance_loss,
    invariance_loss,
    variance_loss,
)
from torch import Tensor

from arco.losses.contrastive import byol_loss, info_nce, neighbor_cross_entropy

QUERY = torch.tensor([[1.0, 0.0]])
KEY = torch.tensor([[0.8, 0.6]])
BANK = torch.tensor([[0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])


def features_that_prefer(order: list[int], count: int) -> tuple[Tensor, Tensor]:
    """A feature vector and a bank whose entries resemble it in the given order."""
    angles = torch.full((count,), 3.0)
    for rank, entry in enumerate(order):
        angles[entry] = 0.1 * (rank + 1)
    return torch.tensor([[1.0, 0.0]]), torch.stack([angles.cos(), angles.sin()], dim=1)


def test_worked_info_nce_neighbor_term_and_their_sum() -> None:
    contrast = info_nce(QUERY, KEY, BANK, 0.2)
    features, feature_bank = features_that_prefer([1, 0], 3)
    neighbor = neighbor_cross_entropy(
        QUERY, BANK, features, feature_bank, neighbors=2, temperature=0.2
    )
    assert contrast.item() == pytest.approx(0.3267, abs=1e-4)
    assert neighbor.item() == pytest.approx(1.5489, abs=1e-4)
    assert (contrast + 0.4 * neighbor).item() == pytest.approx(0.9462, abs=1e-4)


@pytest.mark.parametrize("size", [1, 5, 11])
def test_info_nce_against_an_orthogonal_bank(size: int) -> None:
    basis = torch.eye(size + 1)
    loss = info_nce(basis[:1], basis[:1], basis[1:], 0.2)
    assert loss.item() == pytest.approx(math.log(1 + size * math.exp(-1 / 0.2)), abs=1e-6)


def test_info_nce_uses_directions_only() -> None:
    torch.testing.assert_close(
        info_nce(3 * QUERY, 2 * KEY, 7 * BANK, 0.2), info_nce(QUERY, KEY, BANK, 0.2)
    )


def test_info_nce_is_the_mean_over_its_queries() -> None:
    queries, keys = torch.randn(2, 4, 6)
    bank = torch.randn(9, 6)
    single = [info_nce(queries[i : i + 1], keys[i : i + 1], bank, 0.2) for i in range(4)]
    torch.testing.assert_close(info_nce(queries, keys, bank, 0.2), torch.stack(single).mean())


def test_info_nce_gradients_reach_the_query_alone() -> None:
    tensors = [tensor.clone().requires_grad_() for tensor in (QUERY, KEY, BANK)]
    info_nce(*tensors, 0.2).backward()
    query, key, bank = tensors
    assert query.grad is not None and query.grad.abs().sum() > 0
    assert key.grad is None and bank.grad is None


def test_the_neighbor_term_picks_by_features_and_pulls_by_keys() -> None:
    features, feature_bank = features_that_prefer([2], 3)
    far = neighbor_cross_entropy(QUERY, BANK, features, feature_bank, neighbors=1, temperature=0.2)
    logits = torch.tensor([0.6, 0.0, -1.0]) / 0.2
    assert far.item() == pytest.approx(-logits.log_softmax(0)[2].item())


def test_the_neighbor_term_takes_what_a_small_bank_has() -> None:
    features, feature_bank = features_that_prefer([1, 0], 3)
    three = neighbor_cross_entropy(
        QUERY, BANK, features, feature_bank, neighbors=3, temperature=0.2
    )
    twenty = neighbor_cross_entropy(
        QUERY, BANK, features, feature_bank, neighbors=20, temperature=0.2
    )
    torch.testing.assert_close(three, twenty)


def test_the_neighbor_term_sends_no_gradient_to_features_or_banks() -> None:
    features, feature_bank = features_that_prefer([1, 0], 3)
    tensors = [t.clone().requires_grad_() for t in (QUERY, BANK, features, feature_bank)]
    neighbor_cross_entropy(*tensors, neighbors=2, temperature=0.2).backward()
    query, *others = tensors
    assert query.grad is not None and query.grad.abs().sum() > 0
    assert all(tensor.grad is None for tensor in others)


def test_empty_banks_cost_nothing_and_keep_the_graph() -> None:
    query = QUERY.clone().requires_grad_()
    empty = torch.zeros(0, 2)
    contrast = info_nce(query, KEY, empty, 0.2)
    neighbor = neighbor_cross_entropy(query, empty, QUERY, empty, neighbors=20, temperature=0.2)
    (contrast + neighbor).backward()
    assert contrast.item() == 0 and neighbor.item() == 0
    assert query.grad is not None and query.grad.abs().max() == 0


def test_worked_byol_direction() -> None:
    assert byol_loss(QUERY, torch.tensor([[0.6, 0.8]])).item() == pytest.approx(0.8)


def test_byol_lies_between_zero_and_four() -> None:
    assert byol_loss(QUERY, 5 * QUERY).item() == pytest.approx(0)
    assert byol_loss(QUERY, -QUERY).item() == pytest.approx(4)


def test_byol_targets_receive_no_gradient() -> None:
    prediction, target = torch.randn(2, 3, 4).unbind()
    prediction.requires_grad_()
    target.requires_grad_()
    byol_loss(prediction, target).backward()
    assert prediction.grad is not None and target.grad is None


def test_lightly_nt_xent_gives_the_worked_number() -> None:
    # Pairs (1,0)-(.8,.6) and (0,1)-(.6,.8) at temperature .5, all other views negative.
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    second = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
    assert NTXentLoss(0.5)(first, second).item() == pytest.approx(0.8707, abs=1e-4)


def test_lightly_nt_xent_is_the_published_sum() -> None:
    views = torch.nn.functional.normalize(torch.randn(10, 6, dtype=torch.float64), dim=1)
    logits = views @ views.T / 0.5
    terms = []
    for anchor in range(10):
        others = [view for view in range(10) if view != anchor]
        terms.append(torch.logsumexp(logits[anchor, others], 0) - logits[anchor, (anchor + 5) % 10])
    torch.testing.assert_close(NTXentLoss(0.5)(*views.chunk(2)), torch.stack(terms).mean())


def test_lightly_vicreg_gives_the_worked_numbers() -> None:
    one = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])
    other = torch.tensor([[0.5, 0.0], [-1.0, 0.5], [0.0, -1.0]])
    assert invariance_loss(one, other).item() == pytest.approx(0.0833, abs=1e-4)
    variance = (variance_loss(one) + variance_loss(other)) / 2
    assert variance.item() == pytest.approx(0.1181, abs=1e-4)
    covariance = covariance_loss(one) + covariance_loss(other)
    assert covariance.item() == pytest.approx(0.3351, abs=1e-4)
    assert VICRegLoss(25.0, 25.0, 1.0)(one, other).item() == pytest.approx(5.3706, abs=1e-3)


def test_lightly_vicreg_is_zero_for_equal_spread_uncorrelated_views() -> None:
    views = 2 * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert VICRegLoss()(views, views).item() == 0


def test_lightly_vicreg_spread_terms_ignore_a_shift() -> None:
    views = torch.randn(8, 5, dtype=torch.float64)
    torch.testing.assert_close(variance_loss(views + 3), variance_loss(views))
    torch.testing.assert_close(covariance_loss(views + 3), covariance_loss(views))
