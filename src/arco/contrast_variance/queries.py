"""Queries drawn against fixed keys: the case that Lemma 3.1 and Theorem 3.2 speak of.

With the negatives of each class held fixed the loss of a query depends on its own pixel alone. The
contrast is then, class by class, a mean of a field h over drawn pixels, and `arco.theory` says what
its variance is. So does drawing many times: the two must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from arco.class_contrast import ClassContrast, Compared
from arco.contrast_variance.estimates import trace
from arco.fields import PixelContrast, Sampler
from arco.losses.pixel_contrast import query_losses, similarities
from arco.models.head import Representations
from arco.sampling import Groups, draw, group
from arco.theory import outer_moments, sampler_variances, vector_moments

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
PIXEL_BLOCK = 8192
"""Pixels whose similarities to all negatives are in memory at a time."""


class QueryField(NamedTuple):
    """The loss of a query at every hard pixel of a class, and its gradient.

    Attributes:
        groups: the N hard pixels; the rows of the others are in the order of its candidates.
        losses: [N] float64, h.
        slopes: [N, D] float64, the gradient of h by the pixel's representation r.
        inputs: [N, E] float64, what the head reads there. With r = J inputs the gradient of h by J,
            `Representations.joined`, is the outer product of slopes and inputs.
    """

    groups: Groups
    losses: Tensor
    slopes: Tensor
    inputs: Tensor


def query_fields(
    contrast: ClassContrast, compared: Compared, generator: torch.Generator
) -> list[QueryField]:
    """The fields of all classes that take part in the contrast; N (D + E) numbers for each.

    Args:
        contrast: draws nothing here; read are its settings, classes and grid.
        compared: of one batch.
        generator: of the negatives, drawn once for each class by the run's own sampler.
    """
    settings = contrast.settings
    hard, of_class, others, classes = contrast.candidates(
        compared.logits, compared.labels, compared.key_labels
    )
    student, keys = _in_float64(compared.student), _in_float64(compared.keys)
    means = keys.class_means(of_class)
    fields = []
    for c in classes:
        drawn = draw(others[c], settings.negatives, settings.sampler, contrast.grid, generator)
        groups = group(hard[c], contrast.grid)
        fields.append(_field(student, groups, means[c : c + 1], keys.at(drawn), settings))
    return fields


def weight_of_a_class(settings: PixelContrast, classes: int) -> float:
    """By what the mean loss of a class's queries is multiplied in the contrast."""
    return 1 / classes if settings.reduction == "mean" else float(settings.queries)


def predicted_variances(
    fields: Sequence[QueryField], settings: PixelContrast
) -> Mapping[str, Mapping[Sampler, float]]:
    """The exact variances of the contrast and of its gradient by the head's matrix.

    Classes are drawn independently, so that their variances add up. What the random rounding of
    shares to whole draws adds is included.

    Returns:
        By `loss` and `head gradient`, then by sampler.
    """
    squared = weight_of_a_class(settings, len(fields)) ** 2
    moments = {
        "loss": [vector_moments(field.losses, field.groups) for field in fields],
        "head gradient": [
            outer_moments(field.slopes, field.inputs, field.groups) for field in fields
        ],
    }
    return {
        quantity: {
            sampler: squared * sum(float(getattr(one, sampler)) for one in of_classes)
            for sampler in SAMPLERS
        }
        for quantity, of_classes in (
            (quantity, [sampler_variances(one, settings.queries) for one in listed])
            for quantity, listed in moments.items()
        )
    }


def drawn_traces(
    fields: Sequence[QueryField],
    settings: PixelContrast,
    sampler: Sampler,
    generator: torch.Generator,
    *,
    draws: int,
    block: int,
) -> dict[str, list[Tensor]]:
    """Variances of the same two quantities over repeated draws of the queries.

    Args:
        fields: of all classes.
        settings: of the contrast.
        sampler: draws in place of the settings' own.
        generator: of the draws.
        draws: how often to draw; a multiple of `block`.
        block: draws behind one variance.

    Returns:
        By `loss` and `head gradient` one variance per block.
    """
    weight, n = weight_of_a_class(settings, len(fields)), settings.queries
    rows = [_ranks(field.groups, n, sampler, generator, draws) for field in fields]
    traces: dict[str, list[Tensor]] = {"loss": [], "head gradient": []}
    for start in range(0, draws, block):
        losses, gradients = [], []
        for field, ranks in zip(fields, rows, strict=True):
            drawn = ranks[start : start + block]
            losses.append(field.losses[drawn].mean(dim=1))
            gradients.append(field.slopes[drawn].mT @ field.inputs[drawn] / n)
        traces["loss"].append(trace(weight * torch.stack(losses).sum(dim=0)))
        traces["head gradient"].append(trace(weight * torch.stack(gradients).sum(dim=0)))
    return traces


def _ranks(
    groups: Groups, n: int, sampler: Sampler, generator: torch.Generator, rows: int
) -> Tensor:
    """[rows, n] positions in `groups.candidates` of drawn pixels."""
    pixels = draw(groups, n, sampler, None, generator, rows=rows)
    in_order, ranks = groups.candidates.long().sort()
    return ranks[torch.searchsorted(in_order, pixels)]


def _field(
    student: Representations,
    groups: Groups,
    positive: Tensor,
    negatives: Tensor,
    settings: PixelContrast,
) -> QueryField:
    """The field of one class, its keys [1, D] and [K, D] given."""
    cosine = settings.similarity == "cosine"
    losses: list[Tensor] = []
    slopes: list[Tensor] = []
    inputs: list[Tensor] = []
    for pixels in torch.split(groups.candidates.long(), PIXEL_BLOCK):
        read = student.inputs(pixels)
        queries = (read @ student.joined.T).requires_grad_()
        each = query_losses(
            similarities(queries, positive, cosine=cosine).squeeze(1),
            similarities(queries, negatives, cosine=cosine),
            settings.temperature,
        )
        losses.append(each.detach())
        slopes += torch.autograd.grad(each.sum(), queries)
        inputs.append(read)
    return QueryField(groups, torch.cat(losses), torch.cat(slopes), torch.cat(inputs))


def _in_float64(representations: Representations) -> Representations:
    """The same as constants of more digits."""
    constants = representations.detach()
    return Representations(
        [matrix.double() for matrix in constants.matrices],
        [maps.double() for maps in constants.features],
    )
