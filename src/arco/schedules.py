"""What changes over a run: learning rate, weight of an unsupervised term, decay of an average.

No torch.
"""

from __future__ import annotations

import math

from arco.schema.training import Schedule


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


def ramp_up(fraction: float, length: float) -> float:
    """Share of its final weight that an unsupervised term has: exp(-5 (1 - t / length)^2), then 1.

    Laine & Aila, ICLR 2017. The length is a share of the run; the public code counts steps, so
    that in a shorter run the term silently never reaches its weight.

    Args:
        fraction: share of the run that is done.
        length: share of the run after which the weight is final; 0 for no ramp.
    """
    if fraction >= length:
        return 1.0
    return math.exp(-5 * (1 - fraction / length) ** 2)


def averaging_decay(step: int, decay: float) -> float:
    """How much of an average of weights survives the update after a step: min(d, (1+t) / (10+t)).

    TensorFlow's warm-up: a run of t steps averages at most about its last tenth, so that weights of
    the start are forgotten however short the run is.

    Args:
        step: index of the optimizer step, from 0.
        decay: the value in the long run, in [0, 1).
    """
    return min(decay, (1 + step) / (10 + step))
