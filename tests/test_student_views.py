"""Pixels of images, labels, confidence and pooled maps move together into the student's view."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from contrast_by_hand import check_rectangles, pooled, symmetries

from arco.contracts import IGNORE, Randomness
from arco.fields import StrongView
from arco.student_views import Strengthened, Turned

PLAIN = {"jitter": 0.0, "blur_min": 0.0, "blur_max": 0.0, "deformation": 2.0, "probability": 0.0}
MIXED_SIZES = [(16, 24), (4, 16, 24)]


def context(size, seed=0, **augmentation):
    allowed = {"rotation": True, "quarter_turns": 0.5, "flip": True, **augmentation}
    return SimpleNamespace(
        randomness=Randomness(seed, torch.device("cpu")),
        image_size=size,
        augmentation=SimpleNamespace(**allowed),
    )


def strengthened(size, cells=None, seed=0, **changes):
    return Strengthened(
        StrongView(**{**PLAIN, **changes}), size if cells is None else cells, context(size, seed)
    )


def numbered(count, size):
    """Images, labels and confidence that say which pixel of which image they are."""
    labels = torch.arange(count * torch.Size(size).numel()).view(count, *size)
    confidence = (labels + 1) / (labels.numel() + 1)
    return labels.unsqueeze(1) / labels.numel(), labels, confidence


@pytest.mark.parametrize(("size", "shapes"), [
    ((8, 8), 8), ((8, 12), 4), ((4, 8, 8), 8), ((8, 4, 8), 4), ((8, 8, 4), 4),
])  # fmt: skip
def test_what_is_turned_stays_together(size, shapes):
    images, labels, confidence = numbered(40, size)
    seen = Turned(context(size))(images, labels, confidence)
    codes = set()
    for index, (image, view) in enumerate(zip(images, seen.images, strict=True)):
        (code,) = [k for k, turned in enumerate(symmetries(image)) if torch.equal(turned, view)]
        codes.add(code)
        assert torch.equal(seen.labels[index], symmetries(labels[index])[code])
        assert torch.equal(seen.confidence[index], symmetries(confidence[index])[code])
    assert len(codes) == shapes
    maps = torch.cat([images, 1 - images.square()], dim=1)
    views = torch.cat([seen.images, 1 - seen.images.square()], dim=1)
    torch.testing.assert_close(seen.carry(pooled(maps, 4)), pooled(views, 4))


@pytest.mark.parametrize("size", [(8, 8), (4, 8, 8)])
def test_without_turns_and_mirrors_images_stay_as_they_are(size):
    images, labels, confidence = numbered(20, size)
    still = Turned(context(size, rotation=False, flip=False))
    seen = still(images, labels, confidence)
    assert torch.equal(seen.images, images) and torch.equal(seen.labels, labels)
    assert torch.equal(seen.confidence, confidence) and torch.equal(seen.carry(images), images)


@pytest.mark.parametrize("size", MIXED_SIZES)
def test_what_is_pasted_stays_together(size):
    images, labels, confidence = numbered(4, size)
    seen = strengthened(size)(images, labels, confidence)
    torch.testing.assert_close(seen.images[:, 0] * labels.numel(), seen.labels.float())
    torch.testing.assert_close(seen.confidence, (seen.labels + 1) / (labels.numel() + 1))
    own = seen.labels == labels
    check_rectangles(own)
    assert torch.equal(seen.labels[~own], labels.roll(-1, 0)[~own])
    # Cells as fine as pixels are pasted like pixels.
    torch.testing.assert_close(seen.carry(images), seen.images)


@pytest.mark.parametrize("size", MIXED_SIZES)
def test_pooled_maps_are_mixed_by_the_share_of_each_part_in_a_cell(size):
    images, labels, confidence = numbered(3, size)
    seen = strengthened(size, cells=(4,) * len(size))(images, labels, confidence)
    shares = pooled((seen.labels == labels).float().unsqueeze(1), 4)
    assert ((shares > 0) & (shares < 1)).any()
    maps = torch.rand(3, 5, *[4] * len(size), generator=torch.Generator().manual_seed(0))
    expected = [
        share * one + (1 - share) * following
        for share, one, following in zip(shares, maps, maps[[1, 2, 0]], strict=True)
    ]
    torch.testing.assert_close(seen.carry(maps), torch.stack(expected))


@pytest.mark.parametrize("size", MIXED_SIZES)
def test_what_is_deformed_stays_together(size):
    """Images say where in their plane a pixel was, labels and confidence which pixel it was."""
    count, axes = 3, len(size)
    lines = [(torch.arange(length) + 0.5) / length for length in size]
    places = torch.stack(torch.meshgrid(*lines, indexing="ij"))
    numbers = torch.arange(count, dtype=torch.float32).view(-1, *[1] * (axes + 1)) / count
    images = torch.cat(
        [places.expand(count, *places.shape), numbers.expand(count, 1, *size)], dim=1
    )
    _, labels, confidence = numbered(count, size)
    pixels = labels[0].numel()
    view = strengthened(size, probability=1.0)
    seen = view(images, labels, confidence)
    inside = seen.labels != IGNORE
    assert 0.5 < inside.float().mean() < 1
    assert (seen.confidence[~inside] == 0).all()
    torch.testing.assert_close(
        seen.confidence[inside], ((seen.labels + 1) / (labels.numel() + 1))[inside]
    )
    said = torch.unravel_index(seen.labels.clamp_min(0) % pixels, size)
    for axis, (length, at) in enumerate(zip(size, said, strict=True)):
        # Where an image is cut off its border goes on; there its places stand still.
        wrong = (seen.images[:, axis] * length - 0.5 - at)[inside].abs()
        assert wrong.max() < 0.51
    moved = seen.labels.clamp_min(0) % pixels != labels[:1]
    assert moved[inside].float().mean() > 0.3
    # Between an image and what was pasted into it the image is a mixture of both.
    image = seen.images[:, -1] * count
    pure = inside & ((image - image.round()).abs() < 1e-4)
    source = seen.labels // pixels
    assert pure.float().mean() > 0.5
    assert torch.equal(source[pure], image[pure].round().long())
    assert {
        (index, s) for index in range(count) for s in source[index][inside[index]].tolist()
    } == {(index, s % count) for index in range(count) for s in (index, index + 1)}
    carried = (seen.carry(numbers.expand(count, 1, *size)) * count)[:, 0]
    torch.testing.assert_close(carried[inside], source[inside].float())


@pytest.mark.parametrize("size", MIXED_SIZES)
def test_intensities_change_in_place(size):
    images, labels, confidence = numbered(4, size)
    images = 0.4 + 0.2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    strong = strengthened(size, jitter=0.25, probability=1.0, deformation=0.0)
    seen = strong(images, labels, confidence)
    shown = images[:, 0].flatten()[seen.labels.flatten()].view_as(labels)
    for view, original in zip(seen.images[:, 0], shown, strict=True):
        assert not torch.allclose(view, original, atol=1e-3)
        both = torch.stack([view.flatten(), original.flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.999
        brightness, contrast = (both.mean(1), both.std(1) / both.mean(1))
        for changed in (brightness, contrast):
            assert 0.75 <= changed[0] / changed[1] <= 1.25
            assert abs(changed[0] / changed[1] - 1) > 1e-3


def test_intensities_and_deformations_are_as_likely_as_said():
    size = (8, 16)
    images, labels, confidence = numbered(2, size)
    images = 0.4 + images / 10
    strong = strengthened(size, jitter=0.25, probability=0.3, deformation=3.0)
    deformed = recolored = 0
    for _ in range(300):
        seen = strong(images, labels, confidence)
        places = seen.labels % labels[0].numel()
        moved = (places != labels[0]).any().item()
        deformed += moved
        if not moved:
            same = (seen.images[:, 0] - 0.4) * 10 * labels.numel() - seen.labels
            recolored += (same.flatten(1).abs().amax(1) > 0.5).sum().item()
    assert deformed / 300 == pytest.approx(0.3, abs=0.08)
    assert recolored / (600 - 2 * deformed) == pytest.approx(0.3, abs=0.08)


def test_blur_widens_what_it_is_told_to():
    size = (16, 24)
    spot = torch.zeros(1, 1, *size)
    spot[..., 8, 12] = 1.0
    _, labels, confidence = numbered(1, size)
    strong = strengthened(size, blur_min=1.0, blur_max=1.0, probability=1.0, deformation=0.0)
    seen = strong(spot, labels, confidence)
    assert torch.equal(seen.labels, labels)
    line = torch.arange(24) - 12
    profile = seen.images[0, 0, 8] / seen.images[0, 0, 8].sum()
    assert (profile * line.square()).sum().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("view", ["turned", "strengthened"])
def test_views_are_drawn_from_their_generator_alone(view):
    size = (8, 8)
    images, labels, confidence = numbered(4, size)
    before = torch.get_rng_state()
    seen = [
        (
            Turned(context(size, seed))
            if view == "turned"
            else strengthened(size, seed=seed, jitter=0.25, probability=0.5)
        )(images, labels, confidence)
        for seed in (0, 0, 1)
    ]
    assert torch.equal(seen[0].images, seen[1].images)
    assert not torch.equal(seen[0].images, seen[2].images)
    assert torch.equal(torch.get_rng_state(), before)
