"""Which term of a loss moves the network, and how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def gradient_shares(terms: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Length of each weighted term's gradient relative to that of the supervised term.

    Compared are the parameters that the supervised term reaches: in a head that it does not reach
    a term has no rival. The graphs are kept, and no gradient is left in the parameters, so that
    the step that follows is the same as without.

    Args:
        terms: scalars with a graph, `supervised` and others; nothing comes out without others.
        parameters: those that are trained.

    Returns:
        `gradient_<name>` of each other term, a scalar; 0 where a term has no gradient.
    """
    if len(terms) < 2:
        return {}
    gradients = {name: _gradient(term, parameters) for name, term in terms.items()}
    supervised = gradients.pop("supervised")
    reached = [index for index, gradient in enumerate(supervised) if gradient is not None]
    length = _length([supervised[index] for index in reached])
    return {
        f"gradient_{name}": _length([gradient[index] for index in reached]) / length
        for name, gradient in gradients.items()
    }


def _gradient(term: Tensor, parameters: Sequence[Tensor]) -> Sequence[Tensor | None]:
    if not term.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)


def _length(gradients: Sequence[Tensor | None]) -> Tensor:
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros(())
