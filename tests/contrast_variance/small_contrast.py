"""The contrast of a small network on one batch, ready to be drawn from."""

from __future__ import annotations

from typing import Any

import torch
from small_methods import SIZES, make_batch, start

from arco.class_contrast import Compared
from arco.contracts import Batch
from arco.methods.arco import Method

SIZE = {2: (32, 48), 3: SIZES[3]}


def small_batch(axes: int = 2) -> Batch:
    return make_batch(5, size=SIZE[axes])


def small_method(axes: int = 2, **changes: Any) -> Method:
    """ARCO after a few steps, all its pixels hard and all its pseudo labels trusted."""
    thresholds = {"weak_threshold": 0.0, "strong_threshold": 1.0}
    training = start("arco", axes=axes, size=SIZE[axes], **{**thresholds, **changes})
    for _ in range(3):
        training.step()
    method = training.method
    assert isinstance(method, Method)
    return method


def small_contrast(axes: int = 2, **changes: Any) -> tuple[Method, Compared]:
    method = small_method(axes, **changes)
    return method, method.compare(small_batch(axes)).compared


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
