from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from arco.sampling import Groups, draw, group
from arco.theory import (
    Moments,
    Variances,
    enumerate_systematic,
    group_moments,
    outer_moments,
    sampler_variances,
    vector_moments,
)
from arco.theory.exact import mean_and_variance
from arco.theory.variance import counts_variance


def plane(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Coordinates from -1 to 1, [1, height, width] float64."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, dtype=torch.float64),
        torch.linspace(-1, 1, width, dtype=torch.float64),
        indexing="ij",
    )
    return y[None], x[None]


def fractions_by_group(field: Tensor, groups: Groups) -> list[list[Fraction]]:
    values = field.flatten()[groups.candidates].split(groups.sizes.tolist())
    return [[Fraction(int(value)) for value in part] for part in values if len(part)]


def irregular_example() -> tuple[Tensor, Groups]:
    """Groups of 3, 0, 1, and 2 candidates."""
    mask = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]])[None].bool()
    field = torch.tensor([[4, 7, 0, 0], [0, 1, 0, 0], [9, 0, 2, 0], [0, 0, 0, 5]])[None]
    return field, group(mask, (2, 2))


def test_moments_of_the_two_cell_example():
    field = torch.tensor([[1, 2, 6, 9], [3, 5, 7, 12]])[None]
    moments = group_moments(field, group(torch.ones_like(field).bool(), (1, 2)))
    assert moments.sizes.tolist() == [4, 4]
    assert moments.means.tolist() == [11 / 4, 17 / 2]
    assert moments.variances.tolist() == [35 / 16, 21 / 4]
    assert moments.correlations.tolist() == pytest.approx([-33 / 35, -19 / 21], rel=1e-14)
    assert float(moments.within + moments.between) == 767 / 64


def test_a_group_with_an_odd_number_of_pixels_mirrors_its_middle_pixel_onto_itself():
    field = torch.tensor([[[0.0, 3.0, 0.0]]])
    moments = group_moments(field, group(torch.ones_like(field).bool(), (1, 1)))
    assert float(moments.correlations) == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_variances_equal_the_enumeration_of_every_draw_on_a_mask(n: int):
    field, groups = irregular_example()
    assert groups.sizes.tolist() == [3, 0, 1, 2]
    found = sampler_variances(group_moments(field, groups), n)
    values = fractions_by_group(field, groups)
    for sampler in ("ns", "sg", "sag"):
        expected = enumerate_systematic(values, n, sampler)[1]
        assert float(getattr(found, sampler)) == pytest.approx(
            float(expected), rel=1e-12, abs=1e-15
        )


