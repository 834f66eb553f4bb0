"""Relational loss: student and teacher relate an image alike to a bank of others.

ISD (Tejankar et al., ICCV 2021) and appendix Sec. E.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def similarity_log_probs(embeddings: Tensor, bank: Tensor, temperature: float) -> Tensor:
    """Log-softmax over bank entries of the cosine similarities divided by the temperature.

    Args:
        embeddings: [..., B, D], of any length: only directions count.
        bank: [..., N, D].
        temperature: positive.

    Returns:
        [..., B, N].
    """
    directions = functional.normalize(embeddings, dim=-1)
    references = functional.normalize(bank, dim=-1)
    return functional.log_softmax(directions @ references.mT / temperature, dim=-1)


def relational_loss(
    student: Tensor,
    teacher: Tensor,
    bank: Tensor,
    *,
    student_temperature: float,
    teacher_temperature: float,
) -> Tensor:
    """Mean KL(teacher || student) between similarity distributions over the bank.

    The direction is that of ISD; the appendix writes both arguments as log-softmax, which is the
    order of torch's `kl_div`. Both distributions stay logarithms, because at a temperature of
    0.01 most of the teacher's probabilities underflow in float32.

    Args:
        student: [..., B, D]; the only argument that receives a gradient.
        teacher: [..., B, D], embeddings of the same images (or windows).
        bank: [..., N, D], embeddings of other images; N may be 0, the loss is then 0.
        student_temperature: positive.
        teacher_temperature: positive; below the student's, so that the target is the sharper one.

    Returns:
        A scalar, not negative; 0 where the distributions agree.
    """
    references = bank.detach()
    targets = similarity_log_probs(teacher.detach(), references, teacher_temperature)
    predictions = similarity_log_probs(student, references, student_temperature)
    divergences = functional.kl_div(predictions, targets, reduction="none", log_target=True)
    return divergences.sum(-1).mean()
