"""The pixel-to-class contrast with sampled queries and negatives (Eqs. E.2, E.3).

What the samplers act on: per class, hard query pixels of the student, and per query (or per class)
the pixels of other classes whose teacher representations are its negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from arco.contracts import IGNORE
from arco.fields import Sampler
from arco.losses.pixel_contrast import class_contrast, similarities
from arco.models.head import RepresentationHead
from arco.models.keys import KeyField
from arco.models.teacher import Teacher
from arco.sampling import draw


class ContrastSettings(Protocol):
    """The settings of a method that the contrast reads; see `arco.methods.arco.Settings`."""

    sampler: Sampler
    temperature: float
    width: int
    queries: int
    negatives: int
    negative_draws: Literal["per_query", "shared"]
    similarity: Literal["cosine", "dot"]
    reduction: Literal["mean", "sum"]
    strong_threshold: float


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
    """

    def __init__(
        self,
        feature_channels: Sequence[int],
        settings: ContrastSettings,
        *,
        classes: int,
        grid: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.classes = classes
        self.grid = grid
        self.generator = generator
        self.head = RepresentationHead(feature_channels, settings.width)
        self.teacher_head = Teacher(self.head)

    def update_teacher(self, decay: float) -> None:
        """Move the teacher's head towards the student's."""
        self.teacher_head.update(self.head, decay)

    def forward(
        self,
        features: Sequence[Tensor],
        logits: Tensor,
        labels: Tensor,
        teacher_features: Sequence[Tensor],
        teacher_labels: Tensor,
    ) -> Tensor:
        """The contrast of one batch, a scalar; zero where no class has a hard pixel and an other.

        Args:
            features: the student's pyramid.
            logits: [B, C, *S] of the student, without a gradient.
            labels: [B, *S] int64, true or trusted pseudo labels, IGNORE elsewhere.
            teacher_features: the teacher's pyramid; may stand in another view than the student's.
            teacher_labels: [B, *S], the same labels where the teacher stands.
        """
        settings = self.settings
        valid = teacher_labels != IGNORE
        of_class = torch.stack([teacher_labels == c for c in range(self.classes)])
        others = valid & ~of_class
        hard = self._hard(logits, labels)
        usable = others.flatten(1).any(1) & hard.flatten(1).any(1) & of_class.flatten(1).any(1)
        present = usable.nonzero().flatten().tolist()
        if not present:
            return features[-1].sum() * 0.0
        queries = self.head.at(features, torch.cat([self._draw(hard[c]) for c in present]))
        rows = torch.split(queries, settings.queries)
        head = self.teacher_head.module
        with torch.no_grad():
            means = head.class_means(teacher_features, of_class)
        cosine = settings.similarity == "cosine"
        losses = [
            class_contrast(
                similarities(own, means[c : c + 1], cosine=cosine).squeeze(1),
                negatives,
                settings.temperature,
                settings.reduction,
            )
            for c, own, negatives in zip(
                present,
                rows,
                self._negatives(rows, [others[c] for c in present], teacher_features),
                strict=True,
            )
        ]
        stacked = torch.stack(losses)
        return stacked.sum() if settings.reduction == "sum" else stacked.mean()

    def _negatives(
        self, queries: Sequence[Tensor], others: Sequence[Tensor], features: Sequence[Tensor]
    ) -> list[Tensor]:
        """[Q, K] similarity of each query to its negatives, one tensor per class."""
        settings, head = self.settings, self.teacher_head.module
        cosine = settings.similarity == "cosine"
        if settings.negative_draws == "per_query":
            field = KeyField(head, features, cosine=cosine)
            return [
                field.similarity(own, self._draw_negatives(mask, len(own)))
                for own, mask in zip(queries, others, strict=True)
            ]
        drawn = torch.cat([self._draw_negatives(mask, 1).flatten() for mask in others])
        with torch.no_grad():
            keys = torch.split(head.at(features, drawn), settings.negatives)
        return [
            similarities(own, theirs, cosine=cosine)
            for own, theirs in zip(queries, keys, strict=True)
        ]

    def _hard(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[C, B, *S]: valid pixels of each class that the student is not sure of (as in ReCo)."""
        valid = labels != IGNORE
        own = logits.softmax(dim=1).gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1)
        hard = valid & (own < self.settings.strong_threshold)
        return torch.stack([hard & (labels == c) for c in range(self.classes)])

    def _draw(self, candidates: Tensor) -> Tensor:
        settings = self.settings
        return draw(candidates, settings.queries, settings.sampler, self.grid, self.generator)

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
