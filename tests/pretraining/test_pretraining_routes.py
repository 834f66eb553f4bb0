"""Which part of a framework learns from which term, and which images a term depends on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import cos, pi
from typing import Any

import pytest
import torch
from framework_watch import settle, watch
from small_frameworks import make_batch, smooth_images, start
from torch import Tensor

from arco.contracts import Batch, Progress, Trainable

ENCODER = {"student.encoder", "student.head"}
WEIGHTS = {"invariance": 0.0, "variance": 0.0, "covariance": 0.0}
DECODED = {
    2: {f"network.decoder.blocks.{level}" for level in range(3)},
    3: {f"network.decoder.climbs.{level}" for level in range(3)}
    | {f"network.decoder.levels.{level}" for level in range(2)},
}
"""The decoder up to half the resolution, of U-Net and V-Net."""

# Framework, term: settings, the same without the term (None: it is the only one), finished steps
# of 50, and what learns.
TERMS: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None, int, set[str]]] = {
    "mocov2": ("mocov2", {}, None, 0, ENCODER),
    "knn_moco contrast": ("knn_moco", {"neighbor_weight": 0.0}, None, 0, ENCODER),
    "knn_moco neighbor": (
        "knn_moco",
        {"neighbor_weight": 1.0},
        {"neighbor_weight": 0.0},
        0,
        ENCODER,
    ),
    "simclr": ("simclr", {}, None, 0, ENCODER),
    "byol": ("byol", {}, None, 0, ENCODER | {"predictor"}),
    "isd": ("isd", {}, None, 0, ENCODER | {"predictor"}),
    **{f"vicreg {term}": ("vicreg", WEIGHTS | {term: 1.0}, None, 0, ENCODER) for term in WEIGHTS},
    "gcl global": ("gcl", {}, None, 0, {"network.encoder", "global_head"}),
    "gcl local": ("gcl", {}, None, 40, {"local_head", "region_head"}),
}

BANKS = {"mocov2", "knn_moco", "isd"}
TEACHERS = sorted(BANKS | {"byol"})
STAGES = [("gcl", 40), *((name, 0) for name in sorted({name for name, *_ in TERMS.values()}))]


def gradients(
    name: str, axes: int, taken: int, changes: dict[str, Any]
) -> dict[str, Tensor | None]:
    """What the third batch's loss leaves at each parameter, the student being as it began."""
    method = start(name, axes=axes, **changes).method
    for step in range(3):
        loss = method.step(make_batch(name, step, axes=axes), Progress(taken, 50, 10)).loss
    torch.autograd.backward(loss)
    return {key: parameter.grad for key, parameter in method.named_parameters()}


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("term", TERMS)
def test_a_term_trains_exactly_these_parts(term: str, axes: int) -> None:
    name, changes, without, taken, parts = TERMS[term]
    if term == "gcl local":
        parts = parts | DECODED[axes]
    found = gradients(name, axes, taken, changes)
    others = gradients(name, axes, taken, without) if without is not None else {}
    reached = set()
    for key, gradient in found.items():
        owner = [part for part in parts if key.startswith(f"{part}.")]
        assert (gradient is not None) == bool(owner), key
        if gradient is not None:
            own = gradient - (others[key] if others else 0)
            reached.update(owner if own.abs().max() > 0 else [])
    assert reached == parts


def batch_of(name: str, axes: int, step: int, other: int | None = None) -> Batch:
    """Images of one step, of which number `other` may be another image."""
    batch = make_batch(name, 10 + step, axes=axes)
    if other is None:
        return batch
    images = batch.images.clone()
    images[other % len(images)] = smooth_images(1, torch.Generator().manual_seed(7), axes)[0]
    return replace(batch, images=images)


