"""Scores of one predicted mask against the true one: overlap and surface distances.

Definitions and numbers are those of medpy 0.5 (`medpy.metric.binary`: dc, jc, asd, assd, hd95 at
its default connectivity 1), computed from one pass over the surfaces. One deliberate deviation:
where a score is undefined, medpy raises or answers 1; here it is NaN, never a made-up number.

    prediction  truth       Dice, Jaccard   distances
    empty       empty       NaN             NaN
    empty       something   0               NaN
    something   empty       0               NaN
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from arco.evaluation.surfaces import Distances, Mask, SurfacePair

Spacing = float | Sequence[float] | npt.NDArray[np.floating] | None


@dataclass(frozen=True)
class SurfaceScores:
    """The three surface distances of one mask, in the unit of the spacing they were asked in.

    Attributes:
        asd: mean distance from the predicted to the true surface (one direction).
        assd: mean distance over the surface voxels of both masks, each to the other surface.
        hd95: 95th percentile of the same distances.
    """

    asd: float
    assd: float
    hd95: float


def dice(prediction: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Dice coefficient 2|P∩T| / (|P| + |T|), a fraction.

    Args:
        prediction: bool or 0/1 integers, [*S], 2 or 3 axes.
        truth: like `prediction`.

    Returns:
        0 to 1; NaN if both masks are empty.

    Raises:
        ValueError: the shapes differ, or a mask is not a mask.
    """
    shared, total = _overlap(prediction, truth)
    return 2 * shared / total if total else math.nan


