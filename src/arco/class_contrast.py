"""The pixel-to-class contrast with sampled queries and negatives (Eqs. E.2, E.3).

What the samplers act on: per class, hard query pixels of the student, and per query (or per class)
the pixels of other classes whose teacher representations are its negatives.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from arco.contracts import IGNORE
from arco.fields import PixelContrast, Sampler
from arco.losses.pixel_contrast import class_contrast, class_shares, similarities
from arco.models.head import RepresentationHead, Representations
from arco.models.keys import KeyField
from arco.models.teacher import Teacher
from arco.sampling import draw


def mean_cosine(vectors: Tensor) -> Tensor | None:
    """Mean cosine between two different rows of [n, D]; None for fewer than two rows."""
    count = len(vectors)
    if count < 2:
        return None
    directions = functional.normalize(vectors, dim=1)
    total = directions.sum(dim=0).square().sum() - directions.square().sum()
    return total / (count * (count - 1))


class Contrast(NamedTuple):
    """The contrast of one batch.

    Attributes:
        loss: a scalar; zero with a graph where no class has a hard pixel and another class.
        chance: what the loss is when a query resembles all keys alike.
        class_cosine: mean cosine between the means of two classes, 1 when the representation has
            collapsed into one direction; None where fewer than two classes have pixels.
    """

    loss: Tensor
    chance: float
    class_cosine: Tensor | None

    def facts(self) -> dict[str, Tensor]:
        """What the history tells of it; only what this batch can tell."""
        facts = {}
        if self.chance:
            facts["contrast_over_chance"] = self.loss.detach() / self.chance
        if self.class_cosine is not None:
            facts["class_cosine"] = self.class_cosine
        return facts


class Compared(NamedTuple):
    """What a contrast compares: the arguments of `ClassContrast.forward`, in its order."""

    student: Representations
    logits: Tensor
    labels: Tensor
    keys: Representations
    key_labels: Tensor


class Candidates(NamedTuple):
    """The pixels that a contrast may draw, bool masks [C, B, *S].

    Attributes:
        hard: of each class, where its queries are drawn.
        of_class: the keys of each class, whose mean is its positive key.
        others: the keys of all other classes, its negatives.
        classes: those that have pixels of all three kinds, ascending; the others are left out.
    """

    hard: Tensor
    of_class: Tensor
    others: Tensor
    classes: list[int]


class ClassContrast(nn.Module):
    """Pulls hard pixels of a class to the class's mean and pushes them from other classes.

    The positive key is the mean teacher representation of all valid pixels of the class, the
    negatives are teacher representations of valid pixels of other classes; only the queries
    receive a gradient. Each class draws the same number of queries, however rare it is.

    Args:
        feature_channels: of the network's feature pyramid.
        settings: constants.
        classes: C.
        grid: cells per spatial axis, for the stratified samplers.
        generator: of the draws; nothing else consumes it, so that runs with different samplers
            see the same batches, views and dropout.
        class_quotas: whether the negatives of a class come mostly from classes that look like it
            (ReCo, ACTION) instead of from all other pixels alike.
    """

    def __init__(
        self,
        feature_channels: Sequence[int],
        settings: PixelContrast,
        *,
        classes: int,
        grid: tuple[int, ...],
        generator: torch.Generator,
        class_quotas: bool = False,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.classes = classes
        self.grid = grid
        self.generator = generator
        self.class_quotas = class_quotas
        self.head = RepresentationHead(feature_channels, settings.width)
        self.teacher_head = Teacher(self.head)

    def drawing_by(self, sampler: Sampler, generator: torch.Generator) -> ClassContrast:
        """The same contrast, weights shared, that draws by another sampler and generator."""
        other = copy.copy(self)
        other.settings = self.settings.model_copy(update={"sampler": sampler})
        other.generator = generator
        return other

    def update_teacher(self, decay: float) -> None:
        """Move the teacher's head towards the student's."""
        self.teacher_head.update(self.head, decay)

    def forward(
        self,
        student: Representations,
        logits: Tensor,
        labels: Tensor,
        keys: Representations,
        key_labels: Tensor,
    ) -> Contrast:
        """The contrast of one batch.

        Args:
            student: the student's representations.
            logits: [B, C, *S] of the student, without a gradient.
            labels: [B, *S] int64, true or trusted pseudo labels, IGNORE elsewhere.
            keys: the teacher's representations, which may stand in another view than the
                student's, or the student's own, as in ReCo and ACTION. Constants either way.
            key_labels: [B, *S], the same labels where the keys stand.
        """
        settings = self.settings
        keys = keys.detach()
        hard, of_class, others, present = self.candidates(logits, labels, key_labels)
        means = keys.class_means(of_class)
        class_cosine = mean_cosine(means[of_class.flatten(1).any(1)])
        if not present:
            return Contrast(student.features[-1].sum() * 0.0, 0.0, class_cosine)
        queries = student.at(torch.cat([self._draw(hard[c]) for c in present]))
        rows = torch.split(queries, settings.queries)
        per_query = settings.negative_draws == "per_query"
        drawn = [
            self._draw_by_class(of_class, means, c, len(own) if per_query else 1)
            if self.class_quotas
            else self._draw_negatives(others[c], len(own) if per_query else 1)
            for c, own in zip(present, rows, strict=True)
        ]
        cosine = settings.similarity == "cosine"
        losses = [
            class_contrast(
                similarities(own, means[c : c + 1], cosine=cosine).squeeze(1),
                negatives,
                settings.temperature,
                settings.reduction,
            )
            for c, own, negatives in zip(
                present, rows, self._compare(rows, drawn, keys), strict=True
            )
        ]
        stacked = torch.stack(losses)
        chance = math.log1p(settings.negatives)
        if settings.reduction == "sum":
            return Contrast(stacked.sum(), chance * len(queries), class_cosine)
        return Contrast(stacked.mean(), chance, class_cosine)

    def candidates(self, logits: Tensor, labels: Tensor, key_labels: Tensor) -> Candidates:
        """The pixels that may be drawn; arguments as of `forward`."""
        of_class = torch.stack([key_labels == c for c in range(self.classes)])
        others = (key_labels != IGNORE) & ~of_class
        hard = self._hard(logits, labels)
        usable = others.flatten(1).any(1) & hard.flatten(1).any(1) & of_class.flatten(1).any(1)
        return Candidates(hard, of_class, others, usable.nonzero().flatten().tolist())

    def _compare(
        self,
        queries: Sequence[Tensor],
        drawn: list[Tensor],
        keys: Representations,
    ) -> list[Tensor]:
        """[Q, K] similarity of each query to its negatives, one tensor per class.

        Args:
            queries: [Q, D] per class.
            drawn: pixels [Q, K] per class, or [1, K] that all its queries share.
            keys: constants.
        """
        cosine = self.settings.similarity == "cosine"
        if self.settings.negative_draws == "per_query":
            field = KeyField(keys, cosine=cosine)
            return [
                field.similarity(own, pixels) for own, pixels in zip(queries, drawn, strict=True)
            ]
        shared = torch.split(keys.at(torch.cat(drawn, dim=1)[0]), drawn[0].shape[1])
        return [
            similarities(own, theirs, cosine=cosine)
            for own, theirs in zip(queries, shared, strict=True)
        ]

    def _hard(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[C, B, *S]: valid pixels of each class that the student is not sure of (as in ReCo)."""
        valid = labels != IGNORE
        own = logits.softmax(dim=1).gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1)
        hard = valid & (own < self.settings.strong_threshold)
        return torch.stack([hard & (labels == c) for c in range(self.classes)])

    def _draw(self, candidates: Tensor, count: int | None = None) -> Tensor:
        settings = self.settings
        wanted = settings.queries if count is None else count
        return draw(candidates, wanted, settings.sampler, self.grid, self.generator)

    def _draw_negatives(self, candidates: Tensor, rows: int) -> Tensor:
        """[rows, K], each row an independent draw."""
        settings = self.settings
        return draw(
            candidates,
            settings.negatives,
            settings.sampler,
            self.grid,
            self.generator,
            rows=rows,
        )

    def _draw_by_class(self, of_class: Tensor, means: Tensor, own: int, rows: int) -> Tensor:
        """[rows, K] pixels of other classes, each class drawn as often as it resembles `own`.

        The class of each negative is drawn first; the sampler then draws the pixels of a class for
        all rows at once.
        """
        present = of_class.flatten(1).any(dim=1)
        shares = class_shares(means, own, present, self.settings.temperature)
        count = rows * self.settings.negatives
        classes = torch.multinomial(shares, count, replacement=True, generator=self.generator)
        pixels = classes.new_empty(count)
        for c, wanted in enumerate(classes.bincount(minlength=self.classes).tolist()):
            if wanted:
                pixels[classes == c] = self._draw(of_class[c], wanted)
        return pixels.view(rows, -1)
