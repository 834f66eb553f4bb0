from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from arco.schedules import learning_rate_factor, ramp_up
from arco.schema.training import Schedule


def schedule(name: str, **changes: Any) -> Schedule:
    constants = {"power": 0.9, "step_iterations": 2500, "step_factor": 0.1, "warm_up": 0.0}
    return Schedule(name=name, **(constants | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "lr"), [(0, 1e-2), (2499, 1e-2), (2500, 1e-3), (7500, 1e-5), (10_000, 1e-6)]
)
def test_step2500_divides_by_ten_every_2500_iterations(step: int, lr: float) -> None:
    factor = learning_rate_factor(schedule("step"), step, 32_800)
    assert 0.01 * factor == pytest.approx(lr)


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1.0), (7_500, 0.771912), (15_000, 0.535887), (29_999, 9.3452e-5)]
)
def test_poly_is_the_power_of_what_remains(step: int, factor: float) -> None:
    assert learning_rate_factor(schedule("poly"), step, 30_000) == pytest.approx(factor, rel=1e-4)


@pytest.mark.parametrize(("step", "factor"), [(0, 1), (25, 0.853553), (50, 0.5), (75, 0.146447)])
def test_cosine_falls_from_one_to_zero(step: int, factor: float) -> None:
    assert learning_rate_factor(schedule("cosine"), step, 100) == pytest.approx(factor, abs=1e-6)


def test_warm_up_rises_linearly_and_the_cosine_covers_the_rest() -> None:
    warm = schedule("cosine", warm_up=0.1)
    factors = [learning_rate_factor(warm, step, 100) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1 and factors[55] == pytest.approx(0.5)
    assert 0 < factors[99] < 1e-3
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_the_step_schedule_counts_from_the_start_of_the_run() -> None:
    warm = schedule("step", warm_up=0.1)
    assert learning_rate_factor(warm, 2499, 10_000) == 1
    assert learning_rate_factor(warm, 2500, 10_000) == pytest.approx(0.1)


def test_constant_stays() -> None:
    assert {learning_rate_factor(schedule("constant"), step, 7) for step in range(7)} == {1.0}


@pytest.mark.parametrize("name", ["poly", "step", "cosine", "constant"])
def test_a_run_of_one_step_has_a_factor(name: str) -> None:
    assert learning_rate_factor(schedule(name), 0, 1) == 1
    assert learning_rate_factor(schedule(name, warm_up=1.0), 0, 1) == 1


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_run_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="outside a run of 10"):
        learning_rate_factor(schedule("poly"), step, 10)


def test_schedules_load_no_torch() -> None:
    program = "import sys, arco.schedules; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("fraction", "share"), [(0, 0.0067), (0.25, 0.0601), (0.5, 0.2865), (0.75, 0.7316), (1, 1)]
)
def test_an_unsupervised_weight_rises_along_half_a_bell(fraction: float, share: float) -> None:
    assert ramp_up(fraction, 1.0) == pytest.approx(share, abs=5e-5)
    assert ramp_up(0.4 * fraction, 0.4) == pytest.approx(share, abs=5e-5)


def test_a_ramp_ends_where_it_should_and_a_longer_one_than_the_run_never() -> None:
    assert ramp_up(0.4, 0.4) == ramp_up(0.9, 0.4) == ramp_up(0.0, 0.0) == 1
    assert ramp_up(1.0, 3.0) == pytest.approx(0.1084, abs=5e-5)
