"""Proposition 1: how fast stochastic gradient descent converges, given its gradient's variance.

Besides Assumptions A.1 (smoothness L) and A.2 (variance σ_g²) it needs what the appendix leaves
unsaid: that the gradient estimate is unbiased. Theorem 3.2 gives this for a mean over sampled
pixels, such as queries. It does not for sampled negatives, which enter the contrastive loss inside
a logarithm: there stratification lowers the variance, and a bias of order 1/negatives remains.
"""

from __future__ import annotations

import math


def step_size(smoothness: float, sigma_g: float, steps: int, alpha: float) -> float:
    """The step size of Proposition 1: min(1/L, α / (σ_g √T))."""
    if sigma_g == 0:
        return 1 / smoothness
    return min(1 / smoothness, alpha / (sigma_g * math.sqrt(steps)))


def convergence_bound(
    gap: float, smoothness: float, sigma_g: float, steps: int, alpha: float
) -> float:
    """Bound on the mean of E‖∇L(θ_t)‖² over T steps: C (1/T + σ_g/√T).

    With step size η ≤ 1/L the descent lemma gives 2Δ/(ηT) + Lησ_g². Inserting `step_size`, where
    1/η ≤ L + σ_g√T/α, yields C = max(2ΔL, 2Δ/α + Lα), the constant that the appendix leaves open.

    Args:
        gap: Δ = L(θ_1) - inf L, the loss to descend.
        smoothness: L of Assumption A.1.
        sigma_g: σ_g of Assumption A.2, root of the total variance of the gradient estimate.
        steps: T.
        alpha: α of the step size.
    """
    constant = max(2 * gap * smoothness, 2 * gap / alpha + smoothness * alpha)
    return constant * (1 / steps + sigma_g / math.sqrt(steps))
