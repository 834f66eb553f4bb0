"""Methods of two equal networks: each term by hand from what both saw and answered."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from by_hand import OUTSIDE, cross_entropy, log_probs, probs, rows, supervised
from hearing import LABELED, TRAINED, awake, compare, hear, uneven_batch

from arco.contracts import Progress

AXES = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])


def guessed(logits, frame):
    """The likeliest class of each pixel inside the frame."""
    return logits.argmax(dim=1).where(frame, OUTSIDE)


@AXES
@pytest.mark.parametrize(("images", "first"), [("all", 0), ("unlabeled", LABELED)])
def test_cps(axes, images, first):
    heard = hear(awake("cps", axes, images=images), uneven_batch("cps", axes))
    batch, both = heard.batch, [heard.passes(name) for name in ("student", "peer")]
    for (only,) in both:
        assert torch.equal(only.images, batch.images)
        assert only.mode == TRAINED
    one, other = (passes[0].logits for passes in both)
    labels = [guessed(logits, batch.frame)[first:] for logits in (one, other)]
    assert {c.item() for own in labels for c in own.unique()} == {OUTSIDE, 0, 1, 2}
    compare(
        heard,
        {
            "supervised": (
                1,
                sum(supervised(logits[:LABELED], batch.labels) for logits in (one, other)),
            ),
            "crossed": (
                heard.weight(),
                cross_entropy(one[first:], labels[1]) + cross_entropy(other[first:], labels[0]),
            ),
        },
    )


def attacked(network, images, labels):
    """Images moved by 0.05 against the gradient's sign, of a network in evaluation mode."""
    moved = images.clone().requires_grad_()
    cross_entropy(network.eval()(moved), labels).backward()
    return (images + 0.05 * moved.grad.sign()).clamp(0, 1)


def nearly_equal(images, others):
    """But for pixels whose gradient is nothing but rounding."""
    return ((images - others).abs() < 1e-6).float().mean() > 0.995


@AXES
def test_dct(axes):
    method, batch = awake("dct", axes, dropout=0.0), uneven_batch("dct", axes)
    twins = [copy.deepcopy(network) for network in (method.student, method.peer)]
    heard = hear(method, batch)
    both = heard.passes("student"), heard.passes("peer")
    for clean, attack, resisting in both:
        assert torch.equal(clean.images, batch.images)
        assert torch.equal(attack.images, batch.images)
        modes = clean.mode, attack.mode, resisting.mode
        assert modes == (TRAINED, "eval gradient", "train gradient")
        assert not resisting.images.requires_grad
    for network, (clean, *_), (*_, resisting) in zip(twins, both, both[::-1], strict=True):
        network(batch.images)  # in train mode, which moves the statistics
        pseudo_labels = guessed(clean.logits, batch.frame)[LABELED:]
        examples = attacked(network, batch.images, torch.cat([batch.labels, pseudo_labels]))
        assert nearly_equal(examples, resisting.images)
    assert (resisting.images == 0).any()  # at the limit of the range
    one, other = (passes[0].logits for passes in both)
    frame = batch.frame[LABELED:]
    logs = [log_probs(rows(logits[LABELED:], frame)) for logits in (one, other)]
    mean = (logs[0].exp() + logs[1].exp()) / 2
    entropies = [-(log.exp() * log).sum(dim=1) for log in logs]
    agreement = -(mean * mean.log()).sum(dim=1) - sum(entropies) / 2

    def resistance(clean, resisting):
        target = rows(probs(clean.detach()), batch.frame)
        return -(target * log_probs(rows(resisting, batch.frame))).sum(dim=1).mean()

    ramp = heard.weight() / 0.37
    compare(
        heard,
        {
            "supervised": (1, sum(supervised(o[:LABELED], batch.labels) for o in (one, other))),
            "agreement": (heard.weight(), agreement.mean()),
            "resistance": (
                0.21 * ramp,
                resistance(one, both[1][2].logits) + resistance(other, both[0][2].logits),
            ),
        },
    )


def test_dct_resists_from_its_start_on():
    for step, passes in ((24, 1), (25, 3)):
        heard = hear(awake("dct", 2), uneven_batch("dct", 2), Progress(step, 50, 10))
        logs = heard.output.logs
        assert len(heard.passes("student")) == len(heard.passes("peer")) == passes
        assert (logs["resistance"] > 0) == (passes == 3)
        ramp = math.exp(-5 * (1 - step / 50 / 0.9) ** 2)
        expected = logs["supervised"] + ramp * (
            0.37 * logs["agreement"] + 0.21 * logs["resistance"]
        )
        torch.testing.assert_close(heard.output.loss.detach(), expected)


@pytest.mark.parametrize("name", ["cps", "dct"])
def test_the_networks_start_from_different_weights(name):
    method = awake(name, 2)
    pairs = zip(method.student.parameters(), method.peer.parameters(), strict=True)
    assert not any(torch.equal(one, other) for one, other in pairs if one.ndim > 1)
