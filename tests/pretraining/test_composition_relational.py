"""Relational pretraining: both relations to a bank of mined images, and supervision, by hand."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from by_hand import supervised
from hearing import TAUGHT, TRAINED, Heard, alike, compare, gradients, hear, same_gradients
from small_frameworks import Training, make_batch, start
from torch import Tensor, nn

from arco.contracts import Batch, Progress

LABELED, MINED, KEPT, POOLING = 3, 5, 12, 2
CONSTANTS = {
    "global_weight": 0.7, "local_weight": 1.3, "student_temperature": 0.3,
    "teacher_temperature": 0.2, "local_pooling": POOLING, "memory_bank": KEPT,
}  # fmt: skip
WINDOWS = {2: [4, 3], 3: [1, 3, 2]}
"""Along each axis; some leave a rest of the image unused."""

BOTH = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])


class Made(NamedTuple):
    """What a network makes of images: pooled features [B, F], embeddings [B, D] of the image and
    [W, B, K] of its windows."""

    features: Tensor
    whole: Tensor
    windows: Tensor


def perceptron(head: nn.Module, vectors: Tensor) -> Tensor:
    """Linear, ReLU, linear."""
    first, _, second = head.children()
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    hidden = vectors @ first.weight.T + first.bias
    return hidden.where(hidden > 0, 0.0) @ second.weight.T + second.bias


def cells_of_windows(maps: Tensor, windows: list[int]) -> Tensor:
    """The cells of each window, averaged: [W, cells, B, channels]; windows overlap by half."""
    sides = [
        length // (POOLING * (count + 1) // 2)
        for length, count in zip(maps.shape[2:], windows, strict=True)
    ]
    found = []
    for window in product(*map(range, windows)):
        cells = []
        for cell in product(range(POOLING), repeat=len(windows)):
            box = [slice(None), slice(None)]
            for at, inside, side in zip(window, cell, sides, strict=True):
                first = (at * POOLING // 2 + inside) * side
                box.append(slice(first, first + side))
            cells.append(maps[tuple(box)].flatten(2).mean(2))
        found.append(torch.stack(cells))
    return torch.stack(found)


def made(heard: Heard, network: str, axes: int, predictors: bool = False) -> Made:
    """What `student` or `teacher.module` made, of what its network was heard to answer."""
    (answer,) = heard.passes(f"{network}.network")
    embedder = heard.method.get_submodule(network)
    features = answer.encoded[-1].flatten(2).mean(2)
    whole = perceptron(embedder.global_projector, features)
    maps = {"decoder": answer.features[-1], "logits": answer.logits}[heard.settings("local_maps")]
    cells = perceptron(embedder.local_projector, cells_of_windows(maps, WINDOWS[axes]))
    if predictors:
        whole = perceptron(heard.method.global_predictor, whole)
        cells = perceptron(heard.method.local_predictor, cells)
    return Made(features, whole, cells.transpose(1, 2).flatten(2))


def relation(student: Tensor, teacher: Tensor, bank: Tensor) -> Tensor:
    """KL of the teacher's and the student's softmax over bank entries, the mean over images."""
    losses = []
    for own, theirs in zip(student, teacher.detach(), strict=True):
        logs = []
        for vector, temperature in ((own, 0.3), (theirs, 0.2)):
            products = torch.stack([(vector * entry).sum() / entry.norm() for entry in bank])
            scaled = products / vector.norm() / temperature
            logs.append(scaled - scaled.logsumexp(dim=0))
        losses.append((logs[1].exp() * (logs[1] - logs[0])).sum())
    return torch.stack(losses).mean()


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the singular values of rows of length 1."""
    rows = features.detach().double().numpy()
    values = np.linalg.svd(rows / np.linalg.norm(rows, axis=1, keepdims=True), compute_uv=False)
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def estranged(axes: int, **changes: Any) -> Training:
    """A framework whose teacher is another network than its student."""
    training = start(
        "relational", axes=axes, dropout=0.2, local_windows=WINDOWS[axes], **CONSTANTS, **changes
    )
    with torch.no_grad():
        for weight in training.method.teacher.parameters():
            weight += 0.3 * weight.abs().mean() * torch.randn_like(weight)
    return training


