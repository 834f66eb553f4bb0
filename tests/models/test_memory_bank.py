from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arco.models.memory_bank import MemoryBank


def numbers(start: int, count: int) -> torch.Tensor:
    return torch.arange(start, start + count, dtype=torch.float32).unsqueeze(1)


def held(bank: MemoryBank) -> list[int]:
    (rows,) = bank.contents()
    return sorted(int(value) for value in rows.flatten())


@pytest.mark.parametrize("size", range(1, 8))
def test_only_the_newest_rows_remain_whatever_the_push_size(size: int) -> None:
    bank = MemoryBank(5, (1,))
    for start in range(0, 6 * size, size):
        bank.push(numbers(start, size))
        newest = start + size
        assert held(bank) == list(range(max(0, newest - 5), newest))
        assert len(bank) == min(newest, 5)


def test_eight_pushes_of_five_leave_the_newest_36_of_40() -> None:
    bank = MemoryBank(36, (1,))
    for start in range(0, 40, 5):
        bank.push(numbers(start, 5))
    assert held(bank) == list(range(4, 40))


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(1, 9), st.lists(st.integers(0, 20), max_size=8))
def test_a_bank_equals_the_tail_of_all_that_was_pushed(capacity: int, sizes: list[int]) -> None:
    bank, total = MemoryBank(capacity, (1,)), 0
    for size in sizes:
        bank.push(numbers(total, size))
        total += size
    assert held(bank) == list(range(max(0, total - capacity), total))


@pytest.mark.parametrize("size", range(1, 8))
def test_columns_stay_aligned_through_every_wrap(size: int) -> None:
    bank = MemoryBank(6, (2,), (3, 4))
    for start in range(0, 5 * size, size):
        rows = numbers(start, size)
        bank.push(rows.expand(size, 2), -rows.view(-1, 1, 1).expand(size, 3, 4))
    first, second = bank.contents()
    assert first.shape == (len(bank), 2) and second.shape == (len(bank), 3, 4)
    assert torch.equal(first[:, :1], -second[:, 0, :1])


def test_a_new_bank_is_empty() -> None:
    (rows,) = MemoryBank(4, (3,)).contents()
    assert rows.shape == (0, 3)


def test_a_state_dict_restores_rows_and_cursor() -> None:
    bank = MemoryBank(4, (1,))
    bank.push(numbers(0, 6))
    other = MemoryBank(4, (1,))
    other.load_state_dict(bank.state_dict())
    for each in (bank, other):
        each.push(numbers(6, 3))
    assert torch.equal(bank.contents()[0], other.contents()[0])
    assert held(other) == [5, 6, 7, 8]


def test_no_gradient_is_kept() -> None:
    bank = MemoryBank(4, (1,))
    bank.push(torch.ones(2, 1, requires_grad=True) * 2)
    assert not bank.contents()[0].requires_grad


def test_pushing_between_loss_and_backward_does_not_disturb_the_gradient() -> None:
    bank = MemoryBank(2, (1,))
    bank.push(numbers(3, 2))
    weight = torch.ones(1, requires_grad=True)
    loss = (weight * bank.contents()[0]).sum()
    bank.push(numbers(100, 2))
    loss.backward()
    assert weight.grad is not None and weight.grad.item() == 3 + 4


@pytest.mark.parametrize(("capacity", "shapes"), [(0, [(1,)]), (3, [])])
def test_a_bank_without_room_or_column_is_refused(
    capacity: int, shapes: list[tuple[int, ...]]
) -> None:
    with pytest.raises(ValueError, match="capacity and a column"):
        MemoryBank(capacity, *shapes)


def test_columns_of_different_length_are_refused() -> None:
    bank = MemoryBank(4, (1,), (1,))
    with pytest.raises(ValueError, match="2 columns of one length"):
        bank.push(numbers(0, 2), numbers(0, 3))
    with pytest.raises(ValueError, match="2 columns of one length"):
        bank.push(numbers(0, 2))
