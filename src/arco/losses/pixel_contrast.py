"""The pixel-to-class contrast (appendix Eq. E.2 and E.3): InfoNCE of sampled representations.

Pure functions of similarities. Which pixels are compared, and where their representations come
from, is up to the caller; with many negatives per query use `arco.models.keys.KeyField`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def similarities(queries: Tensor, keys: Tensor, *, cosine: bool = True) -> Tensor:
    """How similar each query is to each key, [Q, K]; only queries receive a gradient.

    Args:
        queries: [Q, D].
        keys: [K, D].
        cosine: cosines of angles, as in ReCo (Liu et al. 2022) and the released code, for which
            the loss weight was tuned; else dot products, as Eq. E.2 is printed.
    """
    keys = keys.detach()
    if cosine:
        queries, keys = functional.normalize(queries, dim=1), functional.normalize(keys, dim=1)
    return queries @ keys.T


def class_contrast(
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """`query_losses` over the queries of a class.

    Args:
        positives: [Q], as there.
        negatives: [Q, K], as there.
        temperature: t, positive.
        reduction: "mean" over queries as in the released code, or "sum" as Eq. E.2 is printed
            (then the loss weight must shrink by the number of queries).

    Returns:
        A scalar.
    """
    losses = query_losses(positives, negatives, temperature)
    return losses.mean() if reduction == "mean" else losses.sum()


def query_losses(positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """-ln(e^(positive/t) / (e^(positive/t) + sum_k e^(negative_k/t))) of each query, [Q].

    Args:
        positives: [Q], similarity of each query to the mean representation of its class.
        negatives: [Q, K], similarity of each query to pixels of other classes. Negatives that
            all queries share and negatives of each query's own differ only in how these were made.
        temperature: t, positive.
    """
    logits = torch.cat([positives.unsqueeze(1), negatives], dim=1) / temperature
    return -functional.log_softmax(logits, dim=1)[:, 0]


def class_shares(means: Tensor, own: int, present: Tensor, temperature: float) -> Tensor:
    """How the negatives of a class are shared out among the other classes (ReCo, ACTION).

    A softmax of the cosine between class means: classes that look alike are told apart most.

    Args:
        means: [C, D] mean representation of each class.
        own: the class whose negatives they are; its own share is 0.
        present: [C] bool, the classes that have pixels; at least one other than `own`.
        temperature: positive.

    Returns:
        [C], sums to 1.
    """
    alike = similarities(means[own : own + 1], means).squeeze(0)
    allowed = present.clone()
    allowed[own] = False
    return (alike / temperature).masked_fill(~allowed, -torch.inf).softmax(dim=0)
