from __future__ import annotations

import math

import pytest
import torch

from arco.contracts import Progress
from arco.errors import ArcoError
from arco.history import History

ONE, TWO = (Progress(step, 50, 4) for step in (1, 5))


def logs(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_a_row_holds_means_since_the_row_before():
    history = History()
    history.add(logs(loss=1.0))
    history.add(logs(loss=4.0))
    history.close_row(ONE, 0.1)
    history.add(logs(loss=7.0))
    history.close_row(TWO, 0.05)
    assert history.rows == [
        {"step": 2, "epoch": 0, "lr": 0.1, "loss": 2.5},
        {"step": 6, "epoch": 1, "lr": 0.05, "loss": 7.0},
    ]


def test_a_scalar_that_some_steps_log_is_the_mean_over_those():
    history = History()
    history.add(logs(loss=1.0, rare=10.0))
    history.add(logs(loss=1.0))
    history.add(logs(loss=1.0, rare=20.0))
    history.close_row(ONE, 0.1)
    history.add(logs(loss=1.0))
    history.close_row(TWO, 0.1)
    first, second = history.rows
    assert first["rare"] == 15.0
    assert "rare" not in second
    assert history.columns == ["step", "epoch", "lr", "loss", "rare"]


def test_columns_stand_in_the_order_in_which_they_appear():
    history = History()
    history.add(logs(loss=1.0))
    history.close_row(ONE, 0.1, {"measured": math.nan})
    history.add(logs(loss=1.0, late=2.0))
    history.close_row(TWO, 0.1)
    assert history.columns == ["step", "epoch", "lr", "loss", "measured", "late"]
    assert math.isnan(history.rows[0]["measured"]) and "measured" not in history.rows[1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_mean_that_is_not_finite_stops_the_run(value):
    history = History()
    history.add(logs(loss=1.0, contrast=1.0))
    history.add(logs(loss=1.0, contrast=value))
    with pytest.raises(ArcoError, match="before step 2: contrast is not finite"):
        history.close_row(ONE, 0.1)
    assert history.rows == []


def test_scalars_are_kept_without_their_graph():
    history = History()
    history.add({"loss": torch.ones((), requires_grad=True) * 0.1})
    assert not history.sums["loss"].requires_grad


def test_small_values_count_beside_large_ones():
    """In single precision 2^24 + 1 is 2^24."""
    history = History()
    for value in (2.0**24, 1.0, 1.0):
        history.add(logs(loss=value))
    history.close_row(ONE, 0.1)
    assert history.rows[0]["loss"] == (2**24 + 2) / 3
