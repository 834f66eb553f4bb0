"""What the paper proves about its samplers, and closed forms and enumerations that check it.

`exact` holds the statements in rational arithmetic for images of a few pixels, `variance` the
same quantities for real masks, `convergence` the bound for stochastic gradient descent.
"""

from __future__ import annotations

from arco.theory.convergence import convergence_bound, step_size
from arco.theory.exact import enumerate_fixed, enumerate_systematic, lemma_3_1, theorem_3_2_gap
from arco.theory.variance import (
    Moments,
    Variances,
    group_moments,
    outer_moments,
    sampler_variances,
    vector_moments,
)

__all__ = [
    "Moments",
    "Variances",
    "convergence_bound",
    "enumerate_fixed",
    "enumerate_systematic",
    "group_moments",
    "lemma_3_1",
    "outer_moments",
    "sampler_variances",
    "step_size",
    "theorem_3_2_gap",
    "vector_moments",
]
