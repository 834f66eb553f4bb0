from __future__ import annotations

import pytest
import torch
from small_frameworks import make_batch, start
from torch import nn

from arco.contracts import Progress
from arco.pretraining.vicreg import expander


def test_the_loss_is_the_published_sum_of_unnormalized_embeddings() -> None:
    method = start("vicreg").method
    views = []
    method.student.register_forward_hook(lambda _m, _i, out: views.append(out[1].double()))
    output = method.step(make_batch("vicreg", 0), Progress(0, 50, 10))
    first, second = views
    spread = sum((1 - (view.var(0) + 1e-4).sqrt()).clamp(min=0).mean() / 2 for view in views)
    covariances = [view.T.cov() for view in views]
    off_diagonal = [matrix - matrix.diag().diag() for matrix in covariances]
    redundancy = sum(matrix.square().sum() / 32 for matrix in off_diagonal)
    expected = 25 * (first - second).square().mean() + 25 * spread + redundancy
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_expander_has_three_equal_layers_and_no_bias() -> None:
    layers = list(expander(16, 32).layers)
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in linears] == [(32, 16), (32, 32), (32, 32)]
    assert all(layer.bias is None for layer in linears)
    assert [type(layer) for layer in layers].count(nn.BatchNorm1d) == 2
    assert isinstance(layers[-1], nn.Linear)


def test_the_published_expander_on_the_paper_s_network_has_136_million_weights() -> None:
    with torch.device("meta"):
        layers = expander(256, 8192)
    assert sum(parameter.numel() for parameter in layers.parameters()) == 136_347_648
