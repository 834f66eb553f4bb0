"""Pixel features of a class move towards prototypes of the class (SS-Net).

Alonso et al., ICCV 2021; Wu et al., MICCAI 2022.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from arco.contracts import IGNORE

WIDTH = 32
"""Features of a pixel after projection, and hidden ones of every head here (authors' code)."""

SLOPE = 0.2


def separation(
    queries: Tensor, prototypes: Tensor, query_scores: Tensor, prototype_scores: Tensor
) -> Tensor:
    """mean_ij a_i b_j (1 - cos(q_i, m_j)).

    Args:
        queries: [n, D].
        prototypes: [m, D].
        query_scores: [n]; the weights a are their sigmoids, scaled to a mean of 1.
        prototype_scores: [m]; as many weights b.
    """
    cosines = functional.normalize(queries, dim=1) @ functional.normalize(prototypes, dim=1).T
    first, second = (_mean_one(scores) for scores in (query_scores, prototype_scores))
    return (first.unsqueeze(1) * second * (1 - cosines)).mean()


def _mean_one(scores: Tensor) -> Tensor:
    weights = torch.sigmoid(scores)
    return weights / weights.mean()


class ClassSeparation(nn.Module):
    """Projection, prediction head, selectors and prototypes, over drawn pixels only.

    The authors' code projects every pixel, which in volumes takes gigabytes; here at most
    `pixels_per_class` of each foreground class and half are drawn, uniformly. It keeps the
    prototypes its selector ranks *lowest* and, by an axis slip, weighs all prototypes alike; here
    the ranking is a choice and the weights are those of the paper.

    Args:
        in_channels: of the network's last map.
        classes: C; the background has no prototypes.
        prototypes: kept for each class.
        pixels_per_class: drawn at most.
        ranking: which of the correctly predicted pixels become prototypes.
        generator: of the draws.
    """

    prototypes: Tensor
    counts: Tensor

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        prototypes: int,
        pixels_per_class: int,
        ranking: Literal["highest", "lowest"],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.pixels_per_class = pixels_per_class
        self.largest = ranking == "highest"
        self.generator = generator
        self.projection = _head(in_channels, WIDTH, nn.ReLU())
        self.prediction = _head(WIDTH, WIDTH, nn.ReLU())
        self.selectors = nn.ModuleList(_selector() for _ in range(classes))
        self.prototype_selectors = nn.ModuleList(_selector() for _ in range(classes))
        self.register_buffer("prototypes", torch.zeros(classes, prototypes, WIDTH))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.int64))

    def forward(self, maps: Tensor, labels: Tensor, predicted: Tensor, labeled: int) -> Tensor:
        """The loss of the labeled half plus that of the unlabeled half.

        Prototypes are first replaced by those of this batch, for classes with two pixels or more.

        Args:
            maps: [B, in_channels, *S], the network's last ones.
            labels: [B, *S] int64: true ones, then pseudo labels; IGNORE where none.
            predicted: [B, *S] int64, what the network says.
            labeled: how many images are labeled.
        """
        correct = (labels == predicted).flatten()
        rows = maps.movedim(1, -1).flatten(0, -2)
        split = labeled * labels[0].numel()
        halves = []
        for half, (start, stop) in enumerate(((0, split), (split, len(rows)))):
            pixels = self._draw(labels.flatten()[start:stop]) + start
            if len(pixels) < 2:  # batch norm needs two
                continue
            classes = labels.flatten()[pixels]
            projected = self.projection(rows[pixels])
            if half == 0:
                self._replace_prototypes(projected.detach(), classes.where(correct[pixels], IGNORE))
            halves.append((self.prediction(projected), classes))
        losses = [self._separate(queries, classes) for queries, classes in halves]
        return torch.stack([maps.sum() * 0.0, *losses]).sum()

    def _draw(self, labels: Tensor) -> Tensor:
        """Up to `pixels_per_class` pixels of each foreground class, flat indices."""
        drawn = [torch.empty(0, dtype=torch.int64, device=labels.device)]
        for index in range(1, len(self.counts)):
            found = (labels == index).nonzero().flatten()
            if len(found) > self.pixels_per_class:
                order = torch.randperm(
                    len(found), generator=self.generator, device=self.generator.device
                )
                found = found[order[: self.pixels_per_class]]
            drawn.append(found)
        return torch.cat(drawn)

    @torch.no_grad()
    def _replace_prototypes(self, projected: Tensor, classes: Tensor) -> None:
        for index in range(1, len(self.counts)):
            own = projected[classes == index]
            if len(own) < 2:
                continue
            scores = self.selectors[index](own).flatten()
            kept = min(len(own), self.prototypes.shape[1])
            best = scores.topk(kept, largest=self.largest).indices
            self.prototypes[index, :kept] = own[best]
            self.counts[index] = kept

    def _separate(self, queries: Tensor, classes: Tensor) -> Tensor:
        losses = []
        for index in range(1, len(self.counts)):
            own = queries[classes == index]
            prototypes = self.prototypes[index, : int(self.counts[index])]
            if len(own) < 2 or len(prototypes) < 2:
                continue
            losses.append(
                separation(
                    own,
                    prototypes,
                    self.selectors[index](own.detach()).flatten(),
                    self.prototype_selectors[index](prototypes).flatten(),
                )
            )
        return torch.stack([queries.sum() * 0.0, *losses]).sum() / len(self.counts)


def _head(in_features: int, width: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_features, width), nn.BatchNorm1d(width), activation, nn.Linear(width, width)
    )


def _selector() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.LeakyReLU(SLOPE), nn.Linear(WIDTH, 1)
    )
