from __future__ import annotations

import math

import pytest
import torch

from arco.contrast_variance.estimates import Estimate, average, mean_of_blocks, quotient, trace


def test_the_trace_sums_the_unbiased_variances_of_all_coordinates():
    assert trace(torch.tensor([1.0, 2.0, 6.0])).item() == 7.0
    vectors = torch.tensor([[[1.0, 0.0]], [[2.0, 4.0]], [[6.0, 2.0]]])
    assert trace(vectors).item() == 7.0 + 4.0


def test_blocks_give_a_mean_and_its_standard_error():
    blocks = [torch.tensor(value) for value in (1.0, 2.0, 6.0, 3.0)]
    assert mean_of_blocks(blocks) == pytest.approx((3.0, math.sqrt(14 / 3 / 4)))


def test_batches_and_ratios_carry_their_errors_on():
    assert average([Estimate(1.0, 0.3), Estimate(2.0, 0.4)]) == pytest.approx((1.5, 0.25))
    # 10 % of the ratio from above the line, 20 % of it from below.
    ratio = quotient(Estimate(2.0, 0.2), Estimate(4.0, 0.8))
    assert ratio == pytest.approx((0.5, 0.5 * math.hypot(0.1, 0.2)))
    assert all(map(math.isnan, quotient(Estimate(0.0, 0.0), Estimate(0.0, 0.0))))


def test_errors_are_those_of_repeated_estimates():
    generator = torch.Generator().manual_seed(0)
    found = [
        mean_of_blocks([trace(block) for block in torch.randn(20, 10, 3, generator=generator)])
        for _ in range(200)
    ]
    values = torch.tensor([estimate.value for estimate in found])
    errors = torch.tensor([estimate.error for estimate in found])
    assert values.mean().item() == pytest.approx(3.0, abs=5 * values.std().item() / math.sqrt(200))
    assert errors.mean().item() == pytest.approx(values.std().item(), rel=0.2)