def overheard(training: Training, batch: Batch) -> Heard:
    """A step that is not yet descended."""
    training.optimizer.zero_grad(set_to_none=True)
    return hear(training.method, batch, Progress(training.taken, training.total, 10))


def descend(training: Training, heard: Heard) -> None:
    torch.autograd.backward(heard.output.loss, retain_graph=True)
    training.optimizer.step()
    training.method.after_update(Progress(training.taken, training.total, 10))
    training.taken += 1


@BOTH
@pytest.mark.parametrize("local_maps", ["decoder", "logits"])
def test_a_step_whose_bank_goes_round(axes: int, local_maps: str) -> None:
    training = estranged(axes, local_maps=local_maps)
    mined = []
    for step in range(3):
        batch = make_batch("relational", step, axes=axes)
        heard = overheard(training, batch)
        theirs = made(heard, "teacher.module", axes)
        mined.append([theirs.features[:MINED], theirs.whole[:MINED], theirs.windows[:, :MINED]])
        if step < 2:
            descend(training, heard)
    features, whole, windows = (
        torch.cat(parts, dim=axis)
        for parts, axis in zip(zip(*mined, strict=True), (0, 0, 1), strict=True)
    )
    (student,), (teacher,) = (
        heard.passes(f"{network}.network") for network in ("student", "teacher.module")
    )
    assert (student.mode, teacher.mode) == (TRAINED, TAUGHT)
    assert torch.equal(student.images[:LABELED], batch.labeled)
    own = made(heard, "student", axes, predictors=True)
    local = [
        relation(vectors[LABELED:], targets[MINED:], bank[-KEPT:])
        for vectors, targets, bank in zip(own.windows, theirs.windows, windows, strict=True)
    ]
    rank = torch.tensor(effective_rank(features[-KEPT:]))
    compare(
        heard,
        {
            "supervised": (1, supervised(student.logits[:LABELED], batch.labels)),
            "global": (0.7, relation(own.whole[LABELED:], theirs.whole[MINED:], whole[-KEPT:])),
            "local": (1.3, torch.stack(local).mean()),
            "effective_rank": (0, rank),
        },
    )


@BOTH
def test_a_step_of_the_stage_without_decoder(axes: int) -> None:
    """ACTION's first: the global relation alone, of all images."""
    training = estranged(axes, global_share=0.5)
    method, mined = training.method, []
    for step in range(3):
        batch = make_batch("relational", step, axes=axes)
        heard = overheard(training, batch)
        (own,), (theirs,) = (
            heard.calls[f"{network}.network.encoder"] for network in ("student", "teacher.module")
        )
        teacher = theirs.output[-1].flatten(2).mean(2)
        embedded = perceptron(method.teacher.module.global_projector, teacher)
        mined.append((teacher[:MINED], embedded[:MINED]))
        assert len(own.inputs[0]) == len(batch.images)
        assert own.training and theirs.training and own.gradient and not theirs.gradient
        if step < 2:
            descend(training, heard)
    features, bank = (torch.cat(parts)[-KEPT:] for parts in zip(*mined, strict=True))
    whole = perceptron(method.student.global_projector, own.output[-1].flatten(2).mean(2))
    whole = perceptron(method.global_predictor, whole)
    expected = relation(whole, embedded[MINED:], bank)
    alike(heard.output.loss.detach(), 0.7 * expected.detach(), "loss")
    same_gradients(
        gradients(method, heard.output.loss), gradients(method, 0.7 * expected), tolerance=1e-3
    )
    logs = {"supervised": 0.0, "global": expected.item(), "local": 0.0}
    logs["effective_rank"] = effective_rank(features)
    assert {k: v.item() for k, v in heard.output.logs.items()} == pytest.approx(logs, rel=1e-4)
