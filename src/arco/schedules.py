"""Learning rate over a run, as a factor on the optimizer's rate. Loads no torch."""

from __future__ import annotations

import math

from arco.schema import Schedule


def learning_rate_factor(schedule: Schedule, step: int, total: int) -> float:
    """The factor of one optimizer step.

    During the first `warm_up` share of the run it rises linearly to 1. Then `poly` and `cosine`
    fall to 0 over the rest, `constant` stays, and `step` multiplies by `step_factor` after every
    `step_iterations` iterations, counted from the start of the run.

    Args:
        schedule: its settings.
        step: optimizer steps already taken, 0 <= step < total.
        total: steps of the whole run.

    Returns:
        A number in (0, 1] for the usual settings.

    Raises:
        ValueError: `step` lies outside the run.
    """
    if not 0 <= step < total:
        raise ValueError(f"step {step} lies outside a run of {total} steps")
    warm_up = round(schedule.warm_up * total)
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / (total - warm_up)
    match schedule.name:
        case "poly":
            return float((1 - done) ** schedule.power)
        case "step":
            return float(schedule.step_factor ** (step // schedule.step_iterations))
        case "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        case "constant":
            return 1.0
