"""From a trained network to a label map on the native grid of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from arco.data.geometry import canonical_orientation, to_native
from arco.data.manifest import Geometry
from arco.errors import ArcoError
from arco.schema.training import Window

_OPPOSITE = {"L": "R", "P": "A", "S": "I"}


def predict_volume(
    network: nn.Module,
    image: npt.NDArray[np.float32],
    geometry: Geometry,
    *,
    batch_slices: int,
    device: torch.device,
    region: Geometry | None = None,
) -> npt.NDArray[np.uint8]:
    """The predicted class of every voxel of a scan, slice by slice.

    Probabilities are resized, not labels: a boundary then falls between pixels of the network's
    grid where the probabilities say so, not at their edges.

    Args:
        network: images [B, channels, H, W] to logits [B, C, H, W]; it is put into evaluation mode.
        image: [channels, Z, H, W] float32, a prepared image; may be memory-mapped.
        geometry: the native grid of the scan.
        batch_slices: slices the network sees at a time, a bound on memory.
        device: where the network is.
        region: the part of that grid that the image shows, in canonical orientation; None: all of
            it, in slices along the file's last axis.

    Returns:
        Class indices over (z, y, x) of the native file.
    """
    size = plane_size(region or geometry)
    labels = predict_slices(network, image, size, batch_slices=batch_slices, device=device)
    return np.asarray(to_native(labels, geometry, size, region=region), dtype=np.uint8)


@torch.inference_mode()
def predict_slices(
    network: nn.Module,
    image: npt.NDArray[np.float32],
    size: tuple[int, int],
    *,
    batch_slices: int,
    device: torch.device,
) -> npt.NDArray[np.uint8]:
    """The predicted class of every pixel of the slices of a prepared image.

    Args:
        network: images [B, channels, H, W] to logits [B, C, H, W]; it is put into evaluation mode.
        image: [channels, Z, H, W] float32; may be memory-mapped.
        size: (H, W) of the slices that are wanted; those of the image or others.
        batch_slices: slices the network sees at a time, a bound on memory.
        device: where the network is.

    Returns:
        [Z, *size] class indices.
    """
    network.eval()
    labels = np.empty((image.shape[1], *size), dtype=np.uint8)
    for start in range(0, len(labels), batch_slices):
        part = slice(start, start + batch_slices)
        slices = torch.from_numpy(np.array(image[:, part].swapaxes(0, 1), order="C"))
        # Two thirds of the time, where the network's weights have the same memory format.
        slices = slices.to(device, memory_format=torch.channels_last)
        labels[part] = _classify(network(slices), size).cpu().numpy()
    return labels


def plane_size(geometry: Geometry) -> tuple[int, int]:
    """(H, W) of prepared slices before they are resized.

    These are the file's first two axes (x is W, y is H), except where preparation swaps them so
    that left-right comes before front-back and that before up-down.
    """
    first = canonical_orientation(geometry.orientation, sliced=True)[0]
    x, y, _ = geometry.size
    return (y, x) if geometry.orientation[0] in (first, _OPPOSITE[first]) else (x, y)


def _classify(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits [B, C, h, w] to class indices [B, H, W] uint8 at another size."""
    probs = functional.interpolate(
        logits.softmax(dim=1), size=size, mode="bilinear", align_corners=False
    )
    return probs.max(dim=1).indices.to(torch.uint8)  # argmax takes ten times as long on a CPU


WINDOWS = 4
"""Windows of a volume that the network sees at a time."""


@torch.inference_mode()
def predict_patches(
    network: nn.Module,
    image: npt.NDArray[np.float32],
    size: Sequence[int],
    window: Window,
    device: torch.device,
) -> npt.NDArray[np.uint8]:
    """The predicted class of every voxel of a prepared volume, in overlapping windows.

    Probabilities are averaged where windows overlap. A volume smaller than a window is padded with
    zeros, as in training. Windows and mean are those of MONAI's sliding-window inference, whose
    import takes longer than most evaluations.

    Args:
        network: patches [B, channels, *size] to logits [B, C, *size].
        image: [channels, Z, H, W] float32; may be memory-mapped.
        size: [Z, H, W] of the windows.
        window: how they follow each other.
        device: where the network is.

    Returns:
        [Z, H, W] class indices.

    Raises:
        ArcoError: the stride is longer than the window.
    """
    network.eval()
    steps = _strides(window, size)
    volume = torch.from_numpy(np.array(image)).to(device)
    inside, padding = _centered(volume.shape[1:], size)
    volume = functional.pad(volume, padding)
    windows = [
        tuple(slice(start, start + length) for start, length in zip(corner, size, strict=True))
        for corner in product(*map(_starts, volume.shape[1:], size, steps))
    ]
    sums: Tensor | None = None  # largest where the mean is, since every class is added as often
    for first in range(0, len(windows), WINDOWS):
        batch = windows[first : first + WINDOWS]
        probs = network(torch.stack([volume[:, *part] for part in batch])).softmax(dim=1)
        if sums is None:
            sums = probs.new_zeros(probs.shape[1], *volume.shape[1:])
        for part, map_of_part in zip(batch, probs, strict=True):
            sums[:, *part] += map_of_part
    assert sums is not None  # there is always a window
    return sums[:, *inside].max(dim=0).indices.to(torch.uint8).cpu().numpy()


def _centered(
    extent: Sequence[int], size: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[int, ...]]:
    """Where a volume lies when padded to at least `size`, and torch's padding for it."""
    inside: list[slice] = []
    padding: list[int] = []
    for length, least in zip(extent, size, strict=True):
        missing = max(least - length, 0)
        inside.append(slice(missing // 2, missing // 2 + length))
        padding[:0] = [missing // 2, missing - missing // 2]  # torch begins with the last axis
    return tuple(inside), tuple(padding)


def _starts(extent: int, length: int, step: int) -> list[int]:
    """Where windows start along an axis; the last one ends with the volume."""
    last = extent - length
    return [*range(0, last, step), last]


def _strides(window: Window, size: Sequence[int]) -> tuple[int, ...]:
    """Voxels from one window to the next along each axis.

    Raises:
        ArcoError: the stride is longer than the window.
    """
    if window.stride is None:
        return tuple(max(int(length * (1 - window.overlap)), 1) for length in size)
    if any(step > length for step, length in zip(window.stride, size, strict=True)):
        raise ArcoError(
            f"params.yaml: window.stride {window.stride} leaves gaps between windows of "
            f"{list(size)}; lower it"
        )
    return tuple(window.stride)
