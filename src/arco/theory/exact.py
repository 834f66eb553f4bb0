"""Lemma 3.1 and Theorem 3.2 in exact arithmetic, and every outcome of every sampler to compare.

An image is given as the values h(p) of its pixels, group by group, each group in raster order.
Everything is a fraction, so an identity either holds or does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import chain, combinations, product

from arco.fields import Sampler

Values = Sequence[Fraction]


def mean_and_variance(values: Iterable[Fraction]) -> tuple[Fraction, Fraction]:
    """Mean and population variance (divided by the count) of equally likely values."""
    listed = list(values)
    mean = Fraction(sum(listed), len(listed))
    return mean, Fraction(sum((value - mean) ** 2 for value in listed), len(listed))


def lemma_3_1(
    groups: Sequence[Values], draws: Sequence[int], sampler: Sampler, *, replacement: bool = True
) -> Fraction:
    """Variance of the mean over n = Σ n_m draws, n_m of them from group m.

    NS: σ²/n. SG: Σ n_m σ_m² / n² (appendix Sec. A.1; the main text prints n in place of n²), or
    with the factor (N_m - n_m)/(N_m - 1) in each term without replacement. SAG, of which the
    paper states the bound 2·Var SG: Σ n_m σ_m² (1 + ρ_m) / n², ρ_m being the correlation
    of h at a uniform pixel of the group and at its mirror; the odd draw of an odd n_m stands
    alone and has the variance σ_m².
    """
    n = sum(draws)
    if sampler == "ns":
        return mean_and_variance(chain.from_iterable(groups))[1] / n
    total = Fraction(0)
    for values, count in zip(groups, draws, strict=True):
        variance = mean_and_variance(values)[1]
        if sampler == "sag":
            pair_variance = mean_and_variance(_mirrored_sums(values))[1]  # 2 σ_m² (1 + ρ_m)
            total += count // 2 * pair_variance + count % 2 * variance
        elif replacement or count == 0:
            total += count * variance
        else:
            total += count * variance * Fraction(len(values) - count, max(len(values) - 1, 1))
    return total / n**2


def theorem_3_2_gap(groups: Sequence[Values], n: int, *, as_printed: bool = False) -> Fraction:
    """Var NS - Var SG for n draws, proportionally allocated: Σ w_m (μ_m - μ)² / n, w_m = N_m/N.

    The law of total variance needs the weights w_m. The paper prints the sum without them, in
    Theorem 3.2 and in its proof; `as_printed` gives that one.
    """
    pixels = sum(len(values) for values in groups)
    mean = mean_and_variance(chain.from_iterable(groups))[0]
    total = Fraction(0)
    for values in groups:
        weight = Fraction(1) if as_printed else Fraction(len(values), pixels)
        total += weight * (mean_and_variance(values)[0] - mean) ** 2
    return total / n


def enumerate_fixed(
    groups: Sequence[Values], draws: Sequence[int], sampler: Sampler, *, replacement: bool = True
) -> tuple[Fraction, Fraction]:
    """Mean and variance of the estimate over all outcomes, for the counts n_m of Lemma 3.1.

    Takes N^n, Π N_m^(n_m), or Π N_m^(n_m/2) steps for NS, SG, and SAG.
    """
    n = sum(draws)
    return mean_and_variance(_estimates(_slots(groups, draws, sampler, replacement), n))


def enumerate_systematic(
    groups: Sequence[Values], n: int, sampler: Sampler
) -> tuple[Fraction, Fraction]:
    """Mean and variance of the estimate as `arco.sampling.draw` makes it, over all outcomes.

    Systematic allocation included: all N values of its offset, for SAG on n // 2 pairs, plus one
    uniform draw where n is odd.
    """
    pixels = list(chain.from_iterable(groups))
    if sampler == "ns":
        return mean_and_variance(_estimates([pixels] * n, n))
    unit = 2 if sampler == "sag" else 1
    estimates: list[list[Fraction]] = []
    for offset in range(len(pixels)):
        draws = [unit * count for count in _allocate(groups, n // unit, offset)]
        slots = _slots(groups, draws, sampler, replacement=True) + [pixels] * (n % unit)
        estimates.append(_estimates(slots, n))
    # Offsets are equally likely, but differ in their number of outcomes.
    conditional = [mean_and_variance(outcomes) for outcomes in estimates]
    mean, between = mean_and_variance(mean for mean, _ in conditional)
    return mean, between + mean_and_variance(variance for _, variance in conditional)[0]


def _allocate(groups: Sequence[Values], n: int, offset: int) -> list[int]:
    """Draws per group: floor((n·S_m + V)/N) - floor((n·S_{m-1} + V)/N) for V = offset."""
    pixels = sum(len(values) for values in groups)
    counts, seen = [], 0
    for values in groups:
        before = (n * seen + offset) // pixels
        seen += len(values)
        counts.append((n * seen + offset) // pixels - before)
    return counts


def _slots(
    groups: Sequence[Values], draws: Sequence[int], sampler: Sampler, replacement: bool
) -> list[list[Fraction]]:
    """Independent parts of a draw: for each, the equally likely sums of h it contributes."""
    if sampler == "ns":
        return [list(chain.from_iterable(groups))] * sum(draws)
    slots: list[list[Fraction]] = []
    for values, count in zip(groups, draws, strict=True):
        if sampler == "sag":
            slots += [_mirrored_sums(values)] * (count // 2) + [list(values)] * (count % 2)
        elif replacement:
            slots += [list(values)] * count
        else:
            slots.append([sum(chosen, Fraction(0)) for chosen in combinations(values, count)])
    return slots


def _mirrored_sums(values: Values) -> list[Fraction]:
    """h(p) + h(p') for each pixel p of a group; p' is its reflection, the reversed rank."""
    return [value + mirror for value, mirror in zip(values, reversed(values), strict=True)]


def _estimates(slots: Sequence[Sequence[Fraction]], n: int) -> list[Fraction]:
    """The estimate of every outcome; all are equally likely."""
    return [sum(outcome, Fraction(0)) / n for outcome in product(*slots)]
