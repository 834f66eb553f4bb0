"""The nearest-neighbor loss between images (diversity; appendix Sec. E)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def neighbor_loss(student: Tensor, teacher: Tensor, memory_bank: Tensor, neighbors: int) -> Tensor:
    """Mean of 2 - 2 cos between each image and its nearest entries of the bank; a scalar in [0, 4].

    The teacher's embedding chooses the neighbors, the student's distance to them is the loss.
    Deviation from the released code, where it is the other way round, so that the loss there has
    no gradient. The form is that of mean-shift self-supervision (Koohpayegani et al., ICCV 2021).

    Args:
        student: [U, D] embeddings; receive the gradient.
        teacher: [U, D] embeddings of the same images.
        memory_bank: [N, D] earlier teacher embeddings, N >= `neighbors`.
        neighbors: entries to approach.
    """
    bank = functional.normalize(memory_bank.detach(), dim=1)
    nearest = (functional.normalize(teacher.detach(), dim=1) @ bank.T).topk(neighbors, dim=1)
    cosines = functional.normalize(student, dim=1) @ bank.T
    return (2 - 2 * cosines.gather(1, nearest.indices)).mean()