def in_evaluation(name: str, axes: int = 2) -> Trainable:
    """A framework whose bank holds something and whose images do not meet in batch norm."""
    training = start(name, axes=axes)
    settle(training)
    return training.method.eval()


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(("name", "taken"), STAGES)
def test_an_image_moves_its_own_embeddings_and_no_others(name: str, taken: int, axes: int) -> None:
    runs = []
    for other in (None, 5):
        method = in_evaluation(name, axes)
        heads = ("student", "predictor", "global_head", "region_head")
        parts = [getattr(method, head) for head in heads if hasattr(method, head)]
        parts += [method.teacher.module] if name in TEACHERS else []
        heard = [watch(part) for part in parts]
        batch = batch_of(name, axes, 0, other)
        method.step(batch, Progress(taken, 50, 10))
        runs.append([one.gave for passes in heard for one in passes])
    assert len(runs[0]) == len(runs[1]) > 0
    count = len(batch.images)
    for gave, otherwise in zip(*runs, strict=True):
        for one, two in zip(
            *((x,) if torch.is_tensor(x) else x for x in (gave, otherwise)), strict=True
        ):
            moved = (one != two).flatten(1).any(1).tolist()
            assert moved == [row % count == 5 % count for row in range(len(one))]


@pytest.mark.parametrize(("name", "taken"), STAGES)
@pytest.mark.parametrize("image", [0, 7])
def test_an_image_counts_until_its_key_has_left_the_bank(name: str, taken: int, image: int) -> None:
    """The bank keeps 20: of a batch of 8 four after two further batches, none after three."""
    runs = []
    for other in (None, image):
        method = in_evaluation(name)
        logs = []
        for step in range(5):
            batch = batch_of(name, 2, step, None if step else other)
            output = method.step(batch, Progress(taken, 50, 10))
            logs.append({"loss": output.loss.detach()} | output.logs)
        runs.append(logs)
    remembered = name in BANKS
    counts = [True, remembered, remembered, remembered and image >= 4, False]
    for expected, one, two in zip(counts, *runs, strict=True):
        for term in set(one) - {"feature_std"}:
            idle = name == "gcl" and one[term] == two[term] == 0
            assert idle or (one[term] != two[term]) == expected, term


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", TEACHERS)
def test_targets_come_from_a_teacher_that_has_just_followed_the_student(
    name: str, axes: int
) -> None:
    training = start(name, axes=axes, ema_decay=0.8)
    student, teacher = training.method.student, training.method.teacher.module
    students, teachers = watch(student), watch(teacher)
    seen = []

    def remember(*_: Any) -> None:
        pair = ([p.detach().clone() for p in net.parameters()] for net in (teacher, student))
        if len(seen) == training.taken:  # BYOL's teacher is asked twice a step
            seen.append(tuple(pair))

    teacher.register_forward_pre_hook(remember)
    training.take(4)
    assert len(seen) == 4
    assert all(heard.differentiated and heard.training for heard in students)
    assert not any(heard.differentiated for heard in teachers)
    assert all(heard.training for heard in teachers)
    assert all(map(torch.equal, *seen[0]))
    for step, ((before, _), (after, students_weights)) in enumerate(pairwise(seen)):
        decay = 1 - 0.1 * (1 + cos(pi * step / 50)) if name == "byol" else 0.8
        for old, new, follows in zip(before, after, students_weights, strict=True):
            torch.testing.assert_close(new, decay * old + (1 - decay) * follows)
    assert not all(map(torch.equal, *seen[-1]))


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(("name", "taken"), STAGES)
def test_the_logged_spread_is_that_of_the_averaged_bottleneck(
    name: str, taken: int, axes: int
) -> None:
    training = start(name, axes=axes)
    settle(training)
    method = training.method
    encoders = watch(method.network.encoder if name == "gcl" else method.student.encoder)
    output = method.step(make_batch(name, 0, axes=axes), Progress(taken, 50, 10))
    bottleneck = encoders[0].gave[-1].detach().numpy()
    features = bottleneck.mean(axis=tuple(range(2, bottleneck.ndim)))
    expected = features.std(axis=0, ddof=1).mean()
    assert output.logs["feature_std"].item() == pytest.approx(expected.item(), rel=1e-4)
