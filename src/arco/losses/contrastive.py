"""Image-level contrastive losses whose negatives outlive a batch, and BYOL's.

NT-Xent and VICReg come from lightly (`NTXentLoss`, `VICRegLoss`). Its memory bank does not: that
one is left out of checkpoints, and a run could not be resumed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """MoCo's loss: the key of the same image against a bank of other images' keys.

    He et al., CVPR 2020, Eq. 1.

    Args:
        queries: [B, D]; the only argument that receives a gradient.
        keys: [B, D], row i the other view of query i's image.
        negatives: [K, D]; K may be 0, the loss is then 0.
        temperature: positive.

    Returns:
        The mean over queries, a scalar.
    """
    queries = functional.normalize(queries, dim=1)
    positive = (queries * functional.normalize(keys.detach(), dim=1)).sum(1, keepdim=True)
    others = queries @ functional.normalize(negatives.detach(), dim=1).T
    logits = torch.cat([positive, others], dim=1) / temperature
    return -functional.log_softmax(logits, dim=1)[:, 0].mean()


def neighbor_cross_entropy(
    queries: Tensor,
    bank: Tensor,
    features: Tensor,
    feature_bank: Tensor,
    *,
    neighbors: int,
    temperature: float,
) -> Tensor:
    """Pull queries to bank entries that an earlier layer finds similar.

    The neighbor term of Van Gansbeke et al., NeurIPS 2021: cross-entropy over the bank, averaged
    over the neighbors. The positive key takes no part in it.

    Args:
        queries: [B, D]; the only argument that receives a gradient.
        bank: [K, D], keys of other images; K may be 0, the loss is then 0.
        features: [B, F], backbone features of the queries, which choose the neighbors.
        feature_bank: [K, F], row k belongs to the same image as row k of `bank`.
        neighbors: entries per query; all of them where the bank holds fewer.
        temperature: positive.

    Returns:
        A scalar.
    """
    with torch.no_grad():
        alike = functional.normalize(features, dim=1) @ functional.normalize(feature_bank, dim=1).T
        nearest = alike.topk(min(neighbors, len(bank)), dim=1).indices
    references = functional.normalize(bank.detach(), dim=1)
    logits = functional.normalize(queries, dim=1) @ references.T / temperature
    chosen = functional.log_softmax(logits, dim=1).gather(1, nearest)
    return -chosen.sum() / max(nearest.numel(), 1)


def byol_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """One direction of BYOL: mean squared distance of unit vectors, 2 - 2 cos, in [0, 4].

    Grill et al., NeurIPS 2020, Eq. 2.

    Args:
        predictions: [B, D], of the student; the only argument that receives a gradient.
        targets: [B, D], the teacher's projections of the other view.
    """
    cosines = functional.cosine_similarity(predictions, targets.detach(), dim=1)
    return (2 - 2 * cosines).mean()
