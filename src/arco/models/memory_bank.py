"""A first-in-first-out store of embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MemoryBank(nn.Module):
    """A ring of the newest `capacity` rows; pushes of any size wrap around its end.

    A row may have several columns, which stay aligned index by index because they share one
    cursor. All state is in buffers, so that a checkpoint restores the bank; the published banks
    start from random vectors, this one starts empty and hands out only what was pushed.

    Args:
        capacity: rows kept.
        shapes: shape of one row in each column, for instance `(128,)`.

    Raises:
        ValueError: no room, or no column.
    """

    pushed: Tensor

    def __init__(self, capacity: int, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        if capacity < 1 or not shapes:
            raise ValueError(f"a bank needs a capacity and a column, not {capacity} and {shapes}")
        self.capacity = capacity
        self.columns = len(shapes)
        for column, shape in enumerate(shapes):
            self.register_buffer(f"column{column}", torch.zeros(capacity, *shape))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        """Rows held now."""
        return min(int(self.pushed), self.capacity)

    @torch.no_grad()
    def push(self, *rows: Tensor) -> None:
        """Append rows, forgetting the oldest where there is no room.

        Args:
            rows: per column [n, *shape], any n, float32; no gradient is kept.

        Raises:
            ValueError: another number of columns, or columns of different length.
        """
        counts = {len(column) for column in rows}
        if len(rows) != self.columns or len(counts) != 1:
            raise ValueError(f"expected {self.columns} columns of one length, got {counts}")
        count = counts.pop()
        kept = min(count, self.capacity)
        newest = torch.arange(count - kept, count, device=self.pushed.device)
        slots = (self.pushed + newest) % self.capacity
        for column, values in enumerate(rows):
            self.get_buffer(f"column{column}")[slots] = values[count - kept :]
        self.pushed += count

    def contents(self) -> tuple[Tensor, ...]:
        """A copy of each column [len(self), *shape], in slot order, which is not that of age.

        Copies, because a loss keeps them for its backward pass while `push` overwrites the ring.
        """
        held = len(self)
        return tuple(
            self.get_buffer(f"column{column}")[:held].clone() for column in range(self.columns)
        )
