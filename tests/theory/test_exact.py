from __future__ import annotations

from fractions import Fraction

import pytest

from arco.theory import enumerate_fixed, enumerate_systematic, lemma_3_1, theorem_3_2_gap

# Two cells of 2 x 2 pixels in raster order.
EQUAL_CELLS = [[Fraction(h) for h in (1, 2, 3, 5)], [Fraction(h) for h in (6, 9, 7, 12)]]
UNEQUAL_CELLS = [[Fraction(h) for h in (0, 2, 4, 6)], [Fraction(10), Fraction(14)]]


@pytest.mark.parametrize(
    ("sampler", "variance"),
    [("ns", Fraction(767, 256)), ("sg", Fraction(119, 128)), ("sag", Fraction(5, 64))],
)
def test_lemma_3_1_equals_the_enumeration_of_all_outcomes(sampler: str, variance: Fraction):
    assert enumerate_fixed(EQUAL_CELLS, [2, 2], sampler) == (Fraction(45, 8), variance)
    assert enumerate_systematic(EQUAL_CELLS, 4, sampler) == (Fraction(45, 8), variance)
    assert lemma_3_1(EQUAL_CELLS, [2, 2], sampler) == variance


def test_theorem_3_2_holds_with_weights_and_fails_as_printed():
    gap = lemma_3_1(EQUAL_CELLS, [2, 2], "ns") - lemma_3_1(EQUAL_CELLS, [2, 2], "sg")
    assert theorem_3_2_gap(EQUAL_CELLS, 4) == gap == Fraction(529, 256)
    assert theorem_3_2_gap(EQUAL_CELLS, 4, as_printed=True) == Fraction(529, 128) != gap


def test_theorem_3_2_on_unequal_cells():
    naive = enumerate_fixed(UNEQUAL_CELLS, [2, 1], "ns")
    stratified = enumerate_fixed(UNEQUAL_CELLS, [2, 1], "sg")
    assert naive == (6, Fraction(68, 9))
    assert stratified == (6, Fraction(14, 9))
    assert theorem_3_2_gap(UNEQUAL_CELLS, 3) == naive[1] - stratified[1] == 6
    assert theorem_3_2_gap(UNEQUAL_CELLS, 3, as_printed=True) == 15


def test_a_mean_of_group_means_is_biased_on_unequal_cells():
    # One draw from each group, weighted equally, as the main text's display formula has it.
    assert enumerate_fixed(UNEQUAL_CELLS, [1, 1], "sg")[0] == Fraction(15, 2)
    assert enumerate_fixed(UNEQUAL_CELLS, [2, 1], "sg")[0] == 6


def test_an_odd_count_leaves_one_antithetic_draw_alone():
    cell = EQUAL_CELLS[:1]
    assert lemma_3_1(cell, [3], "sag") == enumerate_fixed(cell, [3], "sag")[1] == Fraction(13, 48)


@pytest.mark.parametrize(("draws", "variance"), [(2, Fraction(35, 48)), (4, 0), (0, None)])
def test_lemma_3_1_without_replacement(draws: int, variance: Fraction | None):
    cells, counts = EQUAL_CELLS[:1], [draws]
    if variance is None:  # no draw from the first of two groups
        cells, counts = EQUAL_CELLS, [0, 2]
        variance = Fraction(21, 4) / 2 * Fraction(2, 3)
    closed_form = lemma_3_1(cells, counts, "sg", replacement=False)
    assert closed_form == enumerate_fixed(cells, counts, "sg", replacement=False)[1] == variance


@pytest.mark.parametrize(
    ("field", "factor"),
    [((4, 1, 1, 4), 2), ((-3, -1, 1, 3), 0), ((-2, 0, 0, 2), 0), ((0, 5, 0), 2)],
)
def test_even_fields_double_the_stratified_variance_and_odd_fields_erase_it(
    field: tuple[int, ...], factor: int
):
    cell = [[Fraction(h) for h in field]]
    antithetic = enumerate_fixed(cell, [2], "sag")[1]
    assert antithetic == factor * enumerate_fixed(cell, [2], "sg")[1]
    assert antithetic == lemma_3_1(cell, [2], "sag")


@pytest.mark.parametrize("sampler", ["ns", "sg", "sag"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_systematic_allocation_is_unbiased_for_any_number_of_draws(sampler: str, n: int):
    assert enumerate_systematic(UNEQUAL_CELLS, n, sampler)[0] == 6
