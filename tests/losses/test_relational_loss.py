from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from arco.losses.relational import relational_loss, similarity_log_probs

TEMPERATURES: dict[str, Any] = {"student_temperature": 0.1, "teacher_temperature": 0.01}


STUDENT_COSINES = [0.7, 0.9, 0.2]
TEACHER_COSINES = [0.9, 0.8, 0.1]


def worked_case() -> tuple[Tensor, Tensor, Tensor]:
    """Unit student [1, 3], teacher [1, 3] and bank [3, 3] with exactly these cosines."""
    between = 0.9  # cosine of student and teacher; orthogonal ones cannot share close entries
    rest = math.sqrt(1 - between**2)
    student, teacher = torch.tensor([[1.0, 0, 0], [between, rest, 0]], dtype=torch.float64)
    first = torch.tensor(STUDENT_COSINES, dtype=torch.float64)
    second = (torch.tensor(TEACHER_COSINES, dtype=torch.float64) - between * first) / rest
    third = (1 - first**2 - second**2).sqrt()
    return student[None], teacher[None], torch.stack([first, second, third], dim=1)


def test_worked_distributions() -> None:
    student, teacher, bank = worked_case()
    probs = similarity_log_probs(teacher, bank, 0.01).exp()[0]
    assert probs.tolist() == pytest.approx([0.99995, 4.54e-5, 1.8e-35], rel=1e-2)
    probs = similarity_log_probs(student, bank, 0.1).exp()[0]
    assert probs.tolist() == pytest.approx([0.1191, 0.8801, 0.00080], rel=5e-3)
    assert probs.sum().item() == pytest.approx(1)


def test_worked_divergence_its_direction_and_its_temperatures() -> None:
    student, teacher, bank = worked_case()
    loss = relational_loss(student, teacher, bank, **TEMPERATURES)
    assert loss.item() == pytest.approx(2.1271, abs=1e-4)
    swapped = {"student_temperature": 0.01, "teacher_temperature": 0.1}
    reverse = relational_loss(teacher, student, bank, **swapped)
    assert reverse.item() == pytest.approx(8.4936, abs=1e-4)
    wrong = relational_loss(student, teacher, bank, **swapped)
    assert wrong.item() == pytest.approx(14.05, abs=6e-3)


def test_worked_gradient() -> None:
    student, teacher, bank = worked_case()
    student.requires_grad_()
    relational_loss(student, teacher, bank, **TEMPERATURES).backward()
    # A cosine with a unit vector changes by the bank entry's part orthogonal to that vector.
    unit = student.detach()[0]
    orthogonal = bank - torch.tensor(STUDENT_COSINES)[:, None] * unit
    on_cosines = torch.tensor([-8.808, 8.800, 0.008], dtype=torch.float64)
    assert student.grad is not None
    torch.testing.assert_close(student.grad[0], on_cosines @ orthogonal, atol=2e-3, rtol=0)


def test_equal_distributions_cost_nothing_and_others_cost_something() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 4, 8, generator=generator)
    bank = torch.randn(9, 8, generator=generator)
    equal = {"student_temperature": 0.1, "teacher_temperature": 0.1}
    assert relational_loss(one, one, bank, **equal).item() == pytest.approx(0, abs=1e-6)
    assert relational_loss(one, other, bank, **TEMPERATURES).item() > 0


def test_lengths_and_the_order_of_the_bank_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 4, 8, generator=generator)
    bank = torch.randn(9, 8, generator=generator)
    expected = relational_loss(student, teacher, bank, **TEMPERATURES)
    changed = relational_loss(3 * student, 0.2 * teacher, 5 * bank.flip(0), **TEMPERATURES)
    torch.testing.assert_close(changed, expected)


def test_only_the_student_receives_a_gradient() -> None:
    student, teacher, bank = (torch.randn(3, 4, requires_grad=True) for _ in range(3))
    relational_loss(student, teacher, bank, **TEMPERATURES).backward()
    assert student.grad is not None and student.grad.abs().sum() > 0
    assert teacher.grad is None and bank.grad is None


def test_windows_are_compared_with_bank_entries_of_their_own_place() -> None:
    generator = torch.Generator().manual_seed(2)
    student, teacher = torch.randn(2, 5, 3, 8, generator=generator)
    bank = torch.randn(5, 7, 8, generator=generator)
    together = relational_loss(student, teacher, bank, **TEMPERATURES)
    apart = [
        relational_loss(s, t, b, **TEMPERATURES)
        for s, t, b in zip(student, teacher, bank, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(apart).mean())


def test_an_empty_bank_costs_nothing_and_keeps_the_graph() -> None:
    student = torch.randn(3, 4, requires_grad=True)
    loss = relational_loss(student, torch.randn(3, 4), torch.zeros(0, 4), **TEMPERATURES)
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None and student.grad.abs().max() == 0


def test_an_almost_certain_teacher_stays_finite_in_single_precision() -> None:
    student = torch.tensor([[-1.0, 0.0]], requires_grad=True)
    teacher, bank = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    loss = relational_loss(student, teacher, bank, **TEMPERATURES)
    loss.backward()
    assert loss.item() == pytest.approx(20)  # the teacher's entry has student log-probability -20
    assert student.grad is not None and student.grad.isfinite().all()
