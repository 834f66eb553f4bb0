"""The published objectives, pair by pair in float64; nothing here is imported from the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Of two vectors [D]."""
    return (one * other).sum() / (one.square().sum() * other.square().sum()).sqrt()


def cosines(one: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Of a vector [D] and each of K others, [K]."""
    rows = torch.stack(list(others))
    return (rows * one).sum(1) / (one.square().sum() * rows.square().sum(1)).sqrt()


def pair_loss(
    anchor: Tensor, positive: Tensor, negatives: Sequence[Tensor], temperature: float
) -> Tensor:
    """-ln(e^(p/t) / (e^(p/t) + sum_n e^(n/t))) with cosines p and n."""
    alike = (cosine(anchor, positive) / temperature).exp()
    unlike = (cosines(anchor, negatives) / temperature).exp().sum()
    return -(alike / (alike + unlike)).log()


def probabilities(embedding: Tensor, references: Sequence[Tensor], temperature: float) -> Tensor:
    """Softmax over K references of the cosines to them, [K]."""
    exponentials = (cosines(embedding, references) / temperature).exp()
    return exponentials / exponentials.sum()


def mean(terms: Sequence[Tensor]) -> Tensor:
    """Of scalars."""
    return torch.stack(list(terms)).mean()


def assert_same_loss(loss: Tensor, definition: Callable[..., Tensor], *heard: Tensor) -> None:
    """Compare a loss, and the gradients that its `backward` left, with a definition.

    Args:
        loss: the whole loss of a step.
        definition: makes the same scalar of float64 copies of `heard`.
        heard: what networks gave.
    """
    copies = [tensor.detach().double().requires_grad_() for tensor in heard]
    expected = definition(*copies)
    torch.testing.assert_close(loss.detach().double(), expected.detach(), rtol=1e-4, atol=1e-6)
    torch.autograd.backward(expected)
    for copy, tensor in zip(copies, heard, strict=True):
        assert tensor.grad is not None
        largest = copy.grad.abs().max().item()
        assert largest > 0
        torch.testing.assert_close(tensor.grad.double(), copy.grad, rtol=1e-3, atol=1e-3 * largest)
