from __future__ import annotations

import pytest
import torch
from framework_watch import MIRRORED, SOLARIZED, marked_batch, pass_of, watch
from slow_contrasts import assert_same_loss, mean
from small_frameworks import start
from torch import nn

from arco.pretraining.vicreg import expander


def slow_terms(first, second):
    """Invariance, variance and covariance, unweighted."""
    images, width = first.shape
    pairs = zip(first.flatten(), second.flatten(), strict=True)
    invariance = mean([(one - other).square() for one, other in pairs])
    hinges, repeated = [], []
    for view in (first, second):
        centered = [column - column.mean() for column in view.T]
        for one in range(width):
            deviation = (centered[one].square().sum() / (images - 1) + 1e-4).sqrt()
            hinges.append((1 - deviation).clamp(min=0) / 2)
            others = [other for other in range(width) if other != one]
            shared = [(centered[one] * centered[other]).sum() / (images - 1) for other in others]
            repeated.append(torch.stack(shared).square().sum())
    return invariance, torch.stack(hinges).sum() / width, torch.stack(repeated).sum() / width


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(
    "weights", [(2.0, 0.0, 0.0), (0.0, 7.0, 0.0), (0.0, 0.0, 0.5), (2.0, 7.0, 0.5)]
)
def test_each_term_equals_its_slow_definition(weights: tuple[float, ...], axes: int) -> None:
    names = ("invariance", "variance", "covariance")
    changes = dict(zip(names, weights, strict=True)) | {"width": 6}
    training = start("vicreg", axes=axes, first_view=SOLARIZED, second_view=MIRRORED, **changes)
    training.take(2)
    students = watch(training.method.student)
    loss = training.step(marked_batch("vicreg", axes)).loss
    embeddings = [pass_of(students, solarized=which).gave[1] for which in (True, False)]

    def definition(first, second):
        terms = zip(weights, slow_terms(first, second), strict=True)
        return sum(weight * term for weight, term in terms)

    assert_same_loss(loss, definition, *embeddings)
    if weights[0]:
        first, second = (view.detach().double() for view in embeddings)
        assert abs(definition(first, second.roll(1, 0)).item() - loss.item()) > 1e-3


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
