"""Signed distance maps of label maps, and a mask made of a predicted one (DTC, SASSNet)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor


def signed_distances(labels: Tensor, classes: int) -> Tensor:
    """How far each pixel lies from each organ's boundary, scaled to [-1, 1] image by image.

    Outside an organ the distance to it over the largest such distance; inside, minus the distance
    to the background over its largest; 0 on the organ's outermost pixels. An organ that is absent
    is far away from everywhere (1), one that fills the image has no outside (-1); the public code
    gives 0, "everywhere boundary", to the first and divides by 0 for the second. Distances count
    pixels, whatever the spacing (as in the public code).

    Args:
        labels: [L, *S] int64; values outside [0, C), such as IGNORE, belong to no organ.
        classes: C.

    Returns:
        [L, C - 1, *S] float32 on the device of `labels`, computed on the CPU.
    """
    arrays = labels.cpu().numpy()
    maps = np.empty((len(arrays), classes - 1, *arrays.shape[1:]), dtype=np.float32)
    for image, own in zip(arrays, maps, strict=True):
        for index, target in enumerate(own, start=1):
            target[...] = _signed_distance(image == index)
    return torch.from_numpy(maps).to(labels.device)


def _signed_distance(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32] | float:
    if not mask.any():
        return 1.0
    if mask.all():
        return -1.0
    outside = distance_transform_edt(~mask)
    inside = distance_transform_edt(mask)
    signed: npt.NDArray[np.float32] = outside / outside.max() - inside / inside.max()
    # A pixel of the organ at distance 1 from the background touches it with a face.
    signed[inside == 1] = 0
    return signed.astype(np.float32)


def soft_mask(distances: Tensor, slope: float) -> Tensor:
    """The organ that a signed distance map stands for, sigmoid(-slope z), in [0, 1].

    The paper of DTC prints a plus sign against its own rule that inside is negative.
    """
    return torch.sigmoid(-slope * distances.float())
