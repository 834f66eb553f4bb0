"""Estimated variances, with how far the luck of the draws may have moved them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Estimate(NamedTuple):
    """A number from random draws.

    Attributes:
        value: the estimate.
        error: its standard error.
    """

    value: float
    error: float


def trace(samples: Tensor) -> Tensor:
    """Unbiased variance of samples [n], or of vectors [n, ...] the trace of their covariance.

    Returns:
        A scalar, float64.
    """
    return samples.reshape(len(samples), -1).double().var(dim=0).sum()


def mean_of_blocks(traces: Sequence[Tensor]) -> Estimate:
    """The variance from those of independent blocks of draws; their spread tells its error.

    Blocks cost little (of ten draws each: 5 % of the error) and only one has to be in memory, where
    a draw may be the gradient of a whole network.
    """
    values = torch.stack(list(traces)).double()
    return Estimate(values.mean().item(), (values.var() / len(values)).sqrt().item())


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of independent estimates."""
    count = len(estimates)
    total = math.fsum(estimate.value for estimate in estimates)
    error = math.hypot(*(estimate.error for estimate in estimates))
    return Estimate(total / count, error / count)


def quotient(estimate: Estimate, reference: Estimate) -> Estimate:
    """The ratio of two independent estimates, its error to first order; NaN over 0."""
    if reference.value == 0:
        return Estimate(math.nan, math.nan)
    ratio = estimate.value / reference.value
    return Estimate(ratio, math.hypot(estimate.error, ratio * reference.error) / reference.value)
