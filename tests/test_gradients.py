from __future__ import annotations

import pytest
import torch

from arco.gradients import gradient_shares


def test_lengths_are_compared_where_supervision_reaches():
    """Supervised: (3, 4) in a, nothing in b. Other: (6, 8) in a and anything in b."""
    a, b = torch.zeros(2, requires_grad=True), torch.zeros(3, requires_grad=True)
    slope = torch.tensor([3.0, 4.0])
    terms = {
        "supervised": (a * slope).sum(),
        "twice": (2 * a * slope).sum() + 100 * b.sum(),
        "elsewhere": b.sum(),
        "half": -(a * slope).sum() / 2,
    }
    shares = gradient_shares(terms, [a, b])
    assert {name: share.item() for name, share in shares.items()} == pytest.approx(
        {"gradient_twice": 2.0, "gradient_elsewhere": 0.0, "gradient_half": 0.5}
    )


def test_a_length_is_that_of_all_parameters_together():
    a, b = torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)
    terms = {"supervised": 3 * a[0] + 4 * b.sum(), "other": 5 * a[1] + 12 * b.sum()}
    assert gradient_shares(terms, [a, b])["gradient_other"].item() == pytest.approx(13 / 5)


def test_the_step_that_follows_is_the_same_as_without():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    weights, images = list(network.parameters()), torch.randn(5, 3)

    def terms():
        answers = network(images)
        return {"supervised": answers[:2].square().sum(), "other": 0.3 * answers.sin().sum()}

    one = terms()
    expected = torch.autograd.grad(sum(one.values()), weights)
    two = terms()
    shares = gradient_shares(two, weights)
    assert all(weight.grad is None for weight in weights)
    found = torch.autograd.grad(sum(two.values()), weights)
    assert all(map(torch.equal, found, expected))
    lengths = {}
    for name in two:
        parts = torch.autograd.grad(terms()[name], weights)
        lengths[name] = torch.cat([part.flatten() for part in parts]).norm()
    torch.testing.assert_close(shares, {"gradient_other": lengths["other"] / lengths["supervised"]})
    assert not shares["gradient_other"].requires_grad


def test_a_term_without_graph_has_no_gradient():
    a = torch.ones(2, requires_grad=True)
    shares = gradient_shares({"supervised": a.sum(), "still": torch.tensor(7.0)}, [a])
    assert shares["gradient_still"].item() == 0.0


def test_one_term_has_nothing_to_be_compared_with():
    a = torch.ones(2, requires_grad=True)
    assert gradient_shares({}, [a]) == gradient_shares({"supervised": a.sum()}, [a]) == {}
