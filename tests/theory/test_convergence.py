from __future__ import annotations

import math

import pytest

from arco.theory import convergence_bound, step_size


def average_squared_gradient(dimension: int, sigma_g: float, steps: int, alpha: float) -> float:
    """Exact for L(θ) = ‖θ‖²/2 from θ = (1, ..., 1): θ ← (1 - η) θ - η noise."""
    eta = step_size(1.0, sigma_g, steps, alpha)
    squared, total = float(dimension), 0.0
    for _ in range(steps):
        total += squared
        squared = (1 - eta) ** 2 * squared + eta**2 * sigma_g**2
    return total / steps


@pytest.mark.parametrize(
    ("steps", "average", "bound"), [(100, 1.105, 2.31), (400, 0.539, 1.1025), (1600, 0.265, 0.538)]
)
def test_gradient_descent_on_a_quadratic_stays_below_the_bound(
    steps: int, average: float, bound: float
):
    # Δ = 10, L = 1, α = 1, so C = max(20, 21).
    assert average_squared_gradient(20, 1.0, steps, 1.0) == pytest.approx(average, rel=2e-2)
    assert convergence_bound(10, 1, 1, steps, 1) == pytest.approx(bound, rel=1e-3)


@pytest.mark.parametrize("sigma_g", [0.0, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_the_bound_holds_for_any_noise_and_step(sigma_g: float, alpha: float):
    for steps in (1, 10, 1000):
        bound = convergence_bound(10, 1, sigma_g, steps, alpha)
        assert average_squared_gradient(20, sigma_g, steps, alpha) <= bound


def test_the_step_is_capped_by_the_smoothness():
    assert step_size(4, 1, 100, 1) == pytest.approx(0.1)
    assert step_size(40, 1, 100, 1) == 1 / 40
    assert step_size(4, 0, 100, 1) == 1 / 4


def test_less_variance_needs_fewer_steps():
    # At the slow rate σ_g/√T a quarter of the variance allows a quarter of the steps.
    assert convergence_bound(1, 1, 0.5, 250_000, 1) == pytest.approx(
        convergence_bound(1, 1, 1, 1_000_000, 1), rel=1e-2
    )
    assert math.isclose(convergence_bound(1, 1, 0, 10, 1), 0.3)
