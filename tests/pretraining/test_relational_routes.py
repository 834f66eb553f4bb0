"""What each term of the relational pretraining teaches, and which images it depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from framework_watch import settle, watch
from hearing import hear
from small_frameworks import CLASSES, make_batch, smooth_images, start
from torch import Tensor

from arco.contracts import Batch, Progress

NETWORK = {"encoder", "decoder", "classifier"}
GLOBAL = {"encoder", "global_projector", "global_predictor"}
LOCAL = {"encoder", "decoder", "local_projector", "local_predictor"}
ROUTES = {
    "decoder": {"supervised": NETWORK, "global": GLOBAL, "local": LOCAL},
    "logits": {"supervised": NETWORK, "global": GLOBAL, "local": LOCAL | {"classifier"}},
}
BOTH = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])
KEPT = 12


def part(parameter: str) -> str:
    return next(name for name in parameter.split(".") if name not in {"student", "network"})


@BOTH
@pytest.mark.parametrize("local_maps", ROUTES)
def test_each_term_teaches_its_parts_and_no_others(axes: int, local_maps: str) -> None:
    method = start("relational", axes=axes, local_maps=local_maps).method
    method.step(make_batch("relational", 0, axes=axes), Progress(0, 50, 10))
    # A teacher is guarded twice; here by its passes alone.
    trained = {key: weight.requires_grad_() for key, weight in method.named_parameters()}
    heard = hear(method, make_batch("relational", 1, axes=axes), Progress(1, 50, 10))
    found = {}
    for term, loss in heard.terms.items():
        slopes = torch.autograd.grad(
            loss, list(trained.values()), retain_graph=True, allow_unused=True
        )
        reached = zip(trained, slopes, strict=True)
        found[term] = {part(key) for key, slope in reached if slope is not None and slope.any()}
    assert found == ROUTES[local_maps]


def logs_of(batches: list[Batch], global_share: float) -> list[dict[str, float]]:
    """Of steps on these batches, in evaluation mode, where no batch norm ties images together."""
    training = start("relational", global_share=global_share, memory_bank=KEPT)
    training.taken = 25  # the whole network takes part in settling
    settle(training)
    method = training.method.eval()
    for bank in (method.whole_bank, method.window_bank):
        bank.pushed.zero_()
    return [
        {
            name: value.item()
            for name, value in method.step(batch, Progress(step, 50, 10)).logs.items()
        }
        for step, batch in enumerate(batches)
    ]


def changed(batch: Batch, what: str, index: int) -> Batch:
    """One image another one, or one label map altered."""
    if what == "labels":
        labels = batch.labels.clone()
        labels[index] = ((labels[index] + 1) % CLASSES).where(labels[index] >= 0, -1)
        return replace(batch, labels=labels)
    images: Tensor = getattr(batch, what).clone()
    images[index] = smooth_images(1, torch.Generator().manual_seed(7))[0]
    return replace(batch, **{what: images})


def moved(before: dict[str, float], after: dict[str, float]) -> set[str]:
    return {name for name, value in before.items() if abs(after[name] - value) > 1e-6 * abs(value)}


@pytest.mark.parametrize(("what", "index", "expected"), [
    ("images", 0, {"supervised"}),
    ("images", 2, {"supervised"}),
    ("labels", 1, {"supervised"}),
    ("images", 3, {"global", "local"}),
    ("images", 10, {"global", "local"}),
    ("mined", 0, {"global", "local", "effective_rank"}),
    ("mined", 4, {"global", "local", "effective_rank"}),
])  # fmt: skip
def test_an_image_moves_its_terms_and_no_others(what: str, index: int, expected: set[str]) -> None:
    batch = make_batch("relational", 0)
    (before,), (after,) = (
        logs_of([one], global_share=0.0) for one in (batch, changed(batch, what, index))
    )
    assert moved(before, after) == expected


@pytest.mark.parametrize(("what", "index", "expected"), [
    ("images", 0, {"global"}),
    ("images", 10, {"global"}),
    ("labels", 1, set()),
    ("mined", 4, {"global", "effective_rank"}),
])  # fmt: skip
def test_in_the_stage_without_decoder_labeled_images_count_like_others(
    what: str, index: int, expected: set[str]
) -> None:
    batch = make_batch("relational", 0)
    (before,), (after,) = (
        logs_of([one], global_share=0.5) for one in (batch, changed(batch, what, index))
    )
    assert moved(before, after) == expected


@pytest.mark.parametrize(("index", "last"), [(2, 1), (3, 2)])
def test_a_mined_image_counts_until_it_has_left_the_bank(index: int, last: int) -> None:
    """The bank keeps 12, of the first five the last two after 15."""
    batches = [make_batch("relational", step) for step in range(5)]
    others = [changed(batches[0], "mined", index), *batches[1:]]
    pairs = zip(*(logs_of(run, global_share=0.0) for run in (batches, others)), strict=True)
    for step, (before, after) in enumerate(pairs):
        counts = {"global", "local", "effective_rank"} if step <= last else set()
        assert moved(before, after) == counts


def views_of(
    images: Tensor, axes: int, global_share: float, **jitter: float
) -> tuple[Tensor, Tensor]:
    """The views of the unlabeled images that the student and the teacher are shown."""
    jitter = {"probability": 1.0, "blur_min": 0.0, "blur_max": 0.0, **jitter}
    training = start("relational", axes=axes, jitter=jitter, global_share=global_share)
    networks = training.method.student.network, training.method.teacher.module.network
    passes = [watch(network.encoder) for network in networks]
    batch = make_batch("relational", 0, axes=axes)
    batch = replace(batch, images=torch.cat([batch.labeled, images]))
    training.method.step(batch, Progress(0, 50, 10))
    (student,), (teacher,) = passes
    return student.shown[-len(images) :], teacher.shown[-len(images) :]


BOTH_STAGES = pytest.mark.parametrize("global_share", [0.0, 0.5])


@BOTH
@BOTH_STAGES
@pytest.mark.parametrize(("brightness", "contrast"), [(0.2, 0.0), (0.0, 0.3)])
def test_student_and_teacher_see_the_same_pixels(
    axes: int, global_share: float, brightness: float, contrast: float
) -> None:
    """Views of one image differ in brightness and contrast alone, so that windows correspond."""
    shape = make_batch("relational", 0, axes=axes).unlabeled.shape
    generator = torch.Generator().manual_seed(0)
    images = 0.4 + 0.2 * torch.rand(*shape, generator=generator)  # nothing is cut off at 0 and 1
    student, teacher = views_of(
        images, axes, global_share, brightness=brightness, contrast=contrast
    )
    factors = []
    for pair in zip(student, teacher, strict=True):
        for view, image in zip(pair, (images[len(factors) // 2],) * 2, strict=True):
            both = torch.stack([view.flatten(), image.flatten()])
            assert torch.corrcoef(both)[0, 1] > 0.999
            mean, deviation = both.mean(1), both.std(1)
            if brightness:
                torch.testing.assert_close(*(deviation / mean))
                factors.append((mean[0] / mean[1]).item())
            else:
                torch.testing.assert_close(*mean)
                factors.append((deviation[0] / deviation[1]).item())
    assert len({round(factor, 4) for factor in factors}) == 2 * len(images)
    changes = [abs(factor - 1) for factor in factors]
    assert 0.75 * (brightness + contrast) < max(changes) <= brightness + contrast


@BOTH_STAGES
def test_views_are_blurred_between_the_bounds(global_share: float) -> None:
    spots = torch.zeros_like(make_batch("relational", 0).unlabeled)
    spots[..., 8, 16] = 1.0
    blur = {"blur_min": 0.6, "blur_max": 1.4, "brightness": 0.0, "contrast": 0.0}
    places = torch.arange(spots.shape[-1]) - 16
    for views in views_of(spots, 2, global_share, **blur):
        lines = views[:, 0, 8] / views[:, 0, 8].sum(dim=1, keepdim=True)
        widths = (lines * places.square()).sum(dim=1).sqrt()
        assert 0.55 < widths.min() < 0.9 and 1.1 < widths.max() < 1.45
