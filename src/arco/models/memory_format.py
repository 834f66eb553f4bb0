"""The memory order of convolution weights, which decides how fast a network runs."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def channels_last(module: Module, *, volumes: bool = False) -> Module:
    """Lay out 2D convolution weights with channels last, in place; maps then follow.

    With `volumes` 3D ones too. On a GPU both are what its matrix units want. On a CPU forward
    passes of the U-Net become about 1.35 times as fast on a CPU
    (`benchmarks/bench_channels_last.py`). Training steps gain next to nothing, because gradients
    of weights take longer, so this is for networks that are only run: teachers, evaluation.
    Values differ from those of the other order by rounding.
    """
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        elif volumes and parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return module
