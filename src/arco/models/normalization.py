"""Which images a network's batch-norm statistics are gathered from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """Passes inside normalise by their own batch, but leave the running statistics as they are.

    For images that no test image looks like, such as turned or warped ones: their statistics would
    otherwise be a part of what the trained network is evaluated with.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
