"""Methods of one network: each term by hand from what the network saw and answered."""

from __future__ import annotations

import math

import pytest
import torch
from by_hand import (
    dice,
    is_drop,
    is_dropout,
    is_noise,
    log_probs,
    probs,
    quarter_turns,
    rows,
    squares,
    supervised,
)
from hearing import LABELED, TRAINED, awake, compare, hear, uneven_batch
from torch.nn import functional

AXES = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


def step(name, axes, seed=0, **changes):
    return hear(awake(name, axes, seed=seed, **changes), uneven_batch(name, axes))


def only_pass(heard, network="student"):
    """The one pass of a network that sees every image as it is."""
    (only,) = heard.passes(network)
    assert torch.equal(only.images, heard.batch.images)
    assert only.mode == TRAINED
    return only


@AXES
def test_supervised(axes):
    heard = step("supervised", axes)
    logits = only_pass(heard).logits
    compare(heard, {"supervised": (1, supervised(logits, heard.batch.labels))})


@AXES
def test_em(axes):
    heard = step("em", axes)
    logits, batch = only_pass(heard).logits, heard.batch
    logs = log_probs(rows(logits[LABELED:], batch.frame[LABELED:]))
    entropy = -(logs.exp() * logs).sum(dim=1) / math.log(3)
    compare(
        heard,
        {
            "supervised": (1, supervised(logits[:LABELED], batch.labels)),
            "entropy": (heard.weight(), entropy.mean()),
        },
    )


@AXES
@pytest.mark.parametrize("trained", ["all", "main"])
def test_cct(axes, trained):
    heard = step("cct", axes, supervise=trained)
    main, batch = only_pass(heard), heard.batch
    shown = [heard.calls[f"auxiliary.{k}.decoder"] for k in range(3)]
    noisy, dropped, cut = ((call.inputs[0] for call in calls) for calls in shown)
    for maps in noisy:
        assert all(is_noise(a, b, 0.2) for a, b in zip(maps, main.encoded, strict=True))
    for maps in dropped:
        assert all(is_dropout(a, b, 0.4) for a, b in zip(maps, main.encoded, strict=True))
    for maps in cut:
        assert all(is_drop(a, b, 0.4, 0.5) for a, b in zip(maps, main.encoded, strict=True))
    answers = [heard.last(f"auxiliary.{k}.classifier")[0].output for k in range(3)]
    of_labels = [main.logits, *answers] if trained == "all" else [main.logits]
    target = probs(main.logits.detach())[LABELED:]
    frame = batch.frame[LABELED:]
    compare(
        heard,
        {
            "supervised": (
                1,
                sum(supervised(o[:LABELED], batch.labels) for o in of_labels) / len(of_labels),
            ),
            "consistency": (
                heard.weight(),
                sum(squares(probs(o)[LABELED:], target, frame) for o in answers) / 3,
            ),
        },
    )


def side_maps(heard, features):
    """The decoder's maps at an eighth, a quarter and half of the resolution."""
    height = heard.batch.images.shape[2]
    return [next(m for m in features if m.shape[2] * k == height) for k in (8, 4, 2)]


@AXES
@pytest.mark.parametrize("perturbed", [True, False])
@pytest.mark.parametrize("upsampling", ["nearest", "linear"])
def test_urpc(axes, perturbed, upsampling):
    heard = step("urpc", axes, perturbed=perturbed, upsampling=upsampling)
    main, batch = only_pass(heard), heard.batch
    heads = [heard.calls[f"side_heads.{k}"][0] for k in range(3)]
    read, maps = [head.inputs[0] for head in heads], side_maps(heard, main.features)
    if perturbed:
        assert is_dropout(read[0], maps[0], 0.4)
        assert is_drop(read[1], maps[1], 0.4, 0.5)
        assert is_noise(read[2], maps[2], 0.2)
    else:
        assert all(map(torch.equal, read, maps))
    scales = [main.logits]
    for head, times in zip(heads, (8, 4, 2), strict=True):
        raised = head.output
        if upsampling == "nearest":
            for axis in range(2, raised.ndim):
                raised = raised.repeat_interleave(times, dim=axis)
        else:
            size, mode = batch.images.shape[2:], INTERPOLATION[axes]
            raised = functional.interpolate(raised, size, mode=mode, align_corners=True)
        scales.append(raised)
    logs = [log_probs(rows(o[LABELED:], batch.frame[LABELED:])) for o in scales]
    mean = sum(log.exp() for log in logs) / 4
    losses = []
    for log in logs:
        divergence = (mean * (mean.log() - log)).sum(dim=1)
        weight = (-divergence).exp()
        errors = ((log.exp() - mean) ** 2).mean(dim=1)
        losses.append((errors * weight).mean() / (weight.mean() + 1e-8) + divergence.mean())
    compare(
        heard,
        {
            "supervised": (1, sum(supervised(o[:LABELED], batch.labels) for o in scales) / 4),
            "consistency": (heard.weight(), sum(losses) / 4),
        },
    )


@AXES
@pytest.mark.parametrize("kind", ["squared", "foreground"])
def test_mcnet(axes, kind):
    heard = step("mcnet", axes, dice=kind)
    main, batch = only_pass(heard), heard.batch
    (second,) = heard.calls["second_decoder.decoder"]
    assert all(map(torch.equal, second.inputs[0], main.encoded))
    both = [main.logits, heard.last("second_decoder.classifier")[0].output]

    def sharp(logits):
        powers = probs(logits.detach().double()) ** (1 / 0.5)
        return (powers / powers.sum(dim=1, keepdim=True)).float()

    form = {"squared": True} if kind == "squared" else {"squared": False, "first": 1}
    one, other = both
    compare(
        heard,
        {
            "supervised": (1, 0.7 * sum(dice(o[:LABELED], batch.labels, **form) for o in both)),
            "consistency": (
                heard.weight(),
                squares(probs(one), sharp(other), batch.frame)
                + squares(probs(other), sharp(one), batch.frame),
            ),
        },
    )


def turns_of(heard):
    """By how many quarter turns the unlabeled images of the second pass are turned."""
    shown, images = heard.passes("student")[1].images, heard.batch.unlabeled
    (turns,) = [k for k in range(4) if torch.equal(shown, quarter_turns(images, k))]
    return turns


@AXES
def test_dct_rot(axes):
    seen = set()
    for seed in (0, 1, 4, 5):
        heard = step("dct_rot", axes, seed=seed)
        first, second = heard.passes("student")
        batch, turns = heard.batch, turns_of(heard)
        seen.add(turns)
        assert torch.equal(first.images, batch.images)
        assert first.mode == TRAINED
        assert second.mode == "train gradient"
        own = quarter_turns(probs(first.logits[LABELED:]), turns)
        turned, frame = probs(second.logits), quarter_turns(batch.frame[LABELED:], turns)
        halves = squares(own, turned.detach(), frame), squares(own.detach(), turned, frame)
        compare(
            heard,
            {
                "supervised": (1, supervised(first.logits[:LABELED], batch.labels)),
                "consistency": (heard.weight(), sum(halves) / 2),
            },
        )
    assert seen == {0, 1, 2, 3}
