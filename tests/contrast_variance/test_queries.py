"""The field of a query's loss: is it what training draws from, and does the theory describe it?"""

from __future__ import annotations

import pytest
import torch
from small_contrast import generator, small_contrast

from arco.class_contrast import Compared
from arco.contrast_variance.estimates import mean_of_blocks
from arco.contrast_variance.queries import (
    SAMPLERS,
    QueryField,
    drawn_traces,
    predicted_variances,
    query_fields,
)
from arco.sampling import draw, group


def agree(found, expected):
    for sampler in SAMPLERS:
        assert abs(found[sampler].value - expected[sampler]) <= 4 * found[sampler].error


def measured(fields, settings, quantity, draws=400):
    return {
        sampler: mean_of_blocks(
            drawn_traces(fields, settings, sampler, generator(7), draws=draws, block=10)[quantity]
        )
        for sampler in SAMPLERS
    }


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("similarity", "reduction"), [("cosine", "mean"), ("dot", "sum")])
def test_the_mean_over_drawn_queries_is_the_contrast_of_a_training_step(
    sampler, similarity, reduction
):
    method, compared = small_contrast(
        similarity=similarity, reduction=reduction, queries=24, negatives=16
    )
    contrast, settings = method.contrast.drawing_by(sampler, generator()), method.settings
    loss = contrast(*compared).loss
    (gradient,) = torch.autograd.grad(loss, compared.student.joined)

    again = generator()  # a step draws the queries of all classes first, then their negatives
    hard, *_, classes = contrast.candidates(compared.logits, compared.labels, compared.key_labels)
    pixels = [draw(hard[c], 24, sampler, contrast.grid, again) for c in classes]
    fields = query_fields(contrast, compared, again)
    assert len(fields) == len(classes) == 3
    total, slope = torch.zeros((), dtype=torch.float64), torch.zeros_like(gradient).double()
    for field, drawn in zip(fields, pixels, strict=True):
        ranks = [(field.groups.candidates == pixel).nonzero().item() for pixel in drawn]
        weight = 1 / (24 * len(classes)) if reduction == "mean" else 1.0
        total += weight * field.losses[ranks].sum()
        slope += weight * field.slopes[ranks].T @ field.inputs[ranks]
    assert settings.reduction == reduction
    torch.testing.assert_close(total, loss.detach().double(), rtol=1e-5, atol=0)
    largest = gradient.abs().max().item()
    torch.testing.assert_close(slope, gradient.double(), rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize("quantity", ["loss", "head gradient"])
@pytest.mark.parametrize("changes", [{}, {"reduction": "sum", "queries": 7}, {"axes": 3}])
def test_repeated_draws_vary_as_predicted(quantity, changes):
    method, compared = small_contrast(**changes)
    fields = query_fields(method.contrast, compared, generator())
    predicted = predicted_variances(fields, method.settings)[quantity]
    assert predicted["sg"] < 0.95 * predicted["ns"]  # or there would be little to tell apart
    agree(measured(fields, method.settings, quantity), predicted)


def test_one_cell_makes_stratified_sampling_naive():
    method, whole = small_contrast(grid=1)
    one = slice(0, 1)  # each image has groups of its own
    compared = Compared(
        whole.student.images(one), whole.logits[one], whole.labels[one],
        whole.keys.images(one), whole.key_labels[one],
    )  # fmt: skip
    fields = query_fields(method.contrast, compared, generator())
    for of_samplers in predicted_variances(fields, method.settings).values():
        assert of_samplers["sg"] == pytest.approx(of_samplers["ns"], rel=1e-12)
        assert of_samplers["sag"] != pytest.approx(of_samplers["ns"], rel=1e-3)


def odd_field() -> QueryField:
    """Odd about the center of each cell of 4 x 4 pixels: pixel and mirror cancel."""
    groups = group(torch.ones(1, 8, 12, dtype=torch.bool), (2, 3))
    y, x = groups.candidates.div(12, rounding_mode="floor"), groups.candidates % 12
    odd = (y % 4 - 1.5).double() ** 3 + (x % 4 - 1.5).double()
    ones = torch.ones(groups.total, 1, dtype=torch.float64)
    return QueryField(groups, odd, odd[:, None] * torch.tensor([1.0, 2.0]), ones)


def test_antithetic_draws_of_an_odd_field_do_not_vary_at_all():
    fields = [odd_field(), odd_field()]
    settings = small_contrast(queries=16)[0].settings
    for quantity, of_samplers in predicted_variances(fields, settings).items():
        assert of_samplers["sag"] == pytest.approx(0, abs=1e-15)
        assert of_samplers["sg"] > 0.1
        found = measured(fields, settings, quantity, draws=20)
        assert found["sag"].value == pytest.approx(0, abs=1e-20)
        assert found["sg"].value > 0.1


def test_classes_add_up_and_their_mean_shrinks_them():
    field = odd_field()
    settings = small_contrast(queries=16)[0].settings
    one, three = (predicted_variances([field] * count, settings)["loss"] for count in (1, 3))
    for sampler in ("ns", "sg"):
        assert three[sampler] == pytest.approx(one[sampler] / 3)
