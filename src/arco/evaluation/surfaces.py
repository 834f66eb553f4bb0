"""Surfaces of masks and the exact distances between them.

The slow part of every surface score is "how far is the nearest surface voxel of the other mask?".
Three exact answers are at hand: looking around (best where the masks nearly touch), a tree over the
surface voxels (its cost grows with the surfaces) and the euclidean distance transform (its cost
grows with the box around both masks). The tree is much the faster on anatomy; points that see very
many voxels at nearly the same distance can make it the slower. Counts taken beforehand, not a
clock, choose, so the same masks take the same path, and give the same bits, every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

Mask = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.float64]

# Costs, in units of what the distance transform spends on one voxel (about 0.2 microseconds).
# They were measured on blobs, shells and noise; `benchmarks/bench_metrics.py` shows the outcome.
_COST_PER_TARGET = 1.0
_COST_PER_QUERY = 4.0
_COST_PER_CANDIDATE = 2.0
_SAMPLED_QUERIES = 64

_REACH = 2  # voxels along each axis that are looked around before a search
_TRIES_PER_SEARCH = 50  # trying one step costs about a fiftieth of searching a tree


@dataclass(frozen=True)
class SurfacePair:
    """The surfaces of two masks, cut to the smallest box that holds both.

    Attributes:
        prediction: bool, [*S'] with S' the box; surface voxels of the predicted mask.
        truth: bool, [*S']; surface voxels of the true mask.
    """

    prediction: Mask
    truth: Mask

    @classmethod
    def between(cls, prediction: Mask, truth: Mask) -> SurfacePair:
        """The surfaces of two masks.

        Args:
            prediction: bool, [*S], at least one voxel set.
            truth: bool, [*S], at least one voxel set.

        Raises:
            ValueError: one of the masks is empty (it has no surface to measure from).
        """
        for name, mask in (("prediction", prediction), ("truth", truth)):
            if not mask.any():
                raise ValueError(f"the {name} is empty (shape {mask.shape}): it has no surface")
        box = joint_box(prediction, truth)
        return cls(surface(prediction[box]), surface(truth[box]))

    def from_prediction(self, spacing: npt.NDArray[np.float64]) -> Distances:
        """Distance of each predicted surface voxel to the true surface, in units of `spacing`."""
        return nearest_distances(self.prediction, self.truth, spacing)

    def from_truth(self, spacing: npt.NDArray[np.float64]) -> Distances:
        """Distance of each true surface voxel to the predicted surface, in units of `spacing`."""
        return nearest_distances(self.truth, self.prediction, spacing)


def joint_box(first: Mask, second: Mask) -> tuple[slice, ...]:
    """The smallest box, one slice per axis, that holds every voxel of two masks, not both empty."""
    box = []
    for axis in range(first.ndim):
        others = tuple(other for other in range(first.ndim) if other != axis)
        occupied = np.flatnonzero(first.any(axis=others) | second.any(axis=others))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return tuple(box)


def surface(mask: Mask) -> Mask:
    """The voxels of a mask with a face neighbor outside the mask.

    Voxels at the edge of the array count as surface: what lies beyond is background. For this
    reason cutting a mask to its bounding box does not change its surface.

    Args:
        mask: bool, [*S].

    Returns:
        bool, [*S]; the same voxels as `mask ^ scipy.ndimage.binary_erosion(mask)`.
    """
    padded = np.pad(mask, 1)
    interior = mask.copy()
    for axis in range(mask.ndim):
        for neighbor in (slice(None, -2), slice(2, None)):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = neighbor
            interior &= padded[tuple(window)]
    return mask & ~interior


def nearest_distances(origin: Mask, target: Mask, spacing: npt.NDArray[np.float64]) -> Distances:
    """The distance of each voxel of one set to the nearest voxel of another.

    Args:
        origin: bool, [*S]; n voxels to measure from.
        target: bool, [*S]; voxels to measure to, at least one.
        spacing: float64, [axes]; distance between neighboring voxels along each axis.

    Returns:
        float64, [n], in the order of `np.nonzero(origin)`, in units of `spacing`.
    """
    distances = _look_around(origin, target, spacing)
    unsettled = np.isnan(distances)
    if unsettled.any():
        queries = origin.copy()
        queries[origin] = unsettled
        distances[unsettled] = _search(queries, target, spacing)
    return distances


def _look_around(origin: Mask, target: Mask, spacing: npt.NDArray[np.float64]) -> Distances:
    """`nearest_distances` where looking around a voxel finds the answer, elsewhere NaN.

    All voxels try the same step, the shortest steps first (none at all, to begin with), so the
    first hit of a voxel is its nearest. Trying ends when it has cost more than the searches it
    has saved: soon where nothing is near, hardly ever in dense noise.
    """
    steps, lengths = _steps(spacing)
    padded = np.ascontiguousarray(np.pad(target, _REACH))
    strides = np.array(padded.strides)  # in bytes, which is in voxels, as bool takes one byte
    targets = padded.ravel()
    places = np.flatnonzero(np.pad(origin, _REACH))
    distances = np.full(len(places), np.nan)
    waiting = np.arange(len(places))
    tried = 0
    for step, length in zip(steps @ strides, lengths, strict=True):
        hit = targets[places + step]
        distances[waiting[hit]] = length
        tried += len(waiting)
        waiting, places = waiting[~hit], places[~hit]
        if tried > _TRIES_PER_SEARCH * (len(distances) - len(waiting)):
            break
    return distances


def _steps(spacing: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.intp], Distances]:
    """All steps up to the length of the shortest that leaves the window, and their lengths.

    Returns:
        int, [n, axes], within `_REACH` voxels along each axis, and float64, [n], ascending.
    """
    axes = len(spacing)
    steps = np.indices((2 * _REACH + 1,) * axes).reshape(axes, -1).T - _REACH
    lengths = np.linalg.norm(steps * spacing, axis=1)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] <= (_REACH + 1) * spacing.min()]
    return steps[order], lengths[order]


def _search(queries: Mask, target: Mask, spacing: npt.NDArray[np.float64]) -> Distances:
    """`nearest_distances` by tree or by transform, whichever is cheaper."""
    least_cost = _COST_PER_TARGET * np.count_nonzero(target)
    least_cost += _COST_PER_QUERY * np.count_nonzero(queries)
    if least_cost < target.size:
        points = np.argwhere(queries) * spacing
        # Wide leaves, neither rebalanced nor shrunk: with the defaults, a query that sees many
        # voxels at nearly the same distance took eight times longer.
        tree = cKDTree(
            np.argwhere(target) * spacing, leafsize=32, compact_nodes=False, balanced_tree=False
        )
        if least_cost + _tree_cost(tree, points, spacing) < target.size:
            return np.asarray(tree.query(points)[0])
    return _by_transform(queries, target, spacing)


def _tree_cost(tree: cKDTree, points: Distances, spacing: npt.NDArray[np.float64]) -> float:
    """Estimated cost of comparing each point with the nearly nearest voxels the tree must visit.

    The tree cannot skip a voxel that is hardly farther than the nearest one. Their number, within
    half a voxel, is counted for an even sample of the points.
    """
    sample = points[np.linspace(0, len(points) - 1, _SAMPLED_QUERIES).astype(np.intp)]
    radii = tree.query(sample)[0] + spacing.min() / 2
    candidates = tree.query_ball_point(sample, radii, return_length=True)
    return _COST_PER_CANDIDATE * float(np.mean(candidates)) * len(points)


def _by_transform(queries: Mask, target: Mask, spacing: npt.NDArray[np.float64]) -> Distances:
    """`nearest_distances` from the distance transform of the whole array.

    Only the positions of the nearest voxels are asked for: lengths are needed at the queries
    alone, and leaving out the others saves nearly half of the time.
    """
    nearest = distance_transform_edt(
        ~target, sampling=spacing, return_distances=False, return_indices=True
    )
    offsets = nearest[:, queries] - np.stack(np.nonzero(queries))
    return np.asarray(np.linalg.norm(offsets * spacing[:, None], axis=0))
