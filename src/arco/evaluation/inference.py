"""From a trained network to a label map on the native grid of a scan."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from arco.data.geometry import canonical_orientation, to_native
from arco.data.manifest import Geometry

_OPPOSITE = {"L": "R", "P": "A", "S": "I"}


@torch.inference_mode()
def predict_volume(
    network: nn.Module,
    image: npt.NDArray[np.float32],
    geometry: Geometry,
    *,
    batch_slices: int,
    device: torch.device,
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

    Returns:
        Class indices over (z, y, x) of the native file.
    """
    network.eval()
    size = plane_size(geometry)
    labels = np.empty((image.shape[1], *size), dtype=np.uint8)
    for start in range(0, len(labels), batch_slices):
        part = slice(start, start + batch_slices)
        slices = torch.from_numpy(np.array(image[:, part].swapaxes(0, 1), order="C"))
        # Two thirds of the time, where the network's weights have the same memory format.
        slices = slices.to(device, memory_format=torch.channels_last)
        labels[part] = _classify(network(slices), size).cpu().numpy()
    return np.asarray(to_native(labels, geometry, size), dtype=np.uint8)


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
