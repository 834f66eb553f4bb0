"""Exact variances of the samplers on real masks, in closed form: O(N), nothing is drawn.

The estimate is the mean of h over the n drawn pixels, with the default `arco.sampling.Scheme`.
Where h is a vector, such as a gradient, a variance is the trace of the covariance: the sum of the
variances of all coordinates, each of which obeys Lemma 3.1 and Theorem 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from arco.sampling import Groups


@dataclass(frozen=True)
class Moments:
    """How a field h is spread over M groups of candidates; empty groups hold zeros.

    Attributes:
        sizes: [M] int64, N_m.
        means: [M] float64, μ_m; [M, F] where h has F coordinates.
        variances: [M] float64, σ_m², the sum of squares divided by N_m.
        pair_variances: [M] float64, 2 σ_m² (1 + ρ_m): variance of h(p) + h(p') for a uniform
            candidate p of the group and its mirror p', the candidate of reversed rank.
    """

    sizes: Tensor
    means: Tensor
    variances: Tensor
    pair_variances: Tensor

    @property
    def shares(self) -> Tensor:
        """[M] float64, w_m = N_m / N."""
        return self.sizes.double() / self.sizes.sum()

    @property
    def correlations(self) -> Tensor:
        """[M] float64, ρ_m: correlation of h(p) and h(p'); NaN where h is constant in the group."""
        return self.pair_variances / (2 * self.variances) - 1

    @property
    def between(self) -> Tensor:
        """Scalar float64, Σ w_m (μ_m - μ)²: the variance of the group means."""
        return (self.shares * _squares(self.means - self.shares @ self.means)).sum()

    @property
    def within(self) -> Tensor:
        """Scalar float64, Σ w_m σ_m²; with `between` it makes up the variance σ² of h."""
        return (self.shares * self.variances).sum()

    @property
    def within_pairs(self) -> Tensor:
        """Scalar float64, Σ w_m 2 σ_m² (1 + ρ_m)."""
        return (self.shares * self.pair_variances).sum()


@dataclass(frozen=True)
class Variances:
    """Variances of the mean of h over n draws; scalars, float64.

    Attributes:
        ns: σ²/n.
        sg: stratified, `sg_rounding` included.
        sag: stratified-antithetic, `sag_rounding` included.
        gap: Σ w_m (μ_m - μ)² / n; ns - (sg - sg_rounding) by Theorem 3.2, weights corrected.
        sg_rounding: what the random integer counts n_m add, 0 where all n·w_m are integers. The
            theorem leaves it out (footnote 6 of the appendix), so sg may exceed ns by it.
        sag_rounding: the same for SAG, which allocates pairs.
    """

    ns: Tensor
    sg: Tensor
    sag: Tensor
    gap: Tensor
    sg_rounding: Tensor
    sag_rounding: Tensor


def group_moments(field: Tensor, groups: Groups) -> Moments:
    """Mean, variance, and pair variance of a field in each group, by segment sums.

    Args:
        field: [B, *S], h at every pixel; only candidates are read.
        groups: the candidates.

    Raises:
        ValueError: field and groups differ in shape, or there is no candidate.
    """
    if tuple(field.shape) != groups.shape:
        raise ValueError(f"field {list(field.shape)} and mask {list(groups.shape)} must agree")
    return vector_moments(field.detach().flatten()[groups.candidates], groups)


def vector_moments(values: Tensor, groups: Groups) -> Moments:
    """The moments of a field known at the candidates alone, of one or more coordinates.

    Args:
        values: [N] or [N, F], h in the order of `groups.candidates`.
        groups: the candidates.

    Raises:
        ValueError: there are not N values, or there is no candidate.
    """
    _require_candidates(groups, values)
    values = values.detach().double()
    means = _group_means(values, groups)
    deviations = values - means[groups.group_of]
    return Moments(
        sizes=groups.sizes.long(),
        means=means,
        variances=_group_means(_squares(deviations), groups),
        pair_variances=_group_means(_squares(deviations + deviations[_mirrors(groups)]), groups),
    )


def outer_moments(left: Tensor, right: Tensor, groups: Groups) -> Moments:
    """The moments of h(p) = a(p) b(p)ᵀ, a field of D·E coordinates, which is formed nowhere.

    The gradient of a loss at a pixel by a matrix is of this kind. Lengths and products need the
    factors alone: |a bᵀ| = |a| |b|, and the product of two pixels is (a·a')(b·b'). Only the group
    means take [M, D·E] numbers.

    Args:
        left: [N, D], a in the order of `groups.candidates`.
        right: [N, E], b in the same order.
        groups: the candidates.

    Raises:
        ValueError: there are not N rows, or there is no candidate.
    """
    _require_candidates(groups, left, right)
    left, right = left.detach().double(), right.detach().double()
    sizes, mirrors = groups.sizes.long(), _mirrors(groups)
    counts = sizes.tolist()
    parts = zip(torch.split(left, counts), torch.split(right, counts), strict=True)
    products = [a.T @ b for a, b in parts]
    means = torch.stack(products).flatten(1) / sizes.clamp(min=1).unsqueeze(1)
    of_means = _squares(means)
    lengths = _group_means(_squares(left) * _squares(right), groups)
    mirrored = _group_means(
        (left * left[mirrors]).sum(dim=1) * (right * right[mirrors]).sum(dim=1), groups
    )
    return Moments(
        sizes=sizes,
        means=means,
        # A difference of like numbers may fall below 0 by rounding.
        variances=(lengths - of_means).clamp(min=0),
        pair_variances=(2 * lengths + 2 * mirrored - 4 * of_means).clamp(min=0),
    )


def sampler_variances(moments: Moments, n: int) -> Variances:
    """Exact variance of each sampler's mean over n draws (Lemma 3.1, rounding included).

    With E n_m = n·w_m, conditioning on the counts gives Var SG = Σ w_m σ_m² / n + Var(Σ n_m μ_m) /
    n². SAG has n // 2 pairs, each of variance 2 σ_m² (1 + ρ_m) and mean 2 μ_m, and for odd n one
    naive draw.

    Raises:
        ValueError: n is not positive.
    """
    if n < 1:
        raise ValueError(f"the mean needs at least one draw, not n={n}")
    pairs, single = divmod(n, 2)
    overall = moments.within + moments.between
    sg_rounding = counts_variance(moments, n) / n**2
    sag_rounding = 4 * counts_variance(moments, pairs) / n**2
    return Variances(
        ns=overall / n,
        sg=moments.within / n + sg_rounding,
        sag=(pairs * moments.within_pairs + single * overall) / n**2 + sag_rounding,
        gap=moments.between / n,
        sg_rounding=sg_rounding,
        sag_rounding=sag_rounding,
    )


def counts_variance(moments: Moments, n: int) -> Tensor:
    """Var(Σ n_m μ_m) under systematic allocation of n draws, over its offset V; O(M log M).

    The cumulative count floor((n·S_m + V)/N) is one higher from V = N - (n·S_m mod N) on, so the
    sum is a step function of V: it jumps by μ_m - μ_{m+1} there, and nowhere else.
    """
    ends = moments.sizes.cumsum(0)
    total = ends[-1]
    steps, by_step = (total - (n * ends[:-1]) % total).sort()
    jumps = (moments.means[:-1] - moments.means[1:])[by_step]
    heights = torch.cat((torch.zeros_like(moments.means[:1]), jumps.cumsum(0)))
    lengths = torch.cat((steps, total[None])).diff(prepend=steps.new_zeros(1)) / total.double()
    return (lengths * _squares(heights - lengths @ heights)).sum()


def _require_candidates(groups: Groups, *fields: Tensor) -> None:
    if groups.total == 0:
        raise ValueError("a mask without candidates has no moments")
    for field in fields:
        if len(field) != groups.total:
            raise ValueError(f"{groups.total} candidates need as many values, not {len(field)}")


def _squares(vectors: Tensor) -> Tensor:
    """Squared length of each row, [n], of numbers [n] or vectors [n, F]."""
    return vectors.reshape(len(vectors), -1).square().sum(dim=1)


def _group_means(numbers: Tensor, groups: Groups) -> Tensor:
    """Mean of numbers [N] or vectors [N, F] over each group, [M] or [M, F]; zeros where empty."""
    sums = numbers.new_zeros(len(groups.sizes), *numbers.shape[1:])
    sums.index_add_(0, groups.group_of.long(), numbers)
    counts = groups.sizes.clamp(min=1).view(-1, *[1] * (numbers.ndim - 1))
    return sums / counts


def _mirrors(groups: Groups) -> Tensor:
    """[N] int64, the position of each candidate's mirror, the one of reversed rank."""
    last = 2 * groups.starts.long() + groups.sizes - 1
    return last[groups.group_of] - torch.arange(groups.total, device=last.device)
