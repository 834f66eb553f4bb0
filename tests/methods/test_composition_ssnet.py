"""SS-Net: smoothness along the worst direction, and prototypes, by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from by_hand import dice, probs, rows
from hearing import LABELED, TRAINED, awake, compare, hear, uneven_batch
from torch.nn import functional

UNMOVED = "train gradient"
"""A pass that leaves the running statistics as they were."""


def step(axes, **changes):
    """Without dropout, so that a pass can be repeated; and a copy of the network."""
    method = awake("ssnet", axes, dropout=0.0, **changes)
    return copy.deepcopy(method.student), hear(method, uneven_batch("ssnet", axes))


def distance(first, second, frame):
    """Mean over classes of 1 - 2 sum(p q) / (sum(p^2) + sum(q^2))."""
    p, q = rows(first, frame), rows(second, frame)
    return (1 - 2 * (p * q).sum(dim=0) / ((p**2).sum(dim=0) + (q**2).sum(dim=0))).mean()


def smoothness(twin, heard):
    """L_vat of what was heard, after checking the probe and the direction."""
    batch, (main, probe, worst) = heard.batch, heard.passes("student")
    assert torch.equal(main.images, batch.images)
    assert [one.mode for one in (main, probe, worst)] == [TRAINED, UNMOVED, UNMOVED]
    clean = probs(main.logits.detach())
    random = (probe.images - batch.images).detach().flatten(1)
    torch.testing.assert_close(random.norm(dim=1), torch.full((len(random),), 2.0))
    uniform = random * (random.shape[1] / 12) ** 0.5 / 2  # of deviation 12 ** -0.5
    assert 0.48 < uniform.abs().max() < 0.52 and uniform.mean().abs() < 0.02
    moved = probe.images.detach().requires_grad_()
    distance(probs(twin(moved)), clean, batch.frame).backward()
    lengths = moved.grad.flatten(1).norm(dim=1).view(-1, *[1] * (moved.ndim - 1))
    change = worst.images - batch.images
    torch.testing.assert_close(change, 1.5 * moved.grad / lengths, rtol=0.01, atol=1e-4)
    return distance(probs(worst.logits), clean, batch.frame)


def perceptron(layers, inputs, slope):
    """Linear, batch norm by the rows themselves, leaky ReLU, linear."""
    first, norm, _, last = layers
    hidden = functional.linear(inputs, first.weight, first.bias)
    spread = (hidden.var(dim=0, unbiased=False) + 1e-5).sqrt()
    hidden = (hidden - hidden.mean(dim=0)) / spread * norm.weight + norm.bias
    return functional.linear(functional.leaky_relu(hidden, slope), last.weight, last.bias)


def scores(selector, features):
    return perceptron(selector, features, 0.2).flatten().sigmoid()


def separation(heard, *, highest):
    """L_cs of both halves."""
    batch, (main, *_) = heard.batch, heard.passes("student")
    heads = heard.method.separation
    guessed = main.logits.argmax(dim=1)
    labels = torch.cat([batch.labels, guessed[LABELED:].where(batch.frame[LABELED:], -1)])
    halves, prototypes = [], {}
    for half in (slice(0, LABELED), slice(LABELED, None)):
        organs = labels[half] > 0
        classes = labels[half][organs]
        projected = perceptron(heads.projection, rows(main.features[-1][half], organs), 0)
        if not prototypes:  # the labeled half: pixels the network is right about
            right = classes == guessed[half][organs]
            for c in (1, 2):
                own = projected[(classes == c) & right].detach()
                order = scores(heads.selectors[c], own).argsort(descending=highest)
                prototypes[c] = own[order[:5]]
                assert len(own) > 5
        queries = perceptron(heads.prediction, projected, 0)
        for c in (1, 2):
            own = queries[classes == c]
            cosines = functional.cosine_similarity(own[:, None], prototypes[c][None], dim=2)
            a = scores(heads.selectors[c], own.detach())
            b = scores(heads.prototype_selectors[c], prototypes[c])
            weights = (a / a.mean())[:, None] * (b / b.mean())
            halves.append((weights * (1 - cosines)).mean() / 3)
    return sum(halves)


@pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])
@pytest.mark.parametrize("ranking", ["highest", "lowest"])
def test_ssnet(axes, ranking):
    twin, heard = step(axes, ranking=ranking)
    logits = heard.passes("student")[0].logits
    compare(
        heard,
        {
            "supervised": (1, dice(logits[:LABELED], heard.batch.labels)),
            "smoothness": (heard.weight(), smoothness(twin, heard)),
            "separation": (0.3 * heard.weight(), separation(heard, highest=ranking == "highest")),
        },
        tolerance=0.02,  # a norm over rows of nearly equal features magnifies rounding
    )
