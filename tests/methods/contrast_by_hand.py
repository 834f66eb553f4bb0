"""The pixel contrast, its pseudo labels and its views, written plainly.

Nothing here comes from the package but what was drawn at random: which pixels, which classes. That
is listened to, and everything else is made again, pixel by pixel where that is short.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import permutations, product
from typing import Any, NamedTuple
from unittest import mock

import torch
from by_hand import OUTSIDE, log_probs, rows
from torch import Tensor, nn
from torch.nn import functional

from arco import class_contrast

CLASSES = 3
QUERIES, NEGATIVES, TEMPERATURE = 5, 4, 0.4
WEAK, STRONG = 0.6, 0.9
"""The constants of `hearing.PIXELS`."""


class Draw(NamedTuple):
    """One call of the sampler.

    Attributes:
        mask: the candidates.
        how: sampler, grid and seed of the generator.
        rows: independent draws.
        pixels: what came out.
    """

    mask: Tensor
    how: tuple[Any, ...]
    rows: int | None
    pixels: Tensor


class Drawn:
    """The random choices of a contrast, in their order."""

    def __init__(self) -> None:
        self.pixels: list[Draw] = []
        self.classes: list[tuple[Tensor, Tensor]] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        draw, multinomial = class_contrast.draw, torch.multinomial

        def heard_draw(mask, count, sampler, grid, generator, **options):
            found = draw(mask, count, sampler, grid, generator, **options)
            how = sampler, grid, generator.initial_seed()
            assert found.shape[-1] == count
            self.pixels.append(Draw(mask, how, options.get("rows"), found))
            return found

        def heard_multinomial(shares, *rest, **options):
            found = multinomial(shares, *rest, **options)
            self.classes.append((shares, found))
            return found

        with (
            mock.patch.object(class_contrast, "draw", heard_draw),
            mock.patch.object(torch, "multinomial", heard_multinomial),
        ):
            yield


class Labeled(NamedTuple):
    """Pixels [N, D] and their labels [N], OUTSIDE where the teacher is not sure."""

    pixels: Tensor
    labels: Tensor


class Expected(NamedTuple):
    """The contrast of a batch and what is logged of it."""

    loss: Tensor
    facts: dict[str, Tensor]


def represented(weights: nn.ParameterList, features: list[Tensor]) -> Tensor:
    """The representation head by its definition, at every pixel, [B, D, *S]."""
    *inner, last = weights
    inner = [weight + torch.eye(len(weight)) for weight in inner]
    maps = None
    for level, weight in zip(features, [*inner, last], strict=True):
        if maps is not None:
            mode = {4: "bilinear", 5: "trilinear"}[level.ndim]
            raised = functional.interpolate(maps, level.shape[2:], mode=mode, align_corners=True)
            level = torch.cat([raised, level], dim=1)
        maps = torch.einsum("oi,bi...->bo...", weight, level)
    return maps


def pixels_of(maps: Tensor) -> Tensor:
    """Maps [B, D, *S] as rows [N, D]."""
    return maps.movedim(1, -1).flatten(0, -2)


def alike(one: Tensor, other: Tensor, *, cosine: bool = True) -> Tensor:
    product = (one * other).sum()
    return product / (one.norm() * other.norm()) if cosine else product


def contrast(
    drawn: Drawn,
    queries: Labeled,
    prob: Tensor,
    keys: Labeled,
    settings: Any,
    *,
    quotas: bool = False,
) -> Expected:
    """The mean over classes of the cross-entropy of each query among its positive and negatives.

    Args:
        drawn: what was drawn; checked to be drawn from the right pixels and classes.
        queries: the student's pixels in its view.
        prob: [N, C] of the student, in its view.
        keys: whose pixels are keys, in their view; constants.
        settings: of the method.
        quotas: whether the class of each negative was drawn first.
    """
    pixels, key_labels = keys.pixels.detach(), keys.labels
    per_query = settings.negative_draws == "per_query"
    cosine, mean = settings.similarity == "cosine", settings.reduction == "mean"
    means = [pixels[key_labels == c].mean(dim=0) for c in range(CLASSES)]
    own_prob = prob.gather(1, queries.labels.clamp_min(0)[:, None]).squeeze(1)
    assert not (own_prob < STRONG)[queries.labels >= 0].all()
    chosen, rest = drawn.pixels[:CLASSES], iter(drawn.pixels[CLASSES:])
    losses = []
    for c in range(CLASSES):
        hard = (queries.labels == c) & (own_prob < STRONG)
        assert torch.equal(chosen[c].mask.flatten(), hard)
        assert len(chosen[c].pixels) == QUERIES
        if quotas:
            likeness = torch.stack([alike(means[c], other) for other in means])
            negatives = _by_class(drawn.classes[c], rest, likeness, c, key_labels)
        else:
            draw = next(rest)
            others = (key_labels != c) & (key_labels != OUTSIDE)
            assert torch.equal(draw.mask.flatten(), others)
            negatives = draw.pixels
        assert negatives.numel() == NEGATIVES * (QUERIES if per_query else 1)
        negatives = negatives.view(-1, NEGATIVES).expand(QUERIES, -1)
        for query, own in zip(queries.pixels[chosen[c].pixels], negatives, strict=True):
            compared = [means[c], *pixels[own]]
            logits = torch.stack([alike(query, key, cosine=cosine) for key in compared])
            logits = logits / TEMPERATURE
            losses.append(logits.logsumexp(dim=0) - logits[0])
    assert next(rest, None) is None
    total = torch.stack(losses)
    loss = total.mean() if mean else total.sum()
    chance = math.log(1 + NEGATIVES) * (1 if mean else len(losses))
    pairs = [alike(means[a], means[b]) for a, b in permutations(range(CLASSES), 2)]
    facts = {
        "contrast_over_chance": loss.detach() / chance,
        "class_cosine": torch.stack(pairs).mean(),
    }
    return Expected(loss, facts)


def _by_class(
    classes: tuple[Tensor, Tensor], rest: Iterator[Draw], likeness: Tensor, own: int, labels: Tensor
) -> Tensor:
    """Negatives whose classes were drawn first, by their likeness to the class `own`."""
    shares, found = classes
    expected = (likeness / TEMPERATURE).exp() * (torch.arange(CLASSES) != own)
    torch.testing.assert_close(shares, expected / expected.sum(), rtol=1e-4, atol=1e-6)
    negatives = torch.empty_like(found)
    for other in found.unique():
        draw = next(rest)
        assert torch.equal(draw.mask.flatten(), labels == other)
        negatives[found == other] = draw.pixels
    return negatives


def unsupervised(logits: Tensor, labels: Tensor, confidence: Tensor, alike: str) -> Tensor:
    """Cross-entropy with pseudo labels, each image or each class weighed by its sure share."""
    inside, sure = labels != OUTSIDE, confidence >= STRONG
    if alike == "images":
        total = torch.zeros(())
        for own, truth, here, trusted in zip(logits, labels, inside, sure, strict=True):
            share = (here & trusted).sum() / here.sum()
            assert 0 < share < 1
            total = total + share * _costs(own[None], truth[None], here[None]).sum()
        return total / inside.sum()
    losses = []
    for c in range(CLASSES):
        of_class = labels == c
        share = (of_class & sure).sum() / of_class.sum()
        losses.append(share * _costs(logits, labels, of_class).mean())
    return torch.stack(losses).mean()


def _costs(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    logs, truth = log_probs(rows(logits, mask)), labels[mask]
    return -torch.cat([logs[truth == c, c] for c in range(CLASSES)])


def sure_shares(labels: Tensor, confidence: Tensor) -> dict[str, Tensor]:
    """Of the unlabeled images [U, *S]."""
    found = {}
    for name, threshold in (("weak", WEAK), ("strong", STRONG)):
        for region, mask in (("", labels >= 0), ("_foreground", labels >= 1)):
            share = (confidence[mask] >= threshold).float().mean()
            assert 0 < share < 1
            found[f"sure_{name}{region}"] = share
    return found


def logged(facts: Mapping[str, Tensor]) -> dict[str, tuple[float, Tensor]]:
    """Facts as terms of weight 0, which `hearing.compare` takes."""
    return {name: (0.0, value) for name, value in facts.items()}


def pasted(maps: Tensor, own: Tensor) -> Tensor:
    """Each image where `own` [B, *S], the next one elsewhere."""
    return torch.stack([maps[i].where(own[i], maps[(i + 1) % len(maps)]) for i in range(len(maps))])


def check_rectangles(own: Tensor) -> None:
    """Each image is the next one inside a box of half its area, through the whole depth."""
    for box in ~own:
        places = box.nonzero()
        lengths = places.amax(dim=0) - places.amin(dim=0) + 1
        assert lengths.prod() == len(places)
        assert 0.4 < box.float().mean() < 0.6
        assert box.ndim == 2 or lengths[0] == len(box)
    assert not torch.equal(own[0], own[1])


def pooled(maps: Tensor, cells: int) -> Tensor:
    """Mean of maps [B, D, *S] over each of `cells` equal boxes along every axis."""
    size = maps.shape[2:]
    found = maps.new_empty(*maps.shape[:2], *[cells] * len(size))
    for cell in product(range(cells), repeat=len(size)):
        box = [
            slice(k * length // cells, (k + 1) * length // cells)
            for k, length in zip(cell, size, strict=True)
        ]
        found[(..., *cell)] = maps[(..., *box)].flatten(2).mean(2)
    return found


def places_of(grid: Tensor, size: tuple[int, ...]) -> Tensor:
    """A sampling grid [B, *S, axes], which calls every side 2 and starts at the last axis.

    Returns:
        The same in pixels, axes from the first to the last.
    """
    return ((grid.flip(-1) + 1) * torch.tensor(size) - 1) / 2


def nearest(maps: Tensor, grid: Tensor, outside: float) -> Tensor:
    """Maps [B, *S] at the pixel nearest to each place, `outside` beyond the image."""
    size = torch.tensor(maps.shape[1:])
    places = places_of(grid, maps.shape[1:]).round().long()
    beyond = ((places < 0) | (places >= size)).any(dim=-1)
    found = [
        own[at.clamp_min(0).minimum(size - 1).unbind(-1)]
        for own, at in zip(maps, places, strict=True)
    ]
    return torch.stack(found).where(~beyond, outside)


def between(maps: Tensor, grid: Tensor, *, border: bool = False) -> Tensor:
    """Maps [B, D, *S] linearly between pixels; beyond the image its border goes on, or zero."""
    size = torch.tensor(maps.shape[2:])
    places = places_of(grid, maps.shape[2:])
    if border:
        places = places.clamp_min(0).minimum(size - 1)
    found = torch.zeros(())
    for corner in product((0, 1), repeat=len(size)):
        at = places.floor() + torch.tensor(corner)
        weights = (1 - (places - at).abs()).prod(dim=-1)
        weights = weights.where(((at >= 0) & (at < size)).all(dim=-1), 0.0)
        index = at.long().clamp_min(0).minimum(size - 1)
        values = [own[(slice(None), *one.unbind(-1))] for own, one in zip(maps, index, strict=True)]
        found = found + torch.stack(values) * weights.unsqueeze(1)
    return found


def symmetries(maps: Tensor) -> list[Tensor]:
    """Maps [..., H, W] in their four symmetries, or eight where height and width are equal."""
    found = [maps, maps.flip(-1), maps.flip(-2), maps.flip(-1).flip(-2)]
    if maps.shape[-1] == maps.shape[-2]:
        found += [turned.transpose(-1, -2) for turned in found]
    return found