def jaccard(prediction: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Jaccard coefficient |P∩T| / |P∪T|, a fraction; arguments and Raises as for `dice`.

    Returns:
        0 to 1; NaN if both masks are empty.
    """
    shared, total = _overlap(prediction, truth)
    return shared / (total - shared) if total else math.nan


def asd(prediction: npt.ArrayLike, truth: npt.ArrayLike, spacing: Spacing = None) -> float:
    """Mean distance from the predicted surface to the true one.

    One direction only: a prediction that misses half of the truth may still score 0. Much public
    code reports this number as "ASD"; the symmetric one is `assd`.

    Args:
        prediction: bool or 0/1 integers, [*S], 2 or 3 axes.
        truth: like `prediction`.
        spacing: distance between neighboring voxels, one positive number per axis or one for all
            (mm for distances in mm); None measures in voxels.

    Returns:
        The distance in units of `spacing`; NaN if a mask is empty.

    Raises:
        ValueError: the shapes differ, a mask is not a mask, or the spacing is not positive.
    """
    surfaces, step = _measurable(prediction, truth, spacing)
    return math.nan if surfaces is None else float(surfaces.from_prediction(step).mean())


def assd(
    prediction: npt.ArrayLike,
    truth: npt.ArrayLike,
    spacing: Spacing = None,
    *,
    averaging: Literal["pooled", "directions"] = "pooled",
) -> float:
    """Average symmetric surface distance; Returns as for `asd`.

    Args:
        prediction: as for `asd`.
        truth: as for `asd`.
        spacing: as for `asd`.
        averaging: "pooled" is the mean over the surface voxels of both masks (medpy 0.5 and the
            usual definition); "directions" the mean of the two one-way means (medpy 0.4), which
            gives a small surface the weight of a large one.

    Raises:
        ValueError: as for `asd`, or an unknown `averaging`.
    """
    if averaging not in ("pooled", "directions"):
        raise ValueError(f"averaging must be 'pooled' or 'directions', got {averaging!r}")
    surfaces, step = _measurable(prediction, truth, spacing)
    if surfaces is None:
        return math.nan
    outward, back = surfaces.from_prediction(step), surfaces.from_truth(step)
    if averaging == "directions":
        return float((outward.mean() + back.mean()) / 2)
    return _scores(outward, back).assd


def hd95(prediction: npt.ArrayLike, truth: npt.ArrayLike, spacing: Spacing = None) -> float:
    """95th percentile of the Hausdorff distance; arguments, Returns and Raises as for `asd`.

    The percentile is taken over the distances of both directions together, as medpy does.
    """
    return surface_scores(prediction, truth, spacing).hd95


def surface_scores(
    prediction: npt.ArrayLike, truth: npt.ArrayLike, spacing: Spacing = None
) -> SurfaceScores:
    """All surface distances from one computation; arguments and Raises as for `asd`."""
    return surface_scores_in(prediction, truth, [spacing])[0]


def surface_scores_in(
    prediction: npt.ArrayLike, truth: npt.ArrayLike, spacings: Sequence[Spacing]
) -> list[SurfaceScores]:
    """All surface distances in several units, for example `[None, spacing_mm]`.

    The surfaces are found once, and spacings that are multiples of each other (voxels and the mm
    of isotropic voxels) share their distances too.

    Returns:
        One `SurfaceScores` per spacing; their fields are NaN if a mask is empty.
    """
    masks = _checked_masks(prediction, truth)
    steps = [_checked_spacing(spacing, masks[0].ndim) for spacing in spacings]
    if not (masks[0].any() and masks[1].any()):
        return [SurfaceScores(math.nan, math.nan, math.nan)] * len(steps)
    surfaces = SurfacePair.between(*masks)
    known: dict[tuple[float, ...], SurfaceScores] = {}
    scores = []
    for step in steps:
        proportions = step / step[0]
        key = tuple(proportions.tolist())
        if key not in known:
            known[key] = _scores(
                surfaces.from_prediction(proportions), surfaces.from_truth(proportions)
            )
        scores.append(_scaled(known[key], float(step[0])))
    return scores


def _scores(outward: Distances, back: Distances) -> SurfaceScores:
    """The scores of the distances prediction to truth (`outward`) and truth to prediction."""
    both = np.concatenate([outward, back])
    return SurfaceScores(float(outward.mean()), float(both.mean()), float(np.percentile(both, 95)))


def _scaled(scores: SurfaceScores, factor: float) -> SurfaceScores:
    """The same distances in another unit."""
    return SurfaceScores(scores.asd * factor, scores.assd * factor, scores.hd95 * factor)


def _overlap(prediction: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[int, int]:
    """How many voxels the masks share, and the sum of their sizes."""
    predicted, true = _checked_masks(prediction, truth)
    shared = int(np.count_nonzero(predicted & true))
    return shared, int(np.count_nonzero(predicted)) + int(np.count_nonzero(true))


def _measurable(
    prediction: npt.ArrayLike, truth: npt.ArrayLike, spacing: Spacing
) -> tuple[SurfacePair | None, npt.NDArray[np.float64]]:
    """The two surfaces, or None if a mask has none, and the spacing per axis."""
    predicted, true = _checked_masks(prediction, truth)
    step = _checked_spacing(spacing, predicted.ndim)
    if not (predicted.any() and true.any()):
        return None, step
    return SurfacePair.between(predicted, true), step


def _checked_masks(prediction: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Mask, Mask]:
    """Both masks as bool arrays of one shape."""
    predicted, true = _as_mask("prediction", prediction), _as_mask("truth", truth)
    if predicted.shape != true.shape:
        raise ValueError(f"prediction has shape {predicted.shape}, but truth {true.shape}")
    if predicted.ndim not in (2, 3):
        raise ValueError(f"masks must have 2 or 3 axes, got shape {predicted.shape}")
    return predicted, true


def _as_mask(name: str, values: npt.ArrayLike) -> Mask:
    """One argument as a bool array; labels of several classes are refused, not merged."""
    array = np.asarray(values)
    if array.dtype == np.bool_:
        return array
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must hold bool or 0/1 integers, got {array.dtype}")
    if array.size and (array.min() < 0 or array.max() > 1):
        strange = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{name} must hold only 0 and 1, got {strange}")
    return array.astype(np.bool_)


def _checked_spacing(spacing: Spacing, axes: int) -> npt.NDArray[np.float64]:
    """One positive float64 per axis; ones for None."""
    steps = np.asarray(1.0 if spacing is None else spacing, dtype=np.float64)
    if steps.ndim == 0:
        steps = np.full(axes, steps)
    if steps.shape != (axes,):
        raise ValueError(f"spacing needs one number or {axes}, one per axis, got {spacing}")
    if not (np.isfinite(steps).all() and (steps > 0).all()):
        raise ValueError(f"spacing must be positive and finite, got {spacing}")
    return steps