def test_the_rounding_term_counts_every_offset():
    field, groups = irregular_example()
    moments = group_moments(field, groups)
    ends = [0, *groups.sizes.cumsum(0).tolist()]
    for n in range(1, 9):
        sums = []
        for v in range(groups.total):
            cumulative = torch.tensor([(n * end + v) // groups.total for end in ends])
            sums.append(Fraction(float((cumulative.diff() * moments.means).sum())))
        expected = float(mean_and_variance(sums)[1])
        assert float(counts_variance(moments, n)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_rounding_adds_nothing_where_all_shares_are_integers():
    y, x = plane(8, 12)
    moments = group_moments(y + x * x, group(torch.ones(1, 8, 12).bool(), (2, 3)))
    for n in (6, 12, 60):
        assert float(sampler_variances(moments, n).sg_rounding) == pytest.approx(0, abs=1e-18)
    assert float(sampler_variances(moments, 7).sg_rounding) > 1e-6
    assert float(sampler_variances(moments, 6).sag_rounding) > 1e-6  # three pairs, six groups


def test_the_gap_is_the_one_of_theorem_3_2():
    y, x = plane(20, 14)
    moments = group_moments((3 * y * x).sin() + y, group((y + x).abs() < 0.8, (4, 3)))
    found = sampler_variances(moments, 33)
    assert float(found.ns - (found.sg - found.sg_rounding)) == pytest.approx(
        float(found.gap), rel=1e-12
    )
    unweighted = float((moments.means - moments.means.mean()).square().sum()) / 33
    assert abs(unweighted / float(found.gap) - 1) > 1


def test_an_affine_field_on_full_cells_has_no_antithetic_variance():
    y, x = plane(48, 48)
    found = sampler_variances(group_moments(x + y, group(torch.ones(1, 48, 48).bool(), (4, 4))), 64)
    assert float(found.ns) == pytest.approx(1.086e-2, rel=1e-3)
    assert float(found.sg) == pytest.approx(6.743e-4, rel=1e-3)
    assert float(found.sag) == pytest.approx(0, abs=1e-15)


FIELDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bump": lambda y, x: (-3 * (x * x + y * y)).exp(),
    "ramp": lambda y, x: 2 * x + y,
    "noise": lambda y, x: torch.randn(y.shape, generator=torch.Generator().manual_seed(4)).double(),
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n", [64, 37])
def test_monte_carlo_variances_agree_with_the_closed_form(name: str, masked: bool, n: int):
    y, x = plane(48, 40)
    field = FIELDS[name](y, x)
    mask = (y * y + x * x < 0.9) & (x > -0.5) if masked else torch.ones_like(field).bool()
    groups = group(mask, (4, 4))
    moments = group_moments(field, groups)
    exact = sampler_variances(moments, n)
    repetitions = 10_000
    mean = float((moments.shares * moments.means).sum())
    for sampler in ("ns", "sg", "sag"):
        generator = torch.Generator().manual_seed(7)
        indices = draw(groups, n, sampler, None, generator, rows=repetitions)
        estimates = field.flatten()[indices].mean(1)
        variance = float(getattr(exact, sampler))
        # 5 standard errors of a mean, and of a variance of near-normal estimates.
        assert abs(float(estimates.mean()) - mean) <= 5 * math.sqrt(variance / repetitions) + 1e-12
        if variance < 1e-15:
            assert float(estimates.var()) < 1e-15
        else:
            tolerance = 5 * math.sqrt(2 / repetitions)
            assert float(estimates.var()) / variance == pytest.approx(1, abs=tolerance)


def test_groups_of_a_volume_and_of_several_images_are_covered():
    generator = torch.Generator().manual_seed(0)
    field = torch.randn((2, 6, 5, 7), generator=generator)
    groups = group(field > -0.5, (2, 1, 3))
    exact = sampler_variances(group_moments(field, groups), 16)
    estimates = field.flatten()[draw(groups, 16, "sag", None, generator, rows=20_000)].mean(1)
    assert float(estimates.var()) / float(exact.sag) == pytest.approx(1, abs=5 * 0.01)


def vector_example() -> tuple[Groups, Tensor, Tensor]:
    """Two images with groups of many sizes, empty ones among them, and two factors of a field."""
    generator = torch.Generator().manual_seed(1)
    groups = group(torch.rand((2, 7, 9), generator=generator) > 0.7, (3, 4))
    assert 0 in groups.sizes and 1 in groups.sizes
    left, right = (
        torch.randn((groups.total, width), generator=generator, dtype=torch.float64)
        for width in (3, 5)
    )
    return groups, left + 0.5, right - 0.3


def assert_equal(found: Variances, expected: dict[str, Tensor]) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(getattr(found, name), value, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n", [1, 7, 12, 33])
def test_variances_of_a_vector_are_the_sums_over_its_coordinates(n: int):
    groups, vectors, _ = vector_example()
    whole = torch.zeros(groups.shape, dtype=torch.float64)
    single = []
    for coordinate in vectors.T:
        whole.view(-1)[groups.candidates] = coordinate
        single.append(sampler_variances(group_moments(whole, groups), n))
    sums = {
        name: torch.stack([getattr(one, name) for one in single]).sum()
        for name in Variances.__dataclass_fields__
    }
    assert_equal(sampler_variances(vector_moments(vectors, groups), n), sums)


@pytest.mark.parametrize("n", [1, 7, 12, 33])
def test_variances_of_outer_products_need_no_outer_product(n: int):
    groups, left, right = vector_example()
    formed = vector_moments((left[:, :, None] * right[:, None, :]).flatten(1), groups)
    found = outer_moments(left, right, groups)
    for name in Moments.__dataclass_fields__:
        torch.testing.assert_close(
            getattr(found, name), getattr(formed, name), rtol=1e-12, atol=1e-12
        )
    assert_equal(sampler_variances(found, n), vars(sampler_variances(formed, n)))


@pytest.mark.parametrize("n", [2, 3])
def test_variances_of_a_vector_equal_the_enumeration_of_every_draw(n: int):
    field, groups = irregular_example()
    other = (field * field) % 7
    planes = [field, other]
    vectors = torch.stack([plane.flatten()[groups.candidates] for plane in planes], dim=1)
    found = sampler_variances(vector_moments(vectors, groups), n)
    for sampler in ("ns", "sg", "sag"):
        expected = sum(
            enumerate_systematic(fractions_by_group(plane, groups), n, sampler)[1]
            for plane in planes
        )
        assert float(getattr(found, sampler)) == pytest.approx(float(expected), rel=1e-12)


def test_mistakes_are_refused():
    groups = group(torch.zeros(1, 4, 4).bool(), (2, 2))
    with pytest.raises(ValueError, match="must agree"):
        group_moments(torch.zeros(1, 4, 5), groups)
    with pytest.raises(ValueError, match="without candidates"):
        group_moments(torch.zeros(1, 4, 4), groups)
    full = group(torch.ones(1, 4, 4).bool(), (2, 2))
    with pytest.raises(ValueError, match="16 candidates need as many values, not 15"):
        vector_moments(torch.zeros(15, 2), full)
    with pytest.raises(ValueError, match="16 candidates need as many values, not 17"):
        outer_moments(torch.zeros(16, 2), torch.zeros(17, 2), full)
    one = torch.ones(1)
    with pytest.raises(ValueError, match="at least one draw"):
        sampler_variances(Moments(one.long(), one, one, one), 0)
