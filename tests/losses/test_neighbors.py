from __future__ import annotations

import pytest
import torch

from arco.losses.neighbors import neighbor_loss

BANK = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])


def test_the_teacher_chooses_neighbors_and_the_student_approaches_them():
    teacher, student = torch.tensor([[0.8, 0.6]]), torch.tensor([[1.0, 0.0]])
    # The teacher's cosines are .8, .6, -.8, .96: neighbors 3 and 0, student cosines .6 and 1.
    assert neighbor_loss(student, teacher, BANK, 2).item() == pytest.approx(0.4)


def test_an_image_that_lies_on_its_neighbor_costs_nothing_and_its_opposite_costs_four():
    entry = torch.tensor([[0.6, 0.8]])
    assert neighbor_loss(entry, entry, BANK, 1).item() == pytest.approx(0.0, abs=1e-6)
    assert neighbor_loss(-entry, entry, BANK, 1).item() == pytest.approx(4.0)


def test_the_gradient_reaches_the_student_alone():
    student = torch.tensor([[1.0, 0.2]], requires_grad=True)
    teacher = torch.tensor([[0.8, 0.6]], requires_grad=True)
    bank = BANK.clone().requires_grad_()
    neighbor_loss(student, teacher, bank, 2).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
    assert bank.grad is None


def test_neither_length_nor_order_of_embeddings_matters():
    generator = torch.Generator().manual_seed(1)
    student, teacher, bank = (torch.randn(n, 7, generator=generator) for n in (3, 3, 9))
    expected = neighbor_loss(student, teacher, bank, 4)
    order = torch.randperm(9, generator=generator)
    torch.testing.assert_close(neighbor_loss(5 * student, 2 * teacher, bank[order], 4), expected)
